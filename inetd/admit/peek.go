package admit

import (
	"net/netip"
	"time"

	"goinetd/config"
)

// Looped is the reason of Peek where Reserve would say Looping.
const Looped Reason = "looping"

// Peek returns why Reserve or Enter would refuse a client now; "" where neither
// would. It counts nothing.
func (g *Gate) Peek(l Limits, now time.Duration, from netip.Addr) Reason {
	if g.counters == nil {
		g = &Gate{new(counters)}
	}
	from = l.Source(from)
	cps := g.cps
	switch {
	case l.PerMinute != 0 && g.starts >= l.PerMinute && (now-g.since <= Window || l.PerMinute < 0):
		return Looped
	case l.CPSPerSource != (config.Rate{}) && from.IsValid() && g.peekSource(l.CPSPerSource, now, from):
		return PerSourceCPS
	case l.CPS != (config.Rate{}) && cps.over(l.CPS, now):
		return CPS
	case g.AtLimit(l, from):
		if l.Instances != 0 && !l.Queue && g.running >= l.Instances {
			return ServiceLimit
		}
		return PerSourceLimit
	case l.Instances < 0 && !l.Queue:
		return ServiceLimit
	case l.PerSource < 0 && from.IsValid():
		return PerSourceLimit
	}
	if r := g.rates[from]; from.IsValid() && l.PerSourcePerMinute != 0 && (l.PerSourcePerMinute < 0 || now-r.since <= Window && r.n >= l.PerSourcePerMinute) {
		return PerSourceRate
	}
	return ""
}

// peekSource reports whether meterSource would refuse a client.
func (g *Gate) peekSource(r config.Rate, now time.Duration, from netip.Addr) bool {
	m := meter{}
	if g.sources != nil {
		m = g.sources.of[from]
	}
	switch {
	case m.paused > now:
		return true
	case m.paused > 0:
		m = meter{}
	}
	return m.over(r, now)
}
