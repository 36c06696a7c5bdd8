package inetd

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/portowner"
	"goinetd/inetd/service"
	"goinetd/inetd/socket"
	"goinetd/inetd/syslog"
)

// A binding is the opening of one listener.
type binding struct {
	l       *listener
	address *service.Address
	def     *service.Definition
	fd      int             // -1: not open yet
	file    socket.Identity // of a Unix socket
	existed bool            // the socket was open before: a program may have it, too
	inode   uint64          // of the socket
	waiter  int             // pid of that program; 0: none
	err     error
}

// openListeners opens every listener that is in stateOpening. It logs, and
// returns, the problems of those that cannot be opened and that have not been
// reported. What may be possible later is retried. The caller holds
// s.changing.
func (s *Server) openListeners() []config.Problem {
	s.mu.Lock()
	bindings := s.collectBindingsLocked()
	s.mu.Unlock()

	var owners *portowner.Processes // one walk through /proc, if there is a question
	scan := func() *portowner.Processes {
		if owners == nil {
			owners = s.o.ScanProcesses()
		}
		return owners
	}
	for i := range bindings {
		b := &bindings[i]
		b.open()
		switch {
		case !b.existed || !b.def.Wait:
		case s.o.State.Table != nil: // it has the programs of before us
			s.mu.Lock()
			b.waiter = s.waiters[b.inode].PID
			delete(s.waiters, b.inode)
			s.mu.Unlock()
		default:
			b.waiter, _ = scan().SharedWith(b.fd)
		}
	}

	s.mu.Lock()
	failed := s.installBindingsLocked(bindings)
	s.mu.Unlock()
	s.publishRegistrations()

	var problems []config.Problem
	for _, b := range failed {
		p := b.problem(scan)
		s.Report(p)
		problems = append(problems, p)
	}
	return problems
}

// collectBindingsLocked returns what is to be opened, in the order of the
// configuration: of two addresses that exclude each other the first is opened.
// Those that may have any port come last, lest they get one that is another's.
func (s *Server) collectBindingsLocked() (list []binding) {
	if s.stopped {
		return nil
	}
	list = make([]binding, 0, s.sockets.len())
	for _, l := range s.sockets.byKey {
		if l.state != stateOpening {
			continue
		}
		b := binding{l: l, address: l.Address, def: l.svc.def, fd: -1}
		if l.inherited != nil {
			b.fd, b.existed = l.inherited.FD, true
		} else if in := s.sockets.takeRetained(b.address.Address); in != nil {
			b.fd, b.existed = in.FD, true
		}
		list = append(list, b)
	}
	slices.SortFunc(list, func(a, b binding) int { return cmp.Compare(a.l.number, b.l.number) })
	slices.SortStableFunc(list, func(a, b binding) int {
		return cmp.Compare(portOrder(a.address), portOrder(b.address))
	})
	return list
}

func portOrder(a *service.Address) int {
	if a.AnyPort() {
		return 1
	}
	return 0
}

// open opens the socket, or prepares the one that exists.
func (b *binding) open() {
	defer func() {
		b.inode = socket.Inode(b.fd)
		if b.address.Network == "unix" {
			b.file = socket.Identify(b.address.Path)
		}
	}()
	if !b.existed {
		b.fd, b.err = socket.Open(b.address.Address, *b.def.Socket)
		return
	}
	socket.SetNonblock(b.fd, false) // as one of ours is; pollLocked sets it where it is wanted
	if b.l.inherited == nil {
		socket.Adjust(b.fd, b.address.Address, *b.def.Socket)
		if socket.Accepts(b.address.Type) { // its service may have been suspended
			b.err = socket.ListenAgain(b.fd, b.address.Type, b.def.Socket.Backlog)
		}
	}
}

// installBindingsLocked installs the opened sockets in their listeners, and
// schedules the next try for the others. It returns the failures that have
// not been reported.
func (s *Server) installBindingsLocked(bindings []binding) (failed []binding) {
	var retryable []*listener
	for _, b := range bindings {
		l := b.l
		switch {
		case b.err == nil:
			s.installLocked(b)
		case l.state != stateOpening: // closed meanwhile
		case l.Shared && socket.NoFamily(b.err):
			s.discardLocked(l) // a host without IPv6
		case socket.Retryable(b.err):
			retryable = append(retryable, l)
			if !l.reported {
				l.reported = true
				failed = append(failed, b)
			}
		default:
			failed = append(failed, b)
			s.discardLocked(l)
		}
	}
	if s.stopped {
		return nil
	}
	s.setUnopenedLocked(retryable)
	s.bindRetry.schedule(len(retryable), func() {
		s.changing.Lock()
		defer s.changing.Unlock()
		s.openListeners()
	})
	return failed
}

// installLocked installs a socket in its listener, which then listens, or is left
// to a program that has it still.
func (s *Server) installLocked(b binding) {
	l := b.l
	if s.stopped || l.state != stateOpening { // closed while the socket was opened
		if l.inherited == nil {
			if !b.existed {
				b.file.Remove(b.address.Path)
			}
			unix.Close(b.fd)
		}
		return
	}
	l.fd, l.inode, l.nonblocking = b.fd, b.inode, false
	if l.inherited != nil {
		l.inherited.listener = l
	} else {
		l.file = b.file
		s.storeLocked(l)
	}
	if l.reported {
		s.log.Printf(syslog.Notice, "%s: now listening on %s", l.svc.def.Name, l.Address)
		l.reported = false
	}
	if b.waiter != 0 {
		s.adoptWaiterLocked(l, b.waiter)
		return
	}
	s.setStateLocked(l, stateListening)
}

// discardLocked closes a listener, and its service with the last one.
func (s *Server) discardLocked(l *listener) {
	s.setStateLocked(l, stateClosed)
	svc := l.svc
	svc.listeners = slices.DeleteFunc(slices.Clone(svc.listeners), func(other *listener) bool { return other == l })
	if len(svc.listeners) == 0 {
		s.services.remove(svc)
	}
}

// problem returns the problem of a socket that could not be opened, with the
// process that has the address.
func (b *binding) problem(scan func() *portowner.Processes) config.Problem {
	severity, by := config.Error, ""
	var hints []string
	if errors.Is(b.err, unix.EADDRINUSE) {
		who, ok := portowner.Owner{}, false
		if b.address.Network == "unix" {
			who, ok = scan().OfPath(b.address.Path)
		} else {
			who, ok = scan().OfPort(b.address.Network, b.address.Addr)
		}
		if ok {
			by = " by " + who.Desc
			if advice := who.Advice(); advice != "" {
				hints = append(hints, advice)
			}
		}
	}
	if socket.Retryable(b.err) {
		severity = config.Warning
		hints = append(hints, b.def.Name+" is retried until it can listen")
	}
	return b.def.Problem(severity, strings.Join(hints, "; "), "%v%s", b.err, by)
}

// How often an address that is in use, or not up, is tried again: every
// second for a minute, every five seconds after that.
const (
	retrySoon   = time.Second
	retryLate   = 5 * time.Second
	soonRetries = 60
)

// A bindRetry schedules the next try to open what could not be opened. It is
// guarded by Server.mu.
type bindRetry struct {
	timer *time.Timer // nil: none is scheduled
	tries int
}

func (r *bindRetry) stop() {
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
}

// schedule schedules try for later, where something is waiting for it.
func (r *bindRetry) schedule(waiting int, try func()) {
	r.stop()
	if waiting == 0 {
		r.tries = 0
		return
	}
	r.tries++
	pause := retrySoon
	if r.tries > soonRetries {
		pause = retryLate
	}
	r.timer = time.AfterFunc(pause, try)
}

// closeRetained closes the sockets of the process before us that no service
// wants.
func (s *Server) closeRetained() {
	s.mu.Lock()
	retained := s.sockets.takeAllRetained()
	s.mu.Unlock()
	for _, in := range retained {
		s.log.Printf(syslog.Notice, "%s, retained from the inetd before this one, belongs to no service: closed", in.Address)
		if s.o.Notifier != nil && in.InStore() {
			s.o.Notifier.Unstore(in.Name)
		}
		unix.Close(in.FD)
	}
}

// closeUnused closes the service manager's sockets that no service wants. It
// returns, and logs, a problem for each.
func (s *Server) closeUnused() (problems []config.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range s.sockets.inherited {
		if in.listener != nil {
			continue
		}
		p := config.Problem{Severity: config.Warning, Text: fmt.Sprintf("socket %s (%s) was passed by the service manager, and no service wants it: closed", in.Name, in.Address),
			Hint: "give a service its name or its address, or remove it from the socket unit"}
		s.Report(p)
		problems = append(problems, p)
		unix.Close(in.FD)
		in.closed = true
	}
	return problems
}
