package inetd

import (
	"cmp"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/logline"
	"goinetd/inetd/service"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// A task is what is known of a running program.
type task struct {
	svc  *activeService
	def  *service.Definition // as it was when the program started
	from netip.AddrPort      // its client, or who sent the first datagram

	handedOff *listener // whose socket it has; nil: a connection
	handOff   uint64    // which hand-off of that socket; 0: the socket is shared

	start     time.Duration
	severity  syslog.Priority // of its log lines; 0: the service's
	timers    []*time.Timer   // of its time limits
	serial    uint64          // distinguishes it from another program of the same pid, where there are timers
	record    int             // of Server.table, counted from 1; 0: none
	auxiliary bool            // a command of hosts_options(5), or unknown: no service counts it
	ended     func()          // of a spawn command: called when it has ended; nil: nothing waits for it
	trace     *trace          // nil: nobody wants to see its steps
	command   string          // "spawn" or "twist" for a command of hosts_options(5); empty: the service's program
}

func (s *Server) newTask(c *client) task {
	return task{svc: c.svc, def: c.def, from: c.from, start: s.now(), severity: c.severity, trace: c.trace}
}

// childExited frees the slot of a program that has ended, reclaims its
// socket, and writes the EXIT line. Only the reaper calls it.
func (s *Server) childExited(e spawn.Exit, t task) {
	if t.record > 0 {
		s.table.Remove(t.record - 1)
	}
	if t.auxiliary {
		if t.ended != nil {
			t.ended()
		}
		return
	}
	for _, timer := range t.timers {
		timer.Stop()
	}
	s.mu.Lock()
	s.releaseLocked(t.svc, t.def, t.from)
	if t.handedOff != nil {
		s.reclaimLocked(t.handedOff, t.handOff)
	}
	s.mu.Unlock()
	parts := t.def.OnSuccess
	all := allParts
	if !e.HasStatus { // a process before us started it
		parts &^= config.LogExit
		all &^= config.LogExit
	}
	s.publishExit(&t, e, all)
	t.trace.exited(e)
	if logline.HasExit(t.def.OnSuccess) {
		s.exitLine = s.appendExit(s.exitLine[:0], &t, e, parts)
		t.def.Log.Logger.Log(cmp.Or(t.severity, t.def.Log.Success), s.exitLine, syslog.Fields{Service: t.def.Name, Client: t.from.Addr(), PID: e.PID})
	}
}

// appendExit appends the EXIT line of a program.
func (s *Server) appendExit(b []byte, t *task, e spawn.Exit, parts config.LogSet) []byte {
	b = logline.Exit(b, t.def.Name, parts, e.Status, e.PID, s.now()-t.start)
	if parts&config.LogRUsage != 0 && e.Usage != (spawn.Usage{}) {
		b = logline.Usage(b, e.Usage.CPU, e.Usage.MaxRSS)
	}
	return b
}

// killAfter is how long a program may take to end after SIGTERM.
const killAfter = 10 * time.Second

// addTime is enough for a program to be among the children, where a timer
// finds it, although its limit has passed already: an upgrade may set one.
const addTime = time.Second

// limitTime starts the timers of a program whose service has an idle_timeout
// or a session_timeout. It is called before the program is added to the
// children.
func (s *Server) limitTime(pid int, t *task) {
	p := t.def.Policy
	if p == nil || p.IdleTimeout <= 0 && p.SessionTimeout == 0 {
		return
	}
	t.serial = s.serial.Add(1)
	serial := t.serial
	same := func(other task) bool { return other.serial == serial }
	name := t.def.Name
	end := func(setting string, limit time.Duration) {
		if !s.children.Kill(pid, unix.SIGTERM, same) {
			return
		}
		s.log.Printf(syslog.Notice, "%s: pid %d terminated: %s of %v exceeded", name, pid, setting, limit)
		time.AfterFunc(killAfter, func() { s.children.Kill(pid, unix.SIGKILL, same) })
	}
	if d := p.SessionTimeout; d > 0 {
		t.timers = append(t.timers, time.AfterFunc(max(d-(s.now()-t.start), addTime), func() { end("session_timeout", d) }))
	}
	if d := p.IdleTimeout; d > 0 {
		t.timers = append(t.timers, afterIdle(d, func() (time.Duration, bool) { return s.children.IdleTime(pid, same) }, func() { end("idle_timeout", d) }))
	}
}

// afterIdle calls end once a connection has been idle for the limit. idle
// returns for how long it has been; where that is not known, the connection
// is left alone.
func afterIdle(limit time.Duration, idle func() (time.Duration, bool), end func()) *time.Timer {
	var timer *time.Timer
	set := make(chan struct{}) // closed once timer is assigned
	timer = time.AfterFunc(limit, func() {
		<-set
		d, known := idle()
		switch {
		case !known:
		case d >= limit:
			end()
		default:
			timer.Reset(max(limit-d, 10*time.Millisecond))
		}
	})
	close(set)
	return timer
}
