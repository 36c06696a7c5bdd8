package inetd

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"goinetd/config"
	"goinetd/inetd/syslog"
)

// LogState writes what is being served, and for whom, to the log.
func (s *Server) LogState() {
	for _, line := range s.state() {
		s.log.Printf(syslog.Notice, "%s", line)
	}
}

func (s *Server) state() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := []string{fmt.Sprintf("STATE: up %v, %d services, %d programs running, %d clients refused",
		s.now().Round(time.Second), len(s.services), s.children.Len(), s.refusals)}
	keys := make([]string, 0, len(s.services))
	for key := range s.services {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		lines = append(lines, s.services[key].String())
	}
	now := s.now()
	s.children.Each(func(pid int, t task) {
		lines = append(lines, fmt.Sprintf("STATE: %s pid=%d%s since=%v", t.def.name, pid, appendFrom(nil, t.from, config.LogPort), (now-t.since).Round(time.Second)))
	})
	return append(lines, "STATE: end")
}

// String gives a service in one line. s.mu is held.
func (svc *service) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "STATE: %s", svc.def.name)
	for _, l := range svc.listeners {
		fmt.Fprintf(&b, " %s (%v)", l.Address, l.state)
	}
	what := "internal " + svc.def.internal
	switch {
	case svc.def.image != nil:
		what = svc.def.image.Path()
	case svc.def.redirects():
		what = "redirect " + svc.def.terms.redirect
	}
	fmt.Fprintf(&b, " user=%s server=%q running=%d starts=%d/min", svc.def.user, what, svc.gate.Running(), svc.gate.Starts())
	l := svc.def.limits
	for _, limit := range []struct {
		name string
		n    int
	}{{"instances", l.Instances}, {"per_source", l.PerSource}, {"per_minute", l.PerMinute}, {"per_source_per_minute", l.PerSourcePerMinute}} {
		if limit.n > 0 {
			fmt.Fprintf(&b, " %s=%d", limit.name, limit.n)
		}
	}
	return b.String()
}
