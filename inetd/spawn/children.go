package spawn

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Children is the table of running programs. T is what the caller wants to
// know again when a program ends. Its zero value is empty and ready.
type Children[T any] struct {
	mu       sync.Mutex
	live     map[int]T
	starting int // starts under way: their pids are not in the table yet

	// A child can end before its pid is in the table. While starts are under
	// way, an exit of an unknown pid is kept here until Start asks for it.
	early map[int]Exit
	// dead holds the pids of children that never became their program; the
	// reaper passes them over.
	dead map[int]struct{}
}

// An Exit is how a program ended.
type Exit struct {
	PID    int
	Status unix.WaitStatus
}

// Start runs im with fd as its descriptors 0, 1 and 2. started is called
// with the pid as soon as the program runs and before its exit can be seen,
// so that a log has them in order. If the program has ended by the time it
// is in the table, Start gives its exit, and Reap will not.
func (c *Children[T]) Start(im *Image, fd int, s *Scratch, tag T, started func(pid int)) (exit *Exit, err error) {
	c.mu.Lock()
	c.starting++
	c.mu.Unlock()
	pid, err := im.start(fd, s)
	if err == nil && started != nil {
		started(pid)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.starting--
	e, over := c.early[pid]
	if over {
		delete(c.early, pid)
	}
	if c.starting == 0 && len(c.early) > 0 {
		clear(c.early) // not ours: a child of the process that we were before, or an orphan where we are PID 1
	}
	switch {
	case err != nil && pid > 0 && !over:
		if c.dead == nil {
			c.dead = map[int]struct{}{}
		}
		c.dead[pid] = struct{}{}
	case err == nil && over:
		return &e, nil
	case err == nil:
		if c.live == nil {
			c.live = map[int]T{}
		}
		c.live[pid] = tag
	}
	return nil, err
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
	for pid, tag := range c.live {
		f(pid, tag)
	}
}

// breath is how long exits gather after some were collected. The first one
// behind a silence is seen at once; to wake up for each of ten thousand in a
// second would cost a tenth of the host.
const breath = time.Millisecond

// Reap collects every child of the process as it ends, for as long as there
// are any, and calls ended for those of the table. It gives up its thread to
// the kernel while it waits: there is one reaper, and no thread per child.
func (c *Children[T]) Reap(ended func(Exit, T)) {
	var e Exit
	var last time.Time
	var err error
	for options := 0; ; {
		e.PID, err = unix.Wait4(-1, &e.Status, options, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return // ECHILD
		case e.PID == 0: // no more of this moment
			if gather := breath - time.Since(last); gather > 0 {
				time.Sleep(gather)
			}
			last = time.Now()
			options = 0
		default:
			options = unix.WNOHANG
			if tag, ours := c.reaped(e); ours {
				ended(e, tag)
			}
		}
	}
}

// reaped takes a child out of the table.
func (c *Children[T]) reaped(e Exit) (tag T, ours bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if tag, ours = c.live[e.PID]; ours {
		delete(c.live, e.PID)
		return tag, true
	}
	if _, known := c.dead[e.PID]; known {
		delete(c.dead, e.PID)
		return tag, false
	}
	if c.starting > 0 {
		if c.early == nil {
			c.early = map[int]Exit{}
		}
		c.early[e.PID] = e
	}
	return tag, false
}
