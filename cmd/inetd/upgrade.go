package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

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

// dryStartTimeout is how long the new program may take to read the
// configuration.
const dryStartTimeout = 30 * time.Second

// checkUpgrade tries the program that an upgrade would execute: it reads the
// configuration and our state, and ends. It returns why an upgrade would fail.
func (d *daemon) checkUpgrade() error {
	if executableErr != nil {
		return executableErr
	}
	if err := unix.Access(executable, unix.X_OK); err != nil {
		return fmt.Errorf("%s: %w", executable, err)
	}
	if info, err := os.Stat(startDir); err != nil || !info.IsDir() {
		return fmt.Errorf("the directory that inetd was started in is gone (%s): paths of its command line may be relative to it", startDir)
	}
	output, err := d.dryStart()
	if err == nil && !strings.Contains(output, testPassed) {
		err = errors.New("it did not read the configuration")
	}
	if err != nil {
		return fmt.Errorf("%s -t: %w%s", executable, err, quoted(output))
	}
	return nil
}

// dryStart runs the program with -t, and returns what it printed.
func (d *daemon) dryStart() (output string, err error) {
	state, err := d.server.CopyState()
	if err != nil {
		return "", err
	}
	defer state.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer r.Close()
	const stateFD = 3 // behind stdin, stdout and stderr
	environ := append(childEnviron(os.Environ(), true), fmt.Sprint(handover.Variable, "=", stateFD))
	files := []*os.File{nil, w, w, state.File()}
	if s := &d.o.streams; s.file != nil {
		environ = append(environ, s.environ(len(files))...)
		files = append(files, s.file)
	}
	p, err := os.StartProcess(executable, slices.Insert(slices.Clone(os.Args), 1, "-t"),
		&os.ProcAttr{Dir: startDir, Env: environ, Files: files, Sys: &syscall.SysProcAttr{Setpgid: true}})
	w.Close()
	if err != nil {
		return "", err
	}
	late := time.AfterFunc(dryStartTimeout, func() { p.Kill() })
	text := readTail(r)
	ended, err := p.Wait()
	switch {
	case !late.Stop():
		return string(text), fmt.Errorf("not ended after %v", dryStartTimeout)
	case err != nil:
		return string(text), err
	case !ended.Success():
		return string(text), errors.New(ended.String())
	}
	return string(text), nil
}

// maxOutput is how much of a dry start's output is kept, in bytes: the last
// line says how it ended, and thousands of services can have warnings before.
const maxOutput = 64 << 10

// readTail reads to the end, and returns what was read last.
func readTail(r io.Reader) (tail []byte) {
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		tail = append(tail, buf[:n]...)
		tail = tail[max(0, len(tail)-maxOutput):]
		if err != nil {
			return tail
		}
	}
}

// quoted returns the last line of an output, for an error.
func quoted(output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return fmt.Sprintf(" (%q)", last)
	}
	return ""
}

// upgrade executes the program. Where that fails it executes the one that
// runs. It returns the exit status of a daemon that is told to end meanwhile,
// or that can do neither.
func (d *daemon) upgrade() int {
	d.closeControl(true)
	d.server.Quiesce(quiesceTimeout)
	d.end()
	// From here on a signal that is to end us does so by itself.
	signal.Stop(d.terminate)
	select {
	case sig := <-d.terminate:
		d.stopServing(sig)
		return 0
	default:
	}
	os.Chdir(startDir)
	state := d.server.HandOver()
	for _, program := range []string{executable, "/proc/self/exe"} {
		err := handover.Exec(program, os.Args, d.o.streams.keepOverExec(os.Environ()), state)
		d.log.Printf(syslog.Err, "upgrade: %v", err)
		d.log.Flush()
	}
	return exitSoftware
}
