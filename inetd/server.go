// Package inetd is the super-server: it listens on the sockets of the
// configured services, and for each client runs a program or serves it
// itself.
//
// # The life of a connection
//
//	worker.go     a worker waits on the epoll set; a listener is ready
//	listener.go   under the lock: is it listening, may one more client come?
//	accept.go     accept4(2); the service's policy; admission; dispatch
//	lookup.go     only where a host name or an ident user is needed first
//	program.go    environment, fork and exec, the START line; watch.go: starts
//	              that hang
//	reap.go       the program ended: its slot is free, the EXIT line
//
// Instead of program.go, builtin.go serves what inetd serves itself, from the
// same epoll set, and redirect.go forwards to another address; connections.go
// bounds both. A wait service has no accept: wait.go hands its socket off to
// the program.
//
// # Changing what is served
//
// reload.go applies a configuration, handover.go does so for the next process,
// registry.go has the services, sockets.go knows which socket is for which
// address, bind.go opens them, rpc.go has them registered with rpcbind(8),
// suspend.go closes services for a while, status.go reports.
//
// # The administrator
//
// snapshot.go is the state of everything, operate.go stops, pauses, drains and
// kicks, why.go says what would happen to a client, events.go has followers of
// what happens.
//
// # The lock
//
// Server.mu guards everything that several goroutines change. A function
// whose name ends in Locked wants it held; no function is entered with it
// held and left without it. It is held for moments: never over a system call
// that can wait (but for unlink(2) of a Unix socket's file), a look-up, a walk
// through /proc, a fork, or the opening of sockets. Server.changing is held
// while a configuration is applied or sockets are opened, which can take
// seconds; it is taken before mu.
//
// docs/architecture.md has the same with a picture of a listener's states.
package inetd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/admit"
	"goinetd/inetd/descriptor"
	"goinetd/inetd/epoll"
	"goinetd/inetd/handover"
	"goinetd/inetd/hosts"
	"goinetd/inetd/ident"
	"goinetd/inetd/logline"
	"goinetd/inetd/portowner"
	"goinetd/inetd/rpcbind"
	"goinetd/inetd/service"
	"goinetd/inetd/socket"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// Options are what a Server is made with. Log is needed; the zero values of
// the others have a meaning.
type Options struct {
	Log          *syslog.Logger
	Environ      []string      // of programs whose service does not change it
	WholeEnviron []string      // what passenv chooses from
	Backlog      int           // of listen(2); 0: 4096
	Suspension   time.Duration // how long a looping service is closed; 0: ten minutes
	Session      bool          // programs get a session, out of reach of our terminal's signals
	ResetOOM     bool          // programs get an oom_score_adj of 0
	Debug        bool          // log each step
	Hosts        *hosts.Files  // hosts.allow and hosts.deny; nil: those of /etc
	MaxPrograms  int           // clients of all services at once; 0: no limit
	StayAlive    bool          // start although nothing can be served
	IdentTimeout time.Duration // of an ident server; 0: ident.Limit
	BuiltinIdle  time.Duration // of a builtin's connection; 0: builtinIdle

	HalfOpenTimeout time.Duration // of a redirect one of whose sides has ended; 0: halfOpenTimeout
	Notifier        Notifier      // the service manager; nil: none
	Restarting      func() bool   // at the end: the service manager starts us again; nil: it does not
	Idle            func()        // called when no program has been started for IdleAfter; nil: nothing is
	IdleAfter       time.Duration // 0: half a minute

	ScanProcesses func() *portowner.Processes // nil: portowner.Scan

	handover.State                     // what the process before us left
	Inherited      []*socket.Inherited // sockets that the service manager opened
}

// A Server runs services.
type Server struct {
	// Never changes after New.
	o       Options
	log     *syslog.Logger
	started time.Time // times are counted from here, on the monotonic clock
	root    bool
	env     *spawn.Env

	// Has a lock of its own, or needs none.
	poll     *epoll.Set[handler]
	children *spawn.Children[task]
	table    *handover.Table // of the same programs, for the next process; nil: none
	load     admit.LoadAverage
	exitLine []byte                          // the reaper's buffer
	closing  atomic.Int32                    // refused clients in a lingering close
	bansMade atomic.Int32                    // by sensors, ever
	serial   atomic.Uint64                   // the last task.serial
	udpPorts atomic.Pointer[map[uint16]bool] // source ports that our UDP services do not answer
	conns    *connTable
	pipes    *pipePool
	banners  banners
	jobs     jobQueue
	watch    *startWatch

	registrar *rpcbind.Registrar
	followers followers
	tracers   tracers

	changing sync.Mutex // see the package comment

	// Guarded by changing.
	state  handover.State // for the next process, but for sockets and programs
	inputs map[string]int // config.Served
	stored []string       // names of states in the service manager's store

	// Guarded by mu.
	mu         sync.Mutex
	services   registry
	sockets    socketTable
	bans       admit.Bans
	lookups    admit.Lookups
	rechecks   int                       // clients of all services that are looked at again before they are refused
	refusalLog logline.Limiter           // of datagrams
	waiters    map[uint64]handover.Child // programs of before us, by the sockets that they have
	logFiles   map[string]*syslog.File   // of services, by log_type
	warned     map[string]bool           // by warnOnce, since the last reload
	status     statusChange
	bindRetry  bindRetry
	retries    retries
	handOffs   uint64 // sockets handed off so far
	running    int    // clients that have a slot, of all services
	refusals   int
	stopped    bool
	quiescing  bool // an upgrade is about to begin
}

// New returns a server that serves nothing yet.
func New(o Options) (*Server, error) {
	if o.Backlog == 0 {
		o.Backlog = 4096
	}
	if o.Suspension == 0 {
		o.Suspension = 10 * time.Minute
	}
	if o.IdentTimeout == 0 {
		o.IdentTimeout = ident.Limit
	}
	if o.BuiltinIdle == 0 {
		o.BuiltinIdle = builtinIdle
	}
	if o.HalfOpenTimeout == 0 {
		o.HalfOpenTimeout = halfOpenTimeout
	}
	if o.ScanProcesses == nil {
		o.ScanProcesses = portowner.Scan
	}
	if o.Hosts == nil {
		o.Hosts = hosts.New("/etc/hosts.allow", "/etc/hosts.deny")
	}
	o.Hosts.Watch()
	startThreads()
	poll, err := epoll.NewSet[handler]()
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
	s := &Server{o: o, log: o.Log, started: time.Now(), root: os.Geteuid() == 0, env: env, poll: poll, children: children,
		services: newRegistry(), sockets: newSocketTable(), logFiles: map[string]*syslog.File{}, warned: map[string]bool{},
		waiters: map[uint64]handover.Child{}, table: o.State.Table}
	if s.table == nil {
		if s.table, err = handover.NewTable(); err != nil {
			o.Log.Printf(syslog.Warning, "table of programs for the next process: %v", err)
		}
	}
	if o.Notifier != nil {
		s.storeFiles()
	}
	for _, in := range append(o.State.Sockets, o.Inherited...) {
		if in.InStore() && o.Notifier != nil {
			o.Notifier.AddStored(in.Name)
		}
		s.sockets.addInherited(in)
	}
	s.udpPorts.Store(&map[uint16]bool{})
	s.registrar = s.newRegistrar()
	s.adoptRegistrations(slices.Concat(o.State.Sockets, o.Inherited))
	s.watch, s.conns = newStartWatch(s), newConnTable(o.BuiltinIdle)
	s.pipes = &pipePool{conns: s.conns}
	if s.jobs.event, err = descriptor.NewEvent(); err != nil {
		return nil, err
	}
	s.jobs.event = descriptor.Raise(s.jobs.event)
	if err := poll.Add(s.jobs.event, &s.jobs, unix.EPOLLIN|unix.EPOLLET); err != nil {
		return nil, fmt.Errorf("epoll_ctl: %w", err)
	}
	return s, nil
}

// errNothing is why a daemon does not start.
var errNothing = errors.New("nothing to serve: no configured service can run")

// Start applies the first configuration, to the services of the process before
// us if there was one. It returns an error where services are configured and
// none of them can be served; the problems have been logged then, too. No
// service at all is no error: update-inetd(8) may add one, and a reload will
// find it.
func (s *Server) Start(services []*config.Service, problems []config.Problem) (reported []config.Problem, err error) {
	s.changing.Lock()
	s.restore()
	s.changing.Unlock()
	reported = s.Apply(services, problems)
	s.closeRetained()
	s.adoptWaiters()
	s.suspendAgain()
	s.mu.Lock()
	listeners := s.sockets.len()
	s.mu.Unlock()
	switch {
	case listeners > 0:
	case len(services) == 0 && !config.Errors(reported):
		s.log.Printf(syslog.Notice, "no services are configured; waiting for SIGHUP")
	case !s.o.StayAlive:
		return reported, errNothing
	}
	return append(reported, s.closeUnused()...), nil
}

// spareThreads are for the reaper, the log, signals and reloads.
const spareThreads = 4

// maxReplaced is for how many workers whose starts hang there is a thread that
// cannot be refused. More than these hang only on hosts with more cores.
const maxReplaced = 8

// startThreads makes the runtime start the threads that will be needed, and
// keep them. Later may be too late: Go ends the process when the host refuses
// it a thread, as one that refuses us a fork does.
var startThreads = sync.OnceFunc(func() {
	workers := runtime.NumCPU()
	// The reaper and the log run beside the workers, and a worker that comes
	// back from a fork is to run at once.
	runtime.GOMAXPROCS(workers + 2)
	var running, free sync.WaitGroup
	n := workers + min(workers, maxReplaced) + spareThreads
	running.Add(n)
	free.Add(1)
	for range n {
		go func() {
			runtime.LockOSThread()
			running.Done()
			free.Wait()
			runtime.UnlockOSThread()
		}()
	}
	running.Wait()
	free.Done()
})

// Run serves until the context is done: as many workers as there are cores,
// and one reaper. It is called before Start, so that a service that can be
// served is, while others are still being looked into.
func (s *Server) Run(ctx context.Context) {
	go s.children.Reap(s.childExited)
	stopWatch := make(chan struct{})
	go s.watch.run(stopWatch)
	for range runtime.NumCPU() {
		s.watch.startWorker(nil)
	}
	<-ctx.Done()
	close(stopWatch)
	s.poll.Close()
	s.watch.ended.Wait()
}

// Stop closes every listening socket, and removes the files of Unix sockets
// but for those that the service manager has a copy of: another process may
// be about to go on with them. Programs that run are not ended. It returns
// their number.
func (s *Server) Stop() (children int) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.unregister()
	s.saveMoments()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopLocked()
	for _, l := range s.sockets.all() {
		s.setStateLocked(l, stateClosed)
	}
	return s.children.Len()
}

func (s *Server) stopLocked() {
	s.stopped = true
	s.registrar.Stop()
	s.bindRetry.stop()
}

// now returns the time since the server was made.
func (s *Server) now() time.Duration { return time.Since(s.started) }

func (s *Server) debugf(format string, args ...any) {
	if s.o.Debug {
		s.log.Printf(syslog.Debug, format, args...)
	}
}

// warnOnce logs what every client would have logged again, until the next
// reload.
func (s *Server) warnOnce(text string) {
	s.mu.Lock()
	known := s.warned[text]
	s.warned[text] = true
	s.mu.Unlock()
	if !known {
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

// An activeService is a service while it is served. A reload sets another
// definition; its counts go on. It is guarded by Server.mu.
type activeService struct {
	def       *service.Definition
	gate      admit.Gate
	listeners []*listener
	suspended *suspension // nil: it is not

	saturated bool  // as many instances run as may: its listeners are in stateFull
	busy      bool  // saturated only until a reservation is entered or cancelled
	stopped   bool  // suspended by StopService
	paused    bool  // held by PauseService
	holds     int32 // starts that hang or are tried again, and paused: its listeners are in statePaused

	waiting *waiting // clients that something is to happen for first; nil: none ever
	tally   *tally   // nil: no client ever

	slowStarts atomic.Int32 // so many starts are forked, because one hung
}

// waiting counts the clients of a service that wait for something other than
// a slot.
type waiting struct {
	rechecks int      // are looked at again before they are refused
	commands int      // spawn commands of hosts_options(5) run for them
	queue    []func() // whose commands are to be run after those

	idle chan struct{} // closed when the service has no clients any more; nil: nobody waits for that
}

// waitingLocked returns who waits.
func (svc *activeService) waitingLocked() *waiting {
	if svc.waiting == nil {
		svc.waiting = new(waiting)
	}
	return svc.waiting
}

// release frees the slot of a client that has been served.
func (s *Server) release(svc *activeService, def *service.Definition, from netip.AddrPort) {
	s.mu.Lock()
	s.releaseLocked(svc, def, from)
	s.mu.Unlock()
}

// releaseLocked frees the slot of a client. def is the service's definition
// when it got the slot.
func (s *Server) releaseLocked(svc *activeService, def *service.Definition, from netip.AddrPort) {
	svc.gate.Leave(def.Limits, from.Addr())
	svc.noteIdleLocked()
	s.running--
	s.statusChangedLocked()
	s.unsaturateLocked(svc)
}
