package inetd

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/reliability"
	"goinetd/inetd/service"
	"goinetd/inetd/socket"
)

var allStates = []state{stateOpening, stateListening, stateHandedOff, stateFull, stateSuspended, statePaused, stateClosed}

// openListener returns a listener of a state with a real socket.
func openListener(t *testing.T, s *testServer, from state, in *inherited) *listener {
	t.Helper()
	a := &service.Address{Address: socket.Address{Network: "tcp", Type: config.Stream, Addr: netip.MustParseAddrPort("127.0.0.1:0")}}
	def := &service.Definition{Name: "x", Key: "x", Addresses: []service.Address{*a}, Shared: &service.Shared{Type: config.Stream, Socket: &socket.Options{}}}
	svc := &activeService{def: def}
	fd, err := socket.Open(a.Address, socket.Options{Backlog: 1, UID: -1, GID: -1})
	if err != nil {
		t.Fatal(err)
	}
	l := s.sockets.add(a.Key(), a, svc)
	l.fd, l.inherited = fd, in
	svc.listeners = []*listener{l}
	if from == stateClosed {
		unix.Close(fd)
		l.fd = -1
		l.state = stateClosed
		s.sockets.remove(l)
	} else {
		s.setStateLocked(l, from)
	}
	return l
}

// Every state, every change: only a listening socket is polled, only one that
// is closed is closed, a suspended one of ours refuses, and nothing leaves
// stateClosed.
func TestStates(t *testing.T) {
	s := newTestServer(t, "")
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, managed := range []bool{false, true} {
		for _, from := range allStates {
			for _, to := range allStates {
				var in *inherited
				if managed {
					in = &inherited{Inherited: &socket.Inherited{}}
				}
				l := openListener(t, s, from, in)
				if managed {
					in.listener = l
				}
				s.setStateLocked(l, to)
				want := to
				if from == stateClosed {
					want = stateClosed
				}
				if l.state != want {
					t.Errorf("%v -> %v: %v", from, to, l.state)
				}
				if l.polled != (l.state == stateListening) {
					t.Errorf("%v -> %v: polled is %v", from, to, l.polled)
				}
				gone := !managed && want == stateClosed || from == stateClosed
				if (l.fd < 0) != gone {
					t.Errorf("managed %v, %v -> %v: fd %d", managed, from, to, l.fd)
				}
				if l.fd >= 0 {
					refuses, err := unix.GetsockoptInt(l.fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
					if err != nil || (refuses == 0) != (want == stateSuspended && !managed) {
						t.Errorf("managed %v, %v -> %v: SO_ACCEPTCONN is %d, %v", managed, from, to, refuses, err)
					}
				}
				if listed := s.sockets.get(l.Key()) == l; listed != (l.state != stateClosed) {
					t.Errorf("%v -> %v: in the table is %v", from, to, listed)
				}
				if managed && from != stateClosed && (in.listener == nil) != (want == stateClosed) {
					t.Errorf("%v -> %v: the inherited socket has a listener: %v", from, to, in.listener != nil)
				}
				s.setStateLocked(l, stateClosed)
				if l.fd >= 0 {
					unix.Close(l.fd)
				}
			}
		}
	}
}

// A socket in use by a worker is closed when the last use ends.
func TestCloseAfterUse(t *testing.T) {
	s := newTestServer(t, "")
	s.mu.Lock()
	defer s.mu.Unlock()
	l := openListener(t, s, stateListening, nil)
	l.users = 2
	s.setStateLocked(l, stateClosed)
	s.endUseLocked(l)
	if l.fd < 0 {
		t.Error("closed while a worker uses it")
	}
	if s.endUseLocked(l); l.fd >= 0 {
		t.Error("not closed after the last use")
	}
}

// What happens to a handed-off socket when its program ends.
func TestReclaim(t *testing.T) {
	s := newTestServer(t, "")
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range []struct {
		what    string
		prepare func(l *listener)
		want    state
	}{
		{"as usual", func(*listener) {}, stateListening},
		{"another program has it since", func(l *listener) { l.handOff = 8 }, stateHandedOff},
		{"no service wants it any more", func(l *listener) { l.orphaned = true }, stateClosed},
		{"the service is suspended", func(l *listener) { l.svc.suspended = new(suspension) }, stateSuspended},
		{"it was closed meanwhile", func(l *listener) { s.setStateLocked(l, stateClosed) }, stateClosed},
	} {
		l := openListener(t, s, stateHandedOff, nil)
		l.svc.def.Wait = true
		l.handOff = 7
		c.prepare(l)
		if s.reclaimLocked(l, 7); l.state != c.want {
			t.Errorf("%s: %v, want %v", c.what, l.state, c.want)
		}
		s.setStateLocked(l, stateClosed)
	}
}

// A full service is closed to clients until an instance ends.
func TestSaturate(t *testing.T) {
	s := newTestServer(t, "")
	s.mu.Lock()
	defer s.mu.Unlock()
	l := openListener(t, s, stateListening, nil)
	l.svc.def.Limits.Instances, l.svc.def.Limits.Queue = 1, true
	tk, ok := s.takeTicketLocked(l)
	if !ok || tk.svc != l.svc || l.users != 1 {
		t.Fatalf("no ticket for the first client: %+v", tk)
	}
	if _, ok := s.takeTicketLocked(l); ok || l.state != stateFull {
		t.Errorf("a second ticket, state %v", l.state)
	}
	s.endAcceptLocked(tk, unix.EAGAIN) // the client had gone
	if l.state != stateListening || l.svc.saturated {
		t.Errorf("after the cancel: %v", l.state)
	}
	tk, _ = s.takeTicketLocked(l)
	c := client{l: l, svc: l.svc, def: l.svc.def, from: netip.MustParseAddrPort("192.0.2.1:1")}
	var d decision
	if s.admitLocked(&c, &d, c.from.Addr()); !d.admitted || s.running != 1 {
		t.Fatalf("not admitted: %+v", d)
	}
	s.endAcceptLocked(tk, 0)
	if s.takeTicketLocked(l); l.state != stateFull {
		t.Errorf("with one instance of one: %v", l.state)
	}
	if s.releaseLocked(l.svc, c.def, c.from); l.state != stateListening || s.running != 0 {
		t.Errorf("after its end: %v, %d running", l.state, s.running)
	}
}

// While the last start of a minute is being decided on, the service does not
// spin: it is not polled until that client has its slot, or has gone.
func TestBusy(t *testing.T) {
	s := newTestServer(t, echo("a", freeAddr(t), "per_minute = 2"))
	l := s.listener("a")
	s.mu.Lock()
	defer s.mu.Unlock()
	first, _ := s.takeTicketLocked(l)
	second, _ := s.takeTicketLocked(l)
	if _, ok := s.takeTicketLocked(l); ok || l.state != stateFull || l.polled {
		t.Fatalf("with two reservations of two: %v, polled %v", l.state, l.polled)
	}
	if s.endAcceptLocked(first, unix.ECONNABORTED); l.state != stateListening {
		t.Errorf("after one was cancelled: %v", l.state)
	}
	third, _ := s.takeTicketLocked(l)
	s.takeTicketLocked(l)
	c := client{l: l, svc: l.svc, def: l.svc.def}
	s.endAcceptLocked(third, 0)
	if s.admitLocked(&c, new(decision), netip.Addr{}); l.state != stateListening {
		t.Errorf("after one got its slot: %v", l.state)
	}
	s.endAcceptLocked(second, unix.ECONNABORTED)
	reliability.Survived(t, reliability.Fault{Theme: reliability.Shortages, Did: "the last start of a minute, whose client's name is being looked up",
		Saw: "waits", Lost: "nothing: the listener is not polled meanwhile"})
}

// A host that is short of something, or forbids to accept, pauses the
// listener: that is said once, and the client waits.
func TestShortage(t *testing.T) {
	errnos := []unix.Errno{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EPERM}
	conf, ats := "", make([]string, len(errnos))
	for i := range errnos {
		ats[i] = freeAddr(t)
		conf += echo(fmt.Sprint("s", i), ats[i], "")
	}
	s := newTestServer(t, conf)
	for range 2 {
		for i, errno := range errnos {
			l := s.listener(fmt.Sprint("s", i))
			s.mu.Lock()
			tk, ok := s.takeTicketLocked(l)
			s.endAcceptLocked(tk, errno)
			if !ok || l.state != statePaused || !l.reported {
				t.Errorf("after %v: %v", errno, l.state)
			}
			s.mu.Unlock()
		}
		for i := range errnos {
			l := s.listener(fmt.Sprint("s", i))
			s.until("it listens again", func() bool { return l.state == stateListening })
		}
	}
	log := s.text()
	for i, errno := range errnos {
		if n := strings.Count(log, fmt.Sprintf("s%d: accept: %v; clients wait, retrying every second", i, errno)); n != 1 {
			t.Errorf("%v: said %d times:\n%s", errno, n, log)
		}
	}
	var waiting []*net.TCPConn
	for _, at := range ats {
		waiting = append(waiting, dialTCP(t, at))
	}
	s.run()
	for i, c := range waiting {
		io.WriteString(c, "x")
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Errorf("after %v: %v", errnos[i], err)
		}
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Shortages, Did: "errors of accept(2) that stay (EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM)",
		Saw: "waits, and is served", Lost: "nothing: one try a second", Log: "x: accept: operation not permitted; clients wait, retrying every second"})
}

// An error of accept(2) that was one client's delays no other.
func TestAcceptErrors(t *testing.T) {
	at := freeAddr(t)
	s := newTestServer(t, echo("a", at, "instances = 1\nqueue = true"))
	l := s.listener("a")
	waiting := dialTCP(t, at)
	for _, errno := range []unix.Errno{unix.ECONNABORTED, unix.EPROTO, unix.ENETDOWN, unix.EHOSTUNREACH} {
		s.mu.Lock()
		tk, ok := s.takeTicketLocked(l)
		if s.endAcceptLocked(tk, errno); !ok || l.state != stateListening || !l.polled || l.users != 0 {
			t.Errorf("after %v: %v, %d users", errno, l.state, l.users)
		}
		s.mu.Unlock()
	}
	s.run()
	io.WriteString(waiting, "x")
	if _, err := io.ReadFull(waiting, make([]byte, 1)); err != nil {
		t.Error(err)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Shortages, Did: "errors of accept(2) that are one client's (ECONNABORTED, EPROTO, ENETDOWN, EHOSTUNREACH)",
		Saw: "the next one is served at once", Lost: "nothing: no slot"})
}

// A service that loops, or exceeds its cps, is closed and comes back.
func TestSuspend(t *testing.T) {
	for _, c := range []struct{ setting, closed, resumed string }{
		{"per_minute = 3", "looping server failing (looping), service terminated: 3 starts within a minute", "looping: resumed after looping"},
		{"cps = [3, 1]", "Deactivating service looping due to excessive incoming connections.  Restarting in 1 seconds.", "Activating service looping"},
	} {
		at := freeAddr(t)
		s := newTestServer(t, strings.Replace(echo("looping", at, c.setting), `"echo"`, `"daytime"`, 1), func(o *Options) { o.Suspension = 200 * time.Millisecond }).run()
		l := s.listener("looping")
		stop := make(chan bool)
		var clients sync.WaitGroup
		clients.Go(func() { // until it is too much, however slow this host is
			for {
				select {
				case <-stop:
					return
				default:
				}
				if c, err := net.Dial("tcp", at); err == nil {
					io.Copy(io.Discard, c)
					c.Close()
				}
			}
		})
		s.logged(c.closed)
		close(stop)
		clients.Wait()
		if other, err := net.Listen("tcp", at); err == nil { // with SO_REUSEADDR, as anybody may
			other.Close()
			t.Errorf("%s: another process has the port meanwhile", c.setting)
		}
		s.logged(c.resumed)
		s.until("it listens again", func() bool { return l.state == stateListening })
		if got := exchange(t, at, ""); len(got) != 26 {
			t.Errorf("%s: after it: %q", c.setting, got)
		}
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Starts, Did: "another process that binds the port of a suspended service",
		Saw: "refused until the service is resumed", Lost: "nothing: the port stays bound", Log: "Deactivating service looping due to excessive incoming connections.  Restarting in 1 seconds."})
}

// A client of a tcpmux service is admitted by that service's limits.
func TestMux(t *testing.T) {
	at := freeAddr(t)
	s := newTestServer(t, "[service.tcpmux]\nlisten = \"tcp:"+at+"\"\nbuiltin = \"tcpmux\"\n"+
		"[service.closed]\ntype = \"tcpmux\"\nuser = \"nobody\"\nserver = \"/bin/cat\"\nno_access = [\"127.0.0.0/8\"]\n"+
		"[service.none]\ntype = \"tcpmux\"\nuser = \"nobody\"\nserver = \"/bin/cat\"\ninstances = 0\nqueue = false\n"+
		"[service.looping]\ntype = \"tcpmux\"\nuser = \"nobody\"\nserver = \"/bin/cat\"\nper_minute = 0\n").run()
	if got := exchange(t, at, "HELP\r\n"); got != "closed\r\nlooping\r\nnone\r\n" {
		t.Errorf("help: %q", got)
	}
	for name, reason := range map[string]string{"closed": "FAIL: closed(no_access=127.0.0.0/8", "None": "FAIL: none service_limit", "looping": "FAIL: looping looping"} {
		if got := exchange(t, at, name+"\r\n"); got != "-Service not available\r\n" {
			t.Errorf("%s: %q", name, got)
		}
		s.logged(reason)
	}
	s.until("the slots are free", func() bool { return s.running == 0 })
}

// Unix sockets are opened again when their file was deleted.
func TestDeletedSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	conf := "[service.local]\nlisten = \"unix:" + path + "\"\nbuiltin = \"echo\"\nsocket_mode = \"0600\"\n"
	s := newTestServer(t, conf)
	before := s.listener("local")
	if s.reload(conf); s.listener("local") != before {
		t.Error("a reload opened it again for nothing")
	}
	unix.Unlink(path)
	s.reload(conf)
	s.logged("local: " + path + " was deleted: opened again")
	if s.listener("local") == before || socket.Identify(path) == (socket.Identity{}) {
		t.Error("it was not opened again")
	}
}
