package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hosts.deny cannot be enforced for clients that the program of a wait
// service accepts: a service that it has rules for is not served.
func TestHostsDenyOfWaitService(t *testing.T) {
	t.Parallel()
	if !inside(t) {
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	etc(t, map[string]string{"hosts.allow": "", "hosts.deny": "other: ALL\n", "nsswitch.conf": "hosts: files\n", "resolv.conf": ""})
	wait, open := port(t), port(t)
	accepts := []string{"wait = yes", "server = /usr/bin/perl", "server_args = -MSocket -e accept(C,STDIN);syswrite(C,qq(accepted))"}
	conf := entry(wait, accepts...) + entry(open, append(accepts, "flags = NOLIBWRAP")...)
	said := func(p int) string {
		t.Helper()
		c, err := net.Dial("tcp", at(p))
		if errors.Is(err, syscall.ECONNREFUSED) {
			return "refused"
		} else if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		text, err := io.ReadAll(c)
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
	d := setup{conf: conf}.start(t)
	if a, b := said(wait), said(open); a != "accepted" || b != "accepted" {
		t.Errorf("rules for another service: %q, %q", a, b)
	}
	// A rule that comes later counts for the next client.
	write(t, "/etc/hosts.deny", "ALL: ALL\n", 0o644)
	if a, b := said(wait), said(open); a != "" || b != "accepted" {
		t.Errorf("with ALL: ALL in hosts.deny: %q, %q", a, b)
	}
	d.find(fmt.Sprintf(`FAIL: s%d\(no_address\) libwrap`, wait), 1)
	d.stop()

	d = setup{conf: conf}.start(t)
	if a, b := said(wait), said(open); a != "refused" || b != "accepted" {
		t.Errorf("started with ALL: ALL in hosts.deny: %q, %q\n%s", a, b, d.text())
	}
	d.find(fmt.Sprintf(`s%d: hosts.allow and hosts.deny cannot be enforced for clients that the program of a wait service accepts \(service s%d skipped; write wait = no`, wait, wait), 1)
	d.stop()

	// Everybody is admitted before it.
	write(t, "/etc/hosts.allow", fmt.Sprintf("perl, s%d: ALL\n", wait), 0o644)
	d = setup{conf: conf}.start(t)
	if a := said(wait); a != "accepted" {
		t.Errorf("admitted by hosts.allow: %q\n%s", a, d.text())
	}
	if strings.Contains(d.text(), "cannot be enforced") {
		t.Error(d.text())
	}
}
