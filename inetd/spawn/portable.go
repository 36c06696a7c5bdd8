//go:build !(amd64 || arm64) || portable

package spawn

import (
	"errors"
	"syscall"
)

// A launch is empty here: syscall.ForkExec keeps its own.
type launch struct{}

// start runs the program by syscall.ForkExec. It costs a pipe, and it tells
// the errno but not the step that failed. What ForkExec has no word for, the
// child inherits from the daemon: such a spec is refused.
func (im *Image) start(fd int, s *Scratch) (int, error) {
	spec := &im.spec
	if len(spec.Rlimits) > 0 && !onlyNofile(spec.Rlimits) || spec.Nice != 0 || spec.Umask != nil || spec.NoNewPrivs {
		return 0, &StepError{Step: "limits of " + spec.Path, Errno: syscall.ENOTSUP}
	}
	dir := spec.Dir
	if dir == "" && spec.Chroot != "" {
		dir = "/"
	}
	attr := &syscall.ProcAttr{
		Dir:   dir,
		Env:   s.strings(spec.Env),
		Files: []uintptr{uintptr(fd), uintptr(fd), uintptr(fd)},
		Sys:   &syscall.SysProcAttr{Setsid: spec.Session, Setpgid: !spec.Session, Chroot: spec.Chroot},
	}
	if u := spec.User; u != nil {
		attr.Sys.Credential = &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
	}
	pid, err := syscall.ForkExec(spec.Path, spec.Args, attr)
	if err == nil {
		return pid, nil
	}
	e := &StepError{Step: "exec " + spec.Path}
	errors.As(err, &e.Errno)
	if e.Errno == syscall.EPERM {
		e.Step = "fork, credentials or exec of " + spec.Path
	}
	return 0, e
}

// onlyNofile: the limit of open files that Go raised for itself is put back
// by ForkExec.
func onlyNofile(limits []Rlimit) bool {
	return len(limits) == 1 && limits[0].Resource == syscall.RLIMIT_NOFILE
}
