//go:build !(amd64 || arm64) || portable

package spawn

import (
	"errors"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A vforkCall is what a Scratch keeps between starts.
type vforkCall struct{ env []string }

// Start runs the program with fd as its descriptors 0, 1 and 2, by
// syscall.ForkExec. It costs a pipe, and the error has the errno but not the
// step that failed. Attributes that ForkExec cannot set are refused.
func (im *Image) Start(fd int, s *Scratch) (Process, error) {
	attrs, path := im.attr, im.Path()
	if len(attrs.Rlimits) > 0 || attrs.Nice != 0 || attrs.Umask != nil || attrs.NoNewPrivs {
		return Process{}, &StepError{Step: "limits of " + path, Errno: syscall.ENOTSUP}
	}
	dir := attrs.Dir
	if dir == "" && attrs.Chroot != "" {
		dir = "/"
	}
	attr := &syscall.ProcAttr{
		Dir:   dir,
		Env:   s.strings(attrs.Env.list),
		Files: []uintptr{uintptr(fd), uintptr(fd), uintptr(fd)},
		Sys:   &syscall.SysProcAttr{Setsid: attrs.Session, Setpgid: !attrs.Session, Chroot: attrs.Chroot},
	}
	if u := attrs.User; u != nil {
		attr.Sys.Credential = &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
	}
	var args []string
	for _, arg := range im.argv[:len(im.argv)-1] {
		args = append(args, unix.BytePtrToString(arg))
	}
	pid, err := syscall.ForkExec(path, args, attr)
	if err == syscall.EBADF {
		// ForkExec needs the number above those of the files, and fd is the
		// last that the limit allows: dup3(2) says EBADF. A lower one may be
		// free, now or when the start is tried again.
		err = syscall.EMFILE
		if low, failed := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3); failed == nil {
			defer unix.Close(low)
			if low < fd {
				attr.Files = []uintptr{uintptr(low), uintptr(low), uintptr(low)}
				pid, err = syscall.ForkExec(path, args, attr)
			}
		}
	}
	if err == nil {
		return Process{PID: pid}, nil
	}
	e := &StepError{Step: "exec " + path}
	errors.As(err, &e.Errno)
	if e.Errno == syscall.EPERM {
		e.Step = "fork, credentials or exec of " + path
	}
	return Process{}, e
}

// marks are none: syscall.ForkExec does not say when its child does what.
type marks struct{}

// Trace does nothing: see marks.
func (s *Scratch) Trace() {}

// Steps returns none: see marks.
func (im *Image) Steps(*Scratch) []Step { return nil }

// Signal does nothing: syscall.ForkExec does not say which child it waits for.
func (s *Scratch) Signal(unix.Signal) {}

// Child returns 0: see Signal.
func (s *Scratch) Child() int { return 0 }

// A Forked is what Fork returns where it does not wait.
type Forked struct {
	Process
	Report int
}

// Fork is Start here: syscall.ForkExec waits for the exec.
func (im *Image) Fork(fd int, s *Scratch) (*Forked, error) {
	p, err := im.Start(fd, s)
	return &Forked{Process: p, Report: -1}, err
}

// Result returns at once.
func (f *Forked) Result() (err error, done bool) { return nil, true }

// Close does nothing: there is no Report.
func (f *Forked) Close() {}

// Kill kills the child.
func (f *Forked) Kill() { unix.Kill(f.PID, unix.SIGKILL) }

// NofileAtStart is for the other way: ForkExec puts back the limit of open
// files that Go raised.
func NofileAtStart() []Rlimit { return nil }

// strings returns the environment that a start gets, as Go strings.
func (s *Scratch) strings(base []string) []string {
	env := append(s.vfork.env[:0], base...)
	for _, v := range strings.Split(string(s.text), "\x00") {
		if v != "" {
			env = append(env, v)
		}
	}
	s.vfork.env = env
	return env
}
