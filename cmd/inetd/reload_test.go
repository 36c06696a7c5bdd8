package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"goinetd/inetd/reliability"
)

// 200 reloads while 5,000 connections run: none fails, and nothing is left
// over.
func TestReloadUnderLoad(t *testing.T) {
	// Serial: starts 1,000 processes.
	need(t, "root")
	const connections = 5000
	raiseFiles(t)
	p, q := port(t), port(t)
	conf := fmt.Sprintf("%s stream tcp nowait nobody /bin/cat cat\n%s stream tcp nowait root internal echo\n", at(p), at(q))
	d := setup{conf: conf, flags: []string{"-R", "0"}}.start(t)
	request(t, p, "warm")
	before := d.count("fd")

	var conns []*net.TCPConn
	for i := range connections {
		to := p // every fifth is a process of its own
		if i%5 != 0 {
			to = q
		}
		dialer := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%200))}}
		c, err := dialer.Dial("tcp", at(to))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c.(*net.TCPConn))
	}
	check := func(i int) {
		c := conns[i]
		c.SetDeadline(time.Now().Add(patience))
		line := fmt.Sprintf("line %d of %d\n", i, len(conns))
		if _, err := io.WriteString(c, line); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		buf := make([]byte, len(line))
		if _, err := io.ReadFull(c, buf); err != nil || string(buf) != line {
			t.Fatalf("connection %d: %q, %v", i, buf, err)
		}
	}
	for hup := range 200 {
		d.signal(syscall.SIGHUP)
		for i := hup * 25; i < hup*25+25; i++ {
			check(i)
		}
		if got := request(t, p, "new"); got != "new" {
			t.Fatalf("a new client during reload %d got %q", hup, got)
		}
		d.await("READY=1")
	}
	for i, c := range conns {
		check(i)
		c.CloseWrite()
		if remainder := readAll(t, c); remainder != "" {
			t.Fatalf("connection %d: %q behind the end", i, remainder)
		}
		c.Close()
	}
	d.idle(before)
	reliability.Survived(t, reliability.Fault{Theme: reliability.Reloads, Did: "200 reloads with 5,000 connections, 1,000 of them programs",
		Saw: "every line answered; a new client served during each reload", Lost: "nothing: no descriptor, no child"})
}

// idle waits until the daemon has no children and no more descriptors than
// before.
func (d *daemonProcess) idle(descriptors int) {
	d.t.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		children, _ := output("pgrep", "-P", fmt.Sprint(d.pid()))
		if n := d.count("fd"); children == "" && n <= descriptors {
			return
		} else if time.Since(began) > patience {
			open, _ := output("ls", "-l", fmt.Sprintf("/proc/%d/fd", d.pid()))
			d.t.Fatalf("%d descriptors, %d before; children:\n%s\ndescriptors:\n%s", n, descriptors, children, open)
		}
	}
}

func raiseFiles(t *testing.T) {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); l.Max < 12000 {
		t.Fatalf("the hard limit of open files is %d, and this test needs 12000", l.Max)
	}
}

// A client that connected before a reload and was not accepted yet is served
// after it; so are changed programs, users and limits.
func TestReloadKeepsQueue(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p := port(t)
	line := at(p) + " stream tcp nowait/%d %s /bin/sh sh -c \"id -un; cat; echo %s\"\n"
	d := setup{conf: fmt.Sprintf(line, 1, "nobody", "old")}.start(t)
	inode := d.socketInode(p)
	first := dial(t, p)
	one := make([]byte, len("nobody\n"))
	if _, err := io.ReadFull(first, one); err != nil {
		t.Fatal(err)
	}
	second := dial(t, p) // queues: one instance is all that may run
	io.WriteString(second, "queued ")
	second.CloseWrite()
	d.reload(fmt.Sprintf(line, 2, "daemon", "new"))
	if got := readAll(t, second); got != "daemon\nqueued new\n" {
		t.Errorf("the queued client got %q", got)
	}
	first.CloseWrite()
	if got := string(one) + readAll(t, first); got != "nobody\nold\n" {
		t.Errorf("the running client got %q", got)
	}
	if now := d.socketInode(p); now != inode {
		t.Errorf("the socket was opened anew: %s, before %s", now, inode)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Reloads, Did: "a reload while a client queues, which changes user, limit and program",
		Saw: "served by the new definition; the program before goes on", Lost: "nothing: the socket is the same"})
}

// socketInode returns the inode of the listening socket of a port.
func (d *daemonProcess) socketInode(port int) string {
	d.t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		d.t.Fatal(err)
	}
	for _, line := range strings.Split(string(table), "\n") {
		if f := strings.Fields(line); len(f) > 9 && f[1] == fmt.Sprintf("0100007F:%04X", port) && f[3] == "0A" {
			return f[9]
		}
	}
	d.t.Fatalf("nobody listens on %d", port)
	return ""
}

// A configuration that cannot be read, or is wrong, takes nothing away.
func TestBrokenReload(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p, q, r := port(t), port(t), port(t)
	line := func(port int, word string) string {
		return fmt.Sprintf("%s stream tcp nowait nobody /bin/echo echo %s\n", at(port), word)
	}
	d := setup{conf: line(p, "one") + line(q, "two")}.start(t)
	answers := func(when string, want map[int]string) {
		t.Helper()
		for port, word := range want {
			if got := request(t, port, ""); got != word+"\n" {
				t.Errorf("%s: port %d says %q, want %s\n%s", when, port, got, word, d.text())
			}
		}
	}
	d.reload("this is not\nan inetd.conf\n")
	d.find(`inetd\.conf:1: field 4 \(wait/nowait\) is missing`, 1)
	answers("a broken file", map[int]string{p: "one", q: "two"})

	d.reload(line(p, "uno") + strings.Replace(line(q, "dos"), "nobody", "nosuchuser", 1) + line(r, "tres"))
	d.find(`inetd\.conf:2: unknown user "nosuchuser" \(service \d+ skipped; add the user, or correct field 5\)`, 1)
	answers("a broken line", map[int]string{p: "uno", q: "two", r: "tres"})

	os.Rename(d.conf, d.conf+".away")
	d.signal(syscall.SIGHUP)
	d.await("RELOADING=1")
	d.await("READY=1")
	d.find(`reload: .*no such file or directory \(nothing is changed\)`, 1)
	answers("a missing file", map[int]string{p: "uno", q: "two", r: "tres"})

	d.reload(line(p, "uno"))
	answers("a good file", map[int]string{p: "uno"})
	if c, err := net.Dial("tcp", at(q)); err == nil {
		c.Close()
		t.Errorf("a service that was taken away still answers")
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Reloads, Did: "reloads of files that cannot be read",
		Saw: "served as before", Log: "reload: ... (nothing is changed)"})
}

// A program that has the socket of a wait service keeps it over a reload
// that takes the service away, and the service can come back while it runs.
func TestReloadHandedOffSocket(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p, q := port(t), port(t)
	dir := folder(t)
	command(t, "mkfifo", "-m", "666", dir+"/gate")
	other := fmt.Sprintf("%s stream tcp nowait nobody /bin/echo echo here\n", at(q))
	udpLine := fmt.Sprintf("%s dgram udp wait nobody %s wait\n", at(p), script(t, "dd bs=100 count=1 2>/dev/null >/dev/null; cat "+dir+"/gate >/dev/null"))
	d := setup{conf: udpLine + other, flags: []string{"-l"}}.start(t)
	c := udp(t, p)
	fmt.Fprint(c, "go")
	d.find(`START: \d+ pid=`, 1)
	d.reload(other)
	d.reload(udpLine + other)
	if strings.Contains(d.text(), "in use") {
		t.Fatalf("the address was lost:\n%s", d.text())
	}
	release := func() {
		gate, err := os.OpenFile(dir+"/gate", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		gate.Close()
	}
	release()
	d.find(`EXIT: `, 1)
	fmt.Fprint(c, "again")
	d.find(`START: \d+ pid=`, 2)
	d.reload(other) // gone for good: closed when its program is
	release()
	d.find(`EXIT: `, 2)
	for began, free := time.Now(), false; !free; time.Sleep(10 * time.Millisecond) {
		l, err := net.ListenPacket("udp", at(p))
		if free = err == nil; free {
			l.Close()
		} else if time.Since(began) > patience {
			t.Fatal(err)
		}
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Reloads, Did: "a reload that takes away a wait service whose program has the socket, and one that brings it back",
		Saw: "served by that program, throughout"})
}

// A line that is broken keeps its socket, although a line beside it would
// take it if it could: tcp with tcp6 beside it is IPv4.
func TestBrokenLineKeepsItsFamily(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p := port(t)
	four := fmt.Sprintf("%d stream tcp nowait nobody /bin/echo echo four\n", p)
	six := fmt.Sprintf("%d stream tcp6 nowait nobody /bin/echo echo six\n", p)
	d := setup{conf: four + six}.start(t)
	says := func() string {
		c, err := net.Dial("tcp", fmt.Sprintf("[::1]:%d", p))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return readAll(t, c)
	}
	if got := says(); got != "six\n" {
		t.Fatalf("got %q", got)
	}
	d.reload(four + strings.Replace(six, "nowait", "nonsense", 1))
	if got := says(); got != "six\n" {
		t.Errorf("after a broken line: %q\n%s", got, d.text())
	}
	d.reload(four)
	if got := says(); got != "four\n" {
		t.Errorf("without the line: %q\n%s", got, d.text())
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Reloads, Did: "a line that is wrong at a reload",
		Saw: "served as before", Log: "N: invalid or missing in the configuration; keeps its previous settings until the errors are fixed"})
}

// A service can become any other kind on its socket.
func TestReloadChangesKind(t *testing.T) {
	t.Parallel()
	need(t, "root", "cc")
	one := folder(t) + "/one"
	if err := compile("testdata/one.c", one); err != nil {
		t.Fatal(err)
	}
	p, q := port(t), port(t)
	kinds := []string{
		"%s dgram udp wait nobody " + one + " one\n",
		"%s dgram udp nowait nobody " + one + " one\n",
		"%s dgram udp wait nobody internal echo\n",
	}
	streams := []string{
		"%s stream tcp nowait nobody /bin/cat cat\n",
		"%s stream tcp nowait nobody internal echo\n",
		"%s stream tcp nowait/1 nobody /usr/bin/tee tee\n",
	}
	text := func(i int) string { return fmt.Sprintf(kinds[i%3], at(p)) + fmt.Sprintf(streams[i%3], at(q)) }
	d := setup{conf: text(0), flags: []string{"-R", "0"}}.start(t)
	for i := range 12 {
		question(t, p, fmt.Sprint("datagram ", i))
		if got := request(t, q, fmt.Sprint("stream ", i)); got != fmt.Sprint("stream ", i) {
			t.Errorf("got %q", got)
		}
		d.reload(text(i + 1))
	}
	if strings.Contains(d.text(), "in use") {
		t.Error(d.text())
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Reloads, Did: "reloads that make a service any other kind on its socket",
		Saw: "served as the new kind"})
}

// The status that systemctl shows has problems of the configuration and
// sockets that are not open, for as long as there are any.
func TestStatusTellsProblems(t *testing.T) {
	// Serial: a child of another test would have its socket, too, until it execs.
	need(t, "root")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	q := l.Addr().(*net.TCPAddr).Port
	good := fmt.Sprintf("%s stream tcp nowait nobody /bin/echo echo\n%s stream tcp nowait nobody /bin/echo echo\n", at(port(t)), at(q))
	d := setup{conf: good + fmt.Sprintf("%s stream tcp nowait nosuchuser /bin/echo echo\n", at(port(t)))}.launch(t)
	taken := fmt.Sprintf("; 1 port not open: %d/tcp", q)
	const summary = "STATUS=2 services, 0 programs running, 0 clients refused"
	d.await(summary + "; 1 problem in the configuration (journalctl -u inetd)" + taken)
	write(t, d.conf, good, 0o644)
	d.signal(syscall.SIGHUP)
	d.await(summary + taken)
	l.Close()
	d.awaitSuffix(summary)
	os.Rename(d.conf, d.conf+".away")
	d.signal(syscall.SIGHUP)
	d.await(summary + "; 1 problem in the configuration (journalctl -u inetd)")
	os.Rename(d.conf+".away", d.conf)
	d.signal(syscall.SIGHUP)
	d.awaitSuffix(summary)
}

// awaitSuffix waits for a message to systemd that ends in a text.
func (d *daemonProcess) awaitSuffix(text string) {
	d.t.Helper()
	for {
		select {
		case got := <-d.states:
			if strings.HasSuffix(got, text) {
				return
			}
		case <-time.After(patience):
			d.t.Fatalf("no %s; the log:\n%s", text, d.text())
		}
	}
}

// A zone that has changed holds from a reload on: for access_times, daytime and
// the log.
func TestZoneChanges(t *testing.T) {
	t.Parallel()
	const zones = "/usr/share/zoneinfo/"
	tokyo, err := os.ReadFile(zones + "Asia/Tokyo")
	if err != nil {
		t.Skip(err)
	}
	utc, err := os.ReadFile(zones + "UTC")
	if err != nil {
		t.Skip(err)
	}
	there, _ := time.LoadLocation("Asia/Tokyo")
	now := time.Now().In(there)
	before, after := now.Add(-time.Hour), now.Add(time.Hour)
	file := filepath.Join(folder(t), "localtime")
	write(t, file, string(utc), 0o644)
	p, q := port(t), port(t)
	conf := fmt.Sprintf("[service.there]\nlisten = %q\nserver = \"/bin/echo\"\nserver_args = [\"open\"]\nuser = \"root\"\naccess_times = \"%d:%02d-%d:%02d\"\n"+
		"[service.daytime]\nlisten = %q\ntype = \"INTERNAL\"\n",
		"tcp:"+at(p), before.Hour(), before.Minute(), after.Hour(), after.Minute(), "tcp:"+at(q))
	d := setup{conf: conf, env: []string{"TZ=" + file}}.start(t)
	if got := request(t, p, ""); got != "" {
		t.Fatalf("in UTC: %q", got)
	}
	write(t, file, string(tokyo), 0o644)
	d.reload(conf)
	if got := request(t, p, ""); got != "open\n" {
		t.Errorf("in Tokyo: %q", got)
	}
	got, err := time.ParseInLocation(time.ANSIC+"\r\n", request(t, q, ""), there)
	if off := time.Until(got).Abs(); err != nil || off > time.Minute {
		t.Errorf("daytime is wrong by %v, %v", off, err)
	}
	write(t, file, "no zone", 0o644)
	d.reload(conf)
	d.find("reload: time zone: "+file+": .* \\(the one of before holds\\)", 1)
	if got := request(t, p, ""); got != "open\n" {
		t.Errorf("after a reload without a zone: %q", got)
	}
}
