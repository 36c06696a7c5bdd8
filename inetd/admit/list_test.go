package admit

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"goinetd/config"
)

// access reads a service whose lists are these.
func access(t testing.TB, lists string, ipv4only bool) Access {
	t.Helper()
	services, problems := config.ReadXinetd("x", "service s\n{\ntype = UNLISTED\nport = 7\nsocket_type = stream\nwait = no\nuser = nobody\nserver = /bin/x\n"+lists+"\n}\n", config.Options{})
	if len(services) != 1 {
		t.Fatal(problems)
	}
	return NewAccess(services[0], func(s []config.Source) *List { return NewList(s, ipv4only) })
}

func TestAccess(t *testing.T) {
	for _, c := range []struct {
		lists, from string
		in          bool
	}{
		{"", "192.0.2.7", true},
		{"only_from =", "192.0.2.7", false},
		{"only_from = 192.0.2.0", "192.0.2.7", true},
		{"only_from = 192.0.2.0", "192.0.3.7", false},
		{"only_from = 192.0.2.0/32", "192.0.2.7", false},
		{"only_from = 0.0.0.0", "192.0.2.7", true},
		{"only_from = 0.0.0.0", "2001:db8::1", false},
		{"only_from = 192.{0,1}", "192.1.2.3", true},
		{"only_from = 192.0.{2,3}", "192.0.4.1", false},
		{"only_from = ::/0", "192.0.2.7", true},
		{"only_from = ::ffff:192.0.2.0/120", "192.0.2.7", true},
		{"only_from = ::1/128", "::1", true},
		{"only_from = 2001:db8::/32", "2001:db8:1::1", true},
		{"only_from = fe80::5", "fe80::5%eth0", true},
		{"only_from = fe80::5%eth0", "fe80::5%eth0", true},
		{"only_from = fe80::5%eth0", "fe80::5%eth1", false},
		{"only_from = fe80::5%eth0", "fe80::5", false},
		{"only_from = fe80::/64", "fe80::5%eth0", true},
		{"no_access = fe80::5%eth0", "fe80::5%eth0", false},
		{"no_access = 192.0.2.0", "192.0.2.7", false},
		{"no_access =", "192.0.2.7", true},
		{"only_from = 192.0.2.7\nno_access = 192.0.0.0/16", "192.0.2.7", false},
		{"only_from = 192.0.0.0\nno_access = 192.0.2.7", "192.0.2.8", true},
	} {
		a := access(t, c.lists, false)
		if got := a.Check(netip.MustParseAddr(c.from), nil); got.Refused == c.in || got.NeedName {
			t.Errorf("%q, %s: %+v", c.lists, c.from, got)
		}
	}
	a := access(t, "only_from = ::/0", true)
	if !a.Check(client, nil).Refused {
		t.Error("::/0 lets an IPv4 client into a service on IPv4 alone; xinetd does not")
	}
	if got := a.Check(netip.Addr{}, nil); got.Refused {
		t.Errorf("a Unix socket has no address: %+v", got)
	}
}

// Names let in whom they lead back to, and keep out whoever has them.
func TestAccessByName(t *testing.T) {
	only, no := access(t, "only_from = good.example .org", false), access(t, "no_access = bad.example .net", false)
	for _, c := range []struct {
		a    Access
		host *Host
		in   bool
	}{
		{only, &Host{Claimed: []string{"good.example"}, Confirmed: []string{"good.example"}}, true},
		{only, &Host{Claimed: []string{"good.example"}}, false},
		{only, &Host{Confirmed: []string{"a.org"}}, true},
		{only, &Host{Confirmed: []string{"org"}}, false},
		{only, &Host{Confirmed: []string{"notgood.example"}}, false},
		{only, &Host{}, false},
		{only, &Host{Failed: true}, false},
		{no, &Host{Claimed: []string{"bad.example"}}, false},
		{no, &Host{Claimed: []string{"x.net"}, Confirmed: []string{"x.net"}}, false},
		{no, &Host{Claimed: []string{"fine.example"}}, true},
		{no, &Host{}, true},
		{no, &Host{Failed: true}, false},
	} {
		if got := c.a.Check(client, c.host); got.Refused == c.in {
			t.Errorf("%+v: %+v", c.host, got)
		}
	}
	if !only.Check(client, nil).NeedName || !no.Check(client, nil).NeedName {
		t.Error("decided without the name")
	}
	mixed := access(t, "only_from = 192.0.2.7 x.example\nno_access = 192.0.2.9 y.example", false)
	if got := mixed.Check(netip.MustParseAddr("192.0.2.9"), nil); !got.Refused {
		t.Error("the name is asked for although the address decides")
	}
}

func TestOpen(t *testing.T) {
	at := func(h, m int) time.Time { return time.Date(2026, 11, 23, h, m, 59, 0, time.Local) }
	day, night := []config.Span{{From: 8 * 60, To: 18*60 + 30}}, []config.Span{{From: 22 * 60, To: 6 * 60}}
	for _, c := range []struct {
		spans []config.Span
		now   time.Time
		open  bool
	}{
		{nil, at(3, 0), true}, {day, at(7, 59), false}, {day, at(8, 0), true}, {day, at(18, 30), true}, {day, at(18, 31), false},
		{night, at(23, 0), true}, {night, at(0, 0), true}, {night, at(6, 0), true}, {night, at(6, 1), false}, {night, at(21, 59), false},
	} {
		if InTimes(c.spans, c.now) != c.open {
			t.Errorf("%v at %v", c.spans, c.now)
		}
	}
}

// cps is a mean since the window opened, so a silence saves up.
func TestCPS(t *testing.T) {
	limits := Limits{CPS: config.Rate{Max: 3, Pause: time.Second}}
	var g Gate
	enter := func(now time.Duration) Reason {
		g.Reserve(limits, now)
		r := g.Enter(limits, now, client)
		if r != "" {
			g.Cancel()
		}
		return r
	}
	for i, c := range []struct {
		now  time.Duration
		want Reason
	}{{0, ""}, {1, ""}, {2, ""}, {2 * time.Second, ""}, {2 * time.Second, ""}, {2 * time.Second, ""}, {2 * time.Second, CPS}} {
		if got := enter(c.now); got != c.want {
			t.Errorf("start %d: %q", i, got)
		}
	}
	running := g.Running()
	g.ResetRates()
	if got := enter(2 * time.Second); got != "" || g.Running() != running+1 {
		t.Errorf("%q after the pause, %d running", got, g.Running())
	}
	var steady Gate
	for i := range 500 { // 50 a second where 60 may be
		steady.Reserve(limits, 0)
		if r := steady.Enter(Limits{CPS: config.Rate{Max: 60}}, time.Duration(i)*20*time.Millisecond, client); r != "" {
			t.Fatalf("start %d of a steady client: %q", i, r)
		}
	}
}

// One client is kept out for its pause, and logged once; the table is bounded
// and does not forget who is kept out.
func TestCPSPerSource(t *testing.T) {
	limits := Limits{CPSPerSource: config.Rate{Max: 2, Pause: time.Hour}}
	var g Gate
	for i, want := range []Reason{"", "", PerSourceCPS, Paused, Paused} {
		if got := g.Enter(limits, time.Duration(i), client); got != want {
			t.Errorf("start %d: %q", i, got)
		}
	}
	if got := g.Enter(limits, 9, other); got != "" {
		t.Errorf("another client: %q", got)
	}
	a := netip.MustParseAddr("2001:db8::")
	for range 2 * maxSources {
		g.Enter(limits, time.Minute, a)
		a = a.Next()
	}
	if len(g.sources.of) > maxSources {
		t.Errorf("%d clients in the table", len(g.sources.of))
	}
	if got := g.Enter(limits, time.Minute, client); got != Paused {
		t.Errorf("who is kept out is forgotten: %q", got)
	}
	if got := g.Enter(limits, 2*time.Hour, client); got != "" {
		t.Errorf("after the pause: %q", got)
	}
}

func TestNobody(t *testing.T) {
	var g Gate
	for _, l := range []Limits{{Instances: config.None}, {PerSource: config.None}, {PerSourcePerMinute: config.None}} {
		g.Reserve(l, 0)
		if g.Enter(l, 0, client) == "" {
			t.Errorf("%+v lets a client in", l)
		}
	}
	if g.Reserve(Limits{Instances: config.None, Queue: true}, 0) != Full || g.Reserve(Limits{PerMinute: config.None}, 0) != Looping {
		t.Error("a limit of nobody lets a place be reserved")
	}
}

// The cost of a question does not grow with the list.
func BenchmarkCheck(b *testing.B) {
	for _, n := range []int{100, 10000} {
		text := "no_access ="
		for i := range n {
			text += fmt.Sprintf(" 10.%d.%d.%d", i/65025, i/255%255, i%255+1)
		}
		a := access(b, text, false)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				a.Check(client, nil)
			}
		})
	}
}
