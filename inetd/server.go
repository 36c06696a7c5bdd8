// Package inetd is the super-server.
//
// The life of a connection, and where to read it:
//
//	ready    worker.go    a worker waits on one epoll set; a listener is ready
//	accept   accept.go    a place is reserved, the connection accepted
//	admit    accept.go    its terms (terms.go) and admit.Gate say yes, or no with
//	                      a reason for the log; deliberate.go where names or
//	                      users have to be asked for first
//	spawn    accept.go    spawn.Image forks and execs with it as 0, 1 and 2
//	reap     exits.go     spawn.Children learns that the program ended
//	release  exits.go     its place is free again; the EXIT line
//
// A builtin service goes another way from admit on: conn.go puts the
// connection into the same epoll set; a redirect goes to relay.go. A wait
// service has no accept: wait.go
// lends the listening socket to its program.
//
// A Server has one lock, which guards every service, gate and listener. It
// is held for moments, never over a system call that can wait, a look-up, or
// a fork.
package inetd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"goinetd/config"
	"goinetd/inetd/ident"
	"goinetd/inetd/socket"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
	"goinetd/inetd/wrap"
)

// Options are what a Server is made with.
type Options struct {
	Log       *syslog.Logger
	Environ   []string            // what every program's environment begins with
	Backlog   int                 // of listen(2); 0: 4096
	Rest      time.Duration       // how long a looping service is closed; 0: ten minutes
	Inherited []*socket.Inherited // sockets that systemd opened
	Session   bool                // programs get a session of their own, away from our terminal
	Debug     bool                // log each step

	WholeEnviron []string      // what passenv chooses from
	Wrap         *wrap.Tables  // hosts.allow and hosts.deny
	Limit        int           // of programs that run at once; 0: none
	StayAlive    bool          // although there is nothing to serve
	Ident        time.Duration // how long an ident server may take; 0: ident.Limit

	Manager  Manager // that started us; nil: none that wants to know
	Children []Child // of an inetd before us
}

// A Server runs services.
type Server struct {
	o        Options
	log      *syslog.Logger
	began    time.Time // moments are counted from here, on the monotonic clock
	poll     *poller
	children *spawn.Children[task]
	root     bool
	env      *spawn.Env
	drains   atomic.Int32 // refused clients that have not gone yet
	exit     []byte       // the reaper's, for EXIT lines
	load     loadMeter
	bans     atomic.Int32 // that sensors have made so far
	serial   atomic.Uint64
	udpPorts atomic.Pointer[map[uint16]bool] // whose datagrams our own UDP services never answer

	mu        sync.Mutex
	services  map[string]*service  // by config.Service.Key
	listeners map[string]*listener // by socket.Address.Key
	mux       map[string]*service  // behind tcpmux, by name in lower case
	inherited []*inheritance
	retrying  *time.Timer // tries again to open what could not be opened
	retries   int
	refusals  int
	running   int                          // clients that have a place, of all services
	banned    map[netip.Addr]time.Duration // by sensors, until when
	logs      map[string]*syslog.File      // of services, by path
	quiet     hush                         // whose refused datagrams have been told of
	asking    map[netip.Addr]int           // of whom something is being found out
	askingAll int
	warned    map[string]bool     // what has been told since the last reload
	loans     uint64              // sockets lent so far
	stale     bool                // what the manager knows; it is told soon
	kept      []*socket.Inherited // from an inetd before us, until Start has ended
	stopped   bool
}

// New makes a server that serves nothing yet.
func New(o Options) (*Server, error) {
	if o.Backlog == 0 {
		o.Backlog = 4096
	}
	if o.Rest == 0 {
		o.Rest = 10 * time.Minute
	}
	if o.Ident == 0 {
		o.Ident = ident.Limit
	}
	poll, err := newPoller()
	if err != nil {
		return nil, err
	}
	env, err := spawn.NewEnv(o.Environ)
	if err != nil {
		return nil, err
	}
	children, err := spawn.NewChildren[task]()
	if err != nil {
		return nil, err
	}
	s := &Server{
		o: o, log: o.Log, began: time.Now(), poll: poll, children: children, root: os.Geteuid() == 0, env: env,
		services: map[string]*service{}, listeners: map[string]*listener{}, mux: map[string]*service{},
		banned: map[netip.Addr]time.Duration{}, asking: map[netip.Addr]int{}, logs: map[string]*syslog.File{}, warned: map[string]bool{},
	}
	if s.o.Wrap == nil {
		s.o.Wrap = wrap.New("/etc/hosts.allow", "/etc/hosts.deny")
	}
	for _, in := range o.Inherited {
		if in.Kept() && o.Manager != nil {
			o.Manager.Has(in.Name)
		}
		if in.Ours() {
			s.kept = append(s.kept, in)
			continue
		}
		s.inherited = append(s.inherited, &inheritance{Inherited: in})
	}
	return s, nil
}

// Run serves until the context is done: as many workers as there are cores,
// and one reaper.
func (s *Server) Run(ctx context.Context) {
	go s.children.Reap(s.ended)
	var done sync.WaitGroup
	for range runtime.NumCPU() {
		w := &worker{server: s}
		done.Go(w.run)
	}
	<-ctx.Done()
	s.poll.close()
	done.Wait()
}

// spareThreads are for the reaper, the log, signals and what a reload does.
const spareThreads = 4

// threads makes the runtime have so many threads, and keep them. Later may be
// too late: a host that refuses a fork refuses a thread as well, and Go ends
// the process then.
func threads(n int) {
	var there, free sync.WaitGroup
	there.Add(n)
	free.Add(1)
	for range n {
		go func() {
			runtime.LockOSThread()
			there.Done()
			free.Wait()
			runtime.UnlockOSThread()
		}()
	}
	there.Wait()
	free.Done()
}

// now is the time since the server began.
func (s *Server) now() time.Duration { return time.Since(s.began) }

func (s *Server) debugf(format string, args ...any) {
	if s.o.Debug {
		s.log.Printf(syslog.Debug, format, args...)
	}
}

// warnOnce logs something about the host's files that every client would have
// it log again. The next reload forgets it.
func (s *Server) warnOnce(text string) {
	s.mu.Lock()
	told := s.warned[text]
	s.warned[text] = true
	s.mu.Unlock()
	if !told {
		s.log.Printf(syslog.Warning, "%s", text)
	}
}

// Report logs a problem of the configuration.
func (s *Server) Report(p config.Problem) {
	level := syslog.Warning
	if p.Severity == config.Error {
		level = syslog.Err
	}
	s.log.Printf(level, "%v", p)
}

// Stop closes every listening socket and removes the files of Unix sockets.
// Programs that run go on. It gives their number.
func (s *Server) Stop() (children int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	if s.retrying != nil {
		s.retrying.Stop()
	}
	for _, l := range s.listeners {
		s.turn(l, closed)
	}
	return s.children.Len()
}

// errNothing is why a daemon does not start.
var errNothing = errors.New("nothing to serve: no service of the configuration can run")

// prepare gives the runtime what it will need.
func prepare() {
	workers := runtime.NumCPU()
	// The reaper and the log want to run beside the workers, and a worker
	// that comes back from a fork at once.
	runtime.GOMAXPROCS(workers + 2)
	threads(workers + spareThreads)
}

// Start applies the first configuration. An error means that there is
// nothing to serve of what was asked for; the problems have been reported
// then, too. A configuration without services is none: they may come with
// a reload, as when update-inetd(8) adds one.
func (s *Server) Start(services []*config.Service, problems []config.Problem) (reported []config.Problem, err error) {
	prepare()
	reported = s.Apply(services, problems)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeKept()
	s.adopt(s.o.Children)
	switch {
	case len(s.listeners) > 0:
	case len(services) == 0 && !config.Errors(reported):
		s.log.Printf(syslog.Notice, "no service is configured: waiting for one, and SIGHUP")
	case !s.o.StayAlive:
		return reported, errNothing
	}
	for _, in := range s.inherited {
		if in.listener == nil {
			p := config.Problem{Severity: config.Warning, Text: fmt.Sprintf("socket %s (%s) was handed over and no service wants it: closed", in.Name, in.Address),
				Hint: "give a service its name or its address, or remove it from the socket unit"}
			s.Report(p)
			reported = append(reported, p)
			in.close()
		}
	}
	return reported, nil
}
