package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"goinetd/inetd/reliability"
)

// entry is a service of xinetd.conf that answers with date(1), unless the
// settings say otherwise.
func entry(port int, settings ...string) string {
	text := fmt.Sprintf("service s%d\n{\n type = UNLISTED\n port = %d\n bind = 127.0.0.1\n", port, port)
	has := func(name string) bool {
		return slices.ContainsFunc(settings, func(s string) bool { return strings.HasPrefix(s, name+" ") })
	}
	for _, usual := range []string{"socket_type = stream", "wait = no", "user = nobody", "server = /bin/date", "log_on_success = PID HOST EXIT DURATION"} {
		if name, _, _ := strings.Cut(usual, " "); !has(name) && !(name == "server" && has("redirect")) {
			text += " " + usual + "\n"
		}
	}
	return text + " " + strings.Join(settings, "\n ") + "\n}\n"
}

// wantsLimits ends a test of what the portable way of starting programs does
// not have, and refuses.
func wantsLimits(t *testing.T) {
	if portable {
		t.Skip("the portable way has no limits")
	}
}

// The child's limits, seen from inside.
func TestXinetdAttributes(t *testing.T) {
	t.Parallel()
	need(t, "root", "cc")
	wantsLimits(t)
	if err := attrsProgram(); err != nil {
		t.Fatal(err)
	}
	root := folder(t)
	command(t, "cp", built.attrs, root+"/world")
	os.Mkdir(root+"/inner", 0o755)
	jail := folder(t)
	command(t, "cp", built.attrs, jail+"/world")
	os.Mkdir(jail+"/proc", 0o755)
	p, q, r := port(t), port(t), port(t)
	limits := []string{"rlimit_as = 256M", "rlimit_core = 0", "rlimit_cpu = 20", "rlimit_data = 128M", "rlimit_fsize = 3k", "rlimit_memlock = 64k",
		"rlimit_nproc = 4000", "rlimit_rss = 1M", "rlimit_stack = 1024k", "rlimit_files = 33"}
	setup{conf: entry(p, append(limits, "server = "+root+"/world", "server_args = \"two words\" it's", "umask = 027", "nice = -5", "no_new_privs = yes",
		"env = A=1 B=\"x", "env += \"C=two words\"", "passenv = FOO", "chdir = "+root+"/inner", "group = games")...) +
		entry(q, "server = "+root+"/world", "user = alice", "groups = yes", "server_args = -renamed x", "flags = NAMEINARGS", "passenv =") +
		entry(r, "server = /world", "chroot = "+jail, "user = alice", "group = games"),
		before: alice(t), env: []string{"FOO=bar", "OTHER=1", "HOME=/here"}}.start(t)

	got := facts(request(t, p, ""))
	want := map[string][]string{
		"argv": {"world", "two words", "it's"}, "umask": {"027"}, "nice": {fmt.Sprint(niceness(t, -5))}, "no_new_privs": {"1"}, "cwd": {root + "/inner"},
		"uid": {"65534 65534 65534"}, "gid": {"60 60 60"}, "groups": nil, "nofile": {"33 33"},
		"rlimit": {"as 268435456 268435456", "core 0 0", "cpu 20 20", "data 134217728 134217728", "fsize 3072 3072", "memlock 65536 65536",
			"nproc 4000 4000", "rss 1048576 1048576", "stack 1048576 1048576"},
	}
	delete(got, "") // "groups" alone has nothing behind it
	for what, list := range want {
		if what == "groups" {
			list = []string{""}
		}
		if !slices.Equal(got[what], list) {
			t.Errorf("%s: got %q, want %q", what, got[what], list)
		}
	}
	for _, v := range []string{"FOO=bar", "A=1", "B=\"x", "C=two words", "REMOTE_HOST=127.0.0.1"} {
		if !slices.Contains(got["env"], v) {
			t.Errorf("no %s in %q", v, got["env"])
		}
	}
	for _, v := range got["env"] {
		if strings.HasPrefix(v, "OTHER=") || strings.HasPrefix(v, "HOME=") {
			t.Errorf("%s was not to be passed on", v)
		}
	}
	got = facts(request(t, q, ""))
	if groups := strings.Fields(got["groups"][0]); len(groups) != 3 || !slices.Equal(got["argv"], []string{"-renamed", "x"}) {
		t.Errorf("groups %q, argv %q", groups, got["argv"])
	}
	for _, v := range got["env"] {
		if strings.HasPrefix(v, "FOO=") {
			t.Error("passenv = passes FOO on")
		}
	}
	if out := request(t, r, ""); !strings.Contains(out, "uid 4711") || !strings.Contains(out, "gid 60") {
		t.Errorf("in the chroot: %s", out)
	}
}

// Each way to be refused, its line in the log, and that no process is made
// for it.
func TestRefusals(t *testing.T) {
	// Serial: counts threads, and a busy host makes more of them.
	need(t, "root")
	ports := map[string]int{}
	conf := ""
	add := func(name string, settings ...string) {
		ports[name] = port(t)
		conf += entry(ports[name], settings...)
	}
	add("no_access", "no_access = 10.0.0.0 127.0.0.0/8")
	add("only_from", "only_from = 192.0.2.0/24")
	add("both", "only_from = 127.0.0.1", "no_access = 127.0.0.0")
	add("empty", "only_from =")
	add("time", "access_times = "+elsewhen())
	add("instances", "instances = 1", "server = /bin/cat")
	add("none", "instances = 0")
	add("per_source", "per_source = 1", "server = /bin/cat")
	add("load", "max_load = 0.0000001")
	add("fine", "only_from = 127.0.0.1", "no_access = 192.0.2.0", "access_times = 0:00-23:59", "max_load = 100000")
	d := setup{conf: conf}.start(t)

	if got := request(t, ports["fine"], ""); len(got) < 10 {
		t.Errorf("refused: %q\n%s", got, d.text())
	}
	d.find(fmt.Sprintf(`EXIT: s%d `, ports["fine"]), 1)
	children := d.count("task")
	for _, name := range []string{"instances", "per_source"} {
		c := dial(t, ports[name])
		io.WriteString(c, "x")
		io.ReadFull(c, make([]byte, 1)) // it runs
	}
	for name, reason := range map[string]string{
		"no_access":  `\(no_access=127.0.0.0/8,inetd.conf:\d+\) address from=127.0.0.1$`,
		"only_from":  `\(only_from,inetd.conf:\d+\) address from=127.0.0.1$`,
		"both":       `\(no_access=127.0.0.0,inetd.conf:\d+\) address from=127.0.0.1$`,
		"empty":      `\(only_from,inetd.conf:\d+\) address from=127.0.0.1$`,
		"time":       ` time from=127.0.0.1$`,
		"instances":  ` service_limit from=127.0.0.1$`,
		"none":       ` service_limit from=127.0.0.1$`,
		"per_source": ` per_source_limit from=127.0.0.1$`,
		"load":       ` load from=127.0.0.1$`,
	} {
		if got := request(t, ports[name], ""); got != "" {
			t.Errorf("%s: %q", name, got)
		}
		d.find(fmt.Sprintf(`(?m)FAIL: s%d%s`, ports[name], reason), 1)
	}
	if n := strings.Count(d.text(), "START: "); n != 3 {
		t.Errorf("%d programs started for 3 clients that may come in", n)
	}
	if now := d.count("task"); now > children+2 {
		t.Errorf("%d threads, %d before", now, children)
	}
}

// elsewhen returns access times that do not hold now, nor soon.
func elsewhen() string {
	hour := (time.Now().Hour() + 6) % 24
	return fmt.Sprintf("%d:00-%d:30", hour, hour)
}

// Access times go over midnight.
func TestNight(t *testing.T) {
	t.Parallel()
	need(t, "root")
	now := time.Now()
	in, out := port(t), port(t)
	before, after := now.Add(-2*time.Hour), now.Add(2*time.Hour)
	if before.Hour() < after.Hour() { // make it go around
		after = now.Add(-3 * time.Hour)
	}
	d := setup{conf: entry(in, fmt.Sprintf("access_times = %d:%02d-%d:%02d", before.Hour(), before.Minute(), after.Hour(), after.Minute())) +
		entry(out, "access_times = "+elsewhen())}.start(t)
	if request(t, in, "") == "" || request(t, out, "") != "" {
		t.Errorf("%s", d.text())
	}
}

// cps closes a service for everybody and opens it again; cps_per_source keeps
// out the one who comes too often.
func TestCPS(t *testing.T) {
	// Serial: has to make four connections within a second.
	need(t, "root")
	p, q := port(t), port(t)
	d := setup{conf: entry(p, "cps = 3 1") + entry(q, "cps_per_source = 3 60", "cps = 0 0")}.start(t)
	for range 3 {
		request(t, p, "")
	}
	c := dial(t, p)
	io.Copy(io.Discard, c)
	d.find(fmt.Sprintf(`FAIL: s%d connections per second from=127.0.0.1\n`, p), 1)
	d.find(fmt.Sprintf(`Deactivating service s%d due to excessive incoming connections.  Restarting in 1 seconds.`, p), 1)
	if c, err := net.Dial("tcp", at(p)); err == nil {
		c.Close()
		t.Error("the service listens although it is deactivated")
	}
	d.find(fmt.Sprintf(`Activating service s%d\n`, p), 1)
	if got := request(t, p, ""); got == "" {
		t.Error("it is not back")
	}
	visit := func(from string) int {
		n, _ := io.Copy(io.Discard, from2(t, from, q))
		return int(n)
	}
	served := 0
	for range 6 {
		if visit("127.0.0.1") > 0 {
			served++
		}
	}
	if served != 3 || visit("127.0.0.2") == 0 {
		t.Errorf("%d of 6 served, or another client is kept out:\n%s", served, d.text())
	}
	d.find(fmt.Sprintf(`FAIL: s%d per_source_cps from=127.0.0.1\n`, q), 1)
	if n := strings.Count(d.text(), "per_source_cps"); n != 1 {
		t.Errorf("%d lines for one pause", n)
	}
}

// from2 connects from an address of loopback.
func from2(t *testing.T, from string, port int) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}).Dial("tcp", at(port))
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c
}

// Banners come before everything, for those who may come in, for those who
// may not; a client that does not read delays nobody.
func TestBanners(t *testing.T) {
	t.Parallel()
	need(t, "root")
	dir := folder(t)
	write(t, dir+"/all", "all\n", 0o644)
	write(t, dir+"/in", "in\n", 0o644)
	write(t, dir+"/out", "out\n", 0o644)
	write(t, dir+"/big", strings.Repeat("x", 1<<16), 0o644)
	p, q, r, s := port(t), port(t), port(t), port(t)
	banners := []string{"banner = " + dir + "/all", "banner_success = " + dir + "/in", "banner_fail = " + dir + "/out"}
	d := setup{conf: entry(p, append(banners, "server = /bin/echo", "server_args = hello")...) +
		entry(q, append(banners, "no_access = 127.0.0.1")...) +
		entry(r, "banner = "+dir+"/big", "sndbuf = 4096", "server = /bin/echo", "server_args = hello") +
		entry(s, "banner = "+dir+"/missing", "server = /bin/echo", "server_args = hello")}.start(t)
	if got := request(t, p, ""); got != "all\nin\nhello\n" {
		t.Errorf("%q", got)
	}
	c := dial(t, q)
	io.WriteString(c, "data that nobody reads must not make a reset of the banner")
	if got, err := io.ReadAll(c); string(got) != "all\nout\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	var idle []*net.TCPConn
	for range 20 {
		c := dial(t, r)
		c.SetReadBuffer(1024)
		idle = append(idle, c)
	}
	for range 5 {
		if got := request(t, p, ""); got != "all\nin\nhello\n" {
			t.Errorf("%q while others do not read", got)
		}
	}
	if got := readAll(t, idle[7]); got != strings.Repeat("x", 1<<16)+"hello\n" {
		t.Errorf("%d bytes of a banner and more", len(got))
	}
	if got := request(t, s, ""); got != "hello\n" {
		t.Errorf("%q without the file of the banner", got)
	}
	d.find("banner .*missing: no such file", 1)
}

// Who comes to a sensor is kept out of every service.
func TestSensor(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p, q := port(t), port(t)
	d := setup{conf: strings.Replace(entry(p, "flags = SENSOR", "deny_time = 60"), "type = UNLISTED", "type = INTERNAL UNLISTED", 1) + entry(q)}.start(t)
	if request(t, q, "") == "" {
		t.Fatal("refused before")
	}
	io.Copy(io.Discard, from2(t, "127.0.0.3", p))
	d.find(fmt.Sprintf(`(?m)FAIL: s%d\(sensor=s%d\) address from=127.0.0.3$`, p, p), 1)
	if n, _ := io.Copy(io.Discard, from2(t, "127.0.0.3", q)); n != 0 {
		t.Error("served after it came to a sensor")
	}
	d.find(fmt.Sprintf(`(?m)FAIL: s%d\(sensor\) address from=127.0.0.3$`, q), 1)
	if request(t, q, "") == "" {
		t.Error("others are kept out, too")
	}
	d.reload(entry(q))
	if n, _ := io.Copy(io.Discard, from2(t, "127.0.0.3", q)); n != 0 {
		t.Error("a reload forgets the sensor's list")
	}
}

// Logs of services in files: their form, limits, and what a rotation does.
func TestLogFiles(t *testing.T) {
	t.Parallel()
	need(t, "root")
	dir := folder(t)
	p, q := port(t), port(t)
	conf := entry(p, "log_type = FILE "+dir+"/log 300 600", "server = /bin/true") + entry(q, "log_type = FILE "+dir+"/plain")
	d := setup{conf: conf}.start(t)
	request(t, q, "")
	line := regexp.MustCompile(`^\d\d/\d{1,2}/\d{1,2}@\d\d:\d\d:\d\d: START: s\d+ pid=\d+ from=127.0.0.1\n\S+: EXIT: s\d+ status=0 pid=\d+ duration=0\(sec\)\n$`)
	until(t, func() bool {
		text, _ := os.ReadFile(dir + "/plain")
		return line.Match(text)
	})
	for range 12 {
		request(t, p, "")
	}
	d.find(`/log is larger than its soft limit, 300 bytes`, 1)
	d.find(`/log has reached its hard limit, 600 bytes`, 1)
	if info, err := os.Stat(dir + "/log"); err != nil || info.Size() > 600 || info.Size() < 300 {
		t.Errorf("%v, %v", info, err)
	}
	os.Rename(dir+"/log", dir+"/log.1")
	d.reload(conf)
	request(t, p, "")
	until(t, func() bool {
		text, _ := os.ReadFile(dir + "/log")
		return strings.Contains(string(text), "EXIT: ")
	})
}

// A refused datagram is thrown away: it starts nothing, and does not come
// again for ever.
func TestDatagramsRefused(t *testing.T) {
	t.Parallel()
	need(t, "root")
	dir := folder(t)
	p, q := port(t), port(t)
	count := script(t, "echo x >> "+dir+"/starts\nexec dd bs=2000 count=1 status=none of=/dev/null")
	d := setup{conf: entry(p, "socket_type = dgram", "wait = yes", "user = root", "server = "+count, "no_access = 127.0.0.5") +
		strings.Replace(entry(q, "socket_type = dgram", "builtin = echo", "no_access = 127.0.0.5"), " server = /bin/date\n", "", 1)}.start(t)
	send := func(from string, port int, text string) *net.UDPConn {
		c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.Write([]byte(text))
		return c
	}
	for range 3 {
		send("127.0.0.5", p, "no")
	}
	send("127.0.0.6", p, "yes")
	d.find(fmt.Sprintf(`EXIT: s%d `, p), 1)
	if text, _ := os.ReadFile(dir + "/starts"); string(text) != "x\n" {
		t.Errorf("%d starts for one datagram that may come in", strings.Count(string(text), "x"))
	}
	d.find(fmt.Sprintf(`(?m)FAIL: s%d\(no_access=127.0.0.5,inetd.conf:\d+\) address from=127.0.0.5$`, p), 1)
	send("127.0.0.5", q, "no")
	c := send("127.0.0.6", q, "yes")
	c.SetDeadline(time.Now().Add(patience))
	buf := make([]byte, 10)
	if n, err := c.Read(buf); err != nil || string(buf[:n]) != "yes" {
		t.Errorf("%q, %v", buf[:n], err)
	}
	d.find(fmt.Sprintf(`FAIL: s%d\(no_access=`, q), 1)
}

// A program that leaves its datagrams unread is started again for them, but
// not for ever: cps closes the service for a while.
func TestUnreadDatagrams(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p := port(t)
	d := setup{conf: entry(p, "socket_type = dgram", "wait = yes", "server = /bin/true", "cps = 5 1")}.start(t)
	udp(t, p).Write([]byte("x"))
	d.find("Deactivating service", 1)
	d.find("Activating service", 1)
	if n := strings.Count(d.text(), "START: "); n != 5 {
		t.Errorf("%d starts", n)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Starts, Did: "a program that leaves its datagrams unread",
		Saw: "suspended by cps, and resumed", Log: "Deactivating service N due to excessive incoming connections.  Restarting in N seconds."})
}

// Services behind tcpmux have terms of their own.
func TestXinetdMux(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p := port(t)
	mux := func(name, kind, settings string) string {
		return fmt.Sprintf("service %s\n{\n type = %s UNLISTED\n protocol = tcp\n socket_type = stream\n wait = no\n user = nobody\n server = /bin/echo\n server_args = hello\n log_on_success = HOST\n%s}\n", name, kind, settings)
	}
	d := setup{conf: fmt.Sprintf("service tcpmux\n{\n type = INTERNAL UNLISTED\n id = mux\n port = %d\n bind = 127.0.0.1\n socket_type = stream\n wait = no\n}\n", p) +
		mux("plain", "TCPMUX", "") + mux("plus", "TCPMUXPLUS", "") + mux("kept", "TCPMUXPLUS", " no_access = 127.0.0.1\n")}.start(t)
	for name, want := range map[string]string{"plain": "hello\n", "PLUS": "+Go\r\nhello\n", "kept": "-Service not available\r\n", "other": "-Service not available\r\n"} {
		if got := request(t, p, name+"\r\n"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	d.find(`START: plus from=127.0.0.1\n`, 1)
	d.find(`(?m)FAIL: kept\(no_access=127.0.0.1,inetd.conf:\d+\) address from=127.0.0.1$`, 1)
}

// The examples run as they stand, without root.
func TestExamples(t *testing.T) {
	t.Parallel()
	wantsLimits(t)
	if !inside(t) {
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	for _, file := range []string{"demo.toml", "demo-xinetd.conf"} {
		text, err := os.ReadFile("../../examples/" + file)
		if err != nil {
			t.Fatal(err)
		}
		d := setup{conf: string(text), attr: &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 4242, Gid: 4242}}}.start(t)
		if got := request(t, 7007, "hello\n"); got != "hello\n" {
			t.Errorf("%s: echo %q", file, got)
		}
		for _, port := range []int{7008, 7009} {
			if got := request(t, port, "who\n"); got != "hello 127.0.0.1\nWHO\n" {
				t.Errorf("%s: %d says %q", file, port, got)
			}
		}
		if text := d.text(); strings.Contains(text, "skipped") {
			t.Errorf("%s:\n%s", file, text)
		}
		d.stop()
	}
}

// A session ends when it lasts too long, or when nothing happens.
func TestTimeouts(t *testing.T) {
	// Serial: has to write something every two seconds.
	need(t, "root")
	idle, session, echo, relayed, busy := port(t), port(t), port(t), port(t), port(t)
	d := setup{conf: entry(idle, "server = /bin/cat", "idle_timeout = 1s") + entry(session, "server = /bin/cat", "session_timeout = 1s") +
		strings.Replace(entry(echo, "builtin = echo", "idle_timeout = 1s"), " server = /bin/date\n", "", 1) +
		entry(relayed, fmt.Sprintf("redirect = 127.0.0.1 %d", busy), "idle_timeout = 1s") +
		entry(busy, "server = /bin/cat", "idle_timeout = 2s")}.start(t)
	retained := dial(t, busy)
	for _, p := range []int{idle, session, echo, relayed} {
		c := dial(t, p)
		io.WriteString(c, "hello\n")
		began := time.Now()
		for quiet := false; !quiet; { // what happens keeps the other one alive
			io.WriteString(retained, "x")
			c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			_, err := io.Copy(io.Discard, c)
			quiet = err == nil || !os.IsTimeout(err)
			if time.Since(began) > patience {
				t.Fatalf("port %d: nobody ends it\n%s", p, d.text())
			}
		}
		if took := time.Since(began); took < 800*time.Millisecond {
			t.Errorf("port %d: ended after %v", p, took)
		}
	}
	io.WriteString(retained, "still there")
	retained.CloseWrite()
	if got := readAll(t, retained); !strings.HasSuffix(got, "still there") {
		t.Errorf("what was busy was ended: %q", got)
	}
	d.find(fmt.Sprintf(`s%d: pid \d+ terminated: idle_timeout of 1s exceeded`, idle), 1)
	d.find(fmt.Sprintf(`EXIT: s%d signal=15 `, session), 1)
}

// A service whose file is broken by an edit goes on under its old
// definition, and so do the others; nothing of what it was is lost.
func TestXinetdBrokenReload(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p, q := port(t), port(t)
	dir := folder(t)
	top := "defaults\n{\n log_on_success = HOST\n}\nincludedir " + dir + "\n"
	write(t, dir+"/one", entry(p, "server = /bin/cat"), 0o644)
	write(t, dir+"/two", entry(q), 0o644)
	d := setup{conf: top}.start(t)
	c := dial(t, p)
	io.WriteString(c, "x")
	io.ReadFull(c, make([]byte, 1))
	write(t, dir+"/one", entry(p, "server = /bin/cat", "only_frm = 127.0.0.1"), 0o644)
	os.Remove(dir + "/two")
	d.reload(top)
	d.find(`unknown setting "only_frm" \(service s\d+ skipped; write only_from, if that is meant\)`, 1)
	if request(t, p, "y") != "y" || request(t, q, "") == "" {
		t.Errorf("a service is gone:\n%s", d.text())
	}
	d.reload("defaults\n{\n only_from = 300.1.2.3\n}\nincludedir " + dir + "\n")
	if got := request(t, p, "y"); got != "y" {
		t.Errorf("bad defaults: %q", got)
	}
	write(t, dir+"/one", entry(p, "server = /bin/cat"), 0o644)
	d.reload(top)
	if _, err := net.Dial("tcp", at(q)); err == nil {
		t.Error("a service that is not there any more is served")
	}
	io.WriteString(c, "z")
	c.CloseWrite()
	if got := readAll(t, c); got != "z" {
		t.Errorf("a session from before: %q", got)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Reloads, Did: "a file of xinetd.d that an edit has broken",
		Saw: "served as before", Lost: "nothing: no limit, no list", Log: "N: invalid or missing in the configuration; keeps its previous settings until the errors are fixed"})
}

// By the name xinetd it takes xinetd's options.
func TestXinetdOptions(t *testing.T) {
	t.Parallel()
	need(t, "root")
	dir := folder(t)
	os.Symlink(built.inetd, dir+"/xinetd")
	p := port(t)
	conf := write(t, dir+"/conf", entry(p, "server = /bin/cat"), 0o644)
	out, err := output(dir+"/xinetd", "-f", conf, "-pidfile", dir+"/pid", "-filelog", dir+"/log", "-limit", "1", "-inetd_ipv6", "-nonsense")
	if err != nil {
		t.Fatal(out, err)
	}
	var pid int
	text, _ := os.ReadFile(dir + "/pid")
	fmt.Sscan(string(text), &pid)
	defer syscall.Kill(pid, syscall.SIGTERM)
	c := dial(t, p)
	io.WriteString(c, "x")
	io.ReadFull(c, make([]byte, 1))
	if got := request(t, p, "y"); got != "" {
		t.Errorf("-limit 1 let a second one in: %q", got)
	}
	line := regexp.MustCompile(`\d\d/\d+/\d+@\d\d:\d\d:\d\d xinetd\[\d+\]: NOTICE: FAIL: s\d+ process_limit from=127.0.0.1\n`)
	until(t, func() bool {
		text, _ := os.ReadFile(dir + "/log")
		return line.Match(text)
	})
	log, _ := os.ReadFile(dir + "/log")
	if !strings.Contains(string(log), "WARNING: unknown option -nonsense has no effect") {
		t.Errorf("%s", log)
	}
	syscall.Kill(pid, syscall.SIGUSR2) // xinetd's other signal for a reload
	until(t, func() bool {
		text, _ := os.ReadFile(dir + "/log")
		return strings.Count(string(text), "configuration read") == 2
	})
	for _, wrong := range [][]string{{"word"}, {"-limit"}, {"-limit", "x"}, {"-syslog", "daemon", "-filelog", "/x"}} {
		if out, err := output(dir+"/xinetd", wrong...); err == nil || !strings.Contains(out, "usage") {
			t.Errorf("%q: %s", wrong, out)
		}
	}
	if out, err := output(dir+"/xinetd", "-version"); err != nil || !strings.Contains(out, "goinetd") {
		t.Errorf("%s %v", out, err)
	}
}

// TOML: listeners of several kinds, units, and what is not known.
func TestTOML(t *testing.T) {
	t.Parallel()
	need(t, "root")
	dir := folder(t)
	p, q := port(t), port(t)
	conf := fmt.Sprintf(`[defaults]
only_from = ["127.0.0.0/8"]

[service.echo]
type = "internal"
listen = ["tcp:127.0.0.1:%[1]d", "udp:127.0.0.1:%[1]d", "unix:%[2]s/sock"]
socket_mode = "0600"

[service.hello]
listen = "tcp:127.0.0.1:%[3]d"
user = "nobody"
server = "/bin/echo"
server_args = ["hello", "two words"]
instances = 30
session_timeout = "1h30m"
log_on_success = ["HOST", "EXIT"]

[service.typo]
listen = "tcp:127.0.0.1:1"
user = "nobody"
server = "/bin/true"
onlyfrom = ["10.0.0.0/8"]
`, p, dir, q)
	d := setup{conf: conf}.start(t)
	if got := request(t, p, "x"); got != "x" {
		t.Errorf("%q", got)
	}
	u := udp(t, p)
	u.Write([]byte("y"))
	buf := make([]byte, 8)
	if n, err := u.Read(buf); err != nil || string(buf[:n]) != "y" {
		t.Errorf("%q %v", buf[:n], err)
	}
	c, err := net.Dial("unix", filepath.Join(dir, "sock"))
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "z")
	c.(*net.UnixConn).CloseWrite()
	if got := readAll(t, c); got != "z" {
		t.Errorf("%q", got)
	}
	if info, err := os.Stat(dir + "/sock"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if got := request(t, q, ""); got != "hello two words\n" {
		t.Errorf("%q", got)
	}
	d.find(`unknown setting "onlyfrom" \(service typo skipped; write only_from, if that is meant\)`, 1)
	d.find(`EXIT: hello status=0`, 1)
}

// A client that comes when the last one has got its answer is not refused
// because the program of that has not been reaped yet.
func TestInstancesInTurn(t *testing.T) {
	t.Parallel()
	need(t, "root")
	a, b := port(t), port(t)
	d := setup{conf: entry(a, "instances = 3", "cps = 0 0", "server = /bin/echo", "server_args = x") + entry(b, "per_source = 1", "cps = 0 0", "server = /bin/echo", "server_args = x")}.start(t)
	for _, p := range []int{a, b} {
		served := 0
		for range 300 {
			c := dial(t, p)
			text, _ := io.ReadAll(c)
			if c.Close(); string(text) == "x\n" {
				served++
			}
		}
		if served != 300 {
			t.Errorf("%d of 300 served\n%s", served, tail(d.text()))
		}
	}
}
