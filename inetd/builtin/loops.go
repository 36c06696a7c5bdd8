package builtin

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// isServicePort reports whether a source port is one that no client has by
// chance: what answers there may answer our reply, and we that, for ever.
// OpenBSD's inetd refuses the same ones.
func isServicePort(port uint16) bool { return port < 1024 || port == 2049 }

// Any other port may be that of a service that replies, another inetd's for
// one. What comes from below firstEphemeral, the beginning of Linux's
// ip_local_port_range, is seldom a client's: it gets so many replies a second.
// From above, a loop ends when one of its datagrams gets no reply, which
// happens to one of so many that come within a second of each other.
const (
	firstEphemeral = 32768
	slowReplies    = 200
	fastReplies    = 50_000
)

// A loopGuard counts the datagrams of sources. Sources that have the same
// hash are counted together.
type loopGuard struct {
	seed  maphash.Seed
	slots [1024]struct {
		since time.Duration // of the first, or the last, that was counted
		n     uint32
	}
}

func newLoopGuard() *loopGuard { return &loopGuard{seed: maphash.MakeSeed()} }

// allow reports whether a source gets a reply. now is a time on a monotonic
// clock.
func (g *loopGuard) allow(from netip.AddrPort, now time.Duration) bool {
	slot := &g.slots[maphash.Comparable(g.seed, from)%uint64(len(g.slots))]
	if slot.n == 0 || now-slot.since > time.Second {
		slot.since, slot.n = now, 0
	}
	slot.n++
	if from.Port() < firstEphemeral {
		return slot.n <= slowReplies
	}
	if slot.since = now; slot.n < fastReplies {
		return true
	}
	slot.n = 0
	return false
}
