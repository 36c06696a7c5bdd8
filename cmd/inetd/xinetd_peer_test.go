package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inside runs the test of that name again in network and mount namespaces of
// its own, and reports whether this is where it runs.
func inside(t *testing.T) bool {
	t.Helper()
	if os.Getenv("GOINETD_TEST_INSIDE") == t.Name() {
		return true
	}
	need(t, "root", "unshare", "ip")
	cmd := exec.Command("unshare", "-mn", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "GOINETD_TEST_INSIDE="+t.Name(), "GOINETD_TEST_BUILT="+filepath.Dir(built.inetd),
		"GOINETD_SEED="+os.Getenv("GOINETD_SEED")) // read here, so that another seed is no cached result
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("inside: %v", err)
	}
	return false
}

// etc puts files over those of /etc.
func etc(t *testing.T, files map[string]string) {
	t.Helper()
	over(t, "/etc", files, 0o644)
}

// over puts files over those of a folder, in a mount namespace of ours.
func over(t *testing.T, folderOf string, files map[string]string, mode os.FileMode) {
	t.Helper()
	dir := folder(t)
	command(t, "mount", "-t", "tmpfs", "tmpfs", dir) // an overlay cannot lie upon an overlay
	os.Mkdir(dir+"/upper", 0o755)
	os.Mkdir(dir+"/work", 0o755)
	for name, text := range files {
		path := filepath.Join(dir, "upper", name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		write(t, path, text, mode)
	}
	command(t, "mount", "-t", "overlay", "overlay", "-o", "lowerdir="+folderOf+",upperdir="+dir+"/upper,workdir="+dir+"/work", folderOf)
	t.Cleanup(func() { exec.Command("umount", "-l", folderOf, dir).Run() })
}

// zone writes a time zone in which it is some time of the day now (tzfile(5)).
func zone(t *testing.T, path string, hour, minute int) {
	t.Helper()
	now := time.Now().UTC()
	offset := (hour-now.Hour())*3600 + (minute-now.Minute())*60 - now.Second()
	b := append([]byte("TZif"), make([]byte, 16)...)
	for _, n := range []uint32{0, 0, 0, 0, 1, 4} { // isutc, isstd, leaps, transitions, types, letters
		b = binary.BigEndian.AppendUint32(b, n)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(int32(offset)))
	write(t, path, string(append(b, 0, 0, 'T', 'S', 'T', 0)), 0o644)
}

// A set is what one service of the comparison asks of its clients.
type set struct {
	onlyFrom, noAccess *string
	times              string
	flags              string
}

type dice struct{ *rand.Rand }

func (d dice) of(words ...string) string { return words[d.Intn(len(words))] }

// octet is one of few, so that lists and clients meet.
func (d dice) octet() string { return d.of("0", "1", "2", "3") }

func (d dice) source() string {
	switch d.Intn(14) {
	case 0:
		return fmt.Sprintf("127.%s.%s.%s/%d", d.octet(), d.octet(), d.octet(), 8+d.Intn(25))
	case 1:
		return fmt.Sprintf("127.%s.{%s,%s}", d.octet(), d.octet(), d.octet())
	case 2:
		return fmt.Sprintf("127.{%s,%s,%s}", d.octet(), d.octet(), d.octet())
	case 3:
		return fmt.Sprintf("127.%s.%s.{%s,%s}", d.octet(), d.octet(), d.octet(), d.octet())
	case 4:
		return d.of("127.0", "127.1", "127", "127.0.1", "0.0.0.0", "127.0.0.0", "0.0.0.0/0")
	case 5:
		return d.of("::1", "2001:db8::1", "::/0", "2001:db8::/32", "2001:db8::2/64", "::1/128", "2001:db8:1::/48", "::", "::ffff:0:0/96")
	case 6:
		return d.of("a.test", "b.test", ".test", ".nowhere", "A.TEST", "localhost", "six.test")
	case 7:
		return d.of("testnet", "smallnet")
	}
	return fmt.Sprintf("127.%s.%s.%s", d.octet(), d.octet(), d.octet())
}

func (d dice) sources() *string {
	var list []string
	for range d.Intn(4) {
		list = append(list, d.source())
	}
	text := strings.Join(list, " ")
	return &text
}

func (d dice) set() set {
	s := set{flags: d.of("", "", "IPv4", "IPv6")}
	if d.Intn(4) > 0 {
		s.onlyFrom = d.sources()
	}
	if d.Intn(3) == 0 {
		s.noAccess = d.sources()
	}
	if d.Intn(4) == 0 { // it is 11:30
		s.times = d.of("0:00-23:59", "11:00-12:59", "12:30-18:00", "0:00-11:00", "1:15-2:15 11:15-13:00", "9:00-10:00 14:00-15:00", "08:00-18:30")
	}
	return s
}

func (d dice) client() string {
	if d.Intn(5) == 0 {
		return d.of("::1", "2001:db8::1", "2001:db8::2", "2001:db8:1::1")
	}
	return fmt.Sprintf("127.%s.%s.%s", d.octet(), d.octet(), d.of("1", "2", "3"))
}

// entry is a service of xinetd.conf.
func (s set) entry(port int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "service daytime\n{\n id = s%d\n type = INTERNAL UNLISTED\n port = %d\n socket_type = stream\n protocol = tcp\n wait = no\n cps = 100000 1\n", port, port)
	if s.flags != "" {
		fmt.Fprintf(&b, " flags = %s\n", s.flags)
	}
	if s.onlyFrom != nil {
		fmt.Fprintf(&b, " only_from = %s\n", *s.onlyFrom)
	}
	if s.noAccess != nil {
		fmt.Fprintf(&b, " no_access = %s\n", *s.noAccess)
	}
	if s.times != "" {
		fmt.Fprintf(&b, " access_times = %s\n", s.times)
	}
	b.WriteString("}\n")
	return b.String()
}

// visit returns the outcome of a connection.
func visit(from string, port int) string {
	to := "127.0.0.1"
	if strings.Contains(from, ":") {
		to = "::1"
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	c, err := d.Dial("tcp", net.JoinHostPort(to, fmt.Sprint(port)))
	if err != nil {
		return "unreachable"
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	text, err := io.ReadAll(c)
	switch {
	case len(text) > 0:
		return "served"
	case err != nil && !strings.Contains(err.Error(), "reset"):
		return err.Error()
	}
	return "refused"
}

// explained names the difference that docs/xinetd.md explains, or returns "".
func (s set) explained(from, verdict, theirs string) string {
	has := func(text string) bool {
		return s.onlyFrom != nil && strings.Contains(strings.ToLower(*s.onlyFrom), text) || s.noAccess != nil && strings.Contains(strings.ToLower(*s.noAccess), text)
	}
	four := !strings.Contains(from, ":")
	// What matches here and not there lets in by only_from alone, and keeps
	// out by no_access alone.
	if verdict == "served" && s.onlyFrom == nil || verdict == "refused" && s.noAccess == nil || theirs == "unreachable" {
		return ""
	}
	switch {
	case !four && has("/128"):
		return "an IPv6 prefix of length 128 matches"
	case four && (has("testnet") && strings.HasPrefix(from, "127.2.") || has("smallnet") && strings.HasPrefix(from, "127.3.1.")):
		return "a name of /etc/networks stands for the octets that are written there"
	case four && s.flags != "IPv4" && (has(".test") || has("localhost")):
		return "an IPv4 client has its name on a socket of both families"
	}
	return ""
}

// Two thousand sets of only_from, no_access and access_times, and what xinetd
// itself makes of them.
func TestAgainstXinetd(t *testing.T) {
	t.Parallel()
	xinetd := server(t, "xinetd", "/usr/sbin/xinetd")
	if !inside(t) {
		return
	}
	const sets, offset, each = 2000, 30000, 3
	command(t, "ip", "link", "set", "lo", "up")
	for _, a := range []string{"2001:db8::1/128", "2001:db8::2/128", "2001:db8:1::1/128"} {
		command(t, "ip", "addr", "add", a, "dev", "lo", "nodad")
	}
	etc(t, map[string]string{
		"hosts":         "127.0.0.1 localhost\n127.1.1.1 a.test\n127.2.2.2 b.test\n2001:db8::1 six.test\n",
		"networks":      "testnet 127.2.0.0\nsmallnet 127.3.1.0\n",
		"nsswitch.conf": "hosts: files\nnetworks: files\n", "hosts.allow": "", "hosts.deny": "",
	})
	dir := folder(t)
	zone(t, dir+"/zone", 11, 30)
	d := dice{rand.New(rand.NewSource(xinetdSeed(t)))}
	var list []set
	var confs [2]strings.Builder
	for i := range sets {
		s := d.set()
		list = append(list, s)
		confs[0].WriteString(s.entry(2000 + i))
		confs[1].WriteString(s.entry(2000 + i + offset))
	}
	link := filepath.Join(dir, "xinetd")
	os.Symlink(built.inetd, link)
	for i, program := range []string{xinetd, link} {
		conf := write(t, fmt.Sprintf("%s/conf%d", dir, i), confs[i].String(), 0o644)
		cmd := exec.Command("prlimit", "-n10000:10000", program, "-dontfork", "-f", conf, "-filelog", fmt.Sprintf("%s/log%d", dir, i), "-pidfile", fmt.Sprintf("%s/pid%d", dir, i))
		cmd.Env = append(os.Environ(), "TZ="+dir+"/zone")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Process.Kill()
		t.Cleanup(func() {
			if log, _ := os.ReadFile(fmt.Sprintf("%s/log%d", dir, i)); t.Failed() {
				t.Logf("log of %s:\n%s", program, tail(string(log)))
			}
		})
		until(t, func() bool { return visit("127.0.0.1", 2000+sets-1+i*offset) != "unreachable" })
	}
	counts := map[string]int{}
	wrong := 0
	for i, s := range list {
		for range each {
			from := d.client()
			theirs, got := visit(from, 2000+i), visit(from, 2000+i+offset)
			if theirs == got {
				counts[got]++
				continue
			}
			if why := s.explained(from, got, theirs); why != "" {
				counts[why]++
				continue
			}
			if wrong++; wrong < 10 {
				t.Errorf("client %s: %s, xinetd: %s\n%s", from, got, theirs, s.entry(2000+i+offset))
			}
		}
	}
	t.Logf("%d sets, %d clients: %v, %d not explained", sets, sets*each, counts, wrong)
	if counts["served"] < 500 || counts["refused"] < 500 {
		t.Errorf("the dice are loaded: %v", counts)
	}
	if t.Failed() {
		text, _ := os.ReadFile(dir + "/log1")
		t.Logf("our log begins:\n%s", text[:min(len(text), 3000)])
	}
}

// until waits for what has no event: another program's being ready.
func until(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come")
		}
	}
}
