package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd"
	"goinetd/inetd/socket"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
	"goinetd/inetd/wrap"
)

// defaultPidfile is where inetds on Linux write it.
const defaultPidfile = "/run/inetd.pid"

// looped is how long a looping service is closed, in seconds; the tests link
// another number in.
var looped = "600"

// identLimit is how long an ident server may take to answer, in seconds;
// linked in likewise.
var identLimit = "30"

// run is the daemon. It gives the exit status.
func run(o *options, background *parent) int {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2) // whoever ends us before we serve may do so
	if o.xinetd {
		signal.Notify(signals, unix.SIGABRT)
	}
	environ, whole := childEnviron(os.Environ(), o.keepEnv), childEnviron(os.Environ(), true)
	settle()
	manager := newManager()
	d := &running{o: o, background: background, manager: manager}
	d.openLog()
	log := d.log

	pidfile, err := d.lock()
	if err != nil {
		return d.giveUp(err)
	}
	services, problems, err := d.load()
	if err != nil {
		pidfile.remove()
		return d.giveUp(err)
	}
	before, err := takeEstate()
	if err != nil {
		log.Printf(syslog.Err, "%v", err)
	}
	seconds, _ := strconv.Atoi(looped)
	identSeconds, _ := strconv.Atoi(identLimit)
	server, err := inetd.New(inetd.Options{Log: log, Environ: environ, Backlog: o.backlog, Rest: time.Duration(seconds) * time.Second,
		Inherited: append(before.Sockets, socket.FromSystemd()...), Children: before.Children, Session: hasTerminal(), Debug: o.debug,
		WholeEnviron: whole, Limit: o.limit, StayAlive: o.stayAlive, Ident: time.Duration(identSeconds) * time.Second, Manager: manager.orNil()})
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
	slim()
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGQUIT)
	background.release()
	manager.tell("READY=1\nMAINPID=" + strconv.Itoa(os.Getpid()) + "\nSTATUS=" + server.Summary())
	manager.watch(server, log)

	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		server.Run(ctx)
		close(ended)
	}()
	again := d.serve(server, signals)
	if again {
		server.Quiesce(time.Second)
	}
	stop()
	select {
	case <-ended:
	case <-time.After(time.Second): // a worker whose exec hangs must not keep us
	}
	status := 0
	if again {
		log.Flush()
		manager.flush()
		err := startAnew(server.Bequeath())
		log.Printf(syslog.Err, "cannot start anew: %v", err)
		status = lostItself
	}
	pidfile.remove()
	log.Flush()
	manager.flush()
	return status
}

// lostItself is the exit status of a daemon that ends although it should not:
// whoever supervises it should start it again.
const lostItself = 70 // EX_SOFTWARE of sysexits.h

// running is what the daemon needs while it runs.
type running struct {
	o          *options
	manager    *manager
	log        *syslog.Logger
	background *parent
	file       *syslog.File // of -filelog; nil: none
	checked    bool         // hosts.deny has been looked for
}

// openLog opens the daemon's log.
func (d *running) openLog() {
	switch {
	case d.o.filelog != "":
		d.file = syslog.NewFile(ident(), d.o.filelog, syslog.Limits{Tell: func(text string) { complain("%s", text) }})
		d.log = d.file.Logger
	case d.o.foreground && d.o.facility == "":
		d.log = syslog.New(ident())
	default:
		d.log = syslog.ToDaemon(ident(), cmp.Or(d.o.facility, "daemon"))
	}
	for _, option := range d.o.ignored {
		d.log.Printf(syslog.Warning, "option %s is not known, and has no effect", option)
	}
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
		d.log.Printf(syslog.Info, "reading %s", strings.Join(files, " and "))
	}
	services, problems, err := config.Load(files, o)
	if d.o.compat && err == nil {
		problems = append(problems, d.loadCompat(&services, o)...)
	}
	if err == nil {
		d.checkHosts(services)
	}
	return services, problems, err
}

// loadCompat adds the services of /etc/inetd.conf whose ids xinetd.conf does
// not have (-inetd_compat).
func (d *running) loadCompat(services *[]*config.Service, o config.Options) []config.Problem {
	o.Dialect, o.PerMinute = config.Inetd, 0
	more, problems, err := config.Load([]string{"/etc/inetd.conf"}, o)
	if err != nil {
		severity := config.Error // so that a reload takes nothing away
		if errors.Is(err, os.ErrNotExist) {
			severity = config.Warning
		}
		return []config.Problem{{Severity: severity, Text: "-inetd_compat: " + err.Error()}}
	}
	ids := map[string]bool{}
	for _, s := range *services {
		ids[strings.ToLower(s.ID)] = true
	}
	for _, s := range more {
		if !ids[strings.ToLower(s.ID)] {
			*services = append(*services, s)
		}
	}
	return problems
}

// checkHosts says what is wrong with hosts.allow and hosts.deny, and that
// they are not consulted where somebody may think that they are.
func (d *running) checkHosts(services []*config.Service) {
	consulted, unasked := false, false
	for _, s := range services {
		consulted = consulted || s.Libwrap != ""
		unasked = unasked || s.Libwrap == "" && s.Dialect == config.Inetd
	}
	if !d.checked && unasked && !d.o.inetd.Libwrap && wrap.Present(hostsDeny) {
		d.log.Printf(syslog.Notice, "%s is there and is not consulted for the services of inetd.conf (start with -l, or name tcpd(8) in their lines)", hostsDeny)
	}
	d.checked = true
	if !consulted {
		return
	}
	for _, file := range []string{hostsAllow, hostsDeny} {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for _, p := range wrap.Problems(string(text)) {
			d.log.Printf(syslog.Warning, "%s:%d: %s", filepath.Base(file), p.Line, p.Text)
		}
	}
}

// The files of hosts_access(5).
const (
	hostsAllow = "/etc/hosts.allow"
	hostsDeny  = "/etc/hosts.deny"
)

// serve deals with signals until one ends the daemon, or has it start anew.
// A reload may have to wait for a name to be looked up; nothing else waits
// for it.
func (d *running) serve(server *inetd.Server, signals <-chan os.Signal) (again bool) {
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
			switch {
			case sig == unix.SIGUSR2 && !d.o.xinetd:
				if err := d.canStartAnew(server); err != nil {
					d.log.Printf(syslog.Err, "SIGUSR2: cannot start anew: %v (everything goes on as it was)", err)
					continue
				}
				d.manager.reloading()
				d.log.Printf(syslog.Notice, "SIGUSR2: starting anew, with the same sockets")
				return true
			case sig == unix.SIGHUP || sig == unix.SIGUSR2:
				again = reloading
				if !reloading {
					reloading = true
					go d.reload(server, reloaded)
				}
			case sig == unix.SIGUSR1 || sig == unix.SIGABRT: // xinetd checks its tables for the latter
				server.LogState()
			default:
				d.manager.tell("STOPPING=1")
				n := server.Stop()
				d.log.Printf(syslog.Notice, "%s: no longer listening; %d programs finish on their own", unix.SignalName(sig.(unix.Signal)), n)
				return false
			}
		}
	}
}

// reload reads the configuration again. Files that cannot be read change
// nothing.
func (d *running) reload(server *inetd.Server, reloaded chan<- struct{}) {
	d.manager.reloading()
	if d.file != nil {
		d.file.Reopen()
	}
	if services, problems, err := d.load(); err != nil {
		d.log.Printf(syslog.Err, "reload: %v (nothing is changed)", err)
	} else {
		server.Apply(services, problems)
	}
	slim()
	d.manager.tell("READY=1\nSTATUS=" + server.Summary())
	reloaded <- struct{}{}
}
