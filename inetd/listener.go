package inetd

import (
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/socket"
	"goinetd/inetd/syslog"
)

// A listener is a listening socket, or a UDP one, of a service. Another
// service may take it over at a reload; what is queued in it is kept.
type listener struct {
	place
	svc      *service
	fd       int // -1: not open
	state    state
	file     socket.Identity // of a Unix socket
	busy     int             // workers that use fd just now, without the lock
	watched  bool            // fd is in the epoll set
	orphan   bool            // lent, and no service wants it any more
	reported bool            // why it is not open, or short of descriptors, has been logged
	failures int             // starts of a wait service that failed in a row
	loan     uint64          // which program has it, while it is lent
	kept     string          // the name by which the manager has a copy; empty: it has none

	nonblocking bool
}

// A state is what a listener is doing. Only turn changes it.
type state int

const (
	opening  state = iota // not open: the port is taken, or the address is not up
	watching              // waiting for clients
	lent                  // a wait service's program has it
	full                  // clients queue until an instance ends
	resting               // the service looped
	paused                // the host is short of something; tried again in a second
	closed
)

func (st state) String() string {
	return [...]string{"opening", "listening", "lent to its program", "full", "resting", "paused", "closed"}[st]
}

// turn moves a listener to a state and makes the sockets follow. s.mu is
// held.
func (s *Server) turn(l *listener, to state) {
	if l.state == to || l.state == closed {
		return
	}
	s.debugf("%s: %s: %s -> %s", l.svc.def.name, l.Address, l.state, to)
	l.state = to
	if to == watching {
		s.watch(l)
		return
	}
	if l.watched {
		s.poll.leave(l.fd)
		l.watched = false
	}
	if to == closed || to == resting && l.inherited == nil {
		l.file.Remove(l.Path)
		s.closeIdle(l)
	}
	if to == closed {
		delete(s.listeners, l.Key())
		if l.inherited != nil {
			l.inherited.listener = nil // systemd's stay open for another reload
		}
	}
}

// closeIdle closes the socket of a listener that is closed or resting, once
// no worker uses it. Whoever ends a use calls it.
func (s *Server) closeIdle(l *listener) {
	if l.fd >= 0 && l.busy == 0 && (l.state == closed || l.state == resting) && l.inherited == nil {
		s.forget(l)
		unix.Close(l.fd)
		l.fd = -1
	}
}

// watch puts a listener into the epoll set, or arms it anew.
func (s *Server) watch(l *listener) {
	events := l.events()
	if l.watched {
		s.poll.arm(l.fd, events)
		return
	}
	if l.svc.def.accepts() && !l.nonblocking { // accept is to return when another worker was quicker
		l.nonblocking = socket.SetNonblock(l.fd, true) == nil
	}
	if l.builtinDatagrams() && l.Network == "udp" {
		socket.TellDestination(l.fd, !l.Addr.Addr().Is4())
	}
	if err := s.poll.enter(l.fd, l, events); err != nil { // ENOMEM, or max_user_watches of epoll(7)
		s.log.Printf(syslog.Err, "%s: epoll: %v; tried again in a second", l.svc.def.name, err)
		s.poll.leave(l.fd)
		s.pause(l, time.Second)
		return
	}
	l.watched = true
}

// events is what epoll is to tell of a listener: one event, to one worker.
// That arms the listener again when it has accepted; one client would wake
// every worker of the host else. A program of a nowait UDP service shares the
// socket with us, so there only a new datagram is an event.
func (l *listener) events() uint32 {
	if !l.svc.def.wait && !l.builtinDatagrams() && !socket.Accepts(l.Type) {
		return unix.EPOLLIN | unix.EPOLLET
	}
	return unix.EPOLLIN | unix.EPOLLONESHOT
}

func (l *listener) builtinDatagrams() bool {
	return l.svc.def.internal != "" && l.Type == config.Dgram
}

// dualInherited tells of a socket of systemd's that takes IPv4 clients in
// IPv6's clothes although the service did not ask for that.
func (l *listener) dualInherited() bool {
	return l.inherited != nil && l.inherited.Dual && !l.mapped
}

// resume lets the listeners of a service that was full go on. s.mu is held.
func (s *Server) resume(svc *service) {
	if !svc.full {
		return
	}
	svc.full = false
	for _, l := range svc.listeners {
		if l.state == full {
			s.turn(l, watching)
		}
	}
}

// ready is what a listener's event comes to.
func (l *listener) ready(w *worker) {
	s := w.server
	s.mu.Lock()
	if l.state != watching {
		s.mu.Unlock()
		return
	}
	switch {
	case l.builtinDatagrams():
		s.answer(w, l)
	case l.svc.def.accepts():
		s.accept(w, l)
	default:
		s.lend(w, l)
	}
}

// answer serves a UDP socket of our own. It is entered with s.mu held.
func (s *Server) answer(w *worker, l *listener) {
	l.busy++
	fd, def := l.fd, l.svc.def
	s.mu.Unlock()
	w.datagrams.Serve(fd, def.internal, s.refusesDatagram(w, l, def))
	s.mu.Lock()
	l.busy--
	if l.state == watching {
		s.watch(l)
	}
	s.closeIdle(l)
	s.mu.Unlock()
}
