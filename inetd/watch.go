package inetd

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/inetd/service"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// This file keeps starts that hang from stopping anybody else. A worker's
// thread sleeps in vfork(2) until the exec is over, and that can be long: the
// program's file system does not answer, its owner holds a lease on it, or a
// process of the same user has stopped the child between setuid and exec.
//
// A watch looks at the starts that are under way, as long as there are any.
// One that takes longer than hangs costs nobody a worker: another takes its
// place. Its service is held, and its next programs are forked without waiting
// (spawn.Image.Fork), as are those of every service while one hangs. So no
// more starts can hang at once than there are workers, and the threads that
// replace them exist since the daemon started.

const (
	watchInterval = 50 * time.Millisecond
	hangs         = 2  // intervals until a start is taken to hang
	forkedStarts  = 10 // that have to go well until a service's programs are started by vfork again
	watchIdle     = 20 // intervals without a start until the watch sleeps
)

// startTimeout is how long a start may take where the service does not say.
const startTimeout = 10 * time.Second

// errStartTimeout is why a client is refused whose program was not executed in
// time.
var errStartTimeout = errors.New("start_timeout")

// maxHeldClients is how many clients that come through tcpmux may wait for
// starts of one service. There is no queue that others could wait in.
const maxHeldClients = 16

// An underWay is the start that a worker's thread waits for. The watch looks
// at it meanwhile.
type underWay struct {
	mu      sync.Mutex
	svc     *activeService // nil: there is none
	def     *service.Definition
	since   int64 // by startWatch.interval
	hung    bool
	expired bool // it has been killed
}

// A pendingStart is a program that was forked, and may not have been executed
// yet.
type pendingStart struct {
	c     client
	image *spawn.Image
	t     task
	f     *spawn.Forked
	s     *Server

	mu      sync.Mutex
	since   int64
	hung    bool
	expired bool
	done    bool
}

// A startWatch watches over starts.
type startWatch struct {
	s        *Server
	interval atomic.Int64 // counts the looks
	state    atomic.Int32 // watchSleeps, watchLooks, watchUsed
	wake     chan struct{}
	hanging  atomic.Int32 // starts by vfork that hang
	ended    sync.WaitGroup

	mu      sync.Mutex
	workers []*worker       // replaced, not changed
	pending []*pendingStart // likewise
}

// States of a startWatch.
const (
	watchSleeps = iota // until a start begins
	watchLooks         // nothing has begun since its last look
	watchUsed
)

func newStartWatch(s *Server) *startWatch {
	return &startWatch{s: s, wake: make(chan struct{}, 1)}
}

// startWorker starts a worker. It takes over the events of one that cannot go
// on, if there is one.
func (w *startWatch) startWorker(stuck *worker) {
	next := &worker{server: w.s}
	w.mu.Lock()
	w.workers = with(w.workers, next)
	w.mu.Unlock()
	w.ended.Go(func() {
		if stuck != nil {
			next.handleEvents(stuck)
		}
		next.run()
		w.mu.Lock()
		w.workers = without(w.workers, next)
		w.mu.Unlock()
	})
}

// with and without return a changed copy of a list. Others may go through the
// list without the lock, and looking costs no memory.
func with[T comparable](list []T, one T) []T { return append(slices.Clone(list), one) }

func without[T comparable](list []T, one T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(other T) bool { return other == one })
}

// expectsHang reports whether a start may not be waited for.
func (w *startWatch) expectsHang(svc *activeService) bool {
	return w.hanging.Load() > 0 || svc.slowStarts.Load() > 0
}

// begin notes that a worker is about to wait for a start.
func (w *startWatch) begin(u *underWay, c *client) {
	u.mu.Lock()
	u.svc, u.def, u.since, u.hung, u.expired = c.svc, c.def, w.interval.Load(), false, false
	u.mu.Unlock()
	w.use()
}

// use wakes the watch.
func (w *startWatch) use() {
	if w.state.Load() != watchUsed && w.state.Swap(watchUsed) == watchSleeps {
		w.wake <- struct{}{}
	}
}

// end notes that the start is over, and reports whether the child was killed
// because it took too long.
func (w *startWatch) end(u *underWay) (expired bool) {
	u.mu.Lock()
	svc, def, hung, expired := u.svc, u.def, u.hung, u.expired
	u.svc = nil
	u.mu.Unlock()
	if hung {
		w.hanging.Add(-1)
		w.s.endHang(svc, def)
	}
	return expired
}

// idleAfter is after how long without a start Options.Idle is called.
const idleAfter = 30 * time.Second

// run looks at the starts, until stop is closed.
func (w *startWatch) run(stop <-chan struct{}) {
	for w.sleep(stop) {
		ticker := time.NewTicker(watchInterval)
		for idle := 0; idle < watchIdle; idle++ {
			select {
			case <-ticker.C:
			case <-stop:
				ticker.Stop()
				return
			}
			if busy := w.look(); busy || w.state.Swap(watchLooks) == watchUsed {
				idle = 0
			}
		}
		ticker.Stop()
		if !w.state.CompareAndSwap(watchLooks, watchSleeps) { // a start has begun: look on
			w.wake <- struct{}{}
		}
	}
}

// sleep waits for a start. It returns false once stop is closed.
func (w *startWatch) sleep(stop <-chan struct{}) bool {
	var idle <-chan time.Time // never, if there has been no start
	if w.interval.Load() > 0 && w.s.o.Idle != nil {
		timer := time.NewTimer(cmp.Or(w.s.o.IdleAfter, idleAfter))
		defer timer.Stop()
		idle = timer.C
	}
	for {
		select {
		case <-w.wake:
			return true
		case <-idle:
			w.s.o.Idle()
		case <-stop:
			return false
		}
	}
}

// look looks at every start that is under way, and reports whether there are
// any.
func (w *startWatch) look() (busy bool) {
	now := w.interval.Add(1)
	workers, pending := w.all()
	for _, one := range workers {
		busy = w.lookAt(one, now) || busy
	}
	for _, p := range pending {
		w.lookAtForked(p, now)
	}
	return busy || len(pending) > 0
}

// all returns the workers and the programs that were forked.
func (w *startWatch) all() ([]*worker, []*pendingStart) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.workers, w.pending
}

// lookAt looks at a worker's start. One that hangs may have been stopped by a
// process of its user, so it is continued; after the time limit it is killed.
func (w *startWatch) lookAt(one *worker, now int64) (busy bool) {
	u := &one.start
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.svc == nil || now-u.since < hangs {
		return u.svc != nil
	}
	if !u.hung {
		u.hung = true
		one.replaced.Store(true)
		w.hanging.Add(1)
		w.s.beginHang(u.svc, u.def, one.spawn.Child())
		w.startWorker(one)
	}
	if tooLong(u.def, now-u.since) {
		u.expired = true
		one.spawn.Signal(unix.SIGKILL)
	} else {
		one.spawn.Signal(unix.SIGCONT)
	}
	return true
}

// tooLong reports whether a start of so many intervals is over its limit.
func tooLong(def *service.Definition, intervals int64) bool {
	limit := startTimeout
	if def.Policy != nil && def.Policy.StartTimeout > 0 {
		limit = def.Policy.StartTimeout
	}
	return time.Duration(intervals)*watchInterval >= limit
}

// lookAtForked is lookAt for a program that was forked.
func (w *startWatch) lookAtForked(p *pendingStart, now int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done || now-p.since < hangs {
		return
	}
	if !p.hung {
		p.hung = true
		w.s.beginHang(p.c.svc, p.c.def, p.f.PID)
	}
	if tooLong(p.c.def, now-p.since) {
		p.expired = true
		p.f.Kill()
	} else {
		unix.Kill(p.f.PID, unix.SIGCONT)
	}
	w.s.addJob(p.check)
}

// killAll kills every child that has not executed its program.
func (w *startWatch) killAll() {
	workers, pending := w.all()
	for _, one := range workers {
		u := &one.start
		u.mu.Lock()
		if u.svc != nil {
			u.expired = true
			one.spawn.Signal(unix.SIGKILL)
		}
		u.mu.Unlock()
	}
	for _, p := range pending {
		p.mu.Lock()
		if !p.done {
			p.expired = true
			p.f.Kill()
		}
		p.mu.Unlock()
	}
}

// fork starts a program without waiting for its exec.
func (s *Server) fork(sc *scratch, c *client, image *spawn.Image, t task) {
	f, err := image.Fork(c.fd, &sc.spawn)
	if err != nil || f.Report < 0 {
		var p spawn.Process
		if err == nil {
			p = f.Process
		}
		s.endStart(sc, c, image, &t, p, err)
		return
	}
	w := s.watch
	c.trace.forkedWithoutWaiting(f.PID)
	p := &pendingStart{c: *c, image: image, t: t, f: f, s: s, since: w.interval.Load()}
	w.mu.Lock()
	w.pending = with(w.pending, p)
	w.mu.Unlock()
	w.use()
	if err := s.poll.Add(f.Report, p, unix.EPOLLIN|unix.EPOLLONESHOT); err != nil {
		s.poll.Remove(f.Report)
		s.warnOnce("epoll_ctl: " + err.Error()) // the watch looks, too
	}
}

func (p *pendingStart) ready(w *worker) { p.check(&w.scratch) }

// check ends the start if its exec is over.
func (p *pendingStart) check(sc *scratch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return
	}
	s := p.s
	err, done := p.f.Result()
	if !done {
		s.poll.Modify(p.f.Report, unix.EPOLLIN|unix.EPOLLONESHOT)
		return
	}
	p.done = true
	s.poll.Remove(p.f.Report)
	p.f.Close()
	s.watch.mu.Lock()
	s.watch.pending = without(s.watch.pending, p)
	s.watch.mu.Unlock()
	if p.expired && err == nil {
		p.f.Collect()
		err = errStartTimeout
	}
	switch {
	case p.hung:
		s.endHang(p.c.svc, p.c.def)
	case p.c.svc.slowStarts.Load() > 0:
		p.c.svc.slowStarts.Add(-1)
	}
	s.endStart(sc, &p.c, p.image, &p.t, p.f.Process, err)
}

// beginHang holds a service one of whose starts hangs.
func (s *Server) beginHang(svc *activeService, def *service.Definition, pid int) {
	svc.slowStarts.Store(forkedStarts)
	s.mu.Lock()
	s.holdLocked(svc)
	told := !s.refusalLog.Allow(def.Name+" starts", s.now())
	s.mu.Unlock()
	if !told {
		s.log.Printf(syslog.Warning, "%s: pid %d has not executed its program after %v: it is stopped, or the program's file system does not answer; clients of %s wait, other services are not affected",
			def.Name, pid, hangs*watchInterval, def.Name)
	}
}

// endHang ends the hold.
func (s *Server) endHang(svc *activeService, def *service.Definition) {
	s.mu.Lock()
	s.unholdLocked(svc)
	s.mu.Unlock()
	s.debugf("%s: the start that hung is over", def.Name)
}
