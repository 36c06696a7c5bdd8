// Package admit says whether a client may come in now, by the counts and
// rates of its service. It knows addresses and the clock, no sockets.
//
// Its clock is a time since some fixed moment, on the monotonic clock: a
// host whose date is set must neither lock clients out nor let them all in.
package admit

import (
	"net/netip"
	"time"
)

// Limits are those of one service; 0 is no limit.
type Limits struct {
	Instances          int // at once
	PerSource          int // at once for one client address
	PerMinute          int // starts in a minute; more is a loop
	PerSourcePerMinute int // starts in a minute for one client address
}

// Window is what the rates are counted over.
const Window = time.Minute

// A Verdict is what a Gate says of one more start.
type Verdict int

const (
	Yes     Verdict = iota
	Full            // as many run as may: wait until one ends
	Looping         // PerMinute is used up: rest
	Busy            // its last starts are being decided on: ask again
)

// maxSources bounds the table of rates: clients of IPv6 have more addresses
// than we have memory.
const maxSources = 1 << 16

// A Gate counts the starts of one service. The zero value has counted
// nothing. It is not safe for concurrent use: the service that owns it
// locks.
type Gate struct {
	running  int
	reserved int                // places that are neither entered nor cancelled
	sources  map[netip.Addr]int // running, by client

	since  time.Duration // start of the service's window
	starts int           // in it
	rates  map[netip.Addr]rate
}

type rate struct {
	since time.Duration
	n     int
}

// Running gives the number of those let in and not released.
func (g *Gate) Running() int { return g.running }

// Starts gives the number let in during the window that is open.
func (g *Gate) Starts() int { return g.starts }

// Reserve keeps a place for one more start, before its client is accepted, if
// the service as a whole has room for it. Every Yes wants an Enter that says
// yes, or a Cancel.
//
// The window opens with a start and, as in every inetd, closes only when the
// limit is reached later than a minute after.
func (g *Gate) Reserve(l Limits, now time.Duration) Verdict {
	if l.Instances > 0 && g.running+g.reserved >= l.Instances {
		return Full
	}
	if l.PerMinute > 0 && g.starts >= l.PerMinute {
		if now-g.since <= Window {
			return Looping
		}
		g.starts = 0
	}
	if l.PerMinute > 0 && g.starts+g.reserved >= l.PerMinute {
		return Busy
	}
	g.reserved++
	return Yes
}

// Cancel takes back a Reserve.
func (g *Gate) Cancel() { g.reserved-- }

// Enter lets the client in that a place was reserved for, or says why not,
// in words for the log; the place is then to be cancelled. Every yes wants a
// Leave. An invalid address (a Unix socket, a wait service) has no share to
// use up.
func (g *Gate) Enter(l Limits, now time.Duration, from netip.Addr) (ok bool, reason string) {
	if from.IsValid() {
		if l.PerSource > 0 && g.sources[from] >= l.PerSource {
			return false, "per_source_limit"
		}
		if l.PerSourcePerMinute > 0 && !g.rate(l.PerSourcePerMinute, now, from) {
			return false, "per_source_rate"
		}
		// Counted even without a limit: a reload may set one while they run.
		if g.sources == nil {
			g.sources = map[netip.Addr]int{}
		}
		g.sources[from]++
	}
	if g.starts == 0 {
		g.since = now
	}
	g.reserved--
	g.starts++
	g.running++
	return true, ""
}

// Leave takes back what Enter counted as running.
func (g *Gate) Leave(from netip.Addr) {
	g.running--
	if n := g.sources[from]; n > 1 {
		g.sources[from] = n - 1
	} else if n == 1 {
		delete(g.sources, from)
	}
}

// Forgive forgets the starts, so that a service that was resting begins
// anew.
func (g *Gate) Forgive() { g.starts = 0 }

// rate counts a start of one client.
func (g *Gate) rate(limit int, now time.Duration, from netip.Addr) bool {
	r, known := g.rates[from]
	if !known || now-r.since > Window {
		r = rate{since: now}
		if !known && len(g.rates) >= maxSources {
			g.forget(now)
		}
	}
	if r.n >= limit {
		return false
	}
	r.n++
	if g.rates == nil {
		g.rates = map[netip.Addr]rate{}
	}
	g.rates[from] = r
	return true
}

// forget makes room in the table of rates: the windows that are over, and if
// that is not enough, any quarter of it.
func (g *Gate) forget(now time.Duration) {
	for a, r := range g.rates {
		if now-r.since > Window {
			delete(g.rates, a)
		}
	}
	for a := range g.rates {
		if len(g.rates) < maxSources*3/4 {
			return
		}
		delete(g.rates, a)
	}
}
