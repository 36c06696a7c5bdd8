package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"goinetd/inetd/reliability"
)

// maxAsking is how many lookups one address may have wait.
const maxAsking = 32

// IDONLY and USERID, with a real ident server, none, and some that never
// answer, lie, or reply in single bytes or with too many.
func TestIdent(t *testing.T) {
	// Serial: measures how long clients wait.
	oidentd := server(t, "oidentd", "/usr/sbin/oidentd")
	if !inside(t) {
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	oident := exec.Command(oidentd, "-i", "-a", "127.0.0.2", "-C", "/dev/null")
	oident.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	oident.Stderr = os.Stderr
	if err := oident.Start(); err != nil {
		t.Fatal(err)
	}
	defer oident.Process.Kill()
	until(t, func() bool {
		c, err := net.Dial("tcp", "127.0.0.2:113")
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	silent, err := net.Listen("tcp", "127.0.0.3:113")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	identServer(t, "127.0.0.4", func(c net.Conn, ports string) { fmt.Fprint(c, ports, ":USERID:UNIX:evil\x1b[2Jname\r\n") })
	identServer(t, "127.0.0.6", func(c net.Conn, ports string) {
		c.(*net.TCPConn).SetNoDelay(true)
		for _, b := range []byte(ports + ":USERID:UNIX:pieces\r\n") {
			c.Write([]byte{b})
		}
	})
	identServer(t, "127.0.0.7", func(c net.Conn, ports string) {
		fmt.Fprint(c, ports, ":USERID:UNIX:", strings.Repeat("x", 5000), "\r\n")
	})
	p, q := port(t), port(t)
	d := setup{conf: entry(p, "flags = IDONLY", "log_on_success = USERID HOST", "log_on_failure = HOST USERID") + entry(q, "log_on_success = USERID HOST"),
		program: built.impatient}.start(t)
	d.find("configuration read", 1)
	waiting := from2(t, "127.0.0.3", p) // its ident server never answers
	began := time.Now()
	if n, _ := io.Copy(io.Discard, from2(t, "127.0.0.2", p)); n == 0 {
		t.Errorf("refused although its user is known:\n%s", d.text())
	}
	if n, _ := io.Copy(io.Discard, from2(t, "127.0.0.5", p)); n != 0 {
		t.Error("let in without a user")
	}
	if took := time.Since(began); took > 1500*time.Millisecond {
		t.Errorf("others took %v while one is waited for", took)
	}
	if n, _ := io.Copy(io.Discard, waiting); n != 0 {
		t.Error("let in although nobody answered")
	}
	d.find(fmt.Sprintf(`USERID: s%d UNIX :root`, p), 1)
	d.find(fmt.Sprintf(`NOID: s%d 127.0.0.5 no server`, p), 1)
	d.find(fmt.Sprintf(`NOID: s%d 127.0.0.3 timeout`, p), 1)
	if n, _ := io.Copy(io.Discard, from2(t, "127.0.0.6", p)); n == 0 {
		t.Errorf("refused although its user is known from a reply in pieces:\n%s", d.text())
	}
	d.find(fmt.Sprintf(`USERID: s%d UNIX :pieces\n`, p), 1)
	if n, _ := io.Copy(io.Discard, from2(t, "127.0.0.7", p)); n != 0 {
		t.Error("let in with a reply that is too long")
	}
	d.find(fmt.Sprintf(`NOID: s%d 127.0.0.7 bad response`, p), 1)
	// Without IDONLY, who is not known is served all the same.
	if n, _ := io.Copy(io.Discard, from2(t, "127.0.0.3", q)); n == 0 {
		t.Error("refused for want of an answer that is only to be logged")
	}
	io.Copy(io.Discard, from2(t, "127.0.0.4", q))
	d.find(fmt.Sprintf(`USERID: s%d UNIX :evil\\x1b\[2Jname`, q), 1)
	// A host that has many lookups wait does not use up those of others.
	for range maxAsking + 8 {
		from2(t, "127.0.0.3", p)
	}
	d.find(fmt.Sprintf(`FAIL: s%d lookup_limit from=127.0.0.3\n`, p), 8)
	began = time.Now()
	if n, _ := io.Copy(io.Discard, from2(t, "127.0.0.2", p)); n == 0 || time.Since(began) > time.Second {
		t.Errorf("%d bytes after %v for another client", n, time.Since(began))
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Clients, Did: "ident servers that never answer, lie, reply in single bytes or with 5,000, or are not there",
		Saw: "refused or served as the service says; others are not delayed", Log: "NOID: N 127.0.0.1 ..."})
}

// A service on the ident port that wants to know its clients asks nobody: it
// would be asked in turn, for ever.
func TestIdentLoop(t *testing.T) {
	t.Parallel()
	if !inside(t) {
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	etc(t, map[string]string{"hosts.allow": "", "hosts.deny": "", "nsswitch.conf": "hosts: files\n", "resolv.conf": ""})
	d := setup{conf: entry(113, "log_on_success = USERID HOST", "log_on_failure = USERID HOST")}.start(t)
	if n, _ := io.Copy(io.Discard, from2(t, "127.0.0.1", 113)); n == 0 {
		t.Error("not served")
	}
	d.signal(syscall.SIGUSR1)
	d.find("STATE: end", 1)
	if n := strings.Count(d.text(), "START: "); n != 1 {
		t.Errorf("%d starts for one client", n)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Clients, Did: "a service on the ident port that wants to know its clients' users",
		Saw: "served; nobody is asked"})
}

// Link-local clients have their interface with them: without it nobody could
// ask their ident server.
func TestLinkLocalClients(t *testing.T) {
	t.Parallel()
	if !inside(t) {
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	command(t, "ip", "addr", "add", "fe80::1/64", "dev", "lo", "nodad")
	etc(t, map[string]string{"hosts.allow": "", "hosts.deny": "sh: bob@ALL\n", "nsswitch.conf": "hosts: files\n", "resolv.conf": ""})
	identUser(t, "fe80::1%lo", "bob")
	refused, open := port(t), port(t)
	d := setup{flags: []string{"-l"}, conf: fmt.Sprintf(`%d stream tcp6 nowait nobody /bin/sh sh -c "echo $REMOTE_HOST"
%d stream tcp6 nowait nobody /bin/bash bash -c "echo $REMOTE_HOST"
`, refused, open)}.start(t)
	for p, want := range map[int]string{refused: "", open: "fe80::1%lo\n"} {
		c, err := net.Dial("tcp", fmt.Sprintf("[fe80::1%%lo]:%d", p))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		if text, err := io.ReadAll(c); string(text) != want || err != nil {
			t.Errorf("%q, %v; want %q\n%s", text, err, want, d.text())
		}
	}
	d.find(`(?m)FAIL: \d+\(hosts.deny:1\) libwrap from=fe80::1%lo$`, 1)
}

// identServer starts an ident server on an address. It passes the ports of each
// question, as they came, to reply (RFC 1413).
func identServer(t *testing.T, address string, reply func(c net.Conn, ports string)) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(address, "113"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				ports, _ := bufio.NewReader(c).ReadString('\n')
				reply(c, strings.TrimSpace(ports))
			}()
		}
	}()
}

// identUser starts an ident server on an address that knows one user.
func identUser(t *testing.T, address, user string) {
	t.Helper()
	identServer(t, address, func(c net.Conn, ports string) { fmt.Fprintf(c, "%s : USERID : UNIX : %s\r\n", ports, user) })
}
