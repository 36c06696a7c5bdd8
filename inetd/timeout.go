package inetd

import (
	"time"

	"golang.org/x/sys/unix"

	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// killAfter is how long a program may take to end after SIGTERM.
const killAfter = 10 * time.Second

// limitTime sets the clocks of a program whose service has an idle_timeout or
// a session_timeout. It is called before the program is in the table.
func (s *Server) limitTime(pid int, t *task) {
	if t.def.terms == nil || t.def.terms.idle == 0 && t.def.terms.session == 0 {
		return
	}
	t.serial = s.serial.Add(1)
	t.timers = s.timeOut(pid, *t)
}

func (s *Server) timeOut(pid int, t task) (timers []*time.Timer) {
	same := func(other task) bool { return other.serial == t.serial }
	end := func(why string, after time.Duration) {
		if !s.children.Kill(pid, unix.SIGTERM, same) {
			return
		}
		s.log.Printf(syslog.Notice, "%s: pid %d ended: %s %v is over", t.def.name, pid, why, after)
		time.AfterFunc(killAfter, func() { s.children.Kill(pid, unix.SIGKILL, same) })
	}
	if d := t.def.terms.session; d > 0 {
		timers = append(timers, time.AfterFunc(d-(s.now()-t.since), func() { end("session_timeout", d) }))
	}
	if d := t.def.terms.idle; d > 0 {
		timers = append(timers, whenIdle(d, func() (time.Duration, bool) { return s.children.Quiet(pid, same) }, func() { end("idle_timeout", d) }))
	}
	return timers
}

// whenIdle calls end when a connection has been quiet for as long as it may.
// One of which that is not known is left alone.
func whenIdle(limit time.Duration, quiet func() (time.Duration, bool), end func()) *time.Timer {
	var timer *time.Timer
	ready := make(chan struct{})
	timer = time.AfterFunc(limit, func() {
		<-ready
		d, known := quiet()
		switch {
		case !known:
		case d >= limit:
			end()
		default:
			timer.Reset(max(limit-d, 10*time.Millisecond))
		}
	})
	close(ready)
	return timer
}

// timeOut sets the clocks of a connection that we serve ourselves: it is shut
// down, and the rest follows.
func (k *conn) timeOut(t *terms) {
	if t.session > 0 {
		k.limit(t.session)
	}
	if t.idle > 0 {
		k.idle = whenIdle(t.idle, func() (time.Duration, bool) {
			k.mu.Lock()
			defer k.mu.Unlock()
			if k.over {
				return 0, false
			}
			return spawn.Quiet(k.fd)
		}, k.shutDown)
	}
}
