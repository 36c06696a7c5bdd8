// Package admit says whether a client may come in now: by where it comes
// from (Access), by the time of day (Open), and by the counts and rates of
// its service (Gate). It knows addresses and the clock, no sockets.
//
// The Gate's clock is a time since some fixed moment, on the monotonic clock: a
// host whose date is set must neither lock clients out nor let them all in.
package admit

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"goinetd/config"
)

// Limits are those of one service; 0 is no limit, and less than 0 admits
// nobody.
type Limits struct {
	Instances          int             // at once
	Queue              bool            // clients over Instances wait, and are not refused
	PerSourcePrefix    config.Prefixes // which addresses count as one client
	PerSource          int             // at once for one client address
	PerMinute          int             // starts in a minute; more is a loop
	PerSourcePerMinute int             // starts in a minute for one client address
	CPS                config.Rate
	CPSPerSource       config.Rate
}

// Source returns the address of the network that a client counts as. Clients
// of link-local addresses count one by one: all hosts of a link share their
// network.
func (l *Limits) Source(client netip.Addr) netip.Addr {
	bits := int(l.PerSourcePrefix.IPv4)
	switch {
	case !client.Is4():
		if client.IsLinkLocalUnicast() {
			return client
		}
		bits = int(cmp.Or(l.PerSourcePrefix.IPv6, config.DefaultPrefixes.IPv6))
	case bits == 0 || bits == 32:
		return client
	}
	p, _ := client.Prefix(bits) // zero for an address that is not valid
	return p.Addr()
}

// A Reason is why a client was refused, in xinetd's words for the log where it
// has any. The empty one means that it was not.
type Reason string

// The reasons of a Gate.
const (
	ServiceLimit   Reason = "service_limit"
	PerSourceLimit Reason = "per_source_limit"
	PerSourceRate  Reason = "per_source_rate"
	CPS            Reason = "connections per second" // the service is to be suspended
	PerSourceCPS   Reason = "per_source_cps"         // the client is kept out for a while
	Paused         Reason = "per_source_cps again"   // and that has been logged
)

// Window is what the rates are counted over.
const Window = time.Minute

// A Verdict is a Gate's decision about one more start.
type Verdict int

const (
	Granted Verdict = iota
	Full            // as many run as may: wait until one ends
	Looping         // PerMinute is used up: suspend
	Busy            // its last starts are being decided on: ask again
)

// PerClient reports whether there are limits for one client.
func (l *Limits) PerClient() bool {
	return l.PerSource != 0 || l.PerSourcePerMinute != 0 || l.CPSPerSource != config.Rate{}
}

// Network returns the network that a client counts as.
func (l *Limits) Network(client netip.Addr) netip.Prefix {
	source, bits := l.Source(client), client.BitLen()
	switch p := l.PerSourcePrefix; {
	case client.Is4():
		bits = int(cmp.Or(p.IPv4, config.DefaultPrefixes.IPv4))
	case !client.IsLinkLocalUnicast():
		bits = int(cmp.Or(p.IPv6, config.DefaultPrefixes.IPv6))
	}
	return netip.PrefixFrom(source.WithZone(""), bits)
}

// maxSources bounds the tables of rates: clients of IPv6 have more networks
// than we have memory.
const maxSources = 1 << 16

// A Gate counts the starts of one service. The zero value has counted none. It
// is not safe for concurrent use: whoever owns it locks.
type Gate struct{ *counters }

// counters are nil until the first client comes: of thousands of services most
// may never have one.
type counters struct {
	running  int
	reserved int                // places that are neither entered nor cancelled
	clients  map[netip.Addr]int // running, by Limits.Source

	since  time.Duration // start of the service's window
	starts int           // in it
	rates  map[netip.Addr]rate

	cps     meter
	sources *meters // nil: there are none
}

func (g *Gate) init() {
	if g.counters == nil {
		g.counters = new(counters)
	}
}

type rate struct {
	since time.Duration
	n     int
}

// A meter counts starts as xinetd's cps does: the mean since its window
// opened, which is as many seconds long as there may be starts in one. A
// client that comes after a silence may so come often at once. xinetd counts
// whole seconds, so that 51 starts within 1.9 seconds are too many for it
// where there may be 50 in one; here they are not.
type meter struct {
	since  time.Duration
	n      int
	paused time.Duration // until when; of a client's meter
}

// over counts a start, and reports whether it exceeds the rate.
func (m *meter) over(r config.Rate, now time.Duration) bool {
	passed := now - m.since
	if m.n == 0 || passed >= time.Duration(r.Max)*time.Second {
		m.since, m.n = now, 1
		return m.n > r.Max
	}
	m.n++
	return float64(m.n) > float64(r.Max)*max(passed, time.Second).Seconds()
}

// meters are those of clients, by Limits.Source.
type meters struct {
	of   map[netip.Addr]meter
	full time.Duration // until when it is full of clients that are paused; 0: not known
}

// Running returns the number of those let in and not released.
func (g *Gate) Running() int {
	if g.counters == nil {
		return 0
	}
	return g.running
}

// Starts returns the number let in during the window that is open.
func (g *Gate) Starts() int {
	if g.counters == nil {
		return 0
	}
	return g.starts
}

// Reserve reserves a slot for one more start, before its client is accepted,
// if the service as a whole has room for it. Every Granted wants a successful
// Enter, or a Cancel. The window opens with a start and, as in every inetd,
// closes only when the limit is reached later than a minute after.
func (g *Gate) Reserve(l Limits, now time.Duration) Verdict {
	g.init()
	if l.Queue && l.Instances != 0 && g.running+g.reserved >= l.Instances {
		return Full
	}
	if l.PerMinute != 0 && g.starts >= l.PerMinute {
		if now-g.since <= Window || l.PerMinute < 0 {
			return Looping
		}
		g.starts = 0
	}
	if l.PerMinute > 0 && g.starts+g.reserved >= l.PerMinute {
		return Busy
	}
	g.reserved++
	return Granted
}

// Cancel takes back a Reserve.
func (g *Gate) Cancel() { g.reserved-- }

// Enter turns a reservation into a slot for a client, or returns why not; the
// reservation is then to be cancelled. Every success wants a Leave with the
// same limits. Clients without a valid address (a Unix socket, a wait
// service) have no per-source limits.
func (g *Gate) Enter(l Limits, now time.Duration, from netip.Addr) Reason {
	g.init()
	from = l.Source(from)
	if l.CPSPerSource != (config.Rate{}) && from.IsValid() {
		if reason := g.meterSource(l.CPSPerSource, now, from); reason != "" {
			return reason
		}
	}
	if l.CPS != (config.Rate{}) && g.cps.over(l.CPS, now) {
		return CPS
	}
	if !l.Queue && l.Instances != 0 && g.running >= l.Instances {
		return ServiceLimit
	}
	if from.IsValid() {
		if l.PerSource != 0 && g.clients[from] >= l.PerSource {
			return PerSourceLimit
		}
		if l.PerSourcePerMinute != 0 && !g.rate(l.PerSourcePerMinute, now, from) {
			return PerSourceRate
		}
		// Counted even without a limit: a reload may set one while they run.
		if g.clients == nil {
			g.clients = map[netip.Addr]int{}
		}
		g.clients[from]++
	}
	if g.starts == 0 {
		g.since = now
	}
	g.reserved--
	g.starts++
	g.running++
	return ""
}

// AtLimit reports whether Enter would refuse a client because as many run as
// may. It counts nothing.
func (g *Gate) AtLimit(l Limits, from netip.Addr) bool {
	if !l.Queue && l.Instances > 0 && g.Running() >= l.Instances {
		return true
	}
	from = l.Source(from)
	return from.IsValid() && l.PerSource > 0 && g.counters != nil && g.clients[from] >= l.PerSource
}

// Adopt counts a client that was admitted before there was this Gate. It wants
// a Leave with the same limits.
func (g *Gate) Adopt(l Limits, from netip.Addr) {
	g.init()
	from = l.Source(from)
	if from.IsValid() {
		if g.clients == nil {
			g.clients = map[netip.Addr]int{}
		}
		g.clients[from]++
	}
	g.running++
}

// Leave takes back what Enter counted as running.
func (g *Gate) Leave(l Limits, from netip.Addr) {
	from = l.Source(from)
	g.running--
	if n := g.clients[from]; n > 1 {
		g.clients[from] = n - 1
	} else if n == 1 {
		delete(g.clients, from)
	}
}

// ResetRates forgets the starts, so that a service that was suspended begins
// anew. Running clients are still counted.
func (g *Gate) ResetRates() {
	if g.counters != nil {
		g.starts, g.cps = 0, meter{}
	}
}

// meterSource counts a start of one client. A client that exceeds the rate is
// refused until the pause is over; others are not affected.
func (g *Gate) meterSource(r config.Rate, now time.Duration, from netip.Addr) Reason {
	if g.sources == nil {
		g.sources = &meters{of: map[netip.Addr]meter{}}
	}
	sources := g.sources
	m, known := sources.of[from]
	if m.paused > now {
		return Paused
	}
	if m.paused > 0 {
		m = meter{}
	}
	if !known && len(sources.of) >= maxSources && !sources.evict(r, now) {
		return PerSourceCPS // nobody is forgotten who is kept out
	}
	reason := Reason("")
	if m.over(r, now) {
		m.paused = now + r.Pause
		reason = PerSourceCPS
	}
	sources.of[from] = m
	return reason
}

// evict makes room in the table: windows that have ended, and if that is
// not enough, the oldest quarter of those that are not paused. It reports
// whether there is room.
func (t *meters) evict(r config.Rate, now time.Duration) bool {
	if now < t.full {
		return false
	}
	for a, m := range t.of {
		if m.paused <= now && now-m.since > time.Duration(r.Max)*time.Second {
			delete(t.of, a)
		}
	}
	if len(t.of) < maxSources*3/4 {
		return true
	}
	evictOldest(t.of, func(m meter) (time.Duration, bool) { return m.since, m.paused <= now })
	if len(t.of) < maxSources {
		return true
	}
	t.full = now + fullTime
	return false
}

// fullTime is how long a table that was full is not gone through again.
const fullTime = time.Second

// evictOldest deletes the oldest quarter of a table, and no more than may go:
// of says since when an entry has been there, and whether it may.
func evictOldest[V any](table map[netip.Addr]V, of func(V) (since time.Duration, may bool)) {
	ages := make([]time.Duration, 0, len(table))
	for _, v := range table {
		if since, may := of(v); may {
			ages = append(ages, since)
		}
	}
	if len(ages) == 0 {
		return
	}
	slices.Sort(ages)
	n := min(len(table)/4, len(ages))
	last := ages[max(n-1, 0)]
	for a, v := range table {
		if since, may := of(v); n > 0 && may && since <= last {
			delete(table, a)
			n--
		}
	}
}

// rate counts a start of one client.
func (g *Gate) rate(limit int, now time.Duration, from netip.Addr) bool {
	r, known := g.rates[from]
	if !known || now-r.since > Window {
		r = rate{since: now}
		if !known && len(g.rates) >= maxSources {
			g.evictRates(now)
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

// evictRates makes room in the table: windows that have ended, and if that is
// not enough, the oldest quarter of it.
func (g *Gate) evictRates(now time.Duration) {
	for a, r := range g.rates {
		if now-r.since > Window {
			delete(g.rates, a)
		}
	}
	if len(g.rates) >= maxSources*3/4 {
		evictOldest(g.rates, func(r rate) (time.Duration, bool) { return r.since, true })
	}
}
