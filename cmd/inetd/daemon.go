package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd"
	"goinetd/inetd/control"
	"goinetd/inetd/handover"
	"goinetd/inetd/socket"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// defaultPidfile is where inetds on Linux write it.
const defaultPidfile = "/run/inetd.pid"

// exitSoftware is the exit status of a daemon that ends although it should
// not, so that a supervisor starts it again: EX_SOFTWARE of sysexits.h.
const exitSoftware = 70

// exitTempFail is the exit status of a start in the background whose daemon
// runs and serves nothing yet: EX_TEMPFAIL of sysexits.h.
const exitTempFail = 75

// endTimeout is how long the end of the daemon waits for the workers: one in
// an exec that hangs must not keep it.
const endTimeout = time.Second

// releaseDelay is the time from READY until the memory is returned that only the
// start needed. The goroutines that begin with READY use some of it once.
const releaseDelay = 500 * time.Millisecond

// A daemon is the process while it runs.
type daemon struct {
	// Never changes after run begins.
	o        *options
	tunables tunables
	launcher *launcher // nil: in the foreground
	notifier *notifier // nil: no service manager
	log      *syslog.Logger
	logFile  *syslog.File // of -filelog; nil: none

	requests  chan os.Signal // SIGHUP, SIGUSR1, SIGUSR2; more than it holds are lost, as any burst of them
	terminate chan os.Signal // SIGTERM, SIGINT, SIGQUIT, which must not be

	before           []string                      // files of the services of an inetd before this one
	served           atomic.Pointer[config.Served] // what was read last, where the command line names no file
	installing       sync.Mutex                    // held while a reload takes effect
	hostsDenyChecked bool
	server           *inetd.Server
	stop             context.CancelFunc
	ended            chan struct{}   // closed when the workers have ended
	asks             chan ask        // of the control socket
	control          *control.Server // nil: none
}

// run is the daemon. It returns the exit status.
func (d *daemon) run() int {
	// Connections leave little garbage, so a small heap costs hardly more
	// collections, and the daemon is to be small.
	debug.SetGCPercent(15)
	d.asks = make(chan ask)
	d.requests, d.terminate = make(chan os.Signal, 16), make(chan os.Signal, 3)
	// Not SIGTERM: until we serve, it may end us.
	signal.Notify(d.requests, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2)
	if d.o.xinetd {
		signal.Notify(d.requests, unix.SIGABRT)
	}
	environ, whole := childEnviron(os.Environ(), d.o.keepEnv), childEnviron(os.Environ(), true)
	initProcess()
	d.notifier = newNotifier()
	d.openLog()
	pidfile, err := d.lockPidfile()
	if err != nil {
		return d.fail(err)
	}
	defer pidfile.remove()
	if err := d.start(environ, whole); err != nil {
		return d.fail(err)
	}
	signal.Notify(d.terminate, unix.SIGTERM, unix.SIGINT, unix.SIGQUIT)
	d.openControl()
	defer d.closeControl(false)
	d.log.Flush() // who is told that we are ready may look there
	d.launcher.release(d.startStatus())
	d.notifier.send("READY=1\nMAINPID=" + strconv.Itoa(os.Getpid()) + "\nSTATUS=" + d.server.Summary())
	d.notifier.startWatchdog(d.server, d.log)
	time.AfterFunc(releaseDelay, releaseMemory)
	if sig := d.handleSignals(); sig != nil {
		d.stopServing(sig)
		return 0
	}
	return d.upgrade()
}

// start reads the configuration and serves it. Where an inetd before this one
// has left its services, it goes on with them although nothing can be read.
func (d *daemon) start(environ, whole []string) error {
	state, passed := d.receive()
	d.served.Store((*config.Served)(&state.Inputs))
	d.before = state.Files
	releaseProgram() // what only a start needs, before reading needs memory
	r, err := d.read()
	if err != nil && state.Files == nil {
		return err
	}
	if err != nil {
		r = &reading{served: state.Inputs, problems: []config.Problem{{Severity: config.Error, Text: err.Error(), Hint: "the services of before go on"}}}
	}
	d.server, err = inetd.New(inetd.Options{Log: d.log, Environ: environ, WholeEnviron: whole, Backlog: d.o.backlog, Session: hasTerminal(), ResetOOM: isProtected(),
		Debug: d.o.debug, MaxPrograms: d.o.limit, StayAlive: d.o.stayAlive, Suspension: d.tunables.suspension, IdentTimeout: d.tunables.identTimeout,
		Idle: releaseMemory, IdleAfter: d.tunables.idle,
		Notifier: d.notifier.iface(), Restarting: d.notifier.restarting, State: state, Inherited: passed})
	if err != nil {
		return err
	}
	d.use(r)
	d.serve()
	problems := r.problems
	problems, err = d.server.Start(r.services, problems)
	if d.launcher != nil {
		for _, p := range problems { // they are in the log, too; this is for whoever started us
			fmt.Fprintf(os.Stderr, "%s: %v\n", ident(), p)
		}
	}
	if err != nil {
		return err
	}
	return nil
}

// receive takes over what an inetd before this one has left: over an exec, or
// with the service manager. The sockets are those that the service manager
// opened itself, and our own.
func (d *daemon) receive() (handover.State, []*socket.Inherited) {
	if _, err := socket.CorrectListenFDs(); err != nil {
		d.log.Printf(syslog.Warning, "%v", err)
	}
	passed := socket.FromSystemd()
	state, err := handover.Receive()
	if state.Sockets == nil && state.Version == 0 {
		var stored error
		state, passed, stored = handover.FromStore(passed)
		err = errors.Join(err, stored)
	}
	if err != nil {
		d.log.Printf(syslog.Err, "state of the inetd before this one: %v", err)
	}
	return state, passed
}

// serve begins to serve.
func (d *daemon) serve() {
	ctx, stop := context.WithCancel(context.Background())
	d.stop, d.ended = stop, make(chan struct{})
	go func() {
		d.server.Run(ctx)
		close(d.ended)
	}()
}

// startStatus returns the exit status of the process in the foreground, now
// that the daemon runs.
func (d *daemon) startStatus() int {
	if d.server.Serves() {
		return 0
	}
	d.warn("serves nothing yet: no port could be opened; pid %d runs on and retries", os.Getpid())
	if d.o.stayAlive {
		return 0
	}
	return exitTempFail
}

// handleSignals handles signals until one ends the daemon, which it returns;
// nil: for an upgrade. What may take time has a goroutine of its own.
func (d *daemon) handleSignals() os.Signal {
	reloads := newReloader(d)
	checked := make(chan error, 1)
	var upgrading []chan<- outcome // who asked for it; checking is true then
	checking := false
	for {
		select {
		case sig := <-d.terminate:
			return sig
		case one := <-reloads.ended:
			reloads.end(one)
		case one := <-reloads.slow:
			reloads.reportSlow(one)
		case err := <-checked:
			checking = false
			replyAll(upgrading, outcome{err: err})
			upgrading = nil
			if err != nil {
				d.log.Printf(syslog.Err, "SIGUSR2: upgrade refused: %v (nothing is changed)", err)
				continue
			}
			d.notifier.reloading()
			d.log.Printf(syslog.Notice, "SIGUSR2: upgrading, with the same sockets")
			return nil
		case a := <-d.asks:
			if a.sig == unix.SIGHUP {
				reloads.requestFor(a.reply)
				continue
			}
			upgrading = append(upgrading, a.reply)
			if !checking {
				checking = true
				go func() { checked <- d.checkUpgrade() }()
			}
		case sig := <-d.requests:
			switch {
			case sig == unix.SIGUSR2 && !d.o.xinetd:
				if !checking {
					checking = true
					go func() { checked <- d.checkUpgrade() }()
				}
			case sig == unix.SIGHUP || sig == unix.SIGUSR2:
				reloads.request()
			default: // SIGUSR1; SIGABRT makes xinetd check its tables
				d.server.LogState()
			}
		}
	}
}

// stopServing ends the daemon because of a signal.
func (d *daemon) stopServing(sig os.Signal) {
	d.notifier.send("STOPPING=1")
	n := d.server.Stop()
	d.log.Printf(syslog.Notice, "%s: stopped listening; %s still running", unix.SignalName(sig.(unix.Signal)), programs(n))
	d.end()
	d.notifier.barrier(time.Second)
}

func programs(n int) string {
	if n == 1 {
		return "1 program"
	}
	return strconv.Itoa(n) + " programs"
}

// end waits for the workers, the log and the service manager.
func (d *daemon) end() {
	d.stop()
	select {
	case <-d.ended:
	case <-time.After(endTimeout):
	}
	d.server.EndConnections()
	d.log.Flush()
	d.notifier.flush()
}

// fail reports why the daemon does not start, and returns its exit status.
func (d *daemon) fail(err error) int {
	d.log.Printf(syslog.Err, "%v", err)
	if d.launcher != nil {
		fatalf("%v", err)
	}
	d.log.Flush()
	return 1
}

// warn logs a warning, and prints it for whoever started a daemon in the
// background.
func (d *daemon) warn(format string, args ...any) {
	d.log.Printf(syslog.Warning, format, args...)
	if d.launcher != nil {
		fatalf(format, args...)
	}
}

// openLog opens the daemon's log.
func (d *daemon) openLog() {
	switch {
	case d.o.filelog != "":
		d.logFile = syslog.NewFile(ident(), d.o.filelog, syslog.Limits{Warn: func(text string) { fatalf("%s", text) }})
		d.log = d.logFile.Logger
	case d.o.foreground && d.o.facility == "":
		d.log = syslog.New(ident())
	default:
		d.log = syslog.ToDaemon(ident(), cmp.Or(d.o.facility, "daemon"))
	}
	for _, text := range d.o.passedOver {
		d.log.Printf(syslog.Notice, "%s", text)
	}
	for _, option := range d.o.ignored {
		d.log.Printf(syslog.Warning, "unknown option %s has no effect", option)
	}
}

// initProcess resets what was inherited from whoever started the daemon:
// signals, descriptors, umask and working directory.
func initProcess() {
	spawn.DefaultSignals()
	// 0, 1 and 2 have to be open, or the next socket would get their number.
	for fd := range 3 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == unix.EBADF {
			openNull(0)
		}
	}
	closeOnExec()
	unix.Umask(unix.Umask(0o022) | 0o022)
	os.Chdir("/")
}

// closeOnExec keeps every descriptor but 0, 1 and 2 from our programs.
func closeOnExec() {
	if unix.CloseRange(3, 1<<32-1, unix.CLOSE_RANGE_CLOEXEC) != nil { // before Linux 5.11
		open, _ := os.ReadDir("/proc/self/fd")
		for _, entry := range open {
			if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
				unix.CloseOnExec(fd)
			}
		}
	}
}

// hasTerminal reports whether we have a controlling terminal. Programs get
// sessions of their own then, out of reach of its ^C. Without one a process
// group is enough, and cheaper: with SCHED_AUTOGROUP each session is a
// scheduling group that the kernel creates and destroys.
func hasTerminal() bool {
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
}

// isProtected reports whether the kernel's OOM killer spares the daemon, as our
// unit has it (OOMScoreAdjust=-1000).
func isProtected() bool {
	text, err := os.ReadFile("/proc/self/oom_score_adj")
	return err == nil && strings.TrimSpace(string(text)) == "-1000"
}

// lockPidfile takes the pidfile, if there is to be one. The default one is
// done without where it cannot be written, as on a read-only /run.
func (d *daemon) lockPidfile() (*pidfile, error) {
	path := d.o.pidfile
	if !d.o.pidfileSet {
		if d.o.foreground || os.Geteuid() != 0 {
			return nil, nil
		}
		path = defaultPidfile
	}
	if path == "" {
		return nil, nil
	}
	p, err := lockPidfile(path)
	if held := (*heldError)(nil); err != nil && !d.o.pidfileSet && !errors.As(err, &held) {
		d.warn("%v; runs without one (-p names another file)", err)
		return nil, nil
	}
	return p, err
}
