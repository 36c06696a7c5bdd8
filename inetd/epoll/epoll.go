// Package epoll is an epoll(7) set that several threads wait on, with the
// owner of each descriptor.
package epoll

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"goinetd/inetd/descriptor"
)

// A Set is an epoll set and the table of its descriptors' owners.
//
// A thread may hold an event of a descriptor that another thread has closed
// since, and whose number has been given to another file. So each entry has a
// generation, which the kernel returns with the event.
type Set[T any] struct {
	fd   int
	stop int // an eventfd that is readable once the set is closed

	mu    sync.RWMutex
	slots []slot[T] // by descriptor
	last  int32     // generation
}

type slot[T any] struct {
	generation int32 // 0: not in the set
	owner      T
}

// NewSet returns an empty set.
func NewSet[T any]() (*Set[T], error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	stop, err := descriptor.NewEvent()
	if err != nil {
		return nil, err
	}
	s := &Set[T]{fd: descriptor.Raise(fd), stop: descriptor.Raise(stop)}
	return s, unix.EpollCtl(s.fd, unix.EPOLL_CTL_ADD, s.stop, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(s.stop)})
}

// Wait fills in what is ready and returns how many events there are. It
// returns false once the set is closed.
func (s *Set[T]) Wait(events []unix.EpollEvent) (int, bool) {
	for {
		n, err := unix.EpollWait(s.fd, events, -1)
		if err != nil {
			continue // EINTR
		}
		for i := range events[:n] {
			if int(events[i].Fd) == s.stop {
				return 0, false
			}
		}
		return n, true
	}
}

// Owner returns the owner of an event's descriptor. It reports false for a
// descriptor that has been removed since.
func (s *Set[T]) Owner(e *unix.EpollEvent) (owner T, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if int(e.Fd) >= len(s.slots) || s.slots[e.Fd].generation != e.Pad {
		return owner, false
	}
	return s.slots[e.Fd].owner, true
}

// Add puts a descriptor into the set, to be waited on for events.
func (s *Set[T]) Add(fd int, owner T, events uint32) error {
	s.mu.Lock()
	for len(s.slots) <= fd {
		s.slots = append(s.slots, slot[T]{})
	}
	s.last++
	s.slots[fd] = slot[T]{s.last, owner}
	e := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: s.last}
	s.mu.Unlock()
	return unix.EpollCtl(s.fd, unix.EPOLL_CTL_ADD, fd, &e)
}

// Modify changes what a descriptor of the set is waited on for. An event that
// is pending already is reported at once.
func (s *Set[T]) Modify(fd int, events uint32) error {
	s.mu.RLock()
	e := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: s.slots[fd].generation}
	s.mu.RUnlock()
	return unix.EpollCtl(s.fd, unix.EPOLL_CTL_MOD, fd, &e)
}

// Remove takes a descriptor out of the set. It has to be called before the
// descriptor is closed.
func (s *Set[T]) Remove(fd int) {
	s.mu.Lock()
	s.slots[fd] = slot[T]{}
	s.mu.Unlock()
	unix.EpollCtl(s.fd, unix.EPOLL_CTL_DEL, fd, nil)
}

// Close ends every Wait.
func (s *Set[T]) Close() { descriptor.Signal(s.stop) }
