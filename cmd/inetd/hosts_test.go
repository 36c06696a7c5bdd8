package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"goinetd/inetd/reliability"
)

// hosts.allow and hosts.deny, with names, users and options, in namespaces
// whose /etc is the test's own.
func TestHostsAccess(t *testing.T) {
	t.Parallel()
	wantsLimits(t)
	if !inside(t) {
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	dir := folder(t)
	write(t, dir+"/in", "", 0o644)
	banners := folder(t)
	write(t, banners+"/true", "sorry, %a\n", 0o644)
	os.Chmod(dir, 0o777)
	hosts := map[string]string{
		"hosts": "127.0.0.1 localhost\n127.0.0.2 good.test\n127.0.0.3 bad.test\n127.0.0.4 liar.test\n", "nsswitch.conf": "hosts: files\n", "resolv.conf": "",
		"hosts.allow": `echo: good.test : setenv NOTE %h : allow
cat: 127.0.0.1 EXCEPT .test
sh: .test : umask 077 : nice 3
date: 127.0.0.2 : twist /bin/echo twisted %a %d
`,
		"hosts.deny": "# all but what hosts.allow has\ntrue: ALL : spawn (echo %a %d >> " + dir + "/spawned) : banners " + banners + "\nALL: ALL : severity auth.warning",
	}
	etc(t, hosts)
	ports := map[string]int{}
	conf := ""
	for _, name := range []string{"echo", "cat", "sh", "date", "true"} {
		ports[name] = port(t)
		args := map[string]string{"echo": " hello", "sh": ` -c "umask; nice; echo $NOTE"`}[name]
		conf += fmt.Sprintf("127.0.0.1:%d stream tcp nowait nobody /bin/%s %s%s\n", ports[name], name, name, args)
	}
	visit := func(from, name string) string {
		t.Helper()
		c := from2(t, from, ports[name])
		c.(*net.TCPConn).CloseWrite()
		text, err := io.ReadAll(c)
		if err != nil {
			t.Errorf("%s from %s: %v", name, from, err)
		}
		return string(text)
	}
	d := setup{conf: conf}.start(t)
	d.find(`/etc/hosts.deny has rules and is not consulted for the services of inetd.conf \(start inetd with -l`, 1)
	if visit("127.0.0.3", "echo") != "hello\n" {
		t.Error("consulted without -l")
	}
	d.reload(conf)
	if n := strings.Count(d.text(), "is not consulted"); n != 1 {
		t.Errorf("said %d times", n)
	}
	d.stop()

	d = setup{conf: conf, flags: []string{"-l"}}.start(t)
	for _, c := range []struct{ from, name, want string }{
		{"127.0.0.2", "echo", "hello\n"}, {"127.0.0.3", "echo", ""}, {"127.0.0.1", "cat", ""}, {"127.0.0.9", "echo", ""},
		{"127.0.0.3", "sh", fmt.Sprintf("0077\n%d\n\n", niceness(t, 3))}, {"127.0.0.9", "sh", ""}, {"127.0.0.2", "date", "twisted 127.0.0.2 date\n"}, {"127.0.0.3", "date", ""},
		{"127.0.0.3", "true", "sorry, 127.0.0.3\r\n"},
	} {
		if got := visit(c.from, c.name); got != c.want {
			t.Errorf("%s from %s: %q, want %q", c.name, c.from, got, c.want)
		}
	}
	d.find(`(?m)FAIL: \d+\(hosts.deny:3\) libwrap from=127.0.0.9$`, 2)
	until(t, func() bool {
		text, _ := os.ReadFile(dir + "/spawned")
		return string(text) == "127.0.0.3 true\n"
	})
	// A change counts for the next client.
	write(t, "/etc/hosts.allow", "ALL: ALL\n", 0o644)
	if got := visit("127.0.0.9", "echo"); got != "hello\n" {
		t.Errorf("after a change of hosts.allow: %q", got)
	}
	// An option that cannot be read refuses, and is said so.
	write(t, "/etc/hosts.allow", "ALL: ALL : nosuchoption\n", 0o644)
	if got := visit("127.0.0.9", "echo"); got != "" {
		t.Errorf("with a broken rule: %q", got)
	}
	d.find(`hosts_access: hosts.allow:1: unknown option "nosuchoption"`, 1)
}

// A command that answers in a service's place takes one of its places, and a
// client that the counts refuse has nothing done for it.
func TestTwistIsCounted(t *testing.T) {
	t.Parallel()
	if !inside(t) {
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	etc(t, map[string]string{"hosts.allow": "cat: ALL : twist /bin/cat\n", "hosts.deny": "ALL: ALL : twist /bin/cat\n", "nsswitch.conf": "hosts: files\n", "resolv.conf": ""})
	p, q := port(t), port(t)
	d := setup{conf: entry(p, "server = /bin/cat", "instances = 2") + entry(q, "instances = 2")}.start(t)
	for _, port := range []int{p, q} {
		var held []net.Conn
		served := 0
		for range 6 {
			c := dial(t, port)
			io.WriteString(c, "x")
			if n, _ := c.Read(make([]byte, 1)); n == 1 {
				served++
			}
			held = append(held, c)
		}
		if served != 2 {
			t.Errorf("%d served at once where 2 may be\n%s", served, d.text())
		}
		for _, c := range held {
			c.Close()
		}
		until(t, func() bool { // the places are free again
			c := dial(t, port)
			defer c.Close()
			io.WriteString(c, "y")
			n, _ := c.Read(make([]byte, 1))
			return n == 1
		})
	}
}

// Names in address lists: who comes from an address that has the name, and
// nobody else.
func TestNames(t *testing.T) {
	t.Parallel()
	if !inside(t) {
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	etc(t, map[string]string{"hosts": "127.0.0.1 localhost\n127.0.0.2 good.test\n127.0.0.3 other.test\n", "nsswitch.conf": "hosts: files\n", "resolv.conf": "",
		"hosts.allow": "", "hosts.deny": ""})
	p, q, r := port(t), port(t), port(t)
	d := setup{conf: entry(p, "only_from = good.test 127.0.0.9") + entry(q, "no_access = .test") + entry(r, "only_from = .test", "no_access = other.test")}.start(t)
	for _, c := range []struct {
		from string
		port int
		in   bool
	}{
		{"127.0.0.2", p, true}, {"127.0.0.3", p, false}, {"127.0.0.9", p, true}, {"127.0.0.5", p, false},
		{"127.0.0.2", q, false}, {"127.0.0.1", q, true},
		{"127.0.0.2", r, true}, {"127.0.0.3", r, false}, {"127.0.0.1", r, false},
	} {
		if n, _ := io.Copy(io.Discard, from2(t, c.from, c.port)); n > 0 != c.in {
			t.Errorf("%s on %d: %d bytes, to be let in: %v\n%s", c.from, c.port, n, c.in, d.text())
		}
	}
}

// What fail2ban's and logwatch's own filters read in our lines.
func TestLogReaders(t *testing.T) {
	t.Parallel()
	need(t, "root", "perl", "python3")
	regex := server(t, "fail2ban", "/usr/bin/fail2ban-regex")
	secure := server(t, "logwatch", "/usr/share/logwatch/scripts/services/secure")
	dir := folder(t)
	os.Symlink(built.inetd, dir+"/xinetd")
	p, q := port(t), port(t)
	d := setup{conf: entry(p, "no_access = 127.0.0.0/8") + entry(q), program: dir + "/xinetd", bare: true}.start(t)
	io.Copy(io.Discard, from2(t, "127.0.0.7", p))
	request(t, q, "")
	d.find("EXIT: ", 1)
	lines := strings.ReplaceAll(d.text(), " xinetd[", " host xinetd[")
	log := write(t, dir+"/log", lines, 0o644)
	root := strings.TrimSuffix(regex, "/usr/bin/fail2ban-regex")
	cmd := exec.Command("python3", regex, "-c", root+"/etc/fail2ban", log, "xinetd-fail")
	cmd.Env = append(os.Environ(), "PYTHONPATH="+root+"/usr/lib/python3/dist-packages")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "1 matched") {
		t.Errorf("fail2ban: %v\n%s\n%s", err, out, lines)
	}
	var stripped strings.Builder // logwatch passes its scripts lines without date and host
	for line := range strings.Lines(lines) {
		if _, remainder, ok := strings.Cut(line, " host "); ok {
			stripped.WriteString(remainder)
		}
	}
	watch := exec.Command("perl", "-I", strings.TrimSuffix(secure, "/scripts/services/secure")+"/lib", secure)
	watch.Env = append(os.Environ(), "LOGWATCH_DETAIL_LEVEL=10")
	watch.Stdin = strings.NewReader(stripped.String())
	out, err = watch.CombinedOutput()
	started := fmt.Sprintf("s%d", q)
	if err != nil || !strings.Contains(string(out), "Connections") || !strings.Contains(string(out), started) || !strings.Contains(string(out), "127.0.0.1") {
		t.Errorf("logwatch: %v\n%s\n%s", err, out, stripped.String())
	}
	if strings.Contains(string(out), "Unmatched") && strings.Contains(string(out[strings.Index(string(out), "Unmatched"):]), "EXIT") {
		t.Errorf("logwatch does not know our EXIT lines:\n%s", out)
	}
}

// The commands of spawn run one after another, the client waits for them, and
// there are not more of them at once than a service may have.
func TestSpawnCommands(t *testing.T) {
	t.Parallel()
	if !inside(t) {
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	dir := folder(t)
	os.Chmod(dir, 0o777)
	if err := syscall.Mkfifo(dir+"/held", 0o666); err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir+"/held", 0o666)
	etc(t, map[string]string{"nsswitch.conf": "hosts: files\n", "resolv.conf": "",
		"hosts.allow": fmt.Sprintf("cat: ALL : spawn sleep 0.2; echo one > %s/order : spawn echo two >> %s/order\n", dir, dir),
		"hosts.deny":  fmt.Sprintf("true: ALL : spawn echo >> %s/started; cat %s/held\n", dir, dir)})
	prepared, refusing := port(t), port(t)
	d := setup{flags: []string{"-l"}, conf: fmt.Sprintf("127.0.0.1:%d stream tcp nowait nobody /bin/cat cat %s/order\n127.0.0.1:%d stream tcp nowait nobody /bin/true true\n", prepared, dir, refusing)}.start(t)
	c := dial(t, prepared)
	if text, err := io.ReadAll(c); string(text) != "one\ntwo\n" {
		t.Errorf("the program found %q, %v", text, err)
	}
	const clients, most = 100, 32
	before := d.count("fd")
	var held []net.Conn
	for i := range clients {
		held = append(held, from2(t, fmt.Sprintf("127.0.0.%d", i+2), refusing))
	}
	until(t, func() bool { return d.count("fd") >= before+clients })
	started := func() int {
		text, _ := os.ReadFile(dir + "/started")
		return strings.Count(string(text), "\n")
	}
	until(t, func() bool { return started() >= most })
	if n := started(); n != most {
		t.Errorf("%d commands at once", n)
	}
	d.stopHolding(dir + "/held")
	for _, c := range held {
		if text, err := io.ReadAll(c); len(text) != 0 || err != nil {
			t.Errorf("a refused client got %q, %v", text, err)
		}
	}
	if n := started(); n != clients {
		t.Errorf("%d commands for %d clients", n, clients)
	}
}

// stopHolding lets every reader of a FIFO go on, until the test ends.
func (d *daemonProcess) stopHolding(path string) {
	d.t.Helper()
	d.t.Cleanup(func() { os.Remove(path) })
	if err := os.Rename(path, path+".old"); err != nil {
		d.t.Fatal(err)
	}
	write(d.t, path, "", 0o644)
	f, err := os.OpenFile(path+".old", os.O_RDWR, 0) // whoever opened it has a writer, which goes
	if err != nil {
		d.t.Fatal(err)
	}
	f.Close()
}

// hosts.deny by name admits while the name service does not answer, as in the
// library, unless libwrap_fail_closed says otherwise.
func TestNameServiceFails(t *testing.T) {
	t.Parallel()
	if !inside(t) {
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	etc(t, map[string]string{"hosts.allow": "", "hosts.deny": "ALL: .example.org\n", "nsswitch.conf": "hosts: dns\n",
		"resolv.conf": "nameserver 127.0.0.9\noptions timeout:1 attempts:1\n", "hosts": ""})
	open, closed := port(t), port(t)
	d := setup{conf: entry(open, "server = /bin/echo", "server_args = x") + entry(closed, "server = /bin/echo", "server_args = x", "libwrap_fail_closed = yes")}.start(t)
	for p, want := range map[int]string{open: "x\n", closed: ""} {
		if got := request(t, p, ""); got != want {
			t.Errorf("got %q, want %q\n%s", got, want, d.text())
		}
	}
	d.find(fmt.Sprintf(`FAIL: s%d\(hosts.deny:1\) libwrap from=127.0.0.1`, closed), 1)
	d.find(`hosts.deny: 1 rule refuses by name \(".example.org" in line 1\), and admits clients whose name cannot be found out while the name service does not answer \(set libwrap_fail_closed = yes`, 1)
}

// A hosts.deny that cannot be opened for ever refuses the clients of services
// that want it, and delays no others for long.
func TestHostsFileHangs(t *testing.T) {
	t.Parallel()
	if !inside(t) {
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	etc(t, map[string]string{"hosts.allow": "", "hosts.deny": "other: ALL\n", "nsswitch.conf": "hosts: files\n", "resolv.conf": ""})
	wrapped, plain := port(t), port(t)
	d := setup{conf: entry(wrapped, "server = /bin/echo", "server_args = x") + entry(plain, "server = /bin/echo", "server_args = x", "flags = NOLIBWRAP")}.start(t)
	if got := request(t, wrapped, ""); got != "x\n" {
		t.Errorf("before: %q", got)
	}
	write(t, "/etc/hosts.deny", "another: ALL\n", 0o644)
	blocked := block(t, "/etc/hosts.deny", unix.FAN_OPEN_PERM)
	for range 3 {
		if got := request(t, wrapped, ""); got != "" {
			t.Errorf("while hosts.deny hangs: %q", got)
		}
		if got := request(t, plain, ""); got != "x\n" {
			t.Errorf("another service: %q", got)
		}
	}
	d.find(`hosts.deny: /etc/hosts.deny cannot be read: no answer within 2s \(clients are refused until it is corrected\)`, 1)
	blocked.Close()
	until(t, func() bool { return request(t, wrapped, "") == "x\n" })
	reliability.Survived(t, reliability.Fault{Theme: reliability.Hosts, Did: "a hosts.deny that cannot be opened (a file system that does not answer)",
		Saw: "clients of services that want it are refused until it can be read; others are served", Log: "/etc/hosts.deny cannot be read: no answer within 2s"})
}
