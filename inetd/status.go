package inetd

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/descriptor"
	"goinetd/inetd/socket"
)

// A Notifier is the service manager (sd_notify(3)). Its methods do not wait.
type Notifier interface {
	// Status reports the server's state in a few words.
	Status(text string)
	// Store asks for a copy of a listening socket to be kept for the next
	// process, and reports whether there is room for it.
	Store(fd int, name string) bool
	// AddStored says that a copy has been kept since before we started.
	AddStored(name string)
	// Unstore asks for a copy to be closed.
	Unstore(name string)
}

// Summary returns the state in a few words, with what an administrator has to
// know: problems of the configuration, and sockets that are not open.
func (s *Server) Summary() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("%s, %s running, %s refused", count(s.services.len(), "service"), count(s.programsLocked(), "program"), count(s.refusals, "client")) +
		s.status.problemsText(s.root)
}

// NoteProblems notes what is wrong with the configuration.
func (s *Server) NoteProblems(problems []config.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.problems = slices.Clone(problems)
}

// noteApplied notes the problems of a configuration that has been applied, and
// of opening its sockets. Those that are retried are listed as long as they
// are not open.
func (s *Server) noteApplied(configured, opened []config.Problem) {
	problems := slices.Clone(configured)
	for _, p := range opened {
		if p.Severity == config.Error {
			problems = append(problems, p)
		}
	}
	s.NoteProblems(problems)
}

// Serves reports whether there is a socket that is open, or nothing is
// configured that would open one.
func (s *Server) Serves() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.sockets.byKey {
		if l.fd >= 0 {
			return true
		}
	}
	return s.sockets.len() == 0
}

// programsLocked returns the number of running programs that services count.
func (s *Server) programsLocked() (n int) {
	s.children.Each(func(_ int, t task) {
		if !t.auxiliary {
			n++
		}
	})
	return n
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprint(n, " ", what, "s")
}

// statusDelay is how long changes are gathered before they are reported.
const statusDelay = time.Second

// A statusChange gathers changes into one report. It has what is too slow to
// count for each. It is guarded by Server.mu.
type statusChange struct {
	pending  bool
	problems []config.Problem // of the configuration
	unopened []string         // "7075/tcp", or a path: sockets that are retried, in order
}

// maxUnopened is how many sockets that are not open are named.
const maxUnopened = 3

// problemsText returns what is added to a summary; empty: no problem.
func (c *statusChange) problemsText(root bool) (text string) {
	if len(c.problems) > 0 {
		journal := "journalctl -u inetd"
		if !root {
			journal = "journalctl --user -u inetd"
		}
		text = "; " + count(len(c.problems), "problem") + " in the configuration (" + journal + ")"
	}
	if n := len(c.unopened); n > 0 {
		text += "; " + count(n, "port") + " not open: " + strings.Join(c.unopened[:min(n, maxUnopened)], ", ")
		if n > maxUnopened {
			text += ", ..."
		}
	}
	return text
}

// setUnopenedLocked sets the listeners whose sockets are retried.
func (s *Server) setUnopenedLocked(list []*listener) {
	var names []string
	for _, l := range list {
		name := fmt.Sprint(l.Addr.Port(), "/", l.Network)
		switch {
		case l.Network == "unix":
			name = l.Path
		case l.AnyPort():
			name = l.Address.String()
		}
		names = append(names, name)
	}
	slices.Sort(names)
	names = slices.Compact(names) // IPv4 and IPv6
	if !slices.Equal(names, s.status.unopened) {
		s.status.unopened = names
		s.statusChangedLocked()
	}
}

// add notes a change and reports whether a report has to be scheduled for it.
func (c *statusChange) add() bool {
	first := !c.pending
	c.pending = true
	return first
}

// reported notes that a report is being made.
func (c *statusChange) reported() { c.pending = false }

// statusChangedLocked has the service manager told the state, soon.
func (s *Server) statusChangedLocked() {
	if s.o.Notifier == nil || !s.status.add() {
		return
	}
	time.AfterFunc(statusDelay, func() {
		s.mu.Lock()
		s.status.reported()
		s.mu.Unlock()
		s.o.Notifier.Status(s.Summary())
	})
}

// A heartbeat goes the way of a client: through the epoll set to a worker,
// which takes the lock that every accept takes.
type heartbeat struct {
	s    *Server
	beat func()
}

func (h *heartbeat) ready(*worker) {
	h.s.mu.Lock()
	h.s.mu.Unlock() //lint:ignore SA2001 whether it can be taken is the question
	h.beat()
}

// Heartbeat returns a function that has beat called by a worker, if one is
// free to serve clients.
func (s *Server) Heartbeat(beat func()) (send func(), err error) {
	fd, err := descriptor.NewEvent()
	if err != nil {
		return nil, err
	}
	fd = descriptor.Raise(fd)
	if err := s.poll.Add(fd, &heartbeat{s, beat}, unix.EPOLLIN|unix.EPOLLET); err != nil {
		return nil, fmt.Errorf("epoll_ctl: %w", err)
	}
	return func() { descriptor.Signal(fd) }, nil
}

// storeLocked has the service manager keep a copy of a socket that we opened.
func (s *Server) storeLocked(l *listener) {
	if s.o.Notifier == nil {
		return
	}
	l.stored = s.o.Notifier.Store(l.fd, socket.StoreName(l.inode, l.Address.Address))
}

// unstoreLocked has the service manager close its copy. Until it does, a
// listening socket would go on accepting connections.
func (s *Server) unstoreLocked(l *listener) {
	if l.stored && !s.stopped {
		s.o.Notifier.Unstore(socket.StoreName(l.inode, l.Address.Address))
		if socket.Accepts(l.Type) {
			unix.Shutdown(l.fd, unix.SHUT_RDWR)
		}
	}
	l.stored = false
}

// Files returns the files in which the services that are served are written.
func (s *Server) Files() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := map[string]bool{}
	for _, svc := range s.services.byKey {
		files[svc.def.Pos.File] = true
	}
	return files
}

// Missing returns the names of the services that are served and that a
// configuration does not have.
func (s *Server) Missing(services []*config.Service) (names []string) {
	configured := map[string]bool{}
	for _, conf := range services {
		configured[conf.Key()] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, svc := range s.services.byKey {
		if !configured[key] {
			names = append(names, svc.def.Name)
		}
	}
	slices.Sort(names)
	return names
}
