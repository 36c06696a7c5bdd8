package admit

import (
	"net/netip"
	"testing"
	"time"

	"goinetd/config"
)

// one returns the network of one address.
func one(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// nextNetwork returns the first address of the /64 behind that of an address.
func nextNetwork(a netip.Addr) netip.Addr {
	b := a.As16()
	for i := 7; ; i-- {
		if b[i]++; b[i] != 0 {
			return netip.AddrFrom16(b)
		}
	}
}

func TestBans(t *testing.T) {
	var b Bans
	if b.Banned(client, 0) {
		t.Error("the zero value bans somebody")
	}
	b.Add(one(client), time.Minute, time.Second)
	b.Add(one(client), time.Second, time.Second) // does not shorten the first
	if !b.Banned(client, time.Second) || !b.Banned(client, 60*time.Second) {
		t.Error("a ban has ended too early")
	}
	if b.Banned(other, 2*time.Second) {
		t.Error("another address is banned")
	}
	if b.Banned(client, 61*time.Second) || len(b.until) != 0 {
		t.Error("a ban that has ended is kept")
	}
	b.Add(one(client), config.Forever, 0)
	if !b.Banned(client, 1<<62) {
		t.Error("a ban without an end has ended")
	}
	b.Add(netip.MustParsePrefix("2001:db8::/64"), time.Minute, 0)
	b.Add(netip.MustParsePrefix("10.0.0.0/8"), time.Minute, 0)
	for address, want := range map[string]bool{"2001:db8::1": true, "2001:db8::ffff:0:1%eth0": true, "2001:db8:0:1::1": false, "10.1.2.3": true, "11.0.0.1": false} {
		if got := b.Banned(netip.MustParseAddr(address), 0); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}

// A full table takes no more, and forgets nobody.
func TestBansBounded(t *testing.T) {
	var b Bans
	first := netip.MustParseAddr("2001:db8::")
	a, added := first, 0
	for range 70_000 {
		if b.Add(netip.PrefixFrom(a, 64), time.Minute, 0) {
			added++
		}
		a = nextNetwork(a)
	}
	if added != maxBans || !b.Banned(first, time.Second) || b.Banned(a, time.Second) {
		t.Errorf("%d bans, the first %v, the last %v", added, b.Banned(first, time.Second), b.Banned(a, time.Second))
	}
	if !b.Add(netip.PrefixFrom(first, 64), time.Hour, time.Second) {
		t.Error("a ban is not made longer in a full table")
	}
	if !b.Add(one(client), time.Minute, time.Minute) || len(b.until) != 2 {
		t.Errorf("%d bans, although all but two had ended", len(b.until))
	}
}

// Clients that are paused for their rate are not forgotten, however many
// come; whoever finds no room among them is refused.
func TestMetersBounded(t *testing.T) {
	var g Gate
	l := Limits{CPSPerSource: config.Rate{Max: 1, Pause: time.Hour}}
	first := netip.MustParseAddr("2001:db8::")
	a := first
	for range 70_000 {
		g.Enter(l, 0, a)
		g.Enter(l, 0, a)
		a = nextNetwork(a)
	}
	if reason := g.Enter(l, time.Minute, first); reason != Paused {
		t.Errorf("the first of 70,000 that are paused: %q", reason)
	}
	if reason := g.Enter(l, time.Minute, a); reason != PerSourceCPS || len(g.sources.of) != maxSources {
		t.Errorf("a newcomer: %q, %d are known", reason, len(g.sources.of))
	}
	if reason := g.Enter(l, 2*time.Hour, a); reason != "" {
		t.Errorf("after the pauses: %q", reason)
	}
}

// All addresses of an IPv6 network count as one client, but for link-local ones.
func TestPerSourcePrefix(t *testing.T) {
	for _, c := range []struct {
		prefix config.Prefixes
		a, b   string
		same   bool
	}{
		{config.Prefixes{}, "2001:db8::1", "2001:db8::ffff:1", true}, {config.Prefixes{}, "2001:db8::1", "2001:db8:0:1::1", false},
		{config.Prefixes{}, "192.0.2.1", "192.0.2.2", false}, {config.Prefixes{IPv4: 24, IPv6: 48}, "192.0.2.1", "192.0.2.2", true},
		{config.Prefixes{IPv4: 24, IPv6: 48}, "2001:db8::1", "2001:db8:0:1::1", true}, {config.Prefixes{IPv4: 32, IPv6: 128}, "2001:db8::1", "2001:db8::2", false},
		{config.Prefixes{}, "fe80::1%eth0", "fe80::2%eth0", false}, {config.Prefixes{}, "fe80::1%eth0", "fe80::1%eth1", false}, {config.Prefixes{}, "fe80::1%eth0", "fe80::1%eth0", true},
	} {
		l := Limits{PerSource: 1, PerSourcePrefix: c.prefix}
		var g Gate
		g.Enter(l, 0, netip.MustParseAddr(c.a))
		reason := g.Enter(l, 0, netip.MustParseAddr(c.b))
		if reason == PerSourceLimit != c.same {
			t.Errorf("%+v, %s and %s: %q", c.prefix, c.a, c.b, reason)
		}
		if reason == "" {
			g.Leave(l, netip.MustParseAddr(c.b))
		}
		if g.Leave(l, netip.MustParseAddr(c.a)); len(g.clients) != 0 {
			t.Errorf("%+v, %s: %v are left", c.prefix, c.a, g.clients)
		}
	}
	l := Limits{PerSource: 2}
	var g Gate
	a, running := netip.MustParseAddr("2001:db8::"), 0
	for range 100 {
		if g.Enter(l, 0, a) == "" {
			running++
		}
		a = a.Next()
	}
	if running != 2 {
		t.Errorf("%d of one network run where 2 may", running)
	}
}

func TestLookups(t *testing.T) {
	var l Lookups
	for i := range MaxLookupsPerSource {
		if !l.Begin("a", client) {
			t.Fatalf("look-up %d of one source is refused", i)
		}
	}
	if l.Begin("b", client) || !l.Begin("a", other) {
		t.Error("the limit is for one source")
	}
	l.End("a", client)
	if !l.Begin("b", client) {
		t.Error("an ended look-up counts")
	}
	// No service takes what others need.
	a := netip.MustParseAddr("2001:db8::")
	for l.Begin("a", a) {
		a = a.Next()
	}
	half := l.byService["a"]
	if half != MaxLookups/2 && half != (MaxLookups-1)/2 {
		t.Errorf("one service has %d", half)
	}
	for range 10 {
		if !l.Begin("c", a) {
			t.Error("nothing is left for a third service")
		}
	}
	for b := netip.MustParseAddr("2001:db8::"); b != a; b = b.Next() {
		l.End("a", b)
	}
	for range 10 {
		l.End("c", a)
	}
	if l.Running() != MaxLookupsPerSource+1 || len(l.bySource) != 2 || len(l.byService) != 2 {
		t.Errorf("%d look-ups of %d sources and %d services are left", l.Running(), len(l.bySource), len(l.byService))
	}
}

func TestLoadAverage(t *testing.T) {
	var l LoadAverage
	if l.Exceeds(1e9, 0) || !l.Exceeds(0, 0) {
		t.Error("the load is not between 0 and 1e9")
	}
	l.load = 5
	if !l.Exceeds(5, time.Second) {
		t.Error("read twice within a second")
	}
	if l.Exceeds(1e9, 3*time.Second) {
		t.Error("not read again")
	}
}
