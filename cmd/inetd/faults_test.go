package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"goinetd/inetd/reliability"
)

// What cannot be run is logged, with the client, and the client is
// ended; the other services go on.
func TestCannotExec(t *testing.T) {
	t.Parallel()
	need(t, "root")
	dir := folder(t)
	text := write(t, dir+"/text", "just some words\n", 0o755)
	crlf := write(t, dir+"/crlf", "#!/bin/sh\r\necho x\r\n", 0o755)
	lost := write(t, dir+"/lost", "#! /nonexistent/perl -w\n", 0o755)
	plain := write(t, dir+"/plain", "#!/bin/sh\n", 0o644)
	cases := []struct{ program, start, fail string }{
		{dir + "/missing", `program: stat .*no such file`, `exec \S+/missing: no such file or directory`},
		{plain, `is not executable`, `exec \S+/plain: permission denied`},
		{crlf, `/crlf: its first line, "#!/bin/sh\\r", ends in CR LF; connections fail`, `exec \S+/crlf: no such file or directory \(its first line, "#!/bin/sh\\r", ends in CR LF\)`},
		{lost, `/lost: its interpreter /nonexistent/perl does not exist; connections fail`, `exec \S+/lost: no such file or directory \(its interpreter /nonexistent/perl does not exist\)`},
		{text, ``, `exec \S+/text: exec format error \(neither a program nor a script that begins with #!\)`},
	}
	good := port(t)
	conf := fmt.Sprintf("%s stream tcp nowait nobody /bin/echo echo fine\n", at(good))
	var ports []int
	for _, c := range cases {
		p := port(t)
		ports = append(ports, p)
		conf += fmt.Sprintf("%s stream tcp nowait nobody %s x\n", at(p), c.program)
	}
	d := setup{conf: conf}.start(t)
	before := d.count("fd")
	for i, c := range cases {
		d.find(c.start, 1)
		if got := request(t, ports[i], "hello"); got != "" {
			t.Errorf("%s answers %q", c.program, got)
		}
		d.find(fmt.Sprintf(`FAIL: %d %s from=127\.0\.0\.1 port=\d+\n`, ports[i], c.fail), 1)
	}
	if got := request(t, good, ""); got != "fine\n" {
		t.Errorf("the good service says %q", got)
	}
	d.idle(before)
	reliability.Survived(t, reliability.Fault{Theme: reliability.Starts, Did: "programs that are missing, not executable, text, or scripts with CR LF or without their interpreter",
		Saw: "closed at once; other services serve", Log: "FAIL: N exec /x/missing: no such file or directory from=127.0.0.1 port=N"})
}

// An unknown user or group costs that service and no other.
func TestUnknownUser(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p, q := port(t), port(t)
	d := setup{conf: fmt.Sprintf("%s stream tcp nowait nosuchuser /bin/echo echo\n%s stream tcp nowait nobody:nosuchgroup /bin/echo echo\n%s stream tcp nowait nobody /bin/echo echo fine\n",
		at(port(t)), at(p), at(q))}.start(t)
	d.find(`inetd\.conf:1: unknown user "nosuchuser" \(service \d+ skipped; add the user, or correct field 5\)`, 1)
	d.find(`inetd\.conf:2: unknown group "nosuchgroup" \(service \d+ skipped; add the group, or correct field 5\)`, 1)
	if got := request(t, q, ""); got != "fine\n" {
		t.Errorf("the good service says %q", got)
	}
	if c, err := net.Dial("tcp", at(p)); err == nil {
		c.Close()
		t.Error("a service without its group listens")
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Reloads, Did: "an unknown user, and an unknown group",
		Saw: "those two services are skipped, the third serves", Lost: "nothing else", Log: "inetd.conf:1: unknown user \"nosuchuser\" (service N skipped; add the user, or correct field 5)"})
}

// A port that is taken is named with who has it, and had when it is free.
func TestPortTaken(t *testing.T) {
	// Serial: a child of another test would have its sockets, too, until it execs.
	need(t, "root")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t)
	x, err := net.Listen("unix", dir+"/x")
	if err != nil {
		t.Fatal(err)
	}
	p, q := l.Addr().(*net.TCPAddr).Port, u.LocalAddr().(*net.UDPAddr).Port
	d := setup{conf: fmt.Sprintf("%s stream tcp nowait nobody /bin/echo echo mine\n%s dgram udp wait root internal echo\n%s/x stream unix nowait nobody /bin/echo echo\n", at(p), at(q), dir)}.start(t)
	me := fmt.Sprintf(`address already in use by pid %d \(inetd\.test, user root`, os.Getpid())
	d.find(fmt.Sprintf(`bind tcp 127\.0\.0\.1:%d: `, p)+me, 1)
	d.find(fmt.Sprintf(`bind udp 127\.0\.0\.1:%d: `, q)+me, 1)
	d.find(`bind unix `+dir+`/x: `+me, 1)
	l.Close()
	u.Close()
	x.Close()
	d.find(`now listening on `, 3)
	if got := request(t, p, ""); got != "mine\n" {
		t.Errorf("port %d says %q", p, got)
	}
	if n := strings.Count(d.text(), "already in use"); n != 3 {
		t.Errorf("told %d times of three places that are taken:\n%s", n, d.text())
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Reloads, Did: "ports and a path that others have",
		Saw: "served when they are free, within a second", Log: "bind tcp 127.0.0.1:N: address already in use by pid N (...); N is retried until it can listen"})
}

// An address that comes up later is had then.
func TestAddressComesUp(t *testing.T) {
	t.Parallel()
	need(t, "root", "ip", "unshare")
	d := setup{conf: "192.0.2.77:7007 stream tcp nowait root internal echo\n", before: []string{"unshare", "-n", "sh", "-c", `ip link set lo up; exec "$@"`, "sh"}}.start(t)
	d.find(`bind tcp 192\.0\.2\.77:7007: cannot assign requested address`, 1)
	inside := func(args ...string) {
		command(t, "nsenter", append([]string{"-n", "-t", strconv.Itoa(d.pid())}, args...)...)
	}
	inside("ip", "addr", "add", "192.0.2.77/32", "dev", "lo")
	d.find(`now listening on `, 1)
	reliability.Survived(t, reliability.Fault{Theme: reliability.Reloads, Did: "an address that is not up yet",
		Saw: "served once it is", Log: "bind tcp 192.0.2.77:7007: cannot assign requested address"})
}

// Out of descriptors: clients wait in the queue, the daemon does not spin,
// and goes on when there are some again.
func TestOutOfDescriptors(t *testing.T) {
	// Serial: measures CPU time.
	need(t, "root")
	p := port(t)
	d := setup{conf: fmt.Sprintf("%s stream tcp nowait root internal echo\n", at(p)), before: []string{"sh", "-c", `ulimit -n 40; exec "$@"`, "sh"}}.start(t)
	var conns []*net.TCPConn
	for range 60 {
		conns = append(conns, dial(t, p))
	}
	d.find(`accept: too many open files; clients wait`, 1)
	used := d.cpu()
	time.Sleep(2 * time.Second) // the time that is measured, not an event that is waited for
	if ms := d.cpu() - used; ms > 200 {
		t.Errorf("%d ms of CPU in two seconds of waiting for descriptors", ms)
	}
	for i, c := range conns { // each that ends makes room for one that waits
		fmt.Fprintf(c, "%d", i)
		c.CloseWrite()
		if got := readAll(t, c); got != strconv.Itoa(i) {
			t.Fatalf("connection %d got %q", i, got)
		}
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Shortages, Did: "60 clients with 40 descriptors",
		Saw: "60 of 60 served, in turn", Lost: "nothing; at most 200 ms of CPU in 2 s of waiting", Log: "accept: too many open files; clients wait, retrying every second"})
}

// The programs that run need no descriptors of ours, and those that end are
// seen without them.
func TestOutOfDescriptorsForPrograms(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p := port(t)
	d := setup{conf: fmt.Sprintf("%s stream tcp nowait nobody /bin/cat cat\n", at(p)), flags: []string{"-l"}, before: []string{"sh", "-c", `ulimit -n 30; exec "$@"`, "sh"}}.start(t)
	var conns []*net.TCPConn
	for range 40 {
		conns = append(conns, dial(t, p))
	}
	d.find("START", len(conns))
	for i, c := range conns {
		fmt.Fprintf(c, "%d", i)
		c.CloseWrite()
		if got := readAll(t, c); got != strconv.Itoa(i) {
			t.Fatalf("connection %d got %q\n%s", i, got, tail(d.text()))
		}
	}
	d.find("EXIT", len(conns))
	reliability.Survived(t, reliability.Fault{Theme: reliability.Shortages, Did: "40 clients of programs with 30 descriptors",
		Saw: "40 of 40 served, at the same time"})
}

// cpu returns the time that the daemon has used, in milliseconds.
func (d *daemonProcess) cpu() int {
	d.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.pid()))
	if err != nil {
		d.t.Fatal(err)
	}
	_, remainder, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(remainder)
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return (user + system) * 10 // USER_HZ is 100
}

// A fork that is refused for want of processes is tried again while the
// client waits.
func TestForkRefused(t *testing.T) {
	t.Parallel()
	need(t, "root", "cc")
	p := port(t)
	// RLIMIT_NPROC counts the processes of the user that the program is to
	// run as: exec says so. One process of a user that nothing else has.
	d := setup{conf: fmt.Sprintf("%s stream tcp nowait %s /bin/cat cat\n", at(p), lonely(t)), flags: []string{"-l"},
		before: []string{"prlimit", "--nproc=0"}}.start(t)
	first := dial(t, p)
	d.find(`START: `, 1)
	second := dial(t, p)
	io.WriteString(second, "patience")
	second.CloseWrite()
	d.find(`exec /bin/cat: resource temporarily unavailable \(RLIMIT_NPROC.*\); the client waits`, 1)
	first.CloseWrite()
	readAll(t, first)
	if got := readAll(t, second); got != "patience" {
		t.Errorf("the client that waited got %q\n%s", got, d.text())
	}
	third := dial(t, p)
	io.WriteString(third, "x")
	if _, err := io.ReadFull(third, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, dial(t, p)); got != "" { // given up after ten tries
		t.Errorf("got %q", got)
	}
	d.find(`FAIL: \d+ exec /bin/cat: resource temporarily unavailable .* from=127\.0\.0\.1 port=\d+`, 1)
	reliability.Survived(t, reliability.Fault{Theme: reliability.Shortages, Did: "RLIMIT_NPROC of the service's user",
		Saw: "waits up to 5 s, then served, or refused", Log: "exec /bin/cat: resource temporarily unavailable (RLIMIT_NPROC ...); the client waits, retrying every 500ms"})
}

// A daemon whose user may have no more processes keeps its clients and
// itself: Go ends a program that is refused a thread.
func TestNoMoreProcesses(t *testing.T) {
	t.Parallel()
	need(t, "root", "setpriv", "prlimit")
	p, user := port(t), lonely(t)
	d := setup{conf: fmt.Sprintf("%s stream tcp nowait nobody /bin/cat cat\n", at(p)), flags: []string{"-l"},
		before: []string{"setpriv", "--reuid=" + user, "--regid=" + user, "--clear-groups"}}.start(t)
	limit := func(n string) { // as the same user, who needs no privilege for it
		command(t, "setpriv", "--reuid="+user, "--regid="+user, "--clear-groups", "prlimit", "--pid", strconv.Itoa(d.pid()), "--nproc="+n+":")
	}
	limit("1")
	var waiting []*net.TCPConn
	for i := range 3 {
		c := dial(t, p)
		io.WriteString(c, strconv.Itoa(i))
		c.CloseWrite()
		waiting = append(waiting, c)
	}
	d.find(`(fork|exec /bin/cat): resource temporarily unavailable \(RLIMIT_NPROC.*\); the client waits`, 1)
	d.signal(syscall.SIGHUP)
	d.await("RELOADING=1")
	d.await("READY=1")
	limit("1000")
	for i, c := range waiting {
		if got := readAll(t, c); got != strconv.Itoa(i) {
			t.Errorf("client %d got %q", i, got)
		}
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Shortages, Did: "RLIMIT_NPROC of the daemon itself: neither processes nor threads; a reload meanwhile",
		Saw: "3 of 3 that came are served when the limit is lifted", Lost: "nothing: the Go runtime needs no thread that it does not have", Log: "fork: resource temporarily unavailable ...; the client waits, retrying every 500ms"})
}

// Clients that reset before they are accepted, and programs that are killed.
func TestResetAndKill(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p := port(t)
	d := setup{conf: fmt.Sprintf("%s stream tcp nowait nobody /bin/sh sh -c \"cat; exit 7\"\n", at(p)), flags: []string{"-l", "-R", "0"}}.start(t)
	before := d.count("fd")
	for range 50 {
		c := dial(t, p)
		c.SetLinger(0)
		c.Close()
	}
	if got := request(t, p, "still here"); got != "still here" {
		t.Errorf("got %q", got)
	}
	d.find(`EXIT: \d+ status=7 pid=\d+ duration=\d\(sec\)`, 1)
	c := dial(t, p)
	io.WriteString(c, "x")
	io.ReadFull(c, make([]byte, 1))
	starts := d.find(fmt.Sprintf(`START: \d+ pid=(\d+) from=127\.0\.0\.1 port=%d\n`, c.LocalAddr().(*net.TCPAddr).Port), 1)
	pid, _ := strconv.Atoi(starts[0][1])
	syscall.Kill(pid, syscall.SIGKILL)
	d.find(fmt.Sprintf(`EXIT: \d+ signal=9 pid=%d duration=\d\(sec\)`, pid), 1)
	d.idle(before)
	reliability.Survived(t, reliability.Fault{Theme: reliability.Clients, Did: "50 clients that reset before they are accepted; a program that is killed",
		Saw: "the next one is served", Lost: "nothing: no descriptor, no child", Log: "EXIT: N signal=9 pid=N duration=N(sec)"})
}

// A service that is started too often is closed, and comes back by itself;
// the others are not touched.
func TestLooping(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p, q := port(t), port(t)
	d := setup{program: built.impatient, conf: fmt.Sprintf("%s stream tcp nowait nobody /bin/true true\n%s stream tcp nowait.0 nobody /bin/echo echo fine\n", at(p), at(q))}.start(t)
	refused := 0
	for range 300 {
		c, err := net.Dial("tcp", at(p))
		if err != nil {
			refused++
			continue
		}
		io.Copy(io.Discard, c)
		c.Close()
	}
	d.find(`\d+ server failing \(looping\), service terminated: 256 starts within a minute; resuming at [0-9:]+ \(the limit is nowait\.256 or -R 256; 0 is none\)`, 1)
	if refused < 300-256-1 {
		t.Errorf("%d of 300 refused", refused)
	}
	if got := request(t, q, ""); got != "fine\n" {
		t.Errorf("the other service says %q", got)
	}
	d.find(`resumed after looping`, 1)
	began := time.Now()
	for {
		c, err := net.Dial("tcp", at(p))
		if err == nil {
			c.Close()
			break
		}
		if time.Since(began) > patience {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Starts, Did: "a service started 256 times in a minute",
		Saw: "refused until it is resumed; others served", Log: "server failing (looping), service terminated: 256 starts within a minute; resuming at TIME"})
}

// A wait program that ends without reading its datagram is started again,
// but not for ever.
func TestDatagramLoop(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p := port(t)
	d := setup{conf: fmt.Sprintf("%s dgram udp wait.20 nobody /bin/true true\n", at(p)), flags: []string{"-l"}}.start(t)
	fmt.Fprint(udp(t, p), "x")
	d.find(`server failing \(looping\), service terminated: 20 starts`, 1)
	d.find(`EXIT: `, 20)
	if n := strings.Count(d.text(), "START: "); n != 20 {
		t.Errorf("%d starts", n)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Starts, Did: "a wait program that ends and never reads its datagram",
		Saw: "its service is suspended after 20 starts", Log: "server failing (looping), service terminated: 20 starts within a minute"})
}

// What a wait program was to be started for stays queued while it cannot be
// run, and is served once it can.
func TestDatagramRetainedWhileBroken(t *testing.T) {
	t.Parallel()
	need(t, "root", "cc")
	one := filepath.Join(folder(t), "one")
	p := port(t)
	d := setup{conf: fmt.Sprintf("%s dgram udp wait nobody %s one\n", at(p), one)}.start(t)
	c := udp(t, p)
	fmt.Fprint(c, "hello")
	d.find(`FAIL: \d+ exec \S+one: no such file or directory from=127\.0\.0\.1 port=\d+`, 1)
	if err := compile("testdata/one.c", one+".new"); err != nil {
		t.Fatal(err)
	}
	os.Rename(one+".new", one)
	buf := make([]byte, 10)
	if n, err := c.Read(buf); err != nil || string(buf[:n]) != "hello" {
		t.Errorf("answer %q, %v", buf[:n], err)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Starts, Did: "a datagram for a wait program that does not exist yet",
		Saw: "answered once the program exists", Log: "FAIL: N exec /x/one: no such file or directory from=127.0.0.1 port=N"})
}

// The limits of FreeBSD's wait/nowait field.
func TestLimits(t *testing.T) {
	t.Parallel()
	need(t, "root")
	queue, share, rate := port(t), port(t), port(t)
	d := setup{conf: fmt.Sprintf("%s stream tcp nowait/2 nobody /bin/cat cat\n%s stream tcp nowait/0/0/2 nobody /bin/cat cat\n%s stream tcp nowait/0/3 nobody /bin/cat cat\n",
		at(queue), at(share), at(rate)), flags: []string{"-l"}}.start(t)
	echo := func(c *net.TCPConn) error {
		io.WriteString(c, "x")
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	}
	a, b, c := dial(t, queue), dial(t, queue), dial(t, queue)
	for _, served := range []*net.TCPConn{a, b} {
		if err := echo(served); err != nil {
			t.Fatal(err)
		}
	}
	io.WriteString(c, "queued")
	c.CloseWrite()
	full := regexp.MustCompile(`STATE: \d+ tcp 127\.0\.0\.1:\d+ \(full\) user=nobody server="/bin/cat" running=2 .*instances=2`)
	until(t, func() bool { // a worker has seen the third client
		d.signal(syscall.SIGUSR1)
		return full.MatchString(d.text())
	})
	a.Close()
	if got := readAll(t, c); got != "queued" {
		t.Errorf("the third client got %q", got)
	}

	for range 2 {
		if err := echo(dial(t, share)); err != nil {
			t.Fatal(err)
		}
	}
	if got := readAll(t, dial(t, share)); got != "" {
		t.Errorf("got %q", got)
	}
	d.find(fmt.Sprintf(`FAIL: %d per_source_limit from=127\.0\.0\.1 port=\d+`, share), 1)
	other := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	if conn, err := other.Dial("tcp", at(share)); err != nil || echo(conn.(*net.TCPConn)) != nil {
		t.Errorf("another client is not served: %v", err)
	}

	for range 3 {
		request(t, rate, "x")
	}
	if got := readAll(t, dial(t, rate)); got != "" {
		t.Errorf("got %q", got)
	}
	d.find(fmt.Sprintf(`FAIL: %d per_source_rate from=127\.0\.0\.1 port=\d+`, rate), 1)
}

// When nothing can be served, inetd prints every problem and ends.
func TestNothingToServe(t *testing.T) {
	t.Parallel()
	need(t, "root")
	dir := folder(t)
	conf := write(t, dir+"/inetd.conf", "nosuchservice stream tcp nowait root /bin/echo echo\necho stream tcp nowait nosuchuser /bin/echo echo\n", 0o644)
	for _, flags := range [][]string{{"-i"}, {"-p", dir + "/pid"}} {
		cmd := exec.Command(built.inetd, append(flags, conf)...)
		out, err := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != 1 {
			t.Errorf("%v: status %d, %v", flags, code, err)
		}
		for _, want := range []string{`inetd.conf:1: unknown service "nosuchservice" over tcp`, `inetd.conf:2: unknown user "nosuchuser"`, "nothing to serve"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("%v: no %q in:\n%s", flags, want, out)
			}
		}
	}
	if _, err := os.Stat(dir + "/pid"); err == nil {
		t.Error("the pidfile was left behind")
	}
}
