package spawn

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/inetd/descriptor"
)

// Children is the table of running programs. T is what the caller wants to
// know again when a program ends.
//
// Each child has a pidfd in an epoll set of the reaper's. A wait4(2) for any
// child would walk through all that live, under the kernel's task list lock:
// with 5,000 of them alive that halves the rate at which others can be
// started. After a child that has no pidfd (before Linux 5.3, or when we are
// out of descriptors), or that has ended and cannot be collected yet (a
// debugger of its own holds it), the reaper asks ten times a second.
type Children[T any] struct {
	epoll int
	wake  int // an eventfd in the set: there is a child to ask after

	orphans orphans // used by the reaper alone, but for due

	mu     sync.Mutex
	live   map[int]entry[T] // by pid
	polled map[int]struct{} // pids of those to ask after
}

type entry[T any] struct {
	tag   T
	pidfd int // -1: none
}

// An Exit is how a program ended.
type Exit struct {
	PID       int
	Status    unix.WaitStatus
	HasStatus bool // it was our child, else there is no status
}

// NewChildren makes an empty table.
func NewChildren[T any]() (*Children[T], error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	wake, err := descriptor.NewEvent()
	if err != nil {
		return nil, err
	}
	if err := unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET}); err != nil {
		return nil, fmt.Errorf("epoll_ctl: %w", err)
	}
	return &Children[T]{epoll: fd, wake: wake, live: map[int]entry[T]{}, polled: map[int]struct{}{}}, nil
}

// A Process is a program that was started and is to go into the table.
type Process struct {
	PID   int
	pidfd int // -1: none
}

// Existing is a program that a process before us started. If it is not our
// child, its exit is seen without its status.
func Existing(pid int) Process { return Process{PID: pid, pidfd: -1} }

// Add puts a started program into the table, from where Reap will take it.
// Until then its exit is not seen: what is logged before stands before it.
func (c *Children[T]) Add(p Process, tag T) {
	if p.pidfd < 0 {
		if fd, err := unix.PidfdOpen(p.PID, 0); err == nil {
			p.pidfd = fd
		}
	}
	p.pidfd = raise(p.pidfd)
	c.mu.Lock()
	c.live[p.PID] = entry[T]{tag, p.pidfd}
	c.mu.Unlock()
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(p.PID)}
	if p.pidfd < 0 || unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, p.pidfd, &e) != nil {
		c.poll(p.PID)
		descriptor.Signal(c.wake)
	}
}

// poll adds a child to those that the reaper polls.
func (c *Children[T]) poll(pid int) {
	c.mu.Lock()
	c.polled[pid] = struct{}{}
	c.mu.Unlock()
}

// Len returns the number of running programs.
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

// Kill sends a signal to a running program and its process group, if same
// reports that it is the one that the caller means.
func (c *Children[T]) Kill(pid int, sig unix.Signal, same func(T) bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	one, ok := c.live[pid]
	if !ok || !same(one.tag) {
		return false
	}
	if unix.Kill(-pid, sig) != nil { // it has left its group
		unix.Kill(pid, sig)
	}
	return true
}

// IdleTime returns for how long nothing has been sent or received on a TCP
// connection.
func (c *Children[T]) IdleTime(pid int, same func(T) bool) (d time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one, known := c.live[pid]
	if !known || !same(one.tag) || one.pidfd < 0 {
		return 0, false
	}
	fd, err := unix.PidfdGetfd(one.pidfd, 0, 0)
	if err != nil {
		return 0, false
	}
	defer unix.Close(fd)
	return IdleTime(fd)
}

// IdleTime returns for how long nothing has been sent or received on a TCP
// connection.
func IdleTime(fd int) (d time.Duration, ok bool) {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, false
	}
	return time.Duration(min(info.Last_data_sent, info.Last_data_recv)) * time.Millisecond, true
}

// batchDelay is how long exits are gathered after a batch. The first one after
// an idle period is seen at once; a wake-up for each of ten thousand in a
// second would cost a tenth of the host.
const batchDelay = time.Millisecond

// pollInterval is the time between two polls of the reaper.
const pollInterval = 100 * time.Millisecond

// Reap reaps the programs as they end and calls ended for each. It does not
// return, and no program can delay the others.
func (c *Children[T]) Reap(ended func(Exit, T)) {
	if unix.Getpid() == 1 {
		go c.watchOrphans()
	}
	events := make([]unix.EpollEvent, 64)
	var last time.Time
	for {
		n, err := unix.EpollWait(c.epoll, events, c.timeout())
		if err != nil {
			continue // EINTR
		}
		if gather := batchDelay - time.Since(last); gather > 0 && n > 0 && n < len(events) {
			time.Sleep(gather)
		}
		for _, e := range events[:n] {
			if e.Fd != 0 && !c.collect(int(e.Fd), ended) {
				c.poll(int(e.Fd))
			}
		}
		for _, pid := range c.pollPIDs() {
			if !c.collect(pid, ended) {
				c.poll(pid)
			}
		}
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
	if len(c.polled) == 0 {
		return -1
	}
	return int(pollInterval / time.Millisecond)
}

func (c *Children[T]) pollPIDs() (pids []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for pid := range c.polled {
		pids = append(pids, pid)
	}
	return pids
}

// collect removes a child from our table and the kernel's, if it has ended.
// Ours comes first: once it is out of the kernel's, the next process can have
// its pid.
func (c *Children[T]) collect(pid int, ended func(Exit, T)) bool {
	c.mu.Lock()
	one, known := c.live[pid]
	delete(c.live, pid)
	delete(c.polled, pid)
	c.mu.Unlock()
	if !known {
		return true
	}
	e := Exit{PID: pid}
	got, err := unix.Wait4(pid, &e.Status, unix.WNOHANG, nil)
	e.HasStatus = got == pid
	if err == unix.ECHILD {
		e.Status, e.HasStatus = c.orphans.take(pid)
	}
	if !e.HasStatus && (err != unix.ECHILD || one.pidfd < 0 && unix.Kill(pid, 0) == nil) {
		c.mu.Lock()
		c.live[pid] = one
		c.mu.Unlock()
		return false
	}
	if one.pidfd >= 0 {
		unix.Close(one.pidfd)
	}
	ended(e, one.tag)
	return true
}

// Exiting reports whether a process is ending or has ended: from then on its
// descriptors are closed, and nothing of it runs.
func Exiting(pid int) bool {
	const exiting = 4 // PF_EXITING, in the flags of proc(5)
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err == unix.ENOENT || err == unix.ESRCH
	}
	defer unix.Close(fd)
	buf := make([]byte, 512)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return err == unix.ESRCH
	}
	text := string(buf[:n])
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 7 {
		return false
	}
	flags, _ := strconv.ParseUint(fields[6], 10, 64)
	return flags&exiting != 0
}

// Collect reaps a child that was killed before it executed its program.
func (p Process) Collect() { p.wait() }

// wait reaps a child that is about to end: one that never executed its
// program, or a short one of our own.
func (p Process) wait() (status unix.WaitStatus) {
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

// raise moves a pidfd out of the way of connections, which are to have low
// numbers (see vfork.go). A few low ones do no harm, and most pidfds are
// closed soon.
func raise(fd int) int {
	if fd < 16 {
		return fd
	}
	return descriptor.Raise(fd)
}
