package inetd

import (
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

// A socketTable has the listeners, one for each address, and the sockets that
// were there before us. It is guarded by Server.mu.
type socketTable struct {
	byKey     map[string]*listener // by socket.Address.Key
	inherited []*inherited         // the service manager's
	retained  []*socket.Inherited  // a process before us opened them; nil once Start is done
}

// An inherited socket was opened by the service manager. It is kept while no
// service wants it, because we could not get it back.
type inherited struct {
	*socket.Inherited
	listener *listener // that uses it; nil: none
	closed   bool      // no service wanted it at the start
}

func newSocketTable() socketTable { return socketTable{byKey: map[string]*listener{}} }

func (t *socketTable) addInherited(in *socket.Inherited) {
	if in.Retained() {
		t.retained = append(t.retained, in)
		return
	}
	t.inherited = append(t.inherited, &inherited{Inherited: in})
}

func (t *socketTable) get(key string) *listener { return t.byKey[key] }

// add adds a listener that is not open yet.
func (t *socketTable) add(key string, a *service.Address, svc *activeService) *listener {
	l := &listener{Address: a, svc: svc, fd: -1}
	t.byKey[key] = l
	return l
}

// remove removes a closed listener. The service manager's socket stays open
// for another reload.
func (t *socketTable) remove(l *listener) {
	if key := l.Key(); t.byKey[key] == l {
		delete(t.byKey, key)
	}
	if l.inherited != nil && l.inherited.listener == l {
		l.inherited.listener = nil
	}
}

func (t *socketTable) len() int { return len(t.byKey) }

// all returns the listeners, in no order.
func (t *socketTable) all() []*listener {
	list := make([]*listener, 0, len(t.byKey))
	for _, l := range t.byKey {
		list = append(list, l)
	}
	return list
}

// open returns every open socket, for the process after us.
func (t *socketTable) open() (list []*socket.Inherited) {
	for _, l := range t.byKey {
		if l.fd >= 0 && l.inherited == nil {
			list = append(list, socket.Retain(l.fd, l.storeName))
		}
	}
	for _, in := range t.inherited {
		if !in.closed {
			list = append(list, in.Inherited)
		}
	}
	return list
}

// takeRetained takes a retained socket of an address out of the table, nil
// for none.
func (t *socketTable) takeRetained(a socket.Address) *socket.Inherited {
	i := slices.IndexFunc(t.retained, func(in *socket.Inherited) bool { return in.Serves(a) })
	if i < 0 {
		return nil
	}
	in := t.retained[i]
	t.retained = slices.Delete(t.retained, i, i+1)
	return in
}

// A placement is an address of a service, and the service manager's socket
// for it, if there is one.
type placement struct {
	*service.Address
	in *inherited // nil: we open the socket
}

// place returns the placements of a definition: on the service manager's
// sockets of the service's name (FileDescriptorName=), else on those that are
// bound where the service listens, else on sockets of our own. missing are
// the names of sockets that the definition asks for ("systemd:name") and
// nobody passed to us.
func (t *socketTable) assign(d *service.Definition) (list []placement, missing []string) {
	for i := range d.Addresses {
		if a := &d.Addresses[i]; a.Network == "systemd" {
			found := t.named(a.Name, d.Type)
			if found == nil {
				missing = append(missing, a.Name)
			}
			for _, in := range found {
				list = append(list, placement{&service.Address{Address: in.Address}, in})
			}
		}
	}
	if list != nil || missing != nil || len(d.Addresses) == 0 {
		return append(list, t.assignByAddress(d)...), missing
	}
	first := d.Addresses[0]
	for _, in := range t.named(d.Name, d.Type) {
		if in.Address.Network == first.Network && in.suits(d.Addresses) {
			list = append(list, placement{&service.Address{Address: in.Address, MappedAsIPv6: first.MappedAsIPv6}, in})
		}
	}
	if list != nil {
		return list, nil
	}
	return t.assignByAddress(d), nil
}

// named returns the service manager's sockets of a name and a type.
func (t *socketTable) named(name string, kind config.SocketType) (list []*inherited) {
	for _, in := range t.inherited {
		if !in.closed && in.Name == name && in.Address.Type == kind {
			list = append(list, in)
		}
	}
	return list
}

// suits reports whether the socket is of a family that a service is to be
// reached over.
func (in *inherited) suits(addresses []service.Address) bool {
	is4 := in.Address.Addr.Addr().Is4()
	return slices.ContainsFunc(addresses, func(a service.Address) bool {
		return a.Network == "unix" || a.Addr.Addr().Is4() == is4 || in.Dual
	})
}

// placeByAddress returns the placements of a definition by its addresses.
func (t *socketTable) assignByAddress(d *service.Definition) (list []placement) {
	for i := range d.Addresses {
		p := placement{Address: &d.Addresses[i]}
		if p.Network == "systemd" {
			continue
		}
		if j := slices.IndexFunc(t.inherited, func(in *inherited) bool { return !in.closed && in.Fits(p.Address.Address) }); j >= 0 {
			p.in = t.inherited[j]
			a := *p.Address
			a.Address = p.in.Address
			p.Address = &a
		}
		if p.in != nil && slices.ContainsFunc(list, func(q placement) bool { return q.in == p.in }) {
			continue // one socket for both families
		}
		list = append(list, p)
	}
	return list
}

// A binding is the opening of one listener.
type binding struct {
	l       *listener
	address *service.Address
	def     *service.Definition
	fd      int  // -1: not open yet
	existed bool // the socket was open before: a program may have it, too
	waiter  int  // pid of that program; 0: none
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
		if b.existed && b.def.Wait {
			b.waiter, _ = scan().SharedWith(b.fd)
		}
	}

	s.mu.Lock()
	failed := s.installBindingsLocked(bindings)
	s.mu.Unlock()

	var problems []config.Problem
	for _, b := range failed {
		p := b.problem(scan)
		s.Report(p)
		problems = append(problems, p)
	}
	return problems
}

// collectBindingsLocked returns what is to be opened.
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
	return list
}

// open opens the socket, or prepares the one that exists.
func (b *binding) open() {
	if !b.existed {
		b.fd, b.err = socket.Open(b.address.Address, *b.def.Socket)
		return
	}
	socket.SetNonblock(b.fd, false) // as one of ours is; pollLocked sets it where it is wanted
	if b.l.inherited == nil {
		socket.Adjust(b.fd, b.address.Address, *b.def.Socket)
	}
}

// installBindingsLocked returns the opened sockets to their listeners, and
// schedules the next try for the others. It returns the failures that have
// not been reported.
func (s *Server) installBindingsLocked(bindings []binding) (failed []binding) {
	retryable := 0
	for _, b := range bindings {
		l := b.l
		switch {
		case b.err == nil:
			s.installLocked(b)
		case l.state != stateOpening: // closed meanwhile
		case l.Shared && socket.NoFamily(b.err):
			s.discardLocked(l) // a host without IPv6
		case socket.Retryable(b.err):
			retryable++
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
	s.retry.schedule(retryable, func() {
		s.changing.Lock()
		defer s.changing.Unlock()
		s.openListeners()
	})
	return failed
}

// installLocked returns a socket to its listener, and that to the clients, or
// to a program that has it still.
func (s *Server) installLocked(b binding) {
	l := b.l
	if s.stopped || l.state != stateOpening { // closed while the socket was opened
		if l.inherited == nil {
			if !b.existed && b.address.Network == "unix" {
				socket.Identify(b.address.Path).Remove(b.address.Path)
			}
			unix.Close(b.fd)
		}
		return
	}
	l.fd, l.nonblocking = b.fd, false
	if l.inherited != nil {
		l.inherited.listener = l
	} else {
		if b.address.Network == "unix" {
			l.file = socket.Identify(b.address.Path)
		}
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

// discardLocked returns up a listener, and its service with the last one.
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
	retained := s.sockets.retained
	s.sockets.retained = nil
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
