package main

import (
	"context"
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd"
	"goinetd/inetd/control"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// This file answers inetctl(8).

// controlIdle is how long nobody may have asked until the memory is returned that
// answers needed.
const controlIdle = 5 * time.Second

// An ask is what a client of the control socket wants of the goroutine that
// handles signals.
type ask struct {
	sig   unix.Signal // that would have the same done: SIGHUP or SIGUSR2
	reply chan<- outcome
}

// An outcome is what came of it.
type outcome struct {
	problems []config.Problem // of a reload
	err      error
}

// openControl opens the control socket: where the command line says, else, for
// an inetd of the system, at its usual place.
func (d *daemon) openControl() {
	path := d.o.control
	if !d.o.controlSet {
		if os.Geteuid() != 0 || d.o.foreground && !d.o.pidfileSet {
			return
		}
		path = control.Path
	}
	if path == "" {
		return
	}
	gid := -1
	if name := d.o.controlGroup; name != "" {
		id, err := spawn.NewAccounts().GroupID(name)
		if err != nil {
			d.log.Printf(syslog.Warning, "control socket: %v (for root alone; correct --control-group)", err)
		} else {
			gid = int(id)
		}
	}
	// Who asks again and again is to cost no more than the answers.
	release := time.AfterFunc(time.Hour, releaseMemory)
	release.Stop()
	server, err := control.Listen(path, gid, backend{d.server, d}, func() { release.Reset(controlIdle) })
	if err != nil {
		d.log.Printf(syslog.Warning, "control socket: %v; inetctl cannot ask this inetd", err)
		return
	}
	d.control = server
}

// closeControl closes the control socket. It is there again when the next process
// of an upgrade is.
func (d *daemon) closeControl(upgrading bool) {
	if d.control != nil {
		d.control.Close(upgrading)
		d.control = nil
	}
}

// A backend does what inetctl asks for.
type backend struct {
	*inetd.Server
	d *daemon
}

var _ control.Backend = backend{}

func (b backend) Status(service string) (*control.Status, error) {
	snap := b.Snapshot(service)
	if service != "" && len(snap.Services) == 0 {
		return nil, errors.New("there is no service " + strconv.Quote(service) + " (inetctl status lists them)")
	}
	snap.Program, snap.PID = ident()+" (goinetd) "+version, os.Getpid()
	return snap, nil
}

func (b backend) Start(service string) error { return b.StartService(service) }

func (b backend) Stop(service string) error { return b.StopService(service) }

func (b backend) Pause(service string) error { return b.PauseService(service) }

func (b backend) Drain(ctx context.Context, service string) error {
	return b.DrainService(ctx, service)
}

func (b backend) Reload(ctx context.Context) ([]control.Problem, error) {
	a, err := b.ask(ctx, unix.SIGHUP)
	var problems []control.Problem
	for _, p := range a.problems {
		problems = append(problems, inetd.ControlProblem(p))
	}
	return problems, err
}

func (b backend) Upgrade(ctx context.Context) error {
	_, err := b.ask(ctx, unix.SIGUSR2)
	return err
}

func (b backend) ask(ctx context.Context, sig unix.Signal) (outcome, error) {
	reply := make(chan outcome, 1)
	select {
	case b.d.asks <- ask{sig, reply}:
	case <-ctx.Done():
		return outcome{}, ctx.Err()
	}
	select {
	case a := <-reply:
		return a, a.err
	case <-ctx.Done():
		return outcome{}, ctx.Err()
	}
}
