package spawn

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/inetd/descriptor"
)

// Children is the table of running programs. T is what the caller wants to
// know again when a program ends.
type Children[T any] struct {
	epoll int // of the pidfds
	wake  int // an eventfd in the set: the reaper is to look at its lists

	maxPidfd int // which a child's is below

	// Used by the reaper alone, but for orphans.due.
	orphans orphans
	alive   []youngChild[T] // reapYoung's buffers
	exits   []exited[T]

	mu     sync.Mutex
	live   map[int]entry[T] // by pid, but for the young ones
	polled map[int]struct{} // pids of those whose end no pidfd reports
	young  []youngChild[T]
	tried  []youngChild[T] // those of them that the reaper is looking at
	asleep bool            // the reaper waits longer than a young child wants
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
	Usage     Usage
}

// A Usage is what a program and its children that it waited for have used
// (getrusage(2)). The zero value: that is not known.
type Usage struct {
	CPU    time.Duration // user and system
	MaxRSS int64         // kB
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
	fd, wake = descriptor.Raise(fd), descriptor.Raise(wake)
	if err := unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET}); err != nil {
		return nil, fmt.Errorf("epoll_ctl: %w", err)
	}
	limit := unix.Rlimit{Cur: math.MaxInt32}
	unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return &Children[T]{epoll: fd, wake: wake, maxPidfd: int(min(limit.Cur, math.MaxInt32)) / 4 * 3, live: map[int]entry[T]{}, polled: map[int]struct{}{}}, nil
}

// A Process is a program that was started and is to go into the table.
type Process struct {
	PID int
	old bool // a process before us started it
}

// Existing is a program that a process before us started. If it is not our
// child, its exit is seen without its status.
func Existing(pid int) Process { return Process{PID: pid, old: true} }

// Add puts a started program into the table, from where Reap will take it.
// Until then its exit is not seen: what is logged before stands before it.
func (c *Children[T]) Add(p Process, tag T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.old || len(c.live) >= maxYoungLive && !findsQuickly() {
		c.watchLocked(p.PID, tag)
		return
	}
	c.young = append(c.young, youngChild[T]{p.PID, 0, tag})
	c.wakeLocked()
}

// Len returns the number of running programs.
func (c *Children[T]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.live) + len(c.young) + len(c.tried)
}

// Each calls f with every running program, in no order.
func (c *Children[T]) Each(f func(pid int, tag T)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for pid, one := range c.live {
		f(pid, one.tag)
	}
	for _, list := range [][]youngChild[T]{c.young, c.tried} {
		for i := range list {
			f(list[i].pid, list[i].tag)
		}
	}
}

// Kill sends a signal to a running program and its process group, if same
// reports that it is the one that the caller means. It does not find one that
// was started a few milliseconds ago.
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
			return status
		}
	}
}
