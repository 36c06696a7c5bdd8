package inetd

import (
	"slices"
	"time"

	"goinetd/inetd/spawn"
)

// A client that finds as many programs running as may is looked at again
// after recheckPause, so often as one of them has closed its connection and
// not ended yet, or has not been reaped, but at most recheckTries times.
// maxRechecks is how many such clients of a service wait; others are refused
// at once.
const (
	recheckPause = 2 * time.Millisecond
	recheckTries = 500
	maxRechecks  = 16
)

// beginRecheckLocked reports whether a client is to be looked at again before
// it is refused. It keeps its reservation until then.
func (s *Server) beginRecheckLocked(c *client, d *decision) bool {
	if d.Reason != "" || !c.svc.gate.AtLimit(c.def.Limits, c.from.Addr()) || c.svc.waitingLocked().rechecks >= maxRechecks {
		return false
	}
	c.svc.waiting.rechecks++
	s.rechecks++
	return true
}

func (s *Server) recheckLater(c client, d decision, try int) {
	time.AfterFunc(recheckPause, func() {
		s.addJob(func(sc *scratch) { s.recheck(sc, c, d, try) })
	})
}

func (s *Server) recheck(sc *scratch, c client, d decision, try int) {
	exiting := try+1 < recheckTries && s.anyExiting(c.svc)
	s.mu.Lock()
	if exiting && c.svc.gate.AtLimit(c.def.Limits, c.from.Addr()) {
		s.mu.Unlock()
		s.recheckLater(c, d, try+1)
		return
	}
	c.svc.waiting.rechecks--
	s.rechecks--
	s.admitLocked(&c, &d, c.from.Addr())
	s.mu.Unlock()
	s.dispatch(sc, &c, d)
}

// maxExiting is how many programs of a service are asked about. With more, a
// client is refused although one of them may be about to end.
const maxExiting = 64

// anyExiting reports whether a program of a service is ending, or has ended
// and still counts.
func (s *Server) anyExiting(svc *activeService) bool {
	var room [maxExiting]int
	pids, n := room[:0], 0
	s.children.Each(func(pid int, t task) {
		if t.svc != svc || t.auxiliary {
			return
		}
		if n++; len(pids) < maxExiting {
			pids = append(pids, pid)
		}
	})
	s.mu.Lock()
	uncounted := svc.def.Image != nil && svc.gate.Running() > n // one is being reaped, or not yet among the children
	s.mu.Unlock()
	return uncounted || slices.ContainsFunc(pids, spawn.Exiting)
}
