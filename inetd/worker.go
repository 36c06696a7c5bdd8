package inetd

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"goinetd/inetd/builtin"
	"goinetd/inetd/descriptor"
	"goinetd/inetd/hosts"
	"goinetd/inetd/spawn"
	"goinetd/inetd/timeslice"
)

// A handler is what a descriptor of the epoll set belongs to.
type handler interface {
	// ready deals with an event. Only one worker calls it at a time where
	// the descriptor is armed with EPOLLONESHOT.
	ready(w *worker)
}

// A worker waits for events and deals with them. There are as many as cores,
// and one more for each that waits in a start that hangs (watch.go). It owns
// the buffers that this takes, so that a connection allocates none.
type worker struct {
	server *Server
	scratch
	datagrams builtin.Datagrams
	peer      unix.RawSockaddrAny
	backoff   acceptBackoff

	events   [eventBatch]unix.EpollEvent
	taken    int32        // of events
	next     atomic.Int32 // the first of them that nobody deals with
	replaced atomic.Bool  // another worker has its place
}

// An acceptBackoff bounds the calls of accept4(2) without an event that find
// nobody: after each of them, about twice as many are left out as before.
type acceptBackoff struct{ left, last int }

// try reports whether a call is to be made.
func (b *acceptBackoff) try() bool {
	if b.left > 0 {
		b.left--
		return false
	}
	return true
}

// done takes the result of the call.
func (b *acceptBackoff) done(accepted bool) {
	if accepted {
		b.last = 0
		return
	}
	b.last = min(2*b.last+1, 31)
	b.left = b.last
}

// idle reports whether the worker has dealt with all the events that it has
// taken.
func (w *worker) idle() bool { return w.next.Load() >= w.taken && !w.replaced.Load() }

// A scratch has the buffers for one client at a time: a worker's, or those of
// the goroutine that looks a client up.
type scratch struct {
	spawn   spawn.Scratch
	start   underWay
	line    []byte        // a log line
	request hosts.Request // to hosts.allow
	buf     []byte        // of builtin streams; nil until it is needed
}

// streamBuffer is how much a builtin stream reads at once, in bytes.
const streamBuffer = 64 << 10

func (sc *scratch) buffer() []byte {
	if sc.buf == nil {
		sc.buf = make([]byte, streamBuffer)
	}
	return sc.buf
}

// eventBatch is how many events a worker takes at once. Few: an event that it
// has taken waits for it, and another worker might be free.
const eventBatch = 4

func (w *worker) run() {
	var slice timeslice.Slice
	for !w.replaced.Load() {
		slice.Renew()
		n, ok := w.server.poll.Wait(w.events[:])
		if !ok {
			return
		}
		w.taken = int32(n)
		w.next.Store(0)
		w.handleEvents(w)
	}
}

// handleEvents deals with the events that a worker has taken: this one, or
// one that cannot go on.
func (w *worker) handleEvents(of *worker) {
	for {
		i := of.next.Add(1) - 1
		if i >= of.taken {
			return
		}
		if h, ok := w.server.poll.Owner(&of.events[i]); ok {
			h.ready(w)
		}
	}
}

// A jobQueue has what other goroutines want done by a worker. Whatever starts
// a program is: a start may hang, and the workers are watched.
type jobQueue struct {
	event int // an eventfd in the epoll set

	mu   sync.Mutex
	jobs []func(*scratch)
}

// addJob has a function called by a worker, soon.
func (s *Server) addJob(job func(*scratch)) {
	s.jobs.mu.Lock()
	s.jobs.jobs = append(s.jobs.jobs, job)
	s.jobs.mu.Unlock()
	descriptor.Signal(s.jobs.event)
}

// ready does one job. Another worker does the next.
func (q *jobQueue) ready(w *worker) {
	q.mu.Lock()
	var job func(*scratch)
	if len(q.jobs) > 0 {
		job, q.jobs = q.jobs[0], q.jobs[1:]
	}
	more := len(q.jobs) > 0
	q.mu.Unlock()
	if more {
		descriptor.Signal(q.event)
	}
	if job != nil {
		job(&w.scratch)
	}
}
