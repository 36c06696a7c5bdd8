package admit

import (
	"net/netip"
	"slices"
	"time"

	"goinetd/config"
)

// maxBans is how many networks can be banned at once.
const maxBans = 1 << 16

// Bans are the networks that sensors keep out of every service (xinetd's
// SENSOR flag). The zero value bans nobody. It is not safe for concurrent
// use: whoever owns it locks. Times are of a monotonic clock.
type Bans struct {
	until   map[netip.Prefix]time.Duration
	lengths []int         // that bans have, or had
	full    time.Duration // until when it is not gone through again
}

// Add bans a network for a time, or for ever ([config.Forever]). A longer
// ban is not shortened. When the table is full of bans that have not ended,
// nothing is added, and it returns false.
func (b *Bans) Add(p netip.Prefix, d, now time.Duration) bool {
	until := now + d
	if d == config.Forever {
		until = 1<<63 - 1
	}
	if _, known := b.until[p]; !known && len(b.until) >= maxBans {
		if now < b.full {
			return false
		}
		for a, end := range b.until {
			if end <= now {
				delete(b.until, a)
			}
		}
		if len(b.until) >= maxBans {
			b.full = now + fullTime
			return false
		}
	}
	if b.until == nil {
		b.until = map[netip.Prefix]time.Duration{}
	}
	if !slices.Contains(b.lengths, p.Bits()) {
		b.lengths = append(b.lengths, p.Bits())
	}
	b.until[p] = max(b.until[p], until)
	return true
}

// Each calls f with every network that is banned, and for how long it still
// is: [config.Forever] for ever.
func (b *Bans) Each(now time.Duration, f func(p netip.Prefix, left time.Duration)) {
	for p, until := range b.until {
		switch {
		case until == 1<<63-1:
			f(p, config.Forever)
		case until > now:
			f(p, until-now)
		}
	}
}

// Banned reports whether an address is in a network that is banned.
func (b *Bans) Banned(addr netip.Addr, now time.Duration) bool {
	if len(b.until) == 0 {
		return false
	}
	for _, bits := range b.lengths {
		p, err := addr.Prefix(bits)
		if err != nil {
			continue
		}
		switch until, ok := b.until[p]; {
		case !ok:
		case until <= now:
			delete(b.until, p)
		default:
			return true
		}
	}
	return false
}
