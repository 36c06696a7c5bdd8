package spawn

import (
	"fmt"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Children is the table of running programs. T is what the caller wants to
// know again when a program ends.
//
// Each child has a pidfd in an epoll set of the reaper's. A wait4(2) for any
// child would walk through all that live, under the kernel's task list lock:
// with 5,000 of them alive that halves the rate at which others can be
// started. Where there are no pidfds (before Linux 5.3, or under a strict
// seccomp filter) the reaper asks after each child ten times a second.
type Children[T any] struct {
	epoll   int
	timeout int // of the reaper's waits, in milliseconds; -1: none

	mu   sync.Mutex
	live map[int]entry[T] // by pid
}

type entry[T any] struct {
	tag   T
	pidfd int // -1: none
}

// An Exit is how a program ended.
type Exit struct {
	PID    int
	Status unix.WaitStatus
}

// NewChildren makes an empty table.
func NewChildren[T any]() (*Children[T], error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	c := &Children[T]{epoll: fd, timeout: -1, live: map[int]entry[T]{}}
	if probe, err := unix.PidfdOpen(unix.Getpid(), 0); err == nil {
		unix.Close(probe)
	} else {
		c.timeout = 100
	}
	return c, nil
}

// A Process is a program that was started and is to go into the table.
type Process struct {
	PID   int
	pidfd int // -1: none
}

// Add puts a started program into the table, from where Reap will take it.
// Until then its exit is not seen: what is logged before stands before it.
func (c *Children[T]) Add(p Process, tag T) {
	if p.pidfd < 0 && c.timeout < 0 {
		p.pidfd, _ = unix.PidfdOpen(p.PID, 0)
	}
	p.pidfd = raise(p.pidfd)
	c.mu.Lock()
	c.live[p.PID] = entry[T]{tag, p.pidfd}
	c.mu.Unlock()
	if p.pidfd >= 0 {
		e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(p.PID)}
		unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, p.pidfd, &e)
	}
}

// Len gives the number of running programs.
func (c *Children[T]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.live)
}

// Each calls f with every running program, in no order.
func (c *Children[T]) Each(f func(pid int, tag T)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for pid, one := range c.live {
		f(pid, one.tag)
	}
}

// breath is how long exits gather after some were collected. The first one
// behind a silence is seen at once; to wake up for each of ten thousand in a
// second would cost a tenth of the host.
const breath = time.Millisecond

// Reap collects the programs as they end and calls ended for each. It does
// not return.
func (c *Children[T]) Reap(ended func(Exit, T)) {
	if unix.Getpid() == 1 {
		go c.adopt()
	}
	events := make([]unix.EpollEvent, 64)
	var last time.Time
	for {
		n, err := unix.EpollWait(c.epoll, events, c.timeout)
		if err != nil {
			continue // EINTR
		}
		if gather := breath - time.Since(last); gather > 0 && n > 0 && n < len(events) {
			time.Sleep(gather)
		}
		for _, e := range events[:n] {
			if one, ok := c.take(int(e.Fd)); ok {
				ended(Exit{int(e.Fd), Process{int(e.Fd), one.pidfd}.collect()}, one.tag)
			}
		}
		if c.timeout > 0 {
			c.ask(ended)
		}
		last = time.Now()
	}
}

func (c *Children[T]) take(pid int) (entry[T], bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one, ok := c.live[pid]
	delete(c.live, pid)
	return one, ok
}

// ask looks for ends that no pidfd tells of.
func (c *Children[T]) ask(ended func(Exit, T)) {
	var over []Exit
	c.Each(func(pid int, _ T) {
		var status unix.WaitStatus
		if got, err := unix.Wait4(pid, &status, unix.WNOHANG, nil); got == pid || err == unix.ECHILD {
			over = append(over, Exit{pid, status})
		}
	})
	for _, e := range over {
		if one, ok := c.take(e.PID); ok {
			ended(e, one.tag)
		}
	}
}

// adopt collects the processes that became our children because we are PID
// 1, as in a container. A child of our own that has just been started is in
// the table a moment later.
func (c *Children[T]) adopt() {
	for range time.Tick(10 * time.Second) {
		for {
			var info unix.Siginfo
			if err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil {
				break
			}
			pid := siginfoPID(&info)
			if pid == 0 || c.has(pid) {
				break
			}
			time.Sleep(20 * time.Millisecond)
			if c.has(pid) {
				break
			}
			unix.Wait4(pid, nil, unix.WNOHANG, nil)
		}
	}
}

func (c *Children[T]) has(pid int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.live[pid]
	return ok
}

// siginfoPID reads si_pid, which stands behind three ints and, where
// pointers have 64 bits, a gap.
func siginfoPID(info *unix.Siginfo) int {
	at := unsafe.Sizeof(uintptr(0)) + 8
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(info), at)))
}

// collect takes a child that has ended, or is about to, out of the kernel's
// table.
func (p Process) collect() (status unix.WaitStatus) {
	for {
		if _, err := unix.Wait4(p.PID, &status, 0, nil); err != unix.EINTR {
			break
		}
	}
	if p.pidfd >= 0 {
		unix.Close(p.pidfd)
	}
	return status
}

// raise moves a descriptor out of the way of connections, which are to have
// low numbers (see vfork.go). A few do not hurt, and most pidfds are soon
// gone.
func raise(fd int) int {
	if fd < 64 {
		return fd
	}
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 256)
	if err != nil {
		return fd
	}
	unix.Close(fd)
	return high
}
