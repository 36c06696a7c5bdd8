package inetd

import (
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/admit"
	"goinetd/inetd/service"
	"goinetd/inetd/socket"
	"goinetd/inetd/syslog"
)

// A listener is a listening socket, or a UDP one, of a service. At a reload
// another service may take it over; clients in its queue are kept. It is
// guarded by Server.mu.
type listener struct {
	*service.Address            // a reload replaces it by one with the same Key
	inherited        *inherited // the service manager's socket; nil: it is ours
	svc              *activeService
	number           uint64 // they are opened in this order

	fd      int             // -1: not open
	inode   uint64          // of the socket
	file    socket.Identity // of a Unix socket that we opened
	options *socket.Options // that the socket has; nil: not known
	handOff uint64          // which hand-off it is in stateHandedOff for

	users    int32 // of fd without the lock: workers in accept4 or a fork
	failures int32 // starts of a wait service that failed in a row

	state       state
	pollMode    pollMode // while it is polled
	polled      bool     // fd is in the epoll set
	stored      bool     // the service manager has a copy
	nonblocking bool     // O_NONBLOCK is set, as accept wants it
	orphaned    bool     // handed off, and no service wants it any more
	reported    bool     // why it is not open, or cannot accept, has been logged
}

// A state is what a listener does. Only setStateLocked changes it.
type state uint8

const (
	stateOpening   state = iota // not open: the port is in use, or the address is not up
	stateListening              // waits for clients
	stateHandedOff              // the program of a wait service has the socket
	stateFull                   // clients queue until an instance ends
	stateSuspended              // the service looped, or exceeded its cps
	statePaused                 // the host is short of something, or a start failed; resumed by a timer
	stateClosed                 // for good
)

func (st state) String() string {
	return [...]string{"opening", "listening", "handed off", "full", "suspended", "paused", "closed"}[st]
}

// setStateLocked changes a listener's state, and its socket with it: in
// stateListening alone it is polled; in stateClosed it is closed, but for a
// socket of the service manager's, which we could not get back. In
// stateSuspended clients are refused. A listener without a socket cannot
// listen, and gets stateOpening. A closed listener stays closed.
func (s *Server) setStateLocked(l *listener, to state) {
	switch {
	case to == stateListening && l.fd < 0:
		to = stateOpening
	case to == stateListening && (s.quiescing || l.svc.holds > 0):
		to = statePaused
	}
	if l.state == to || l.state == stateClosed {
		return
	}
	if l.state == stateSuspended && l.keepsPort() {
		to = s.listenAgainLocked(l, to)
	}
	s.debugf("%s: %s: %s -> %s", l.svc.def.Name, l.Address, l.state, to)
	l.state = to
	if to == stateListening {
		s.pollLocked(l)
		return
	}
	if l.polled {
		s.poll.Remove(l.fd)
		l.polled = false
	}
	switch {
	case to == stateSuspended && l.keepsPort():
		socket.StopListening(l.fd, l.Type)
	case to == stateClosed || to == stateSuspended && l.inherited == nil:
		if !s.stopped || !l.stored {
			l.file.Remove(l.Path)
		}
		s.closeUnusedLocked(l)
	}
	if to == stateClosed {
		s.sockets.remove(l)
	}
}

// keepsPort reports whether the socket stays open while its service is
// suspended: anybody could bind its port meanwhile, if that is above 1023.
func (l *listener) keepsPort() bool { return l.inherited == nil && l.fd >= 0 && l.Network != "unix" }

// listenAgainLocked has a suspended socket listen again. It returns the state
// that the listener is to get: stateOpening where the socket cannot.
func (s *Server) listenAgainLocked(l *listener, to state) state {
	if to == stateClosed {
		return to
	}
	if err := socket.ListenAgain(l.fd, l.Type, l.svc.def.Socket.Backlog); err != nil {
		s.log.Printf(syslog.Warning, "%s: listen %s: %v; opening it anew", l.svc.def.Name, l.Address, err)
		s.unstoreLocked(l)
		unix.Close(l.fd)
		l.fd = -1
		return stateOpening
	}
	return to
}

// endUseLocked ends a use of the listener's descriptor without the lock.
func (s *Server) endUseLocked(l *listener) {
	l.users--
	s.closeUnusedLocked(l)
}

// closeUnusedLocked closes the socket of a listener that is closed or
// suspended once no worker uses it.
func (s *Server) closeUnusedLocked(l *listener) {
	if l.fd >= 0 && l.users == 0 && (l.state == stateClosed || l.state == stateSuspended && !l.keepsPort()) && l.inherited == nil {
		s.unstoreLocked(l)
		unix.Close(l.fd)
		l.fd = -1
	}
}

// pollLocked puts a listener's socket into the epoll set, or arms it again.
func (s *Server) pollLocked(l *listener) {
	events := l.events()
	if l.polled {
		s.poll.Modify(l.fd, events)
		return
	}
	if l.svc.def.Accepts() && !l.nonblocking { // accept4 returns when another worker was quicker
		l.nonblocking = socket.SetNonblock(l.fd, true) == nil
	}
	if l.servesDatagrams() && l.Network == "udp" {
		socket.EnablePktinfo(l.fd, !l.Addr.Addr().Is4())
	}
	if err := s.poll.Add(l.fd, l, events); err != nil { // ENOMEM, or max_user_watches of epoll(7)
		s.log.Printf(syslog.Err, "%s: epoll_ctl: %v; retrying in %v", l.svc.def.Name, err, pauseTime)
		s.poll.Remove(l.fd)
		s.pauseLocked(l, pauseTime)
		return
	}
	l.polled, l.pollMode = true, l.wantedPollMode()
}

// A pollMode is how a socket is polled. Another service may want another one.
type pollMode struct {
	events             uint32
	accepts, datagrams bool
}

func (l *listener) wantedPollMode() pollMode {
	return pollMode{l.events(), l.svc.def.Accepts(), l.servesDatagrams()}
}

// events returns what epoll is to wait for. EPOLLONESHOT makes it one event
// for one worker, where a client would wake every worker else; accept arms
// the listener again. The programs of a nowait UDP service share the socket
// with us, so there each new datagram is an event.
func (l *listener) events() uint32 {
	if !l.svc.def.Wait && !l.servesDatagrams() && !socket.Accepts(l.Type) {
		return unix.EPOLLIN | unix.EPOLLET
	}
	return unix.EPOLLIN | unix.EPOLLONESHOT
}

// servesDatagrams reports whether inetd itself replies to datagrams here.
func (l *listener) servesDatagrams() bool {
	return l.svc.def.Builtin != nil && l.Type == config.Dgram
}

// mapsIPv4 reports whether this is a socket of the service manager's on which
// IPv4 clients appear as IPv6, although the service does not want that.
func (l *listener) mapsIPv4() bool {
	return l.inherited != nil && l.inherited.Dual && !l.MappedAsIPv6
}

// A ticket is what a worker takes from a listener under the lock, to go on
// without it. l.users counts it.
type ticket struct {
	l        *listener
	fd       int
	address  *service.Address
	svc      *activeService
	def      *service.Definition
	mapsIPv4 bool
	polled   bool   // the socket is still waited on: there was no event
	handOff  uint64 // 0: the socket is shared
}

// ready deals with an event of the socket.
func (l *listener) ready(w *worker) {
	s := w.server
	s.mu.Lock()
	t, ok := s.takeTicketLocked(l)
	s.mu.Unlock()
	switch {
	case !ok:
	case t.def.Accepts():
		accepted := s.accept(w, t)
		for n := 0; accepted && n < maxInARow && w.idle() && w.backoff.try(); n++ {
			accepted = s.acceptAnother(w, l)
			w.backoff.done(accepted)
		}
	case t.def.Builtin != nil:
		s.replyToDatagrams(w, t)
	default:
		s.handOffSocket(&w.scratch, t)
	}
}

// maxInARow is how many more clients of a listener a worker accepts without an
// event, before those of other listeners have their turn.
const maxInARow = 4

// acceptAnother accepts one more client, if one is in the queue, and reports
// whether there was. Under load that saves waiting for the event, and arming
// the listener again.
func (s *Server) acceptAnother(w *worker, l *listener) bool {
	s.mu.Lock()
	ok := l.state == stateListening && l.svc.def.Accepts() && l.svc.gate.Reserve(l.svc.def.Limits, s.now()) == admit.Granted
	t := ticket{l: l, fd: l.fd, address: l.Address, svc: l.svc, def: l.svc.def, mapsIPv4: l.mapsIPv4(), polled: true}
	if ok {
		l.users++
	}
	s.mu.Unlock()
	return ok && s.accept(w, t)
}

// takeTicketLocked takes a ticket, if the listener is listening and the
// service has a slot. A builtin on UDP needs none.
func (s *Server) takeTicketLocked(l *listener) (t ticket, ok bool) {
	if l.state != stateListening {
		return t, false
	}
	def := l.svc.def
	t = ticket{l: l, fd: l.fd, address: l.Address, svc: l.svc, def: def, mapsIPv4: l.mapsIPv4()}
	switch {
	case l.servesDatagrams():
	case def.Accepts():
		if ok := s.reserveLocked(l); !ok {
			return t, false
		}
	default:
		if t.handOff, ok = s.beginHandOffLocked(l); !ok {
			return t, false
		}
	}
	l.users++
	return t, true
}

// reserveLocked reserves a slot for one more client. Where there is none, it
// does what the verdict asks for: saturates the service, or suspends it.
func (s *Server) reserveLocked(l *listener) bool {
	switch l.svc.gate.Reserve(l.svc.def.Limits, s.now()) {
	case admit.Granted:
		return true
	case admit.Full:
		s.saturateLocked(l.svc)
	case admit.Busy: // which may last: a reservation is kept while a name is looked up
		s.saturateLocked(l.svc)
		l.svc.busy = true
	case admit.Looping:
		// The client that woke us may have disconnected: a service loops only
		// if somebody is there.
		poll := []unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(poll, 0); n > 0 || err != nil {
			s.suspendLoopingLocked(l.svc)
			return false
		}
	}
	if l.state == stateListening && l.events()&unix.EPOLLONESHOT != 0 {
		s.pollLocked(l)
	}
	return false
}

// saturateLocked stops accepting for a service whose instances all run. Its
// clients wait in the accept queue.
func (s *Server) saturateLocked(svc *activeService) {
	svc.saturated = true
	for _, l := range svc.listeners {
		if l.state == stateListening {
			s.setStateLocked(l, stateFull)
		}
	}
}

// unsaturateLocked accepts again, now that an instance has ended or a
// reservation was cancelled.
func (s *Server) unsaturateLocked(svc *activeService) {
	if !svc.saturated {
		return
	}
	svc.saturated, svc.busy = false, false
	for _, l := range svc.listeners {
		if l.state == stateFull {
			s.setStateLocked(l, stateListening)
		}
	}
}

// holdLocked stops accepting for a service, until as many calls of
// unholdLocked. Its clients wait in the accept queue.
func (s *Server) holdLocked(svc *activeService) {
	svc.holds++
	for _, l := range svc.listeners {
		if l.state == stateListening {
			s.setStateLocked(l, statePaused)
		}
	}
}

func (s *Server) unholdLocked(svc *activeService) {
	if svc.holds--; svc.holds > 0 {
		return
	}
	for _, l := range svc.listeners {
		if l.state == statePaused {
			s.setStateLocked(l, stateListening)
		}
	}
}

// pauseTime is how long a listener is paused when the host is short of
// something.
const pauseTime = time.Second

// pauseLocked stops polling a listener for a while.
func (s *Server) pauseLocked(l *listener, d time.Duration) {
	if l.state != stateListening {
		return // another worker has changed it since
	}
	s.setStateLocked(l, statePaused)
	time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if l.state == statePaused {
			s.setStateLocked(l, stateListening)
		}
	})
}
