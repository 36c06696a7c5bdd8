package spawn

import (
	"os"
	"os/signal"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"goinetd/inetd/descriptor"
)

// Orphans are the processes that become our children because we are PID 1, as
// in a container: whoever started them has ended. Each has to be reaped, or
// its entry in the process table stays.
//
// SIGCHLD says that there may be some. The reaper collects them between its
// own children, so nobody else calls wait4(2). A child of our own can end
// before it is in the table, and looks like an orphan then: the status of
// whoever is collected is kept for a while, and Add finds it there.
type orphans struct {
	due      atomic.Bool // there may be some
	statuses map[int]unix.WaitStatus
	older    map[int]unix.WaitStatus
	renewed  time.Time // statuses is from then on
}

const (
	// orphanDelay is how long orphans are gathered before the reaper looks for
	// them. Looking is a walk through all children in the kernel.
	orphanDelay = 20 * time.Millisecond
	// keepStatus is how long a status is kept, at least: the time in which a
	// thread gets from a fork to Add, on a busy host.
	keepStatus = 10 * time.Second
)

// watchOrphans has the reaper look for orphans at each SIGCHLD. For a daemon
// that is not PID 1 that signal is discarded (see DefaultSignals).
func (c *Children[T]) watchOrphans() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	ended <- unix.SIGCHLD // those from before
	for range ended {
		c.orphans.due.Store(true)
		descriptor.Signal(c.wake)
		time.Sleep(orphanDelay)
	}
}

// reapOrphans reaps every child that has ended: those of the table, of which
// some may stand before an orphan in the kernel's list, and all others.
func (c *Children[T]) reapOrphans(ended func(Exit, T)) {
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if err == unix.EINTR {
			continue
		}
		pid := siginfoPID(&info)
		if err != nil || pid == 0 {
			return
		}
		if c.hasYoung(pid) {
			c.reapYoung(ended)
			continue
		}
		if c.has(pid) {
			if !c.reap(pid, ended) {
				return
			}
			continue
		}
		var status unix.WaitStatus
		if got, _ := unix.Wait4(pid, &status, unix.WNOHANG, nil); got == pid {
			c.orphans.keep(pid, status)
		}
	}
}

// keep keeps the status of a child that was not in the table.
func (o *orphans) keep(pid int, status unix.WaitStatus) {
	if now := time.Now(); o.statuses == nil || now.Sub(o.renewed) > keepStatus {
		o.older, o.statuses, o.renewed = o.statuses, map[int]unix.WaitStatus{}, now
	}
	delete(o.older, pid)
	o.statuses[pid] = status
}

// take returns, and forgets, the status of a child that was collected before
// it was in the table.
func (o *orphans) take(pid int) (status unix.WaitStatus, ok bool) {
	for _, m := range []map[int]unix.WaitStatus{o.statuses, o.older} {
		if status, ok = m[pid]; ok {
			delete(m, pid)
			return status, true
		}
	}
	return 0, false
}

func (c *Children[T]) has(pid int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.live[pid]
	return ok
}

func (c *Children[T]) hasYoung(pid int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.young, func(y youngChild[T]) bool { return y.pid == pid })
}

// siginfoPID reads si_pid, which stands behind three ints and, where
// pointers have 64 bits, a gap.
func siginfoPID(info *unix.Siginfo) int {
	at := unsafe.Sizeof(uintptr(0)) + 8
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(info), at)))
}
