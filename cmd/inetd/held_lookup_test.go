package main

import (
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"

	"goinetd/inetd/reliability"
)

// A name server and an ident server that never answer: who needs an answer
// waits, and nobody else does. 200 clients that waited for each other would
// take far longer than the test waits.
func TestSilentServers(t *testing.T) {
	t.Parallel()
	if !inside(t) {
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	etc(t, map[string]string{"hosts": "127.0.0.1 localhost\n", "nsswitch.conf": "hosts: files dns\npasswd: files\ngroup: files\n", "resolv.conf": "nameserver 127.0.0.53\noptions timeout:2 attempts:1\n",
		"hosts.allow": "echo: ALL\ncat: ALL\nid: ALL\ndate: .example.org\n", "hosts.deny": "ALL: ALL\n"})
	dns, err := net.ListenPacket("udp", "127.0.0.53:53")
	if err != nil {
		t.Fatal(err)
	}
	defer dns.Close()
	dnsTCP, err := net.Listen("tcp", "127.0.0.53:53")
	if err != nil {
		t.Fatal(err)
	}
	defer dnsTCP.Close()
	for i := range 200 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.%d.%d:113", 1+i/100, 1+i%100))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	named, listed, users, other := port(t), port(t), port(t), port(t)
	d := setup{program: built.impatient, conf: "defaults\n{\n cps = 0 0\n}\n" + entry(named, "server = /bin/cat", "only_from = good.example.org") + entry(listed) +
		entry(users, "server = /bin/id", "flags = IDONLY", "log_on_success = USERID HOST") + entry(other, "server = /bin/echo", "server_args = fine")}.start(t)
	before := d.count("fd")
	refused := map[int]string{named: `FAIL: s%d\(only_from.*\) address from=`, listed: `FAIL: s%d\(hosts\.deny:1\) libwrap from=`, users: `NOID: s%d `}
	var waiting sync.WaitGroup
	for p := range refused {
		for i := range 200 {
			c := from2(t, fmt.Sprintf("127.0.%d.%d", 1+i/100, 1+i%100), p)
			waiting.Go(func() {
				if text, err := io.ReadAll(c); len(text) > 0 || err != nil {
					t.Errorf("a client whom nobody knows got %q, %v", text, err)
				}
				c.Close()
			})
		}
		for range 10 {
			if got := request(t, other, ""); got != "fine\n" {
				t.Errorf("another service says %q", got)
			}
		}
	}
	d.signalReload()
	if got := request(t, other, ""); got != "fine\n" {
		t.Errorf("another service says %q", got)
	}
	waiting.Wait()
	for p, line := range refused {
		d.find(fmt.Sprintf(line, p), 200)
	}
	d.idle(before)
	reliability.Survived(t, reliability.Fault{Theme: reliability.Clients, Did: "600 clients, while no name server and no ident server answers, of services with a name in only_from, a name in hosts.allow, and IDONLY; a reload meanwhile",
		Saw: "those refused when the answer is overdue; others served meanwhile", Log: "FAIL: N(hosts.deny:1) libwrap from=127.0.1.1"})
}

// signalReload has the daemon read its configuration again.
func (d *daemonProcess) signalReload() {
	d.t.Helper()
	d.signal(syscall.SIGHUP)
	d.await("RELOADING=1")
	d.await("READY=1")
}
