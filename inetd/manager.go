package inetd

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/inetd/socket"
)

// This file is what a service manager learns of us: how we are, that we are
// alive, and the sockets that it is to keep for the next inetd should this
// one die.

// A Manager is told of changes. Its methods do not wait.
type Manager interface {
	// Status tells how the server is, in a few words.
	Status(text string)
	// Keep asks for a copy of a listening socket to be kept, and tells
	// whether there is room for it.
	Keep(fd int, name string) bool
	// Has tells of a copy that is kept since before we were there.
	Has(name string)
	// Forget tells that a copy is not wanted any more.
	Forget(name string)
}

// statusPause is how long changes gather until the manager is told.
const statusPause = time.Second

// Summary says how the server is.
func (s *Server) Summary() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("%s, %s running, %s refused", count(len(s.services), "service"), count(s.children.Len(), "program"), count(s.refusals, "client"))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprint(n, " ", what, "s")
}

// tellManager has the manager told how we are, soon. s.mu is held.
func (s *Server) tellManager() {
	if s.o.Manager == nil || s.stale {
		return
	}
	s.stale = true
	time.AfterFunc(statusPause, func() {
		s.mu.Lock()
		s.stale = false
		s.mu.Unlock()
		s.o.Manager.Status(s.Summary())
	})
}

// A pulse goes the way of a client: through the epoll set to a worker, which
// takes the lock that every accept takes.
type pulse struct {
	s    *Server
	beat func()
}

func (p *pulse) ready(*worker) {
	p.s.mu.Lock()
	p.s.mu.Unlock() //lint:ignore SA2001 that it can be had is what is asked
	p.beat()
}

// Pulse gives a function that has beat called by a worker, if one is free to
// serve clients; else it is not called.
func (s *Server) Pulse(beat func()) (send func(), err error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	fd = socket.Raise(fd)
	if err := s.poll.enter(fd, &pulse{s, beat}, unix.EPOLLIN|unix.EPOLLET); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return func() { unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 1}) }, nil
}

// keep has the manager keep a copy of a socket that we opened. s.mu is held.
func (s *Server) keep(l *listener) {
	if s.o.Manager == nil {
		return
	}
	if name := socket.KeptName(l.fd); s.o.Manager.Keep(l.fd, name) {
		l.kept = name
	}
}

// forget has the manager close its copy. Until it does, a listening socket
// would go on taking clients in. s.mu is held.
func (s *Server) forget(l *listener) {
	if l.kept != "" && !s.stopped {
		s.o.Manager.Forget(l.kept)
		if socket.Accepts(l.Type) {
			unix.Shutdown(l.fd, unix.SHUT_RDWR)
		}
	}
	l.kept = ""
}
