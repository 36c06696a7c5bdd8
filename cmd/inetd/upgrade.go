package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/handover"
	"goinetd/inetd/syslog"
)

// An upgrade (SIGUSR2) executes the program's file again in the same process,
// which may be another version by now. Sockets stay open, and programs stay
// our children.

// executable is the program's file at the start. It may have been replaced
// since.
var executable, executableErr = os.Executable()

// startDir is where the program was started: its arguments may be relative
// paths, and the daemon runs in /.
var startDir, _ = os.Getwd()

// quiesceTimeout is how long an upgrade waits for clients that are served
// without a program.
const quiesceTimeout = time.Second

// checkUpgrade returns why an upgrade would fail, or why it would lose a
// service by a mistake in the configuration.
func (d *daemon) checkUpgrade() error {
	if executableErr != nil {
		return executableErr
	}
	if err := unix.Access(executable, unix.X_OK); err != nil {
		return fmt.Errorf("%s: %w", executable, err)
	}
	services, problems, err := d.preview()
	if err != nil {
		return err
	}
	missing := d.server.Missing(services)
	for _, p := range problems {
		if p.Severity == config.Error && len(missing) > 0 {
			return fmt.Errorf("service %s would be lost: %v", strings.Join(missing, ", "), p)
		}
	}
	return nil
}

// upgrade executes the program. It returns an exit status if that fails: by
// then the sockets have been given up.
func (d *daemon) upgrade() int {
	d.server.Quiesce(quiesceTimeout)
	d.end()
	os.Chdir(startDir)
	err := handover.Exec(executable, os.Args, os.Environ(), d.server.HandOver())
	d.log.Printf(syslog.Err, "upgrade: %v", err)
	d.log.Flush()
	return exitSoftware
}
