package inetd

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"goinetd/inetd/socket"
)

// A poller is the epoll set that all workers wait on, and the table that
// tells what a descriptor is.
//
// A worker may hold an event for a descriptor that another has closed since,
// and whose number is somebody else's by now. So each entry has a
// generation, which goes through the kernel with the event.
type poller struct {
	fd   int
	stop int // an eventfd that is readable once we stop

	mu    sync.RWMutex
	slots []slot // by descriptor
	last  int32  // generation
}

type slot struct {
	generation int32
	who        pollable
}

// A pollable is told when its descriptor is ready.
type pollable interface {
	ready(w *worker)
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	p := &poller{fd: socket.Raise(fd), stop: socket.Raise(stop)}
	return p, unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, p.stop, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(p.stop)})
}

// enter puts a descriptor into the table, and into the set for events.
func (p *poller) enter(fd int, who pollable, events uint32) error {
	p.mu.Lock()
	for len(p.slots) <= fd {
		p.slots = append(p.slots, slot{})
	}
	p.last++
	p.slots[fd] = slot{p.last, who}
	e := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: p.last}
	p.mu.Unlock()
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &e)
}

// arm changes what a descriptor of the set is waited for. Where that is true
// already, the event comes at once.
func (p *poller) arm(fd int, events uint32) error {
	p.mu.RLock()
	e := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: p.slots[fd].generation}
	p.mu.RUnlock()
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, fd, &e)
}

// leave takes a descriptor out of table and set. It is to be called before
// the descriptor is closed.
func (p *poller) leave(fd int) {
	p.mu.Lock()
	p.slots[fd] = slot{}
	p.mu.Unlock()
	unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil)
}

// find gives what an event is for; nil where that is gone.
func (p *poller) find(e *unix.EpollEvent) pollable {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if int(e.Fd) >= len(p.slots) || p.slots[e.Fd].generation != e.Pad {
		return nil
	}
	return p.slots[e.Fd].who
}

// close ends every wait.
func (p *poller) close() {
	unix.Write(p.stop, []byte{1, 0, 0, 0, 0, 0, 0, 1})
}
