package inetd

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"goinetd/config"
	"goinetd/inetd/control"
	"goinetd/inetd/logline"
	"goinetd/inetd/service"
	"goinetd/inetd/spawn"
)

// Followers get the events of clients: START, EXIT and FAIL lines with all their
// parts, whatever is logged. As long as there are none, an event costs the look
// at a number.
type followers struct {
	n    atomic.Int32
	mu   sync.Mutex
	last int
	each map[int]follower
}

type follower struct {
	service string // empty: all
	f       func(control.Event)
}

// Follow has f called with each event of a service, of all where it is empty. It
// must not block.
func (s *Server) Follow(service string, f func(control.Event)) (stop func()) {
	l := &s.followers
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.each == nil {
		l.each = map[int]follower{}
	}
	l.last++
	id := l.last
	l.each[id] = follower{service, f}
	l.n.Store(int32(len(l.each)))
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.each, id)
		l.n.Store(int32(len(l.each)))
	}
}

// wanted reports whether anybody follows.
func (l *followers) wanted() bool { return l.n.Load() > 0 }

func (l *followers) publish(e control.Event) {
	e.Time = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.each {
		if one.service == "" || one.service == e.Service {
			one.f(e)
		}
	}
}

// allParts are those that events have of the lines.
const allParts = config.LogPID | config.LogHost | config.LogPort | config.LogExit | config.LogDuration | config.LogRUsage

func (s *Server) publishStart(def *service.Definition, pid int, from netip.AddrPort) {
	if s.followers.wanted() {
		s.publishEvent("start", def, pid, from, logline.Start(nil, def.Name, allParts, pid, from))
	}
}

func (s *Server) publishExit(t *task, e spawn.Exit, parts config.LogSet) {
	if s.followers.wanted() {
		s.publishEvent("exit", t.def, e.PID, t.from, s.appendExit(nil, t, e, parts))
	}
}

// publishEnd is publishExit for a client that inetd has served itself.
func (s *Server) publishEnd(def *service.Definition, from netip.AddrPort, start time.Duration) {
	if s.followers.wanted() {
		s.publishEvent("exit", def, 0, from, logline.Exit(nil, def.Name, allParts, 0, 0, s.now()-start))
	}
}

func (s *Server) publishRefusal(def *service.Definition, from netip.AddrPort, reason, rule string) {
	if s.followers.wanted() {
		s.publishEvent("refused", def, 0, from, logline.Fail(nil, def.Name, allParts, reason, rule, from))
	}
}

func (s *Server) publishEvent(kind string, def *service.Definition, pid int, from netip.AddrPort, text []byte) {
	e := control.Event{Kind: kind, Service: def.Name, PID: pid, Text: string(text)}
	if from.IsValid() {
		e.Client = from.Addr().String()
	}
	s.followers.publish(e)
}
