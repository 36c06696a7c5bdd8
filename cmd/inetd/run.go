package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd"
	"goinetd/inetd/socket"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// defaultPidfile is where inetds on Linux write it.
const defaultPidfile = "/run/inetd.pid"

// looped is how long a looping service is closed, in seconds; the tests link
// another number in.
var looped = "600"

// run is the daemon. It gives the exit status.
func run(o *options, background *parent) int {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGHUP, unix.SIGUSR1) // whoever ends us before we serve may do so
	environ := childEnviron(os.Environ(), o.keepEnv)
	settle()
	log := syslog.New(ident(), o.foreground)
	d := &running{o: o, log: log, background: background}

	pidfile, err := d.lock()
	if err != nil {
		return d.giveUp(err)
	}
	services, problems, err := d.load()
	if err != nil {
		pidfile.remove()
		return d.giveUp(err)
	}
	seconds, _ := strconv.Atoi(looped)
	server, err := inetd.New(inetd.Options{Log: log, Environ: environ, Backlog: o.backlog, Rest: time.Duration(seconds) * time.Second,
		Inherited: socket.FromSystemd(), Session: hasTerminal(), Debug: o.debug})
	if err == nil {
		problems, err = server.Start(services, problems)
	}
	if background != nil {
		for _, p := range problems { // syslog has them too; this is for who started us
			fmt.Fprintf(os.Stderr, "%s: %v\n", ident(), p)
		}
	}
	if err != nil {
		pidfile.remove()
		return d.giveUp(err)
	}
	// Connections leave little garbage: a small heap costs hardly a collection
	// more, and the daemon is to be small.
	debug.SetGCPercent(25)
	debug.FreeOSMemory() // what reading the configuration took
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGQUIT)
	background.release()
	notify("READY=1\nMAINPID=" + strconv.Itoa(os.Getpid()))

	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		server.Run(ctx)
		close(ended)
	}()
	d.serve(server, signals)
	stop()
	select {
	case <-ended:
	case <-time.After(time.Second): // a worker whose exec hangs must not keep us
	}
	pidfile.remove()
	log.Flush()
	return 0
}

// running is what the daemon needs while it runs.
type running struct {
	o          *options
	log        *syslog.Logger
	background *parent
}

// settle makes of the process what a daemon should be, whoever started it.
func settle() {
	spawn.DefaultSignals()
	// Nothing that we were started with is for our programs but 0, 1 and 2,
	// and those must be there: the next socket would take the place.
	for fd := range 3 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == unix.EBADF {
			unix.Open(os.DevNull, unix.O_RDWR, 0)
		}
	}
	closeOnExec()
	unix.Umask(unix.Umask(0o022) | 0o022)
	os.Chdir("/")
}

// closeOnExec marks every descriptor but 0, 1 and 2.
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

// hasTerminal tells whether we have a controlling terminal. Our programs are
// then to have sessions of their own, out of the reach of its ^C; without one
// a process group does, which is cheaper: with SCHED_AUTOGROUP each session
// is a scheduling group that the kernel makes and takes apart.
func hasTerminal() bool {
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
}

// lock takes the pidfile, if there is to be one.
func (d *running) lock() (*pidfile, error) {
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
	return lockPidfile(path)
}

// giveUp says why the daemon does not start.
func (d *running) giveUp(err error) int {
	d.log.Printf(syslog.Err, "%v", err)
	if d.background != nil {
		complain("%v", err)
	}
	d.log.Flush()
	return 1
}

// load reads the configuration.
func (d *running) load() ([]*config.Service, []config.Problem, error) {
	o := d.o.inetd
	o.KnownUser = spawn.NewAccounts().Known
	files := d.o.files
	if len(files) == 0 {
		files = config.DefaultPaths() // there may be others since
	}
	return config.Load(files, o)
}

// serve deals with signals until one ends the daemon. A reload may have to
// wait for a name to be looked up; nothing else waits for it.
func (d *running) serve(server *inetd.Server, signals <-chan os.Signal) {
	reloaded := make(chan struct{}, 1)
	reloading, again := false, false
	for {
		select {
		case <-reloaded:
			reloading = again
			if again {
				again = false
				go d.reload(server, reloaded)
			}
		case sig := <-signals:
			switch sig {
			case unix.SIGHUP:
				again = reloading
				if !reloading {
					reloading = true
					go d.reload(server, reloaded)
				}
			case unix.SIGUSR1:
				server.LogState()
			default:
				notify("STOPPING=1")
				n := server.Stop()
				d.log.Printf(syslog.Notice, "%s: no longer listening; %d programs finish on their own", unix.SignalName(sig.(unix.Signal)), n)
				return
			}
		}
	}
}

// reload reads the configuration again. Files that cannot be read change
// nothing.
func (d *running) reload(server *inetd.Server, reloaded chan<- struct{}) {
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	notify(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000))
	if services, problems, err := d.load(); err != nil {
		d.log.Printf(syslog.Err, "reload: %v (nothing is changed)", err)
	} else {
		server.Apply(services, problems)
	}
	debug.FreeOSMemory() // the configuration before, and what reading this one took
	notify("READY=1")
	reloaded <- struct{}{}
}

// notify tells systemd, if it wants to know (sd_notify(3)).
func notify(state string) {
	daemon.SdNotify(false, state)
}
