package inetd

import (
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/holder"
	"goinetd/inetd/socket"
	"goinetd/inetd/syslog"
)

// How often a port that is taken, or an address that is not up, is tried
// again: each second for a minute, then less often.
const (
	retrySoon  = time.Second
	retryLater = 5 * time.Second
	retryHasty = 60 // tries
)

// A refusal is a socket that could not be opened.
type refusal struct {
	at  socket.Address
	def *definition
	err error
}

// openAll opens every listener that is not open. It gives, and logs, the
// problems of those that could not be opened and of which it has not told
// yet. What may become possible is tried again by itself.
func (s *Server) openAll() []config.Problem {
	s.mu.Lock()
	later, never := s.tryOpen()
	s.mu.Unlock()
	var problems []config.Problem
	tell := func(r refusal, sev config.Severity, hint string) {
		by := ""
		if who, ok := takenBy(r); ok {
			by = " by " + who.Who
			hint = strings.Join(slices.DeleteFunc([]string{who.Advice(), hint}, func(s string) bool { return s == "" }), "; ")
		}
		p := r.def.problem(sev, hint, "%v%s", r.err, by)
		s.Report(p)
		problems = append(problems, p)
	}
	for _, r := range later {
		tell(r, config.Warning, r.def.name+" is tried again until it can be had")
	}
	for _, r := range never {
		tell(r, config.Error, "")
	}
	return problems
}

// tryOpen opens what it can and sees to the next try. later are those whose
// first failure this was. s.mu is held.
func (s *Server) tryOpen() (later, never []refusal) {
	if s.stopped {
		return nil, nil
	}
	waiting := 0
	for _, l := range s.listeners {
		if l.state != opening {
			continue
		}
		err := s.open(l)
		switch {
		case err == nil && l.reported:
			s.log.Printf(syslog.Notice, "%s: %s can be had now: listening", l.svc.def.name, l.Address)
			l.reported = false
		case err == nil:
		case l.shared && socket.Absent(err):
			s.discard(l) // a host without IPv6
		case socket.Later(err):
			waiting++
			if !l.reported {
				l.reported = true
				later = append(later, refusal{l.Address, l.svc.def, err})
			}
		default:
			never = append(never, refusal{l.Address, l.svc.def, err})
			s.discard(l)
		}
	}
	s.again(waiting)
	return later, never
}

// again sets the clock for the next try. s.mu is held.
func (s *Server) again(waiting int) {
	if s.retrying != nil {
		s.retrying.Stop()
		s.retrying = nil
	}
	if waiting == 0 {
		s.retries = 0
		return
	}
	s.retries++
	pause := retrySoon
	if s.retries > retryHasty {
		pause = retryLater
	}
	s.retrying = time.AfterFunc(pause, func() { s.openAll() })
}

// open opens one listener and watches it. s.mu is held.
func (s *Server) open(l *listener) error {
	if l.inherited != nil {
		l.fd, l.inherited.listener = l.inherited.FD, l
		socket.SetNonblock(l.fd, false) // as our own are; watch sees to the rest
		l.nonblocking = false
		if !s.leaveToProgram(l) {
			s.turn(l, watching)
		}
		return nil
	}
	fd := s.takeKept(l)
	kept := fd >= 0
	if !kept {
		var err error
		if fd, err = socket.Open(l.Address, *l.svc.def.open); err != nil {
			return err
		}
	}
	l.fd = fd
	if l.Network == "unix" {
		l.file = socket.Identify(l.Path)
	}
	l.nonblocking = false
	s.keep(l)
	if kept && s.leaveToProgram(l) {
		return nil
	}
	s.turn(l, watching)
	return nil
}

// discard gives up a listener, and its service if that was its last. s.mu is
// held.
func (s *Server) discard(l *listener) {
	s.turn(l, closed)
	svc := l.svc
	for i, other := range svc.listeners {
		if other == l {
			svc.listeners = append(svc.listeners[:i:i], svc.listeners[i+1:]...)
			break
		}
	}
	if len(svc.listeners) == 0 {
		delete(s.services, svc.def.key)
	}
}

// takenBy says who has what we want.
func takenBy(r refusal) (who holder.Holder, ok bool) {
	switch {
	case !errors.Is(r.err, unix.EADDRINUSE):
		return who, false
	case r.at.Network == "unix":
		return holder.Unix(r.at.Path)
	}
	return holder.Port(r.at.Network, r.at.Addr)
}
