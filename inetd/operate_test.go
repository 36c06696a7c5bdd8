package inetd

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/inetd/control"
)

// What inetctl does to a service: who comes is refused, waits, or is served
// again; a reload undoes it.
func TestStopPauseStart(t *testing.T) {
	at, other := freeAddr(t), freeAddr(t)
	text := echo("a", at, "") + echo("b", other, "")
	s := newTestServer(t, text).run()
	state := func() string { return s.Snapshot("a").Services[0].State }

	if err := s.StopService("a"); err != nil || state() != "stopped" {
		t.Errorf("%v %s", err, state())
	}
	if _, err := net.Dial("tcp", at); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("stopped: %v", err)
	}
	dialServed(t, other)
	if err := s.StopService("a"); err != nil { // again
		t.Error(err)
	}
	if err := s.StartService("a"); err != nil || state() != "listening" {
		t.Errorf("%v %s", err, state())
	}
	dialServed(t, at)

	if err := s.PauseService("a"); err != nil || s.PauseService("a") != nil || state() != "paused" {
		t.Errorf("%v %s", err, state())
	}
	waits := dialTCP(t, at)
	io.WriteString(waits, "x")
	if err := s.StartService("a"); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(waits, make([]byte, 1)); err != nil {
		t.Errorf("who waited is not served: %v", err)
	}

	s.PauseService("a")
	s.StopService("b")
	s.reload(text)
	dialServed(t, at)
	dialServed(t, other)
	for _, f := range []func(string) error{s.StopService, s.StartService, s.PauseService} {
		if err := f("nothere"); err == nil || !strings.Contains(err.Error(), `there is no service "nothere"`) {
			t.Error(err)
		}
	}
}

// A drain refuses who comes, and ends when nobody is served any more.
func TestDrain(t *testing.T) {
	at := freeAddr(t)
	s := newTestServer(t, echo("a", at, "")).run()
	if err := s.DrainService(context.Background(), "a"); err != nil { // nobody is there
		t.Error(err)
	}
	s.StartService("a")
	one, two := dialServed(t, at), dialServed(t, at)
	drained := make(chan error)
	go func() { drained <- s.DrainService(context.Background(), "a") }()
	s.until("it is stopped", func() bool { return s.services.byKey[s.keyOf("a")].stopped })
	one.Close()
	s.until("one is left", func() bool { return s.running == 1 })
	select {
	case err := <-drained:
		t.Fatalf("drained with a client: %v", err)
	default:
	}
	two.Close()
	select {
	case err := <-drained:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("never drained")
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.StartService("a")
	dialServed(t, at)
	cancel()
	if err := s.DrainService(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Kick ends programs, redirects and builtins, by service, address and pid.
func TestKick(t *testing.T) {
	at, program, forward := freeAddr(t), freeAddr(t), freeAddr(t)
	s := newTestServer(t, echo("a", at, "")+redirectTo("web", forward, at)+
		"[service.cat]\nlisten = \"tcp:"+program+"\"\nuser = \"nobody\"\nserver = \"/bin/cat\"\n").run()
	ended := func(c net.Conn) {
		t.Helper()
		c.SetDeadline(time.Now().Add(patience))
		if n, err := c.Read(make([]byte, 1)); n > 0 || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("goes on: %d %v", n, err)
		}
	}
	old := func() { // Kill does not find those that were started a moment ago
		s.until("the program is old", func() bool {
			var pids []int
			s.children.Each(func(pid int, _ task) { pids = append(pids, pid) })
			return len(pids) == 1 && s.children.Kill(pids[0], 0, func(task) bool { return true })
		})
	}
	c := dialServed(t, at)
	if n, err := s.Kick("a"); n != 1 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	ended(c)
	c = dialServed(t, program)
	old()
	if n, err := s.Kick("127.0.0.0/8"); n != 1 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	ended(c)
	c = dialServed(t, forward)
	if n, err := s.Kick("web"); n != 1 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	ended(c)
	s.until("nobody is served", func() bool { return s.running == 0 && s.children.Len() == 0 })
	for _, target := range []string{"999999", "192.0.2.1", "cat"} {
		if n, err := s.Kick(target); n != 0 || err == nil || !strings.Contains(err.Error(), "nobody is served") {
			t.Errorf("%s: %d %v", target, n, err)
		}
	}
	if _, err := s.Kick("nothere"); err == nil || !strings.Contains(err.Error(), "neither a pid, an address nor a service") {
		t.Error(err)
	}
}

// Followers get all parts of a client's lines, whatever is logged, and only of
// the service that they follow.
func TestFollow(t *testing.T) {
	at, other := freeAddr(t), freeAddr(t)
	s := newTestServer(t, echo("a", at, "no_access = \"127.0.0.9\"")+echo("b", other, "")).run()
	var mu sync.Mutex
	var seen []control.Event
	stop := s.Follow("a", func(e control.Event) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, e)
	})
	dialServed(t, other)
	dialServed(t, at).Close()
	s.until("its end is seen", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(seen) == 2
	})
	c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.9")}}).Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, c)
	c.Close()
	s.until("the refusal is seen", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(seen) == 3
	})
	stop()
	dialServed(t, at)
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 3 || !strings.HasPrefix(seen[0].Text, "START: a pid=0 from=127.0.0.1 port=") || seen[0].Kind != "start" || seen[1].Kind != "exit" ||
		!strings.HasPrefix(seen[2].Text, "FAIL: a(no_access=127.0.0.9,") || seen[2].Client != "127.0.0.9" {
		t.Errorf("%+v", seen)
	}
}

// Why says what then happens, and counts nothing.
func TestWhy(t *testing.T) {
	at := freeAddr(t)
	s := newTestServer(t, echo("a", at, "instances = 1\nqueue = false\nno_access = \"192.0.2.0/24\"")).run()
	verdict := func(from string) string {
		t.Helper()
		v, err := s.Why("a", netip.MustParseAddr(from), netip.Addr{})
		if err != nil {
			t.Fatal(err)
		}
		if v.Admitted != (v.Reason == "") {
			t.Errorf("%+v", v)
		}
		return v.Reason
	}
	for range 3 {
		if got := verdict("127.0.0.1"); got != "" {
			t.Errorf("%q", got)
		}
	}
	if got := verdict("192.0.2.1"); got != "address" {
		t.Errorf("%q", got)
	}
	c := dialServed(t, at)
	if got := verdict("127.0.0.1"); got != "service_limit" {
		t.Errorf("%q", got)
	}
	c.Close()
	s.until("it is gone", func() bool { return s.running == 0 })
	s.StopService("a")
	if got := verdict("127.0.0.1"); got != "stopped" {
		t.Errorf("%q", got)
	}
	if _, err := s.Why("b", netip.MustParseAddr("127.0.0.1"), netip.Addr{}); err == nil {
		t.Error("of a service that is not there")
	}
}
