package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"goinetd/inetd/reliability"
)

// activated starts a daemon by systemd-socket-activate with a TCP and a UDP
// socket. That waits for a client before it starts anything; the client is
// given back.
func activated(t *testing.T, conf string, tcp, udp int, names ...string) (*daemonProcess, *net.TCPConn) {
	t.Helper()
	need(t, "root", "systemd-socket-activate")
	// The second passes on what it gets from the first.
	second := []string{"systemd-socket-activate", "--datagram", "-l", at(udp), "-E", "NOTIFY_SOCKET"}
	if len(names) > 0 {
		second = append(second, "--fdname="+strings.Join(names, ":"))
	}
	first := []string{"systemd-socket-activate", "-l", at(tcp), "-E", "NOTIFY_SOCKET"}
	d := setup{conf: conf, before: append(first, second...)}.launch(t)
	d.find(`Listening on 127\.0\.0\.1:\d+ as 3`, 1)
	c, err := net.Dial("tcp", at(tcp))
	d.await("READY=1")
	if errors.Is(err, syscall.ECONNRESET) { // the socket was closed while this process did not run
		return d, nil
	}
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return d, c.(*net.TCPConn)
}

// Two named sockets, one tcp and one udp, serve the services of their names,
// wherever these would have listened.
func TestSocketsByName(t *testing.T) {
	t.Parallel()
	need(t, "root", "systemd-socket-activate")
	if !inside(t) { // somebody may have port 13
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	p, q := port(t), port(t)
	d, first := activated(t, "daytime stream tcp nowait root internal\necho dgram udp wait root internal\n", p, q, "daytime", "echo")
	if got := readAll(t, first); len(got) != 26 {
		t.Errorf("the client that came before the daemon got %q\n%s", got, d.text())
	}
	if got := request(t, p, ""); len(got) != 26 {
		t.Errorf("daytime says %q", got)
	}
	question(t, q, "hello")
	if c, err := net.Dial("tcp", "127.0.0.1:13"); err == nil {
		c.Close()
		t.Error("port 13 was opened although systemd has the socket")
	}
	d.reload("echo dgram udp wait root internal\n")
	question(t, q, "after a reload")
	d.reload("daytime stream tcp nowait root internal\necho dgram udp wait root internal\n")
	if got := request(t, p, ""); len(got) != 26 {
		t.Errorf("daytime was taken away, and came back, and says %q", got)
	}
}

// Sockets without names are known by where they are bound; a service without
// a socket gets one; a socket without a service is reported and closed.
func TestSocketsByAddress(t *testing.T) {
	t.Parallel()
	p, q, other := port(t), port(t), port(t)
	d, first := activated(t, fmt.Sprintf("%s dgram udp wait root internal echo\n%s stream tcp nowait root internal echo\n", at(q), at(other)), p, q)
	d.find(fmt.Sprintf(`socket \S+ \(tcp 127\.0\.0\.1:%d\) was passed by the service manager, and no service wants it: closed`, p), 1)
	if first != nil {
		if _, err := first.Read(make([]byte, 1)); err == nil {
			t.Error("a client of the unwanted socket is served")
		}
	}
	question(t, q, "hello")
	if got := request(t, other, "opened"); got != "opened" {
		t.Errorf("got %q", got)
	}
}

// A daemon that goes into the background takes its sockets with it.
func TestSocketsIntoBackground(t *testing.T) {
	t.Parallel()
	need(t, "root", "systemd-socket-activate")
	p := port(t)
	dir := folder(t)
	conf := write(t, dir+"/inetd.conf", fmt.Sprintf("%s stream tcp nowait nobody /bin/cat cat\n", at(p)), 0o644)
	cmd := exec.Command("systemd-socket-activate", "-l", at(p), built.inetd, "-p", dir+"/pid", conf)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stderr.Read(make([]byte, 1)); err != nil { // it listens
		t.Fatal(err)
	}
	if got := request(t, p, "before it ran"); got != "before it ran" {
		t.Errorf("got %q", got)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if got := request(t, p, "in the background"); got != "in the background" {
		t.Errorf("got %q", got)
	}
	command(t, "pkill", "-TERM", "-F", dir+"/pid")
}

func question(t *testing.T, port int, text string) {
	t.Helper()
	c := udp(t, port)
	io.WriteString(c, text)
	buf := make([]byte, 100)
	if n, err := c.Read(buf); err != nil || string(buf[:n]) != text {
		t.Errorf("echo over udp: %q, %v", buf[:n], err)
	}
}

// LISTEN_FDS counts more than were passed, as behind a wrapper that closes
// descriptors: what is there is used.
func TestListenFDsTooLarge(t *testing.T) {
	t.Parallel()
	need(t, "root", "systemd-socket-activate")
	for _, n := range []string{"2", "3", "4", "6", "1000000", "99999999999"} {
		p := port(t)
		// The shell is executed for the first client, with one socket.
		d := setup{conf: fmt.Sprintf("%s stream tcp nowait nobody /bin/echo echo fine\n", at(p)),
			before: []string{"systemd-socket-activate", "-E", "NOTIFY_SOCKET", "-l", at(p), "sh", "-c", "LISTEN_FDS=" + n + `; exec "$@"`, "sh"}}.launch(t)
		var got string
		for began := time.Now(); got == "" && time.Since(began) < patience; {
			if c, err := net.Dial("tcp", at(p)); err == nil {
				text, _ := io.ReadAll(c)
				got = string(text)
				c.Close()
			}
		}
		if got != "fine\n" {
			t.Errorf("LISTEN_FDS=%s: the answer is %q:\n%s", n, got, tail(d.text()))
		}
		const used = ", but the number of descriptors that were passed is 1: those are used"
		d.find("configuration read: 1 service", 1) // which may be behind the first client
		if strings.Count(d.text(), "LISTEN_FDS is "+n+used) != 1 || strings.Contains(d.text(), "no service wants it") {
			t.Errorf("LISTEN_FDS=%s: the log is\n%s", n, d.text())
		}
		d.stop()
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Hosts, Did: "LISTEN_FDS larger than what was passed",
		Saw: "served on the sockets that are there", Log: "LISTEN_FDS is N, but the number of descriptors that were passed is N: those are used"})
}
