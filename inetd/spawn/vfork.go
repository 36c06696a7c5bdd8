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
// stack. The kernel writes the child's pid before the child runs (CLONE_PARENT_SETTID), so
// that another thread can signal a child that does not get to its exec:
// Scratch.Signal.
//
// Fork is the slow way, for programs whose exec has been seen to hang: the
// child gets copies of memory and descriptors, and the parent does not wait.
// A pipe that the exec closes brings the error.
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
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"goinetd/inetd/descriptor"
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

// The flags of the two ways to start.
const (
	vforkFlags = unix.CLONE_VM | unix.CLONE_VFORK
	forkFlags  = 0

	modernFlags = unix.CLONE_PARENT_SETTID | cloneClearSighand
)

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
	flags   uint64
	legacy  bool // plain clone, which keeps handlers
	shared  bool // the child begins in our descriptor table
	report  int  // where a child that has its own memory writes its failure; 0: nowhere
	args    cloneArgs
	envRoom []*byte // for envv
	marks   *marks  // when its steps were over; nil: nobody wants to know

	pid int32 // of the child; 0: none. Written by the kernel; other threads may read it

	failure
}

// A failure is the child's: the step that failed, and why.
type failure struct {
	failed int
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

// Start runs the program with fd as its descriptors 0, 1 and 2. It returns
// when the program has been executed; the error is a *StepError. fd stays open
// in the caller.
func (im *Image) Start(fd int, s *Scratch) (Process, error) {
	l := &s.vfork
	im.prepareCall(l, fd, s)
	for {
		l.flags, l.report = vforkFlags, 0
		pid, errno := l.clone()
		switch {
		case errno != 0:
			l.failed, l.errno = stepFork, errno
		case l.errno != 0:
			atomic.StoreInt32(&l.pid, 0) // another process may have it from here on
			Process{PID: int(pid)}.wait()
		default:
			return Process{PID: int(pid)}, nil
		}
		if !l.legacy && l.missing() {
			legacyClone.Store(true)
			continue
		}
		return Process{}, im.stepError(l.failure)
	}
}

// prepareCall sets what a child reads.
func (im *Image) prepareCall(l *vforkCall, fd int, s *Scratch) {
	l.path, l.argv, l.steps, l.fd = im.path, &im.argv[0], im.attr.steps, uintptr(fd)
	l.envv = s.environment(im.attr.Env.envv)
	l.marks = s.marks
}

// clone begins a child that executes the program.
func (l *vforkCall) clone() (pid, errno uintptr) {
	l.legacy, l.failure = legacyClone.Load(), failure{}
	l.marks.reset()
	l.shared = !l.legacy && l.flags == vforkFlags
	atomic.StoreInt32(&l.pid, 0)
	switch {
	case l.legacy:
		return cloneOld(l)
	case l.flags == vforkFlags:
		return vforkExec(l)
	}
	return forkExec(l)
}

// Signal sends a signal to the child of a start that is under way in another
// thread, which must be kept from returning from Start meanwhile.
func (s *Scratch) Signal(sig unix.Signal) {
	pid := s.Child()
	if pid == 0 {
		return
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ENOSYS { // before Linux 5.3
		unix.Kill(pid, sig)
	}
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if s.Child() == pid { // so the child had not been reaped when its pidfd was opened
		unix.PidfdSendSignal(fd, sig, nil, 0)
	}
}

// Child returns the pid of the child of a start that is under way in another
// thread; 0: there is none yet.
func (s *Scratch) Child() int { return int(atomic.LoadInt32(&s.vfork.pid)) }

// A Forked is a child that may not have executed its program yet.
type Forked struct {
	Process
	Report int // readable once it has executed the program, or failed
	image  *Image
}

// forking is held while there is a pipe whose writing end another child could
// inherit: it would keep it open while its own exec hangs.
var forking sync.Mutex

// Fork begins to run the program as Start does, but does not wait for the
// exec. It costs a copy of our page tables. The caller waits until Report is
// readable and calls Result.
func (im *Image) Fork(fd int, s *Scratch) (*Forked, error) {
	l := &s.vfork
	im.prepareCall(l, fd, s)
	l.marks = nil // the child has a copy
	forking.Lock()
	defer forking.Unlock()
	for {
		var ends [2]int
		if err := unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
			return nil, &StepError{Step: "pipe", Errno: err.(syscall.Errno)}
		}
		l.flags, l.report = forkFlags, ends[1]
		pid, errno := l.clone()
		unix.Close(ends[1])
		if errno == 0 {
			return &Forked{Process{PID: int(pid)}, descriptor.Raise(ends[0]), im}, nil
		}
		unix.Close(ends[0])
		l.failure = failure{stepFork, errno}
		if l.legacy || !l.missing() {
			return nil, im.stepError(l.failure)
		}
		legacyClone.Store(true)
	}
}

// Result returns how the start ended. It reports false while the program has
// been neither executed nor given up.
func (f *Forked) Result() (err error, done bool) {
	var failed failure
	b := unsafe.Slice((*byte)(unsafe.Pointer(&failed)), unsafe.Sizeof(failed))
	n, err := unix.Read(f.Report, b)
	if err == unix.EAGAIN || err == unix.EINTR {
		if !f.executed() {
			return nil, false
		}
		n = 0
	}
	if n == len(b) {
		f.wait()
		return f.image.stepError(failed), true
	}
	return nil, true
}

// executed reports whether the child is known to have executed a program: its
// flag PF_FORKNOEXEC (proc(5), stat) is gone.
func (f *Forked) executed() bool {
	const forkNoExec = 0x40
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", f.PID))
	if err != nil {
		return false
	}
	words := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(words) < 7 {
		return false
	}
	flags, err := strconv.ParseUint(words[6], 10, 64)
	return err == nil && flags&forkNoExec == 0
}

// Close closes Report.
func (f *Forked) Close() { unix.Close(f.Report) }

// Kill kills the child. Result says so when it has ended: as an exec would.
func (f *Forked) Kill() { unix.Kill(f.PID, unix.SIGKILL) }

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

func (im *Image) stepError(f failure) error {
	e := &StepError{Errno: syscall.Errno(f.errno)}
	switch {
	case f.failed >= stepAttr:
		e.Step = im.attr.steps[f.failed-stepAttr].name
	case f.failed == stepExec:
		e.Step = "exec " + im.Path()
	default:
		e.Step = stepNames[f.failed]
	}
	return e
}

// vforkExec clones and, in the child, goes to child, which does not return.
// The parent reads nothing after the call that the child could have changed
// on the shared stack but what vfork itself returned.
//
//go:norace
//go:nosplit
//go:noinline
//go:nocheckptr
func vforkExec(l *vforkCall) (pid, errno uintptr) {
	l.setArgs(vforkFlags | unix.CLONE_FILES)
	entersyscall()
	pid, errno = vfork(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&l.args)), unsafe.Sizeof(l.args))
	if errno != 0 || pid != 0 {
		exitsyscall()
		return pid, errno
	}
	child(l)
	return 0, 0 // not reached
}

// forkExec is vforkExec for a child with memory of its own.
//
//go:norace
//go:nosplit
//go:noinline
//go:nocheckptr
func forkExec(l *vforkCall) (pid, errno uintptr) {
	l.setArgs(forkFlags)
	pid, errno = vfork(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&l.args)), unsafe.Sizeof(l.args))
	if errno != 0 || pid != 0 {
		return pid, errno
	}
	child(l)
	return 0, 0 // not reached
}

//go:norace
//go:nosplit
func (l *vforkCall) setArgs(flags uint64) {
	l.args = cloneArgs{flags: modernFlags | flags, exitSignal: uint64(unix.SIGCHLD), parentTID: uint64(uintptr(unsafe.Pointer(&l.pid)))}
}

// cloneOld is both for kernels without clone3. The child's table is a copy.
//
//go:norace
//go:noinline
//go:nocheckptr
func cloneOld(l *vforkCall) (pid, errno uintptr) {
	beforeFork()
	pid, errno = vfork(unix.SYS_CLONE, uintptr(l.flags)|uintptr(unix.SIGCHLD), 0)
	if errno != 0 || pid != 0 {
		afterFork()
		return pid, errno
	}
	afterForkInChild()
	own, _, _ := syscall.RawSyscall(unix.SYS_GETPID, 0, 0, 0)
	l.pid = int32(own) // the kernel would write it to a third argument
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
	var opened uintptr
	if l.shared {
		l.failed = stepUnshare
		if _, _, e = syscall.RawSyscall(unix.SYS_CLOSE_RANGE, l.fd+1, 1<<32-1, unix.CLOSE_RANGE_UNSHARE); e != 0 {
			goto fail
		}
	}
	l.marks.add()
	l.failed = stepMask
	if _, _, e = syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&emptySet)), 0, 8, 0, 0); e != 0 {
		goto fail
	}
	l.marks.add()
	l.failed = stepDup
	for to := uintptr(0); to < 3; to++ {
		if _, _, e = syscall.RawSyscall(unix.SYS_DUP3, l.fd, to, 0); e != 0 {
			goto fail
		}
	}
	l.marks.add()
	// The exec would close the rest. But it may hang, and a copy of another
	// client's connection would keep that from ending.
	if l.report != 0 {
		syscall.RawSyscall(unix.SYS_CLOSE_RANGE, 3, uintptr(l.report)-1, 0)
		syscall.RawSyscall(unix.SYS_CLOSE_RANGE, uintptr(l.report)+1, 1<<32-1, 0)
	} else { // in a table of its own by now
		syscall.RawSyscall(unix.SYS_CLOSE_RANGE, 3, 1<<32-1, 0)
	}
	for i := range l.steps {
		s := &l.steps[i]
		l.failed = stepAttr + i
		a1 := s.a1
		if a1 == openedFD {
			a1 = opened
		}
		opened, _, e = syscall.RawSyscall6(s.trap, a1, s.a2, s.a3, 0, 0, 0)
		if e != 0 && !s.optional {
			goto fail
		}
		l.marks.add()
	}
	l.failed = stepExec
	_, _, e = syscall.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(l.path)), uintptr(unsafe.Pointer(l.argv)), uintptr(unsafe.Pointer(l.envv)))
fail:
	l.errno = uintptr(e)
	if l.report != 0 {
		syscall.RawSyscall(unix.SYS_WRITE, uintptr(l.report), uintptr(unsafe.Pointer(&l.failure)), unsafe.Sizeof(l.failure))
	}
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, 127, 0, 0)
	}
}
