package inetd

import (
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/holder"
	"goinetd/inetd/socket"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// This file is what one inetd leaves to the next: its sockets, so that no
// client is refused in between, and its programs, so that they are counted.
// The next is the same process after an exec, or another that got the
// sockets back from systemd.

// An Estate is what is left.
type Estate struct {
	Sockets  []*socket.Inherited
	Children []Child
}

// A Child is a program that runs, and goes on.
type Child struct {
	PID     int
	Service string // config.Service.Key
	Client  netip.AddrPort
	Since   time.Time
}

// Lost gives the names of the services that run and are not in a
// configuration.
func (s *Server) Lost(services []*config.Service) (names []string) {
	there := map[string]bool{}
	for _, conf := range services {
		there[conf.Key()] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, svc := range s.services {
		if !there[key] {
			names = append(names, svc.def.name)
		}
	}
	slices.Sort(names)
	return names
}

// Quiesce stops accepting, and gives the clients that are served by us, or of
// whom something is being found out, a while to be done. Those that come wait
// in the queues.
func (s *Server) Quiesce(limit time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.listeners {
		if l.state == watching {
			s.turn(l, paused)
		}
	}
	for end := s.now() + limit; s.running+s.askingAll > s.children.Len() && s.now() < end; {
		s.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
		s.mu.Lock()
	}
}

// Bequeath ends the server as Stop does, but leaves its sockets open. The
// workers are to have ended.
func (s *Server) Bequeath() (e Estate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	if s.retrying != nil {
		s.retrying.Stop()
	}
	for _, l := range s.listeners {
		if l.fd >= 0 && l.inherited == nil {
			e.Sockets = append(e.Sockets, socket.Leave(l.fd, l.kept))
		}
	}
	for _, in := range s.inherited {
		if !in.dead {
			e.Sockets = append(e.Sockets, in.Inherited)
		}
	}
	now := time.Now()
	s.children.Each(func(pid int, t task) {
		if t.loan == 0 && !t.side { // who has a whole socket is found by that
			e.Children = append(e.Children, Child{pid, t.svc.def.key, t.from, now.Add(t.since - s.now())})
		}
	})
	return e
}

// adopt counts the programs that an inetd before us started. s.mu is held.
func (s *Server) adopt(children []Child) {
	for _, c := range children {
		t := task{from: c.Client, since: time.Until(c.Since) + s.now(), side: true}
		if svc := s.services[c.Service]; svc != nil {
			t.svc, t.def, t.side = svc, svc.def, false
			svc.gate.Adopt(c.Client.Addr())
			s.running++
			s.limitTime(c.PID, &t)
		}
		s.children.Add(spawn.Known(c.PID), t)
	}
}

// takeKept gives a socket that an inetd before us had where a listener is to
// be; -1: there is none. s.mu is held.
func (s *Server) takeKept(l *listener) int {
	for i, in := range s.kept {
		if in.Serves(l.Address) {
			s.kept = append(s.kept[:i:i], s.kept[i+1:]...)
			socket.SetNonblock(in.FD, false)
			socket.Adjust(in.FD, l.Address, *l.svc.def.open)
			return in.FD
		}
	}
	return -1
}

// leaveToProgram tells whether a program that an inetd before us started has
// the socket of a wait service still. The socket is its until it ends. s.mu
// is held.
func (s *Server) leaveToProgram(l *listener) bool {
	if !l.svc.def.wait {
		return false
	}
	pid, ok := holder.Sharing(l.fd)
	if !ok {
		return false
	}
	s.log.Printf(syslog.Notice, "%s: pid %d, which an inetd before us started, serves %s until it ends", l.svc.def.name, pid, l.Address)
	s.turn(l, lent)
	s.loans++
	l.loan = s.loans
	l.svc.gate.Adopt(netip.Addr{})
	s.running++
	s.children.Add(spawn.Known(pid), task{svc: l.svc, def: l.svc.def, lent: l, loan: l.loan, since: s.now()})
	return true
}

// closeKept closes what no service wants any more.
func (s *Server) closeKept() {
	for _, in := range s.kept {
		s.log.Printf(syslog.Notice, "%s, which an inetd before us had, is no service's any more: closed", in.Address)
		if s.o.Manager != nil && in.Kept() {
			s.o.Manager.Forget(in.Name)
		}
		unix.Close(in.FD)
	}
	s.kept = nil
}
