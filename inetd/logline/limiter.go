package logline

import (
	"net/netip"
	"time"
)

// limiterWindow is the time for which a sender is not logged again, as in
// xinetd, and limiterSize how many senders are remembered.
const (
	limiterWindow = time.Minute
	limiterSize   = 1024
)

// A Limiter allows one line in a minute for each service and source address:
// anybody can send many datagrams. The zero value has seen nobody. It is not
// safe for concurrent use: whoever owns it locks.
type Limiter struct {
	last map[sender]time.Duration
}

type sender struct {
	service string
	addr    netip.Addr
}

// Allow reports whether a line may be written. now is a time on any monotonic
// clock.
func (l *Limiter) Allow(service string, addr netip.Addr, now time.Duration) bool {
	who := sender{service, addr}
	if at, known := l.last[who]; known && now-at < limiterWindow {
		return false
	}
	if l.last == nil || len(l.last) >= limiterSize {
		l.last = map[sender]time.Duration{}
	}
	l.last[who] = now
	return true
}
