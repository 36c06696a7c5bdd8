package spawn

import (
	"fmt"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"goinetd/inetd/descriptor"
	"goinetd/inetd/timeslice"
)

// How the reaper learns that a child has ended:
//
// Most programs of an inetd end within milliseconds. So it tries wait4(2) for
// each child once a millisecond while that is young: a pidfd would cost an
// inode, some system calls and a wake-up of the reaper for each of them.
//
// A child that lives on gets a pidfd in an epoll set, and costs nothing until
// it ends. (wait4 for any child would walk through all that live, under the
// kernel's task list lock: with 5,000 of them alive that halves the rate at
// which others can be started.)
//
// A child that has no pidfd (before Linux 5.3, or when we are out of
// descriptors), or that has ended and cannot be reaped yet (a debugger of its
// own holds it), is tried ten times a second.

// batchDelay is how long exits are gathered after a batch, and the time
// between two tries for a young child. A wake-up for each of ten thousand in a
// second would cost a tenth of the host.
const batchDelay = time.Millisecond

// pollInterval is the time between two tries for a child that is polled.
const pollInterval = 100 * time.Millisecond

// youngTries is how often wait4 is tried for a child until it gets a pidfd.
const youngTries = 10

// maxYoungLive is how many children may live for another one to be young where
// wait4 for a pid walks through all of them.
const maxYoungLive = 256

// findsQuickly reports whether wait4 finds a child by its pid without such a
// walk, as it does since Linux 5.14.
var findsQuickly = sync.OnceValue(func() bool {
	var name unix.Utsname
	var major, minor int
	if unix.Uname(&name) != nil {
		return false
	}
	fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor)
	return major > 5 || major == 5 && minor >= 14
})

// A youngChild is one that was started a moment ago. It is not changed while
// it is in a list.
type youngChild[T any] struct {
	pid   int
	tries int
	tag   T
}

// An exited is a child that has ended.
type exited[T any] struct {
	Exit
	tag T
}

// Reap reaps the programs as they end and calls ended for each. It does not
// return, and no program can delay the others.
func (c *Children[T]) Reap(ended func(Exit, T)) {
	if unix.Getpid() == 1 {
		go c.watchOrphans()
	}
	events := make([]unix.EpollEvent, 64)
	var last time.Time
	var slice timeslice.Slice
	for {
		slice.Renew()
		n, err := unix.EpollWait(c.epoll, events, c.timeout())
		if err != nil {
			continue // EINTR
		}
		if gather := batchDelay - time.Since(last); gather > 0 && n > 0 && n < len(events) {
			time.Sleep(gather)
		}
		for _, e := range events[:n] {
			if pid := int(e.Fd); pid != 0 && !c.reap(pid, ended) {
				c.mu.Lock()
				c.polled[pid] = struct{}{}
				c.mu.Unlock()
			}
		}
		c.reapYoung(ended)
		c.reapPolled(ended)
		if c.orphans.due.Swap(false) {
			c.reapOrphans(ended)
		}
		last = time.Now()
	}
}

// timeout returns that of the reaper's next wait, in milliseconds.
func (c *Children[T]) timeout() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asleep = len(c.young) == 0
	switch {
	case len(c.young) > 0:
		return int(batchDelay / time.Millisecond)
	case len(c.polled) > 0:
		return int(pollInterval / time.Millisecond)
	}
	return -1
}

// wakeLocked wakes the reaper if it would not look at its lists by itself.
func (c *Children[T]) wakeLocked() {
	if c.asleep {
		c.asleep = false
		descriptor.Signal(c.wake)
	}
}

// watchLocked has the reaper wait for a pidfd of a child. Where three quarters of
// all descriptors are in use the child is polled: clients come first.
func (c *Children[T]) watchLocked(pid int, tag T) {
	one := entry[T]{tag, -1}
	fd, err := unix.PidfdOpen(pid, 0)
	if err == nil {
		fd = descriptor.Raise(fd) // connections are to have low numbers: see vfork.go
		if fd >= c.maxPidfd {
			unix.Close(fd)
			err = unix.EMFILE
		}
	}
	if err == nil {
		one.pidfd = fd
		e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(pid)}
		err = unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, one.pidfd, &e)
	}
	c.live[pid] = one
	if err != nil {
		c.polled[pid] = struct{}{}
		c.wakeLocked()
	}
}

// reapYoung reaps the young children that have ended. One that has lived for
// some time is watched from now on.
//
// No lock is held over wait4, so that whoever adds a child need not wait. Once
// a child is out of the kernel's table another one can have its pid: so a
// child that is tried is in no table that is searched by pid.
func (c *Children[T]) reapYoung(ended func(Exit, T)) {
	c.mu.Lock()
	c.young, c.tried = c.tried, c.young
	c.mu.Unlock()
	if len(c.tried) == 0 {
		return
	}
	for _, y := range c.tried {
		e := Exit{PID: y.pid}
		pid, err := wait4(y.pid, &e)
		switch {
		case pid == y.pid:
			e.HasStatus = true
		case err == unix.ECHILD:
			e.Status, e.HasStatus = c.orphans.take(y.pid)
		default:
			y.tries++
			c.alive = append(c.alive, y)
			continue
		}
		c.exits = append(c.exits, exited[T]{e, y.tag})
	}
	c.removeTried()
	for _, one := range c.exits {
		ended(one.Exit, one.tag)
	}
	clear(c.exits)
	c.exits = c.exits[:0]
}

// removeTried removes the children that have been tried from the table, and
// keeps those that live.
func (c *Children[T]) removeTried() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.tried)
	c.tried = c.tried[:0]
	for _, y := range c.alive {
		if y.tries < youngTries {
			c.young = append(c.young, y)
		} else {
			c.watchLocked(y.pid, y.tag)
		}
	}
	clear(c.alive)
	c.alive = c.alive[:0]
}

// reapPolled tries the children that no pidfd reports.
func (c *Children[T]) reapPolled(ended func(Exit, T)) {
	var pids []int
	c.mu.Lock()
	for pid := range c.polled {
		pids = append(pids, pid)
	}
	c.mu.Unlock()
	for _, pid := range pids {
		c.reap(pid, ended)
	}
}

// reap removes a child from the kernel's table and ours, if it has ended, and
// calls ended. The lock is held over both: once the child is out of the
// kernel's, another one can have its pid, which is not to be taken for it.
func (c *Children[T]) reap(pid int, ended func(Exit, T)) bool {
	c.mu.Lock()
	one, known := c.live[pid]
	if !known {
		c.mu.Unlock()
		return true
	}
	e := Exit{PID: pid}
	got, err := wait4(pid, &e)
	e.HasStatus = got == pid
	if err == unix.ECHILD {
		e.Status, e.HasStatus = c.orphans.take(pid)
	}
	if !e.HasStatus && (err != unix.ECHILD || one.pidfd < 0 && unix.Kill(pid, 0) == nil) {
		c.mu.Unlock()
		return false
	}
	delete(c.live, pid)
	delete(c.polled, pid)
	c.mu.Unlock()
	if one.pidfd >= 0 {
		unix.Close(one.pidfd)
	}
	ended(e, one.tag)
	return true
}

// wait4 is wait4(2) with WNOHANG, without telling the Go scheduler of a call
// that cannot block.
func wait4(pid int, e *Exit) (int, unix.Errno) {
	var status int32
	var usage unix.Rusage
	got, _, errno := unix.RawSyscall6(unix.SYS_WAIT4, uintptr(pid), uintptr(unsafe.Pointer(&status)), unix.WNOHANG, uintptr(unsafe.Pointer(&usage)), 0, 0)
	if int(got) == pid {
		e.Status = unix.WaitStatus(status)
		e.Usage = Usage{time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), int64(usage.Maxrss)}
	}
	return int(got), errno
}
