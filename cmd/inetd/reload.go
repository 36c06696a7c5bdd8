package main

import (
	"cmp"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"goinetd/config"
	"goinetd/inetd"
	"goinetd/inetd/localtime"
	"goinetd/inetd/syslog"
)

// slowReload is how long a reload may read and look up before that is logged.
// A SIGHUP that comes later begins another one.
const slowReload = 5 * time.Second

// maxHungReloads is how many reloads may hang at once. Each keeps a thread.
const maxHungReloads = 2

// A reloader runs reloads, one after another, on behalf of the goroutine that
// handles signals. Files and name services may not answer: a reload that hangs
// keeps neither signals nor later reloads waiting.
type reloader struct {
	d     *daemon
	ended chan *reload // reloads that have ended
	slow  chan *reload // that have not, after slowReload

	current *reload          // nil: none runs
	again   bool             // a SIGHUP during a reload means another one
	hung    int              // reloads that were given up
	waiting []chan<- outcome // for the reload that begins next
}

// A reload is one reading of the configuration.
type reload struct {
	stage   atomic.Pointer[string] // what it does
	givenUp atomic.Bool            // another one began meanwhile: it changes nothing
	timer   *time.Timer
	isSlow  bool
	outcome outcome          // to be read when it has ended
	waiting []chan<- outcome // for its end
}

func newReloader(d *daemon) *reloader {
	return &reloader{d: d, ended: make(chan *reload), slow: make(chan *reload)}
}

// requestFor is request for somebody who waits for its end.
func (r *reloader) requestFor(reply chan<- outcome) {
	r.waiting = append(r.waiting, reply)
	r.request()
}

// request begins a reload, now or when the one that runs has ended.
func (r *reloader) request() {
	if r.current != nil && !r.current.isSlow {
		r.again = true
		return
	}
	if r.current != nil {
		if r.hung >= maxHungReloads {
			err := fmt.Errorf("ignored: %d reloads have not ended (the last one is %s)", r.hung+1, *r.current.stage.Load())
			r.d.log.Printf(syslog.Err, "SIGHUP: %v", err)
			replyAll(r.waiting, outcome{err: err})
			r.waiting = nil
			return
		}
		r.hung++
		r.current.givenUp.Store(true)
	}
	r.begin()
}

func (r *reloader) begin() {
	one := new(reload)
	one.set("reading the configuration")
	r.current, r.again = one, false
	one.waiting, r.waiting = r.waiting, nil
	one.timer = time.AfterFunc(cmp.Or(r.d.tunables.slowReload, slowReload), func() { r.slow <- one })
	r.d.log.Printf(syslog.Notice, "SIGHUP: reading the configuration")
	go func() {
		r.d.reload(one)
		r.ended <- one
	}()
}

// end deals with a reload that has ended.
func (r *reloader) end(one *reload) {
	one.timer.Stop()
	replyAll(one.waiting, one.outcome)
	if one != r.current {
		r.hung--
		return
	}
	r.current = nil
	if r.again {
		r.begin()
	}
}

// reportSlow logs that a reload has not ended.
func (r *reloader) reportSlow(one *reload) {
	if one != r.current {
		return
	}
	one.isSlow = true
	r.d.log.Printf(syslog.Warning, "reload: still %s after %v; services go on as they were (another SIGHUP begins anew)", *one.stage.Load(), cmp.Or(r.d.tunables.slowReload, slowReload))
	if r.again {
		r.again = false
		r.request()
	}
}

// replyAll answers those who wait.
func replyAll(waiting []chan<- outcome, a outcome) {
	for _, reply := range waiting {
		reply <- a
	}
}

func (one *reload) set(stage string) { one.stage.Store(&stage) }

// reload reads the configuration again. Files that cannot be read change
// nothing.
func (d *daemon) reload(one *reload) {
	// With the usual 15 percent the garbage collector would take half of the
	// time, for memory that is released below.
	defer debug.SetGCPercent(debug.SetGCPercent(150))
	d.notifier.reloading()
	if d.logFile != nil {
		d.logFile.Reopen()
	}
	if err := localtime.Reload(); err != nil {
		d.log.Printf(syslog.Warning, "reload: %v", err)
	}
	r, err := d.read()
	var prepared *inetd.Prepared
	if err == nil {
		one.set("looking up users and host names")
		prepared = d.server.Prepare(r.services, r.problems)
	}
	d.installing.Lock()
	defer d.installing.Unlock()
	switch {
	case one.givenUp.Load():
		one.outcome.err = errors.New("given up: another reload began meanwhile")
		return
	case err != nil:
		one.outcome.err = fmt.Errorf("%w (nothing is changed)", err)
		d.log.Printf(syslog.Err, "reload: %v (nothing is changed)", err)
		d.server.NoteProblems([]config.Problem{{Severity: config.Error, Text: err.Error(), Hint: "nothing is changed"}})
	default:
		d.use(r)
		one.outcome.problems = d.server.Install(prepared)
	}
	releaseMemory()
	d.log.Flush()
	d.notifier.send("READY=1\nSTATUS=" + d.server.Summary())
}
