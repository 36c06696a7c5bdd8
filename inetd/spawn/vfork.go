//go:build (amd64 || arm64) && !portable

package spawn

// This file is the one place that goes around Go's runtime, because forking
// is what this program exists for. syscall.ForkExec makes a pipe to learn
// whether the exec worked; a child that shares the parent's memory
// (CLONE_VM|CLONE_VFORK) leaves its error there, and every step of the
// child's world is a plain system call in it.
//
// What must hold: the child runs on the stack of the parent's sleeping
// thread, so it may not grow that stack, allocate, or return; it makes raw
// system calls and ends. The functions that it runs are nosplit, which the
// linker proves down to the last call. No handler of Go's may run in it:
// CLONE_CLEAR_SIGHAND sets its default signal actions from its birth. So the
// signals need not be blocked around the clone, which would also make the
// kernel queue a SIGCHLD for every exit that falls into it.
//
// The parent's thread sleeps until the exec is over, which can be long where
// the program is on a file system that does not answer. entersyscall and
// exitsyscall tell the runtime so, as package syscall does for any call that
// blocks (runtime keeps both for those who link to them by name): else the
// next garbage collection would stop the whole daemon for that one program.
// Between them the parent runs nothing that could be preempted or grow its
// stack.
//
// Where the kernel is older (before 5.9) or a seccomp filter keeps clone3
// from us, runtime_BeforeFork and its companions, which package syscall says
// may be linked to by name, do what syscall.ForkExec does.
//
// TestChildAttributes and TestStepErrors would catch its breaking; the tests run
// with the race detector, too.
//
// Descriptors: with CLONE_FILES the child begins in the parent's table and
// leaves it by close_range(fd+1, CLOSE_RANGE_UNSHARE), which copies only the
// descriptors up to fd. Start thus costs the same on a host with five
// thousand listening sockets, as long as connections have low numbers
// (package socket sees to that).

import (
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"goinetd/inetd/spawn/nofile"
)

// NofileAtStart returns the limit of open files that the daemon was started
// with, for its children: Go raises its own.
func NofileAtStart() []Rlimit {
	var now unix.Rlimit
	was := nofile.AtStart
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &now) != nil || was == (nofile.Limit{}) || now.Cur == was.Soft && now.Max == was.Hard {
		return nil
	}
	return []Rlimit{{Resource: unix.RLIMIT_NOFILE, Soft: was.Soft, Hard: was.Hard}}
}

//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

//go:linkname afterForkInChild syscall.runtime_AfterForkInChild
func afterForkInChild()

//go:linkname entersyscall runtime.entersyscall
func entersyscall()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()

//go:noescape
func vfork(trap, a1, a2 uintptr) (r1, errno uintptr)

// cloneArgs is struct clone_args of clone3(2), version 0.
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls uint64
}

const cloneClearSighand = 1 << 32 // Linux 5.5

const modernFlags = unix.CLONE_VM | unix.CLONE_VFORK | unix.CLONE_FILES | unix.CLONE_PIDFD | cloneClearSighand

// legacyClone is set once clone3 or close_range turned out to be missing, or
// to be blocked by a seccomp filter.
var legacyClone atomic.Bool

var emptySet [1]uint64

// A vforkCall is everything that a child reads and writes in its parent's
// memory.
type vforkCall struct {
	path    *byte
	argv    **byte
	envv    **byte
	steps   []step
	fd      uintptr
	legacy  bool // plain clone, which keeps handlers and copies the table
	args    cloneArgs
	pidfd   int32   // of the child
	envRoom []*byte // for envv

	failed int // the child's: the step that failed
	errno  uintptr
}

// The steps that every child takes, as call.failed counts them; those of
// the image come behind.
const (
	stepFork = iota
	stepUnshare
	stepMask
	stepDup
	stepExec
	stepAttr
)

var stepNames = [stepAttr]string{"fork", "close_range", "sigprocmask", "dup", "exec"}

// Start runs the program with fd as its descriptors 0, 1 and 2. The error is
// a *StepError. fd stays open in the caller.
func (im *Image) Start(fd int, s *Scratch) (Process, error) {
	l := &s.vfork
	l.path, l.argv, l.steps, l.fd = im.path, &im.argv[0], im.attr.steps, uintptr(fd)
	l.envv = s.environment(im.attr.Env.envv)
	for {
		l.legacy, l.failed, l.errno, l.pidfd = legacyClone.Load(), stepFork, 0, -1
		fork := forkExec
		if l.legacy {
			fork = forkExecOld
		}
		pid, errno := fork(l)
		switch {
		case errno != 0:
			l.failed, l.errno = stepFork, errno
		case l.errno != 0:
			Process{int(pid), int(l.pidfd)}.wait()
		default:
			return Process{int(pid), int(l.pidfd)}, nil
		}
		if !l.legacy && l.missing() {
			legacyClone.Store(true)
			continue
		}
		return Process{}, im.stepError(l)
	}
}

// environment returns an envp of the image's variables and the connection's.
func (s *Scratch) environment(base []*byte) **byte {
	s.vfork.envRoom = append(s.vfork.envRoom[:0], base...)
	for _, at := range s.starts {
		s.vfork.envRoom = append(s.vfork.envRoom, &s.text[at])
	}
	s.vfork.envRoom = append(s.vfork.envRoom, nil)
	return unsafe.SliceData(s.vfork.envRoom)
}

// missing reports whether the kernel does not know the calls that a start
// begins with, or a seccomp filter refuses them.
func (l *vforkCall) missing() bool {
	switch unix.Errno(l.errno) {
	case unix.ENOSYS, unix.EINVAL, unix.EPERM:
		return l.failed == stepFork || l.failed == stepUnshare
	}
	return false
}

func (im *Image) stepError(l *vforkCall) error {
	e := &StepError{Errno: syscall.Errno(l.errno)}
	switch {
	case l.failed >= stepAttr:
		e.Step = im.attr.steps[l.failed-stepAttr].name
	case l.failed == stepExec:
		e.Step = "exec " + im.Path()
	default:
		e.Step = stepNames[l.failed]
	}
	return e
}

// forkExec clones and, in the child, goes to child, which does not return.
// The parent reads nothing after the call that the child could have changed
// on the shared stack but what vfork itself returned.
//
//go:norace
//go:nosplit
//go:noinline
//go:nocheckptr
func forkExec(l *vforkCall) (pid, errno uintptr) {
	l.args = cloneArgs{flags: modernFlags, exitSignal: uint64(unix.SIGCHLD), pidfd: uint64(uintptr(unsafe.Pointer(&l.pidfd)))}
	entersyscall()
	pid, errno = vfork(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&l.args)), unsafe.Sizeof(l.args))
	if errno != 0 || pid != 0 {
		exitsyscall()
		return pid, errno
	}
	child(l)
	return 0, 0 // not reached
}

// forkExecOld is forkExec for kernels without clone3.
//
//go:norace
//go:noinline
//go:nocheckptr
func forkExecOld(l *vforkCall) (pid, errno uintptr) {
	beforeFork()
	pid, errno = vfork(unix.SYS_CLONE, unix.CLONE_VM|unix.CLONE_VFORK|uintptr(unix.SIGCHLD), 0)
	if errno != 0 || pid != 0 {
		afterFork()
		return pid, errno
	}
	afterForkInChild()
	child(l)
	return 0, 0 // not reached
}

// child sets the attributes of the child and executes the program.
//
//go:norace
//go:nosplit
//go:noinline
//go:nocheckptr
func child(l *vforkCall) {
	var e syscall.Errno
	if !l.legacy {
		l.failed = stepUnshare
		if _, _, e = syscall.RawSyscall(unix.SYS_CLOSE_RANGE, l.fd+1, 1<<32-1, unix.CLOSE_RANGE_UNSHARE); e != 0 {
			goto fail
		}
	}
	l.failed = stepMask
	if _, _, e = syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&emptySet)), 0, 8, 0, 0); e != 0 {
		goto fail
	}
	l.failed = stepDup
	for to := uintptr(0); to < 3; to++ {
		if _, _, e = syscall.RawSyscall(unix.SYS_DUP3, l.fd, to, 0); e != 0 {
			goto fail
		}
	}
	for i := range l.steps {
		s := &l.steps[i]
		l.failed = stepAttr + i
		if _, _, e = syscall.RawSyscall6(s.trap, s.a1, s.a2, s.a3, 0, 0, 0); e != 0 {
			goto fail
		}
	}
	l.failed = stepExec
	_, _, e = syscall.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(l.path)), uintptr(unsafe.Pointer(l.argv)), uintptr(unsafe.Pointer(l.envv)))
fail:
	l.errno = uintptr(e)
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, 127, 0, 0)
	}
}
