package logline

import (
	"net/netip"
	"slices"
	"time"
)

// limiterWindow is the time for which a sender is not logged again, as in
// xinetd.
const limiterWindow = time.Minute

// MaxSenders is how many senders of a service are logged in a minute: source
// addresses can be forged.
const MaxSenders = 10

// A Limiter allows few lines in a minute: anybody can send many datagrams. The
// zero value has seen nobody. It is not safe for concurrent use: whoever owns
// it locks.
type Limiter struct {
	windows map[string]*senders // by what the lines are about: a service
}

// senders are those of one minute.
type senders struct {
	since time.Duration
	addrs []netip.Addr
	full  bool // MaxSenders was exceeded
}

// AllowSender reports whether a line about a sender may be written: one in a
// minute. It reports last once, when others are not logged any more until the
// minute is over. now is a time on any monotonic clock.
func (l *Limiter) AllowSender(about string, addr netip.Addr, now time.Duration) (allowed, last bool) {
	w := l.windows[about]
	if w == nil || now-w.since >= limiterWindow {
		w = &senders{since: now}
		if l.windows == nil {
			l.windows = map[string]*senders{}
		}
		l.windows[about] = w
	}
	switch {
	case slices.Contains(w.addrs, addr), w.full:
		return false, false
	case len(w.addrs) >= MaxSenders:
		w.full = true
		return false, true
	}
	w.addrs = append(w.addrs, addr)
	return true, false
}

// Allow reports whether a line may be written: one in a minute.
func (l *Limiter) Allow(about string, now time.Duration) bool {
	allowed, _ := l.AllowSender(about, netip.Addr{}, now)
	return allowed
}
