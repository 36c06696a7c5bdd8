package admit

import (
	"net/netip"
	"testing"
	"time"
)

var client, other = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")

func TestInstances(t *testing.T) {
	var g Gate
	l := Limits{Instances: 2, Queue: true}
	for i, want := range []Verdict{Granted, Granted, Full, Full} {
		if got := g.Reserve(l, 0); got != want {
			t.Errorf("start %d: %v", i, got)
		}
	}
	g.Cancel()
	if got := g.Reserve(l, 0); got != Granted {
		t.Errorf("after a cancel: %v", got)
	}
	g.Enter(l, 0, client)
	if g.Running() != 1 {
		t.Errorf("%d running", g.Running())
	}
}

// The window opens with the first start, and is looked at when the limit is
// reached: as in every inetd.
func TestLooping(t *testing.T) {
	l := Limits{PerMinute: 3}
	for _, c := range []struct {
		at   time.Duration // of the fourth start
		want Verdict
	}{{0, Looping}, {time.Minute, Looping}, {time.Minute + 1, Granted}} {
		var g Gate
		for range 3 {
			if g.Reserve(l, 0) != Granted {
				t.Fatal("refused below the limit")
			}
			g.Enter(l, 0, netip.Addr{})
			g.Leave(l, netip.Addr{})
		}
		if got := g.Reserve(l, c.at); got != c.want {
			t.Errorf("at %v: %v", c.at, got)
		}
		if c.want == Looping {
			if g.ResetRates(); g.Reserve(l, c.at) != Granted {
				t.Errorf("at %v: not forgiven", c.at)
			}
		}
	}
}

// Places that are only reserved are no starts: they make nobody a loop.
func TestReservedIsNoStart(t *testing.T) {
	var g Gate
	l := Limits{PerMinute: 2}
	for i, want := range []Verdict{Granted, Granted, Busy} {
		if got := g.Reserve(l, 0); got != want {
			t.Errorf("reserve %d: %v", i, got)
		}
	}
	g.Cancel()
	g.Enter(l, 0, client)
	if got := g.Reserve(l, 0); got != Granted || g.Starts() != 1 {
		t.Errorf("%v after one start of two, %d counted", got, g.Starts())
	}
}

func TestPerSource(t *testing.T) {
	var g Gate
	l := Limits{PerSource: 1}
	enter := func(a netip.Addr, now time.Duration) bool {
		g.Reserve(l, now)
		reason := g.Enter(l, now, a)
		if reason != "" {
			g.Cancel()
		}
		return reason == ""
	}
	if !enter(client, 0) || enter(client, 0) || !enter(other, 0) {
		t.Error("one at once for each client")
	}
	g.Leave(l, client)
	if !enter(client, 0) {
		t.Error("a place that was left is not free")
	}
	for range 2 {
		if !enter(netip.Addr{}, 0) {
			t.Error("a client without an address has no share to use up")
		}
	}
}

func TestPerSourceRate(t *testing.T) {
	var g Gate
	l := Limits{PerSourcePerMinute: 2}
	enter := func(a netip.Addr, now time.Duration) bool {
		return g.Enter(l, now, a) == ""
	}
	if !enter(client, 0) || !enter(client, time.Second) || enter(client, time.Minute) || !enter(other, time.Minute) {
		t.Error("two in a minute for each client")
	}
	if !enter(client, time.Minute+1) {
		t.Error("the minute is over")
	}
}

// The table of rates does not grow without end, and what still counts is not
// all forgotten.
func TestRatesBounded(t *testing.T) {
	var g Gate
	l := Limits{PerSourcePerMinute: 1}
	a := netip.MustParseAddr("2001:db8::")
	for range 3 * maxSources {
		if reason := g.Enter(l, 0, a); reason != "" {
			t.Fatalf("%v is refused", a)
		}
		g.Leave(l, a)
		a = nextNetwork(a)
	}
	if n := len(g.rates); n > maxSources || n < maxSources/2 {
		t.Errorf("%d entries", n)
	}
	if len(g.clients) != 0 {
		t.Errorf("%d clients counted as running", len(g.clients))
	}
}
