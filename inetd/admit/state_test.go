package admit

import (
	"net/netip"
	"testing"
	"time"

	"goinetd/config"
)

func TestBans(t *testing.T) {
	var b Bans
	if b.Banned(client, 0) {
		t.Error("the zero value bans somebody")
	}
	b.Add(client, time.Minute, time.Second)
	b.Add(client, time.Second, time.Second) // does not shorten the first
	for now, want := range map[time.Duration]bool{time.Second: true, 60 * time.Second: true, 61 * time.Second: false} {
		if got := (&Bans{until: map[netip.Addr]time.Duration{client: b.until[client]}}).Banned(client, now); got != want {
			t.Errorf("at %v: %v", now, got)
		}
	}
	if b.Banned(other, 2*time.Second) {
		t.Error("another address is banned")
	}
	if b.Banned(client, time.Hour) || len(b.until) != 0 {
		t.Error("a ban that has ended is kept")
	}
	b.Add(client, config.Forever, 0)
	if !b.Banned(client, 1<<62) {
		t.Error("a ban without an end has ended")
	}
}

func TestBansBounded(t *testing.T) {
	var b Bans
	a := netip.MustParseAddr("2001:db8::")
	for i := range maxBans {
		a = a.Next()
		if !b.Add(a, time.Minute, 0) {
			t.Fatalf("ban %d is not taken", i)
		}
	}
	if b.Add(client, time.Minute, time.Second) || !b.Banned(a, time.Second) {
		t.Error("a full table forgets a ban that has not ended")
	}
	if !b.Add(client, time.Minute, time.Minute) || len(b.until) != 1 {
		t.Errorf("%d bans, although all had ended", len(b.until))
	}
}

func TestLookups(t *testing.T) {
	var l Lookups
	for i := range MaxLookupsPerSource {
		if !l.Begin(client) {
			t.Fatalf("look-up %d of one source is refused", i)
		}
	}
	if l.Begin(client) || !l.Begin(other) {
		t.Error("the limit is for one source")
	}
	l.End(client)
	if !l.Begin(client) {
		t.Error("an ended look-up counts")
	}
	a := netip.MustParseAddr("2001:db8::")
	for l.Begin(a) {
		a = a.Next()
	}
	if l.Running() != MaxLookups {
		t.Errorf("%d look-ups at once", l.Running())
	}
	for b := netip.MustParseAddr("2001:db8::"); b != a; b = b.Next() {
		l.End(b)
	}
	if l.Running() != MaxLookupsPerSource+1 || len(l.bySource) != 2 {
		t.Errorf("%d look-ups of %d sources are left", l.Running(), len(l.bySource))
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
