package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"goinetd/inetd/control"
)

// need ends a test that cannot run here: as failed in CI, as skipped elsewhere.
func need(t *testing.T, tools ...string) {
	t.Helper()
	missing := ""
	if os.Geteuid() != 0 {
		missing = "root"
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			missing = tool
		}
	}
	switch {
	case missing != "" && os.Getenv("CI") != "":
		t.Fatalf("%s is missing", missing)
	case missing != "":
		t.Skipf("%s is missing", missing)
	}
}

// In a network of its own, with seventeen services of inetd and three sockets
// that are not inetd's, ports says what ss says, and ports --scan what nmap says.
func TestPorts(t *testing.T) {
	if os.Getenv("GOINETD_TEST_INSIDE") == "" {
		need(t, "unshare", "ip", "ss", "nmap")
		cmd := exec.Command("unshare", "-n", os.Args[0], "-test.run=^TestPorts$", "-test.v")
		cmd.Env = append(os.Environ(), "GOINETD_TEST_INSIDE=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("inside: %v\n%s", err, out)
		}
		return
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	dir := t.TempDir()
	inetd := buildInetd(t, dir)
	var conf strings.Builder
	for i := range 8 {
		fmt.Fprintf(&conf, "%d stream tcp nowait nobody internal echo\n127.0.0.1:%d dgram udp wait nobody internal echo\n", 7000+i, 7100+i)
	}
	conf.WriteString("[::1]:7200 stream tcp nowait nobody /bin/cat cat\n")
	file := filepath.Join(dir, "inetd.conf")
	if err := os.WriteFile(file, []byte(conf.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "control")
	daemon := exec.Command(inetd, "-i", "--control="+socket, file)
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		daemon.Process.Signal(os.Interrupt)
		daemon.Wait()
	}()
	for _, network := range []string{"tcp4", "tcp6"} {
		l, err := net.Listen(network, ":7300")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	u, err := net.ListenPacket("udp4", "127.0.0.1:7301")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if _, _, status := do("status", "--socket", socket); status == exitOK {
			break
		}
		if time.Now().After(end) {
			t.Fatal("inetd does not start")
		}
	}

	out, errors, status := do("ports", "--scan", "--json", "--socket", socket)
	var list []port
	if err := json.Unmarshal([]byte(out), &list); err != nil || status != exitOK {
		t.Fatalf("%d %v %s\n%s", status, err, errors, out)
	}
	if s, err := jsonSchema("ports"); err != nil {
		t.Error(err)
	} else if value, err := jsonschema.UnmarshalJSON(strings.NewReader(out)); err != nil || s.Validate(value) != nil {
		t.Errorf("%v %v", err, s.Validate(value))
	}
	var got, open []string
	ours := 0
	for _, p := range list {
		got = append(got, strings.TrimSuffix(p.Network, "6")+" "+p.Address)
		if isOpen := p.Answer == "open"; isOpen != strings.HasPrefix(p.Network, "tcp") || p.Missing {
			t.Errorf("%+v", p)
		}
		if strings.HasPrefix(p.Network, "tcp") && !strings.HasPrefix(p.Address, "[") {
			open = append(open, p.Address[strings.LastIndexByte(p.Address, ':')+1:])
		}
		if p.Service != "" {
			ours++
		} else if !strings.Contains(p.Owner, fmt.Sprintf("pid %d (", os.Getpid())) {
			t.Errorf("%+v is this test's", p)
		}
	}
	slices.Sort(got)
	if want := socketsOfSS(t); !slices.Equal(got, want) {
		t.Errorf("ports:\n%q\nss:\n%q", got, want)
	}
	if len(got) != 28 || ours != 25 { // TCP on every address is two sockets
		t.Errorf("%d sockets, %d of them inetd's", len(got), ours)
	}
	nmap, err := exec.Command("nmap", "-n", "-sT", "-p", "7000-7400", "-oG", "-", "127.0.0.1").Output()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, m := range regexp.MustCompile(`(\d+)/open/tcp`).FindAllStringSubmatch(string(nmap), -1) {
		found = append(found, m[1])
	}
	if slices.Sort(open); !slices.Equal(open, found) {
		t.Errorf("ports --scan: %q\nnmap: %q", open, found)
	}
	table, _, _ := do("ports", "--socket", socket)
	for line := range strings.Lines(table) {
		if n := len(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// socketsOfSS returns "tcp 0.0.0.0:7" and the like of ss, in order.
func socketsOfSS(t *testing.T) (list []string) {
	t.Helper()
	out, err := exec.Command("ss", "-Hlntu").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		list = append(list, f[0]+" "+strings.Replace(f[4], "*:", "[::]:", 1))
	}
	slices.Sort(list)
	return list
}

// A service that has no socket is listed, and so is whose it should be.
func TestPortsMissing(t *testing.T) {
	status := &control.Status{PID: 1, Services: []control.Service{{Name: "a", Listeners: []control.Listener{{Address: "tcp 127.0.0.1:7"}, {Address: "unix /run/x"}}}}}
	if list := portsOf(nil, status, false); len(list) != 1 || !list[0].Missing || list[0].Address != "127.0.0.1:7" || list[0].Service != "a" {
		t.Errorf("%+v", list)
	}
	if list := portsOf(nil, status, true); len(list) != 2 {
		t.Errorf("%+v", list)
	}
}
