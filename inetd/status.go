package inetd

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/descriptor"
	"goinetd/inetd/logline"
	"goinetd/inetd/service"
	"goinetd/inetd/socket"
	"goinetd/inetd/syslog"
)

// A Snapshot is the state of a server at one moment. Everything that reports
// the state is made of it.
type Snapshot struct {
	Uptime   time.Duration
	Services []ServiceStatus // by name
	Programs []ProgramStatus // in no order
	Refusals int             // clients refused since the start
}

// A ServiceStatus is the state of one service.
type ServiceStatus struct {
	Definition *service.Definition
	Listeners  []ListenerStatus
	Running    int // clients being served
	Starts     int // in the window of per_minute
}

// A ListenerStatus is the state of one listening socket.
type ListenerStatus struct {
	Address string // "tcp 127.0.0.1:7"
	State   string // "listening", "full", ...
}

// A ProgramStatus is one running program.
type ProgramStatus struct {
	Service string
	PID     int
	Client  string // "from=192.0.2.7 port=40112"
	Running time.Duration
}

// Snapshot returns the state of the server.
func (s *Server) Snapshot() Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := Snapshot{Uptime: s.now(), Refusals: s.refusals}
	for _, key := range s.services.keys() {
		svc := s.services.byKey[key]
		status := ServiceStatus{Definition: svc.def, Running: svc.gate.Running(), Starts: svc.gate.Starts()}
		for _, l := range svc.listeners {
			status.Listeners = append(status.Listeners, ListenerStatus{l.Address.String(), l.state.String()})
		}
		snap.Services = append(snap.Services, status)
	}
	s.children.Each(func(pid int, t task) {
		if t.auxiliary { // of no service
			return
		}
		client := strings.TrimSpace(string(logline.From(nil, t.from, config.LogPort)))
		snap.Programs = append(snap.Programs, ProgramStatus{t.def.Name, pid, client, snap.Uptime - t.start})
	})
	return snap
}

// LogState writes the state to the log (SIGUSR1).
func (s *Server) LogState() {
	for _, line := range s.Snapshot().lines() {
		s.log.Printf(syslog.Notice, "STATE: %s", line)
	}
}

// lines returns the state as text.
func (snap Snapshot) lines() []string {
	lines := []string{fmt.Sprintf("up %v, %s, %s running, %s refused", snap.Uptime.Round(time.Second),
		count(len(snap.Services), "service"), count(len(snap.Programs), "program"), count(snap.Refusals, "client"))}
	for _, svc := range snap.Services {
		lines = append(lines, svc.line())
	}
	for _, p := range snap.Programs {
		lines = append(lines, fmt.Sprintf("%s pid=%d %s since=%v", p.Service, p.PID, p.Client, p.Running.Round(time.Second)))
	}
	return append(lines, "end")
}

func (st ServiceStatus) line() string {
	var b strings.Builder
	def := st.Definition
	b.WriteString(def.Name)
	for _, l := range st.Listeners {
		fmt.Fprintf(&b, " %s (%s)", l.Address, l.State)
	}
	fmt.Fprintf(&b, " user=%s server=%q running=%d starts=%d/min", def.User, serverOf(def), st.Running, st.Starts)
	for _, limit := range []struct {
		name string
		n    int
	}{{"instances", def.Limits.Instances}, {"per_source", def.Limits.PerSource}, {"per_minute", def.Limits.PerMinute}, {"per_source_per_minute", def.Limits.PerSourcePerMinute}} {
		if limit.n > 0 {
			fmt.Fprintf(&b, " %s=%d", limit.name, limit.n)
		}
	}
	return b.String()
}

// serverOf returns what serves a service's clients.
func serverOf(def *service.Definition) string {
	switch {
	case def.Image != nil:
		return def.Image.Path()
	case def.Redirects():
		return "redirect " + def.Policy.Redirect
	}
	return "internal " + def.Builtin.Name()
}

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

// NoteProblems has the state tell how many problems the configuration has.
func (s *Server) NoteProblems(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.problems = n
}

// noteApplied notes the problems of a configuration that has been applied, and
// of opening its sockets. Those that are retried are counted as long as they
// are not open.
func (s *Server) noteApplied(configured, opened []config.Problem) {
	n := len(configured)
	for _, p := range opened {
		if p.Severity == config.Error {
			n++
		}
	}
	s.NoteProblems(n)
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
	problems int      // of the configuration
	unopened []string // "7075/tcp", or a path: sockets that are retried, in order
}

// maxUnopened is how many sockets that are not open are named.
const maxUnopened = 3

// problemsText returns what is added to a summary; empty: no problem.
func (c *statusChange) problemsText(root bool) (text string) {
	if c.problems > 0 {
		journal := "journalctl -u inetd"
		if !root {
			journal = "journalctl --user -u inetd"
		}
		text = "; " + count(c.problems, "problem") + " in the configuration (" + journal + ")"
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
		name := l.Path
		if l.Network != "unix" {
			name = fmt.Sprint(l.Addr.Port(), "/", l.Network)
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
	l.stored = s.o.Notifier.Store(l.fd, socket.StoreName(l.inode))
}

// unstoreLocked has the service manager close its copy. Until it does, a
// listening socket would go on accepting connections.
func (s *Server) unstoreLocked(l *listener) {
	if l.stored && !s.stopped {
		s.o.Notifier.Unstore(socket.StoreName(l.inode))
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
