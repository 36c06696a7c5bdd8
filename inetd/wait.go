package inetd

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/logline"
	"goinetd/inetd/sockaddr"
	"goinetd/inetd/socket"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// This file hands sockets off to programs: those of wait services, and those
// that receive datagrams. A wait service's socket is not polled while its
// program has it; when that ends, reap.go reclaims it, and what is queued
// starts the program again.

// beginHandOffLocked reserves a slot and puts the socket of a wait service
// into stateHandedOff, so that nobody else starts a program for it. It
// returns the number of the hand-off, 0 for a socket that is shared.
func (s *Server) beginHandOffLocked(l *listener) (handOff uint64, ok bool) {
	if l.nonblocking && l.users > 0 { // a worker is in accept4, since before a reload, and returns at once
		s.pollLocked(l)
		return 0, false
	}
	if !s.reserveLocked(l) { // nowait datagrams, or a wait service with two addresses
		return 0, false
	}
	if l.nonblocking {
		socket.SetNonblock(l.fd, false)
		l.nonblocking = false
	}
	if !l.svc.def.Wait {
		return 0, true
	}
	s.setStateLocked(l, stateHandedOff)
	s.handOffs++
	l.handOff = s.handOffs
	return l.handOff, true
}

// handOffSocket starts the program of a service that gets the socket itself,
// if the sender of the first datagram may have that done.
func (s *Server) handOffSocket(sc *scratch, t ticket) {
	c := client{fd: t.fd, to: t.address.Addr, l: t.l, svc: t.svc, def: t.def}
	policy := c.def.Policy != nil
	c.from = firstSender(c.fd, c.def.Type)
	if s.tracers.wanted.Load() {
		c.trace = s.beginTrace(&c, clockMonotonic())
		c.trace.handOff(&c)
	}
	if (policy || c.def.Limits.PerClient()) && c.def.Type == config.Dgram && t.address.Network != "unix" && !c.from.IsValid() {
		c.trace.end("closed", "a datagram that was none")
		s.cancelHandOff(t) // a datagram that was none, as with a bad checksum: nobody to decide about
		return
	}
	var d decision
	if policy {
		d = s.check(sc, &c, lookups{})
		c.trace.checked(&c, &d)
	}
	if c.def.Wait && d.Reason == "" && (d.pending() || d.actions != nil) {
		go s.lookUpSender(c, t, d)
		return
	}
	s.finishHandOff(sc, &c, t, d)
}

// lookUpSender looks up the sender of the first datagram. The socket is not
// polled meanwhile.
func (s *Server) lookUpSender(c client, t ticket, d decision) {
	d = s.resolve(new(scratch), &c, d)
	s.addJob(func(sc *scratch) {
		var commands []string
		if d.actions != nil {
			s.runActions(sc, &c, &d)
			commands = d.actions.Spawn
		}
		s.runCommands(sc, &c, commands, func(sc *scratch) { s.finishHandOff(sc, &c, t, d) })
	})
}

// finishHandOff starts the program, or discards the datagram of a sender that
// is refused.
func (s *Server) finishHandOff(sc *scratch, c *client, t ticket, d decision) {
	if d.Reason == "" && d.pending() {
		d.Reason, d.Rule = logline.ReasonAddress, ruleNotLookedUp
	}
	s.mu.Lock()
	s.admitLocked(c, &d, c.from.Addr())
	s.mu.Unlock()
	c.trace.admitted(c, &d)
	if d.Reason != "" {
		if d.admitted { // for a twist command, which a datagram does not get
			s.mu.Lock()
			s.releaseLocked(c.svc, c.def, c.from)
			s.countRefusalLocked(c, d.Reason)
			s.mu.Unlock()
		}
		s.discardRefused(sc, c, t, d)
		return
	}
	s.startOnSocket(sc, c, task{svc: c.svc, def: c.def, from: c.from, handedOff: t.l, handOff: t.handOff, start: s.now(), trace: c.trace})
}

// ruleNotLookedUp is why a datagram is refused that nobody can wait with.
const ruleNotLookedUp = "name_not_looked_up"

// startOnSocket starts a program on a copy of the socket with a low number,
// which makes the fork cheaper (package spawn).
func (s *Server) startOnSocket(sc *scratch, c *client, t task) {
	low, err := unix.FcntlInt(uintptr(c.fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		s.handOffFailed(c, &t, err)
		s.logFail(sc, c, err.Error(), "")
		c.trace.end("closed", "the socket is served again after a pause")
		return
	}
	c.fd = low
	sc.setSender(c)
	s.start(sc, c, c.def.Image, t)
}

// endHandOff ends the use of a socket whose program runs.
func (s *Server) endHandOff(t *task) {
	s.mu.Lock()
	s.endUseLocked(t.handedOff)
	t.handedOff.failures = 0
	s.mu.Unlock()
}

// handOffFailed reclaims a socket whose program could not be started. What it
// was to be started for is still queued, so the listener is paused: for longer
// each time, but where the host was short of something.
func (s *Server) handOffFailed(c *client, t *task, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := t.handedOff
	s.endUseLocked(l)
	s.releaseLocked(c.svc, c.def, c.from)
	pause := retryPause
	if _, retry := temporary(err); !retry {
		l.failures++
		pause = min(time.Duration(l.failures), 10) * time.Second
	}
	s.reclaimLocked(l, t.handOff)
	s.pauseLocked(l, pause)
}

// reclaimLocked takes a socket back whose program has ended, or was not
// started. Where another program has it since, nothing is done.
func (s *Server) reclaimLocked(l *listener, handOff uint64) {
	switch {
	case l.state == stateHandedOff && l.handOff != handOff:
	case l.state == stateHandedOff && l.orphaned:
		s.setStateLocked(l, stateClosed)
	case l.state == stateHandedOff && l.svc.suspended != nil:
		s.setStateLocked(l, stateSuspended)
	case l.state == stateHandedOff:
		s.setStateLocked(l, stateListening)
	case l.state == stateListening && !socket.Accepts(l.Type):
		s.pollLocked(l) // a datagram that the program left unread is an event now
	}
}

// discardRefused discards what a program is not to be started for, which
// would be an event at once again.
func (s *Server) discardRefused(sc *scratch, c *client, t ticket, d decision) {
	if socket.Accepts(c.def.Type) {
		poll := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}
		if n, _ := unix.Poll(poll, 0); n > 0 {
			var peer unix.RawSockaddrAny
			if fd, errno := accept4(c.fd, &peer); errno == 0 {
				s.closeGracefully(sc, fd, nil)
			}
		}
	} else {
		unix.Recvfrom(c.fd, nil, unix.MSG_DONTWAIT)
	}
	s.logRefusedDatagram(sc, c, d)
	c.trace.refused(d.Reason, d.Rule)
	c.trace.end("closed", "the datagram is discarded")
	s.mu.Lock()
	s.endUseLocked(t.l)
	s.reclaimLocked(t.l, t.handOff)
	s.mu.Unlock()
}

// cancelHandOff reclaims a socket for which no program is to be started.
func (s *Server) cancelHandOff(t ticket) {
	s.mu.Lock()
	t.svc.gate.Cancel()
	s.unsaturateLocked(t.svc)
	s.endUseLocked(t.l)
	s.reclaimLocked(t.l, t.handOff)
	s.mu.Unlock()
}

// logRefusedDatagram logs a refused datagram, once in a minute for each
// sender, and for so many senders.
func (s *Server) logRefusedDatagram(sc *scratch, c *client, d decision) {
	s.mu.Lock()
	allowed, last := s.refusalLog.AllowSender(c.def.Name, c.from.Addr(), s.now())
	s.mu.Unlock()
	if allowed {
		s.logFail(sc, c, d.Reason, d.Rule)
	}
	if last {
		s.log.Printf(syslog.Notice, "%s: datagrams of %d senders have been refused within a minute; those of others are not logged until it is over", c.def.Name, logline.MaxSenders)
	}
}

// firstSender returns the sender of the first datagram that is queued,
// without receiving it.
func firstSender(fd int, kind config.SocketType) netip.AddrPort {
	if kind != config.Dgram {
		return netip.AddrPort{}
	}
	_, sa, err := unix.Recvfrom(fd, nil, unix.MSG_PEEK|unix.MSG_DONTWAIT|unix.MSG_TRUNC)
	if err != nil {
		return netip.AddrPort{}
	}
	return sockaddr.From(sa)
}

// replyToDatagrams serves a UDP socket of a builtin.
func (s *Server) replyToDatagrams(w *worker, t ticket) {
	w.datagrams.Serve(t.fd, t.def.Builtin, s.now(), s.refusesSource(&w.scratch, t))
	s.mu.Lock()
	if t.l.state == stateListening {
		s.pollLocked(t.l)
	}
	s.endUseLocked(t.l)
	s.mu.Unlock()
}

// refusesSource returns the function that reports whether a datagram's source
// gets no reply.
func (s *Server) refusesSource(sc *scratch, t ticket) func(netip.AddrPort) bool {
	ports := *s.udpPorts.Load()
	if t.def.Policy == nil && s.bansMade.Load() == 0 {
		return func(from netip.AddrPort) bool { return ports[from.Port()] }
	}
	return func(from netip.AddrPort) bool {
		return ports[from.Port()] || s.refusesDatagram(sc, t, from)
	}
}

func (s *Server) refusesDatagram(sc *scratch, t ticket, from netip.AddrPort) bool {
	c := client{l: t.l, svc: t.svc, def: t.def, from: from, to: t.address.Addr}
	var d decision
	if t.def.Policy != nil {
		d = s.check(sc, &c, lookups{})
	}
	if d.Reason == "" && d.pending() {
		d.Reason, d.Rule = logline.ReasonAddress, ruleNotLookedUp
	}
	s.mu.Lock()
	if d.Reason == "" && s.bans.Banned(from.Addr(), s.now()) {
		d.Reason, d.Rule = logline.ReasonAddress, "sensor"
	}
	s.mu.Unlock()
	if d.Reason == "" {
		return false
	}
	s.logRefusedDatagram(sc, &c, d)
	return true
}

// adoptWaiterLocked leaves a wait service's socket to a program that a
// process before us started and that still has it.
func (s *Server) adoptWaiterLocked(l *listener, pid int) {
	s.log.Printf(syslog.Notice, "%s: pid %d, started before this inetd, serves %s until it ends", l.svc.def.Name, pid, l.Address)
	s.setStateLocked(l, stateHandedOff)
	s.handOffs++
	l.handOff = s.handOffs
	l.svc.gate.Adopt(l.svc.def.Limits, netip.Addr{})
	s.running++
	s.addChild(spawn.Existing(pid), task{svc: l.svc, def: l.svc.def, handedOff: l, handOff: l.handOff, start: s.now()})
}
