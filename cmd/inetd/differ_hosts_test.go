package main

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"goinetd/inetd/differences"
)

// hostsOfRules is /etc/hosts for the random rules of the package differences.
const hostsOfRules = `127.0.0.1 localhost
::1 localhost
10.1.2.3 host
192.0.2.1 a.example.org
192.0.2.2 b.example.org
2001:db8::1 six.example.org
192.0.2.200 gate.example.org
2001:db8::200 gate.example.org
`

// identUsers are who the ident servers of the clients' addresses name.
var identUsers = map[string]string{"192.0.2.1": "joe", "10.1.2.3": "root", "2001:db8::1": "joe", "127.0.0.1": "root", "fe80::1%lo": "joe"}

// A hostsDifference is a connection under a pair of files, with what came
// from either daemon.
type hostsDifference struct {
	allow, deny, daemon, client, server string
	ours, theirs                        string
	banners                             bool // the banners differ; ours and theirs are what comes behind them
}

// bannerLines are banners of bannerOfRules, as they are or expanded.
var bannerLines = regexp.MustCompile(`^(banner for [^\n]*\n%%?\r?\n)+`)

// cutBanners takes the banners off both sides.
func (d *hostsDifference) cutBanners() {
	a, b := bannerLines.FindString(d.ours), bannerLines.FindString(d.theirs)
	d.banners = a != b
	d.ours, d.theirs = d.ours[len(a):], d.theirs[len(b):]
}

func (d hostsDifference) String() string {
	return fmt.Sprintf("client %s (%s) of %s at %s\nhosts.allow:\n%s\nhosts.deny:\n%s\nours:\n%s\ntheirs:\n%s", d.client, identUsers[d.client], d.daemon, d.server, d.allow, d.deny, d.ours, d.theirs)
}

func (d hostsDifference) has(pattern string) bool {
	return regexp.MustCompile(`(?im)` + pattern).MatchString(strings.ReplaceAll(d.allow+"\n"+d.deny, "\\\n", ""))
}

var hostsClasses = []differences.Class[hostsDifference]{
	{Name: "banners before a wrong option", Applies: func(d hostsDifference) bool { return d.banners && d.ours == "" && d.theirs == "" && d.has(`banners`) }},
	{Name: "last line without newline", Applies: func(d hostsDifference) bool {
		return d.allow != "" && !strings.HasSuffix(d.allow, "\n") || d.deny != "" && !strings.HasSuffix(d.deny, "\n")
	}},
	{Name: "0.0.0.0/0 in hosts.deny", Applies: func(d hostsDifference) bool {
		return strings.Contains(d.deny, "0.0.0.0/0") && !strings.Contains(d.client, ":")
	}},
	{Name: "file of patterns that cannot be read", Applies: func(d hostsDifference) bool { return d.ours == "" && d.has(`/missing`) }},
	{Name: "netgroups in hosts.deny", Applies: func(d hostsDifference) bool { return d.ours == "" && d.has(`@staff`) }},
	{Name: "aclexec", Applies: func(d hostsDifference) bool { return d.ours == "" && d.has(`aclexec`) }},
	{Name: "user and group", Applies: func(d hostsDifference) bool { return d.has(`(user|group) root`) && d.theirs != "" && d.ours != "" }},
	{Name: "severity authpriv", Applies: func(d hostsDifference) bool { return d.theirs == "" && d.has(`severity[ =]+authpriv`) }},
	{Name: "names without being asked", Applies: func(d hostsDifference) bool {
		names := strings.NewReplacer("six.example.org", "2001:db8::1", "a.example.org", "192.0.2.1", "b.example.org", "192.0.2.2", "localhost", d.client, "gate.example.org", d.server, "host", "10.1.2.3")
		return d.has(`%[hcnsHN]`) && names.Replace(d.ours) == names.Replace(d.theirs)
	}},
}

const bannerOfRules = "banner for %a %d %u\n%%\n"

func TestHostsClassesAreDocumented(t *testing.T) {
	differences.Documented(t, "hosts_access through the daemons", hostsClasses)
}

// Three hundred connections to this daemon and to openbsd-inetd -l, under the
// same random hosts.allow and hosts.deny.
func TestDifferHosts(t *testing.T) {
	t.Parallel()
	wantsLimits(t)
	peer := server(t, "openbsd-inetd", "/usr/sbin/inetd")
	if !inside(t) {
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	for _, a := range []string{"10.1.2.3/32", "192.0.2.1/32", "192.0.2.2/32", "192.0.2.9/32", "192.0.2.200/32", "10.9.9.9/32"} {
		command(t, "ip", "addr", "add", a, "dev", "lo")
	}
	for _, a := range []string{"2001:db8::1/128", "2001:db8::200/128", "2001:db8:1::5/128", "fe80::1/64"} {
		command(t, "ip", "addr", "add", a, "dev", "lo", "nodad")
	}
	etc(t, map[string]string{"hosts": hostsOfRules, "nsswitch.conf": "hosts: files\npasswd: files\ngroup: files\n", "resolv.conf": "", "hosts.allow": "", "hosts.deny": ""})
	for address, user := range identUsers {
		identUser(t, address, user)
	}
	dir := folder(t)
	rules := differences.Rules{Dice: differences.Roll(t), Dir: dir, Banners: dir + "/banners"}
	daemons := []string{"sshd", "in.ftpd", "in.telnetd", "smtp"}
	tell := buildTell(t, dir)
	os.Mkdir(rules.Banners, 0o755)
	write(t, dir+"/list", "10.1.2.3\n.example.org\n", 0o644)
	write(t, dir+"/more", dir+"/list [2001:db8::]/32\n", 0o644)
	const ours, theirs = 7000, 8000
	confs := map[int]string{}
	for i, name := range daemons {
		os.Symlink(tell, filepath.Join(dir, name))
		write(t, filepath.Join(rules.Banners, name), bannerOfRules, 0o644)
		for _, first := range []int{ours, theirs} {
			confs[first] += fmt.Sprintf("%d stream tcp nowait.60000 root %s/%s %s\n", first+i, dir, name, name)
		}
	}
	startPeer(t, "/usr/bin/env", "A=the daemon's", peer, "-i", "-E", "-l", write(t, dir+"/theirs.conf", confs[theirs], 0o644))
	setup{conf: confs[ours], flags: []string{"-E", "-l"}, env: []string{"A=the daemon's"}}.start(t)
	until(t, func() bool { return !strings.HasPrefix(converse("127.0.0.1", "127.0.0.1", theirs), "unreachable") })

	const pairs, each = 150, 2
	counts := map[string]int{}
	wrong := 0
	for range pairs {
		allow, deny := rules.File(), rules.File()
		write(t, "/etc/hosts.allow", allow, 0o644)
		write(t, "/etc/hosts.deny", deny, 0o644)
		for range each {
			d := hostsDifference{allow: allow, deny: deny, client: rules.Of("10.1.2.3", "192.0.2.1", "192.0.2.2", "192.0.2.9", "127.0.0.1", "::1", "2001:db8::1", "2001:db8:1::5", "fe80::1%lo")}
			i := rules.Intn(len(daemons))
			d.daemon = daemons[i]
			d.server = rules.Of("192.0.2.200", "192.0.2.200", "10.9.9.9")
			if strings.HasPrefix(d.client, "fe80:") {
				d.server = d.client
			} else if strings.Contains(d.client, ":") {
				d.server = "2001:db8::200"
			}
			d.ours, d.theirs = converse(d.client, d.server, ours+i), converse(d.client, d.server, theirs+i)
			if d.ours == d.theirs {
				counts[map[bool]string{true: "refused", false: "answered"}[d.ours == ""]]++
				continue
			}
			d.cutBanners()
			if why := differences.Explain(hostsClasses, d); why != "" {
				counts[why]++
				continue
			}
			if wrong++; wrong <= 5 {
				t.Errorf("%v", d)
			}
		}
	}
	t.Logf("%d pairs of files, %d clients, %d differences without a reason: %v", pairs, pairs*each, wrong, counts)
	if counts["answered"] < 50 || counts["refused"] < 20 {
		t.Errorf("the dice are loaded: %v", counts)
	}
}

// buildTell compiles testdata/tell.c into a directory.
func buildTell(t *testing.T, dir string) string {
	t.Helper()
	need(t, "cc")
	if err := compile("testdata/tell.c", dir+"/tell"); err != nil {
		t.Fatal(err)
	}
	return dir + "/tell"
}

// startPeer runs another daemon until the test ends.
func startPeer(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	})
}

// converse connects from an address, and returns what comes until the end, with
// names in the place of the connection's ports.
func converse(from, to string, port int) string {
	local, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(from, "0"))
	if err != nil {
		return err.Error()
	}
	c, err := (&net.Dialer{LocalAddr: local, Timeout: patience}).Dial("tcp", net.JoinHostPort(to, fmt.Sprint(port)))
	if err != nil {
		return "unreachable: " + err.Error()
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	text, err := io.ReadAll(c)
	ports := strings.NewReplacer(fmt.Sprint(c.LocalAddr().(*net.TCPAddr).Port), "CLIENT", fmt.Sprint(port), "SERVER")
	if err != nil && !strings.Contains(err.Error(), "reset") {
		return cmp.Or(ports.Replace(string(text)), err.Error())
	}
	return ports.Replace(string(text))
}
