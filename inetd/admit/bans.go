package admit

import (
	"net/netip"
	"time"

	"goinetd/config"
)

// maxBans is how many addresses can be banned at once, as in xinetd.
const maxBans = 10240

// Bans are the addresses that sensors keep out of every service (xinetd's
// SENSOR flag). The zero value bans nobody. It is not safe for concurrent
// use: whoever owns it locks. Times are of a monotonic clock.
type Bans struct {
	until map[netip.Addr]time.Duration
}

// Add bans an address for a time, or for ever ([config.Forever]). A longer
// ban is not shortened. When the table is full of bans that have not ended,
// nothing is added, and it returns false.
func (b *Bans) Add(addr netip.Addr, d, now time.Duration) bool {
	until := now + d
	if d == config.Forever {
		until = 1<<63 - 1
	}
	if len(b.until) >= maxBans {
		for a, end := range b.until {
			if end <= now {
				delete(b.until, a)
			}
		}
	}
	if len(b.until) >= maxBans {
		return false
	}
	if b.until == nil {
		b.until = map[netip.Addr]time.Duration{}
	}
	b.until[addr] = max(b.until[addr], until)
	return true
}

// Each calls f with every address that is banned, and for how long it still
// is: [config.Forever] for ever.
func (b *Bans) Each(now time.Duration, f func(addr netip.Addr, left time.Duration)) {
	for addr, until := range b.until {
		switch {
		case until == 1<<63-1:
			f(addr, config.Forever)
		case until > now:
			f(addr, until-now)
		}
	}
}

// Banned reports whether an address is banned.
func (b *Bans) Banned(addr netip.Addr, now time.Duration) bool {
	if len(b.until) == 0 {
		return false
	}
	until, ok := b.until[addr]
	if ok && until <= now {
		delete(b.until, addr)
		return false
	}
	return ok
}
