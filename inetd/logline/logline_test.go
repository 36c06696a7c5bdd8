package logline

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/diff"
	"golang.org/x/sys/unix"

	"goinetd/config"
)

var client = netip.MustParseAddrPort("192.0.2.7:40112")

// Every combination of values, in every kind of line, against
// testdata/lines.golden; UPDATE=1 writes the file anew.
func TestLines(t *testing.T) {
	names := []struct {
		set  config.LogSet
		name string
	}{{config.LogPID, "PID"}, {config.LogHost, "HOST"}, {config.LogPort, "PORT"}, {config.LogExit, "EXIT"}, {config.LogDuration, "DURATION"}}
	var got strings.Builder
	for bits := range 1 << len(names) {
		var set config.LogSet
		var list []string
		for i, n := range names {
			if bits>>i&1 != 0 {
				set |= n.set
				list = append(list, n.name)
			}
		}
		fmt.Fprintf(&got, "# %s\n", strings.Join(list, " "))
		if HasStart(set) {
			fmt.Fprintf(&got, "%s\n", Start(nil, "echo", set, 812, client))
		}
		if HasExit(set) {
			fmt.Fprintf(&got, "%s\n", Exit(nil, "echo", set, unix.WaitStatus(3<<8), 812, 3900*time.Millisecond))
			fmt.Fprintf(&got, "%s\n", Exit(nil, "echo", set, unix.WaitStatus(unix.SIGTERM), 812, time.Hour))
		}
		fmt.Fprintf(&got, "%s\n", Fail(nil, "echo", set, "per_source_limit", "", client))
		fmt.Fprintf(&got, "%s\n", Fail(nil, "echo", set, ReasonAddress, "no_access 192.0.2.0/24, xinetd.d/echo:9", client))
	}
	for _, line := range [][]byte{
		Start(nil, "local", config.LogHost|config.LogPort, 1, netip.AddrPort{}),
		Start(nil, "six", config.LogHost|config.LogPort, 1, netip.MustParseAddrPort("[2001:db8::1]:9")),
		Fail(nil, "echo", config.LogHost|config.LogPort, ReasonLibwrap, "hosts.deny:3", client),
		Usage(Exit(nil, "echo", config.LogPID|config.LogExit, 0, 812, 0), 12345*time.Microsecond, 2048),
		Usage(nil, 3*time.Hour, 0),
		Traffic(nil, "web", 12, 1<<40),
		UserID(nil, "echo", "UNIX :bob\xff"),
		NoID(nil, "echo", client.Addr(), errors.New("no server")),
	} {
		fmt.Fprintf(&got, "%s\n", line)
	}
	const golden = "testdata/lines.golden"
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := diff.Diff(golden, want, "got", []byte(got.String())); d != nil {
		t.Errorf("%s", d)
	}
}

func TestNoAllocation(t *testing.T) {
	b := make([]byte, 0, 200)
	if n := testing.AllocsPerRun(100, func() {
		b = Start(b[:0], "echo", ^config.LogSet(0), 812, client)
		b = Exit(b[:0], "echo", ^config.LogSet(0), 0, 812, time.Second)
		b = Fail(b[:0], "echo", ^config.LogSet(0), "service_limit", "a rule", client)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestLimiter(t *testing.T) {
	var l Limiter
	a, b := client.Addr(), netip.MustParseAddr("192.0.2.8")
	for i, c := range []struct {
		service string
		addr    netip.Addr
		now     time.Duration
		want    bool
	}{
		{"echo", a, 0, true}, {"echo", a, time.Minute - 1, false}, {"echo", b, time.Second, true}, {"time", a, time.Second, true},
		{"echo", a, time.Minute, true}, {"echo", a, time.Minute + 1, false},
	} {
		if got, last := l.AllowSender(c.service, c.addr, c.now); got != c.want || last {
			t.Errorf("line %d: %v", i, got)
		}
	}
	addr, lines, notices := netip.MustParseAddr("2001:db8::"), 0, 0
	for range 18_825 {
		addr = addr.Next()
		allowed, last := l.AllowSender("flood", addr, 0)
		if allowed {
			lines++
		}
		if last {
			notices++
		}
	}
	if lines != MaxSenders || notices != 1 {
		t.Errorf("%d lines and %d notices about a flood", lines, notices)
	}
	if ok, _ := l.AllowSender("flood", addr, time.Minute); !ok {
		t.Error("nothing is logged after the minute")
	}
	if !l.Allow("once", 0) || l.Allow("once", 1) || !l.Allow("once", time.Minute) {
		t.Error("not one line in a minute")
	}
}
