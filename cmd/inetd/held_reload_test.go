package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"goinetd/inetd/reliability"
)

// 200 reloads that switch services of six kinds off and on, while clients of
// others come and go: none of these is refused, and nothing is left over.
func TestFlippingServices(t *testing.T) {
	t.Parallel()
	need(t, "root", "cc")
	dir := folder(t)
	if err := compile("testdata/one.c", dir+"/one"); err != nil {
		t.Fatal(err)
	}
	var ports [14]int
	for i := range ports {
		ports[i] = port(t)
	}
	p := func(i int) string { return at(ports[i]) }
	steady := fmt.Sprintf("%s stream tcp nowait nobody /bin/cat cat\n%s stream tcp nowait root internal echo\n%s dgram udp wait root internal echo\n%s dgram udp wait nobody %s/one one\n",
		p(0), p(1), p(2), p(3), dir)
	flips := func(i int) string { // which are on differs from reload to reload
		var b strings.Builder
		for k, line := range []string{
			fmt.Sprintf("%s stream tcp nowait nobody /bin/cat cat\n", p(4)),
			fmt.Sprintf("%s stream tcp nowait root internal daytime\n", p(5)),
			fmt.Sprintf("%s dgram udp wait root internal time\n", p(6)),
			fmt.Sprintf("%s dgram udp wait nobody %s/one one\n", p(7), dir),
			fmt.Sprintf("%s stream tcp wait nobody /bin/true true\n", p(8)),
			fmt.Sprintf("%s/x stream unix nowait nobody /bin/cat cat\n", dir),
			fmt.Sprintf("%s stream tcp nowait root internal chargen\n", p(9)),
		} {
			if (i+k)%(k+2) != 0 {
				b.WriteString(line)
			}
		}
		return b.String()
	}
	d := setup{conf: steady, flags: []string{"-R", "0"}}.start(t)
	before := d.count("fd")
	stop, served := make(chan struct{}), atomic.Int64{}
	var load sync.WaitGroup
	for i := range 4 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := exchangeOnce(i >= 2, ports[i], "hello"); err != nil {
					t.Errorf("service %d: %v", i, err)
					return
				}
				served.Add(1)
			}
		})
	}
	for i := range 200 {
		d.reload(steady + flips(i))
	}
	close(stop)
	load.Wait()
	d.reload(steady)
	d.idle(before)
	if served.Load() < 200 {
		t.Errorf("only %d clients were served meanwhile", served.Load())
	}
	if n := zombies(t, d.pid()); n > 0 {
		t.Errorf("%d zombies", n)
	}
	if text := d.text(); strings.Contains(text, "skipped") {
		t.Errorf("the log:\n%s", tail(text))
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Reloads, Did: "200 reloads that switch services of seven kinds off and on, under load",
		Saw: "every client of the other services served", Lost: "nothing: no descriptor, no zombie"})
}

// exchangeOnce sends a text to a port of loopback and expects it back.
func exchangeOnce(datagram bool, port int, text string) error {
	network := map[bool]string{false: "tcp", true: "udp"}[datagram]
	c, err := net.DialTimeout(network, at(port), patience)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte(text)); err != nil {
		return err
	}
	buf := make([]byte, len(text)+1)
	n, err := c.Read(buf)
	if string(buf[:n]) != text {
		return fmt.Errorf("%q, %v", buf[:n], err)
	}
	return nil
}

// /etc/passwd that is replaced, or cut off for a moment, with reloads under
// load: nobody is served as somebody else.
func TestPasswdReplaced(t *testing.T) {
	t.Parallel()
	if !inside(t) {
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	const whole = "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\nalice:x:4711:4711::/:/bin/sh\n"
	etc(t, map[string]string{"passwd": whole, "group": "root:x:0:\nnogroup:x:65534:\nalice:x:4711:\n", "nsswitch.conf": "passwd: files\ngroup: files\n"})
	p := port(t)
	conf := fmt.Sprintf("%s stream tcp nowait alice /bin/sh sh -c \"id -u; id -g\"\n", at(p))
	d := setup{conf: conf, flags: []string{"-R", "0"}}.start(t)
	stop, served := make(chan struct{}), atomic.Int64{}
	var load sync.WaitGroup
	for range 2 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := net.DialTimeout("tcp", at(p), patience)
				if err != nil {
					t.Error(err)
					return
				}
				c.SetDeadline(time.Now().Add(patience))
				if text, err := io.ReadAll(c); string(text) != "4711\n4711\n" {
					t.Errorf("served as %q, %v", text, err)
				}
				c.Close()
				served.Add(1)
			}
		})
	}
	for i := range 60 {
		text := whole
		if i%3 == 2 { // alice's line is cut off, at each of its last bytes
			text = whole[:len(whole)-1-i/3]
			write(t, "/etc/passwd", text, 0o644)
		} else {
			write(t, "/etc/passwd.new", text, 0o644)
			if err := os.Rename("/etc/passwd.new", "/etc/passwd"); err != nil {
				t.Fatal(err)
			}
		}
		d.reload(conf)
	}
	close(stop)
	load.Wait()
	if served.Load() < 60 {
		t.Errorf("only %d clients were served", served.Load())
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Reloads, Did: "/etc/passwd replaced 40 times, and cut off within the user's line 20 times, with a reload each, under load",
		Saw: "every client served, as the right user and group", Log: "N: invalid or missing in the configuration; keeps its previous settings until the errors are fixed"})
}

// 15,000 services, more than 500 addresses and 300 ports that another
// process has bound, and closes all together.
func TestManyServices(t *testing.T) {
	// Serial: opens 15,000 sockets.
	asShipped(t)
	if !inside(t) {
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); files.Max < 16_000 {
		lacking(t, "a hard limit of 16,000 open files")
	}
	const n, taken = 15_000, 300
	var conf strings.Builder
	for i := range n {
		fmt.Fprintf(&conf, "127.%d.%d.1:7000 stream tcp nowait nobody /bin/echo echo %d\n", 10+i/250, i%250, i)
	}
	var others []net.Listener
	for i := range taken {
		l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.1:7000", 10+i/250, i%250))
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, l)
	}
	ask := func(i int) {
		t.Helper()
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.%d.%d.1:7000", 10+i/250, i%250), patience)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		if got := readAll(t, c); got != fmt.Sprintf("%d\n", i) {
			t.Errorf("service %d says %q", i, got)
		}
	}
	d := setup{conf: conf.String()}.start(t)
	for i := taken; i < n; i += 997 {
		ask(i)
	}
	for _, l := range others {
		l.Close()
	}
	d.find("now listening on ", taken)
	for i := range taken {
		ask(i)
	}
	d.idle(n + 50) // every program has ended
	fds := d.count("fd")
	d.reload(conf.String())
	ask(n - 1)
	d.idle(fds)
	reliability.Survived(t, reliability.Fault{Theme: reliability.Reloads, Did: "15,000 services on as many addresses, 300 of which another process has bound, and closes all together",
		Saw: "served, those 300 once they are free; so after a reload"})
}
