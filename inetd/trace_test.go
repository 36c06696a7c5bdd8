package inetd

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"goinetd/inetd/control"
)

// A tracing collects steps.
type tracing struct {
	mu    sync.Mutex
	steps []control.Step
}

func (l *tracing) add(step control.Step) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.steps = append(l.steps, step)
}

// ended waits until n connections have been traced to their end, and returns the
// names of their steps.
func (l *tracing) ended(t *testing.T, n int) []string {
	t.Helper()
	var names []string
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		l.mu.Lock()
		names = nil
		last := 0
		for _, step := range l.steps {
			names = append(names, step.Name)
			if step.Last {
				last++
			}
		}
		l.mu.Unlock()
		if last >= n {
			return names
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d connections have ended: %q", last, n, names)
		}
	}
}

// all returns the steps that there are.
func (l *tracing) all() []control.Step {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.steps)
}

// text returns the text of a step.
func (l *tracing) text(name string) string {
	for _, step := range l.all() {
		if step.Name == name {
			return step.Text
		}
	}
	return ""
}

func (s *testServer) trace(t *testing.T, name string, n int) (*tracing, func()) {
	t.Helper()
	l := &tracing{}
	stop, err := s.Trace(name, n, l.add)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return l, stop
}

// The steps of clients who are served without a program, and of one who is
// refused.
func TestTrace(t *testing.T) {
	at, forward, socket := freeAddr(t), freeAddr(t), filepath.Join(t.TempDir(), "socket")
	s := newTestServer(t, echo("a", at, `only_from = ["127.0.0.1"]`+"\ninstances = 5\nper_source = 4\n")+redirectTo("web", forward, at)+
		"[service.local]\nlisten = \"unix:"+socket+"\"\nbuiltin = \"echo\"\n").run()

	served, _ := s.trace(t, "a", 1)
	exchange(t, at, "hello")
	names := served.ended(t, 1)
	want := []string{"ready", "accepted", "only_from", "instances", "per_source", "internal", "closed"}
	if got := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return strings.HasPrefix(name, "first byte") }); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", names, want)
	}
	if !slices.Contains(names, "first byte in") || !strings.HasSuffix(served.text("closed"), "; 5 bytes in, 5 out") {
		t.Errorf("%q %q", names, served.text("closed"))
	}
	for i, step := range served.all() {
		if step.Service != "a" || step.Connection != 1 || !strings.HasPrefix(step.Client, "127.0.0.1:") || i > 0 && step.After < 0 {
			t.Errorf("%+v", step)
		}
	}

	s.reload(echo("a", at, `no_access = ["127.0.0.1"]`+"\n") + redirectTo("web", forward, at) +
		"[service.local]\nlisten = \"unix:" + socket + "\"\nbuiltin = \"echo\"\n")
	refused, _ := s.trace(t, "a", 1)
	exchange(t, at, "")
	if names := refused.ended(t, 1); !slices.Equal(names, []string{"ready", "accepted", "only_from", "refused", "closed"}) {
		t.Errorf("%q", names)
	}
	if text := refused.text("refused"); text != "address (no_access 127.0.0.1, test.toml:4)" {
		t.Error(text)
	}

	local, _ := s.trace(t, "local", 1)
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if names := local.ended(t, 1); !slices.Equal(names, []string{"ready", "accepted", "internal", "closed"}) || local.text("accepted") == "" {
		t.Errorf("%q", names)
	}

	redirected, _ := s.trace(t, "web", 1)
	exchange(t, forward, "")
	if names := redirected.ended(t, 1); !slices.Contains(names, "redirect") || redirected.text("redirect") != at {
		t.Errorf("%q %q", names, redirected.text("redirect"))
	}

	if _, err := s.Trace("nothere", 0, func(control.Step) {}); err == nil || !strings.Contains(err.Error(), `there is no service "nothere"`) {
		t.Error(err)
	}
}

// Connections are traced as long as somebody looks, not more at a time than may
// be, and nothing is left behind.
func TestTraceBounds(t *testing.T) {
	at := freeAddr(t)
	s := newTestServer(t, echo("a", at, "")).run()
	l, stop := s.trace(t, "", 0)
	for range tracesPerSecond * 2 { // in less than two seconds
		exchange(t, at, "x")
	}
	l.ended(t, tracesPerSecond)
	s.tracers.mu.Lock()
	for one := range s.tracers.each {
		one.second = -time.Hour // another second has begun
	}
	s.tracers.mu.Unlock()
	exchange(t, at, "x")
	l.ended(t, tracesPerSecond+1)
	seen := 0
	for _, step := range l.all() {
		seen += step.Missed
		if step.Last {
			seen++
		}
	}
	if seen != tracesPerSecond*2+1 {
		t.Errorf("%d connections traced or missed, of %d", seen, tracesPerSecond*2+1)
	}

	open := dialServed(t, at)
	stop()
	if s.tracers.wanted.Load() {
		t.Error("traced although nobody looks")
	}
	open.CloseWrite()
	s.until("the client has gone", func() bool { return s.running == 0 })
	before := len(l.all())
	exchange(t, at, "x")
	if after := len(l.all()); after != before {
		t.Errorf("%d steps more after the end", after-before)
	}

	// A trace of as many connections as were asked for costs nothing afterwards.
	l, _ = s.trace(t, "a", 2)
	for i := range 3 {
		exchange(t, at, fmt.Sprint(i))
	}
	l.ended(t, 2)
	if s.tracers.wanted.Load() {
		t.Error("traced although all have been")
	}
}
