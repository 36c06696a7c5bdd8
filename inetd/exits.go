package inetd

import (
	"cmp"
	"net/netip"
	"time"

	"goinetd/inetd/socket"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// A task is what is known of a running program.
type task struct {
	svc   *service
	def   *definition    // as it was when the program started
	from  netip.AddrPort // its client; of a lent socket, who sent the first datagram
	lent  *listener      // the socket that it has; nil for a connection
	loan  uint64         // the loan of it; 0: it is shared
	since time.Duration

	severity syslog.Priority
	serial   uint64        // tells this start from others of the same pid, where there are timers
	timers   []*time.Timer // that end it
	side     bool          // a command of hosts.allow, which no service counts
}

func (t *task) fields(pid int) syslog.Fields {
	return syslog.Fields{Service: t.def.name, Client: t.from.Addr(), PID: pid}
}

// ended releases what a program had, and writes the EXIT line. Only the
// reaper calls it.
func (s *Server) ended(e spawn.Exit, t task) {
	if t.side {
		return
	}
	for _, timer := range t.timers {
		timer.Stop()
	}
	s.mu.Lock()
	if t.lent == nil {
		s.release(t.svc, t.from)
	} else {
		s.release(t.svc, netip.AddrPort{})
		s.giveBack(t.lent, t.loan)
	}
	s.mu.Unlock()
	if e.Ours && t.def.success&exitParts != 0 {
		s.exit = exitLine(s.exit, t.def, e.Status, e.PID, s.now()-t.since)
		t.def.log.log.Tell(cmp.Or(t.severity, t.def.log.success), s.exit, t.fields(e.PID))
	}
}

// release frees a place. s.mu is held.
func (s *Server) release(svc *service, from netip.AddrPort) {
	svc.gate.Leave(from.Addr())
	s.running--
	s.tellManager()
	s.resume(svc)
}

// giveBack watches a socket again whose program has ended. s.mu is held.
func (s *Server) giveBack(l *listener, loan uint64) {
	switch {
	case l.state == lent && l.loan != loan: // another program has it now
	case l.state == lent && l.orphan:
		s.turn(l, closed)
	case l.state == lent && l.svc.rest != nil:
		s.turn(l, resting)
	case l.state == lent:
		s.turn(l, watching)
	case l.state == watching && !socket.Accepts(l.Type):
		s.watch(l) // a nowait datagram that is still there is an event now
	}
}
