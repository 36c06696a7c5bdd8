package builtin

import (
	"net/netip"
	"testing"
	"time"
)

// A loop between two services ends, whatever their ports are, and a client
// that asks less often gets every reply.
func TestLoopGuard(t *testing.T) {
	answered := func(port uint16, gap time.Duration, n int) (replies int) {
		g, from := newLoopGuard(), netip.AddrPortFrom(netip.MustParseAddr("192.0.2.7"), port)
		for i := range n {
			if g.allow(from, time.Duration(i)*gap) {
				replies++
			}
		}
		return replies
	}
	for _, c := range []struct {
		port    uint16
		gap     time.Duration
		n, want int
	}{
		{7008, 20 * time.Microsecond, 50_000, slowReplies}, {7008, 10 * time.Millisecond, 1000, 1000}, {7008, 2 * time.Millisecond, 500, slowReplies},
		{40000, 20 * time.Microsecond, fastReplies - 1, fastReplies - 1}, {40000, 20 * time.Microsecond, 3 * fastReplies, 3*fastReplies - 3},
		{40000, 2 * time.Second, 3, 3},
	} {
		if got := answered(c.port, c.gap, c.n); got != c.want {
			t.Errorf("port %d, %d datagrams in %v each: %d replies, want %d", c.port, c.n, c.gap, got, c.want)
		}
	}
	g := newLoopGuard()
	for i := range 10_000 { // spoofed sources do not keep a client out
		g.allow(netip.AddrPortFrom(netip.MustParseAddr("192.0.2.7"), uint16(firstEphemeral+i)), 0)
	}
	if !g.allow(netip.MustParseAddrPort("198.51.100.1:50000"), 0) {
		t.Error("a client gets no reply after a flood of others")
	}
}
