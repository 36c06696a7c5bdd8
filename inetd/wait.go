package inetd

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/admit"
	"goinetd/inetd/socket"
	"goinetd/inetd/syslog"
)

// lend starts the program of a service that gets the socket itself: wait,
// and datagrams of either kind. It is entered with s.mu held and leaves it
// unlocked.
//
// A wait service's socket is not watched while the program runs; when that
// ends, exits.go watches it again, and what is still queued starts it anew.
func (s *Server) lend(w *worker, l *listener) {
	c := client{fd: -1, l: l, svc: l.svc, def: l.svc.def}
	if l.nonblocking && l.busy > 0 { // a worker is in accept: it comes back at once
		s.watch(l)
		s.mu.Unlock()
		return
	}
	verdict := c.svc.gate.Reserve(c.def.limits, s.now())
	if verdict != admit.Yes { // nowait datagrams, or a wait service with two addresses
		s.refrain(l, verdict)
		s.mu.Unlock()
		return
	}
	if l.nonblocking { // as a nowait service, before a reload
		socket.SetNonblock(l.fd, false)
		l.nonblocking = false
	}
	t := task{svc: c.svc, def: c.def, lent: l, since: s.now()}
	if c.def.wait {
		s.turn(l, lent)
		s.loans++
		t.loan, l.loan = s.loans, s.loans
	}
	l.busy++
	c.fd = l.fd
	s.mu.Unlock()

	if c.def.terms != nil || (c.def.success|c.def.failure)&config.LogHost != 0 {
		c.from = firstSender(c.fd, c.def.kind)
	}
	t.from = c.from
	if c.def.terms != nil && c.def.kind == config.Dgram && l.Network != "unix" && !c.from.IsValid() {
		s.takeBack(&c, t) // a datagram that was none, as one with a bad checksum: nobody to judge
		return
	}
	var j judgement
	if c.def.terms != nil {
		j = s.judge(w, &c, nil, nil)
	}
	if c.def.wait && j.reason == "" && (j.asks() || j.actions != nil) {
		go s.deliberateLoan(c, t, j)
		return
	}
	s.lendTo(w, &c, t, j)
}

// deliberateLoan finds out who sent the datagram that a wait service's
// program is to be started for, while nobody watches the socket.
func (s *Server) deliberateLoan(c client, t task, j judgement) {
	w := &worker{server: s}
	if j = s.findOut(w, &c, j); j.actions != nil {
		s.carryOut(&c, &j)
	}
	s.lendTo(w, &c, t, j)
}

// lendTo starts the program that a socket was promised to, or throws away the
// datagram of somebody who may not have it started.
func (s *Server) lendTo(w *worker, c *client, t task, j judgement) {
	l := t.lent
	if j.reason == "" && j.asks() {
		j.reason, j.rule = reasonAddress, nameUnasked
	}
	s.mu.Lock()
	s.enter(c, &j, netip.Addr{})
	s.mu.Unlock()
	if j.reason != "" {
		s.rejectLoan(w, c, t, j)
		return
	}
	w.scratch.Reset()
	err := s.startLent(w, c.fd, c.def, t)

	s.mu.Lock()
	l.busy--
	s.closeIdle(l)
	if err == nil {
		l.failures = 0
		s.mu.Unlock()
		return
	}
	s.release(c.svc, netip.AddrPort{})
	// What it was to be started for is still queued, so it waits a little
	// longer each time.
	l.failures++
	switch {
	case l.orphan:
		s.turn(l, closed)
	case l.state == lent && l.loan == t.loan:
		s.giveBack(l, t.loan)
		fallthrough
	default:
		s.pause(l, min(time.Duration(l.failures), 10)*time.Second)
	}
	s.mu.Unlock()
	s.fail(w, c, err.Error(), "")
}

// rejectLoan throws away what a program is not to be started for: else it
// would be there again at once.
func (s *Server) rejectLoan(w *worker, c *client, t task, j judgement) {
	if socket.Accepts(c.def.kind) {
		poll := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}
		if n, _ := unix.Poll(poll, 0); n > 0 {
			if fd, errno := accept4(c.fd, &w.peer); errno == 0 {
				s.farewell(w, fd, nil)
			}
		}
	} else {
		unix.Recvfrom(c.fd, nil, unix.MSG_DONTWAIT)
	}
	s.failQuietly(w, c, j)
	s.mu.Lock()
	t.lent.busy--
	s.giveBack(t.lent, t.loan)
	s.closeIdle(t.lent)
	s.mu.Unlock()
}

// takeBack watches a socket again that was promised to a program for nothing.
func (s *Server) takeBack(c *client, t task) {
	s.mu.Lock()
	c.svc.gate.Cancel()
	s.resume(c.svc)
	t.lent.busy--
	s.giveBack(t.lent, t.loan)
	s.closeIdle(t.lent)
	s.mu.Unlock()
}

// failQuietly logs the refusal of a datagram, but not for every one of the
// same sender, who can send many.
func (s *Server) failQuietly(w *worker, c *client, j judgement) {
	s.mu.Lock()
	told := s.quiet.recently(c.svc, c.from.Addr(), s.now())
	s.mu.Unlock()
	if !told {
		s.fail(w, c, j.reason, j.rule)
	}
}

// A hush knows of whom something has been logged within a minute, as xinetd
// does for datagrams.
type hush map[sender]time.Duration

type sender struct {
	svc  *service
	addr netip.Addr
}

func (h *hush) recently(svc *service, a netip.Addr, now time.Duration) bool {
	who := sender{svc, a}
	if at, known := (*h)[who]; known && now-at < time.Minute {
		return true
	}
	if *h == nil || len(*h) >= 1024 {
		*h = hush{}
	}
	(*h)[who] = now
	return false
}

// startLent starts a program on a copy of the socket with a low number,
// which makes a cheaper fork (package spawn).
func (s *Server) startLent(w *worker, fd int, def *definition, t task) error {
	low, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return err
	}
	defer unix.Close(low)
	return s.start(w, def, low, def.image, t)
}

// firstSender looks at who sent the first datagram that is queued, without
// taking it.
func firstSender(fd int, kind config.SocketType) netip.AddrPort {
	if kind != config.Dgram {
		return netip.AddrPort{}
	}
	_, sa, err := unix.Recvfrom(fd, nil, unix.MSG_PEEK|unix.MSG_DONTWAIT|unix.MSG_TRUNC)
	if err != nil {
		return netip.AddrPort{}
	}
	return socket.AddrPort(sa)
}

// loop closes a service that was started as often within a minute as it may,
// and gives it back after a rest. Clients are told by a refused connection,
// not kept waiting; systemd's sockets are not ours to close, theirs wait.
// s.mu is held.
func (s *Server) loop(svc *service) {
	if svc.rest != nil {
		return
	}
	s.log.Printf(syslog.Err, "%s server failing (looping), service terminated: %d starts within a minute; back at %s (the limit is nowait.%d or -R %d; 0 is none)",
		svc.def.name, svc.gate.Starts(), time.Now().Add(s.o.Rest).Format(time.TimeOnly), svc.def.limits.PerMinute, svc.def.limits.PerMinute)
	svc.back = "%s server looped and is back"
	s.rest(svc, s.o.Rest)
}

// deactivate closes a service that gets more connections a second than its
// cps allows, as xinetd does, and gives it back after the pause. s.mu is
// held.
func (s *Server) deactivate(svc *service) {
	if svc.rest != nil {
		return
	}
	pause := svc.def.limits.CPS.Pause
	s.log.Printf(syslog.Warning, "Deactivating service %s due to excessive incoming connections.  Restarting in %d seconds.", svc.def.name, int(pause.Seconds()))
	svc.back = "Activating service %s"
	s.rest(svc, pause)
}

// rest closes a service for a while. s.mu is held.
func (s *Server) rest(svc *service, d time.Duration) {
	for _, l := range svc.listeners {
		if l.state != lent {
			s.turn(l, resting)
		}
	}
	svc.rest = time.AfterFunc(d, func() {
		s.mu.Lock()
		back := s.rested(svc)
		s.mu.Unlock()
		s.openAll()
		if back != "" { // now that it can be reached
			s.log.Printf(syslog.Notice, "%s", back)
		}
	})
}

// rested gives a service back that was closed for a while. s.mu is held; the caller
// opens what is to be opened.
//
// said is what the log is to say then.
func (s *Server) rested(svc *service) (said string) {
	if svc.rest == nil {
		return ""
	}
	svc.rest.Stop()
	svc.rest = nil
	svc.gate.Forgive()
	if s.services[svc.def.key] != svc {
		return ""
	}
	for _, l := range svc.listeners {
		if l.state != resting {
			continue
		}
		if l.fd >= 0 {
			s.turn(l, watching)
		} else {
			s.turn(l, opening)
		}
	}
	return fmt.Sprintf(svc.back, svc.def.name)
}
