package inetd

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"goinetd/config"
	"goinetd/inetd/control"
	"goinetd/inetd/service"
	"goinetd/inetd/socket"
	"goinetd/inetd/syslog"
)

// This file makes the state of the server, from which come the lines of SIGUSR1
// and what inetctl(8) prints.

// servicesAtOnce is for how many services the lock is taken at once: clients come
// in between.
const servicesAtOnce = 32

// Snapshot returns the state of the services, in the order of their names, and
// of the running programs; of one service where name is not empty.
func (s *Server) Snapshot(name string) *control.Status {
	snap := &control.Status{Started: time.Now().Add(-s.now()).Round(time.Second), Services: []control.Service{}, Programs: []control.Program{}, Problems: []control.Problem{}}
	s.mu.Lock()
	type one struct {
		key string
		svc *activeService
	}
	list := make([]one, 0, s.services.len())
	for key, svc := range s.services.byKey {
		if name == "" || svc.def.Name == name {
			list = append(list, one{key, svc})
		}
	}
	snap.Refused = s.refusals
	problems := s.status.problems
	s.mu.Unlock()
	slices.SortFunc(list, func(a, b one) int { return cmp.Compare(a.key, b.key) })
	for part := range slices.Chunk(list, servicesAtOnce) {
		s.mu.Lock()
		for _, one := range part {
			snap.Services = append(snap.Services, s.serviceStatusLocked(one.svc, len(list) <= servicesAtOnce))
		}
		s.mu.Unlock()
	}
	now := s.now()
	s.children.Each(func(pid int, t task) {
		if t.auxiliary || name != "" && t.def.Name != name { // of no service, or of another
			return
		}
		p := control.Program{Service: t.def.Name, PID: pid, User: t.def.User, Since: now - t.start}
		if t.from.IsValid() {
			p.Client, p.Port = t.from.Addr().String(), int(t.from.Port())
		}
		snap.Programs = append(snap.Programs, p)
	})
	slices.SortFunc(snap.Programs, func(a, b control.Program) int { return cmp.Compare(b.Since, a.Since) })
	for _, p := range problems {
		snap.Problems = append(snap.Problems, ControlProblem(p))
	}
	return snap
}

// ControlProblem returns a problem as the control socket has it.
func ControlProblem(p config.Problem) control.Problem {
	return control.Problem{File: p.File, Line: p.Line, Column: p.Column, Severity: p.Severity.String(), Service: p.Service, Text: p.Text, Hint: p.Hint}
}

func (s *Server) serviceStatusLocked(svc *activeService, withQueues bool) control.Service {
	def := svc.def
	st := control.Service{Name: def.Name, File: def.Pos.File, Line: def.Pos.Line, Type: string(def.Type), Wait: def.Wait, User: def.User, Server: serverOf(def),
		Listeners: []control.Listener{}, Running: svc.gate.Running(), PerMinute: svc.gate.Starts(), Limits: limitsOf(def)}
	st.State = svc.stateLocked()
	for _, l := range svc.listeners {
		one := control.Listener{Address: l.address(), State: l.state.String()}
		if n, ok := socket.QueueLength(l.fd, l.Type); withQueues && ok {
			one.Queue = &n
		}
		st.Listeners = append(st.Listeners, one)
	}
	if t := svc.tally; t != nil {
		at := time.Now().Add(t.at - s.now())
		st.Starts, st.Refused, st.LastTime = t.starts, t.reasons(), &at
		if t.last.IsValid() {
			st.Last = t.last.Addr().String()
		}
	}
	return st
}

// stateLocked returns what clients of the service find: the state of the listener
// that does not listen, if there is one.
func (svc *activeService) stateLocked() string {
	switch {
	case svc.stopped:
		return "stopped"
	case svc.def.Mux != "":
		return "by tcpmux"
	}
	for _, l := range svc.listeners {
		if l.state != stateListening && l.state != stateHandedOff {
			return l.state.String()
		}
	}
	for _, l := range svc.listeners {
		if l.state == stateHandedOff {
			return l.state.String()
		}
	}
	return stateListening.String()
}

// limitsOf returns the limits of a service by the names of their settings.
func limitsOf(def *service.Definition) map[string]int {
	limits := map[string]int{}
	for name, n := range map[string]int{"instances": def.Limits.Instances, "per_source": def.Limits.PerSource,
		"per_minute": def.Limits.PerMinute, "per_source_per_minute": def.Limits.PerSourcePerMinute} {
		if n != 0 {
			limits[name] = max(n, 0)
		}
	}
	return limits
}

// LogState writes the state to the log (SIGUSR1).
func (s *Server) LogState() {
	for _, line := range stateLines(s.Snapshot(""), s.now()) {
		s.log.Printf(syslog.Notice, "STATE: %s", line)
	}
}

// stateLines returns the state as text.
func stateLines(snap *control.Status, up time.Duration) []string {
	lines := []string{fmt.Sprintf("up %v, %s, %s running, %s refused", up.Round(time.Second),
		count(len(snap.Services), "service"), count(len(snap.Programs), "program"), count(snap.Refused, "client"))}
	for i := range snap.Services {
		lines = append(lines, stateLine(&snap.Services[i]))
	}
	for _, p := range snap.Programs {
		client := ""
		if p.Client != "" {
			client = fmt.Sprintf("from=%s port=%d", p.Client, p.Port)
		}
		lines = append(lines, fmt.Sprintf("%s pid=%d %s since=%v", p.Service, p.PID, client, p.Since.Round(time.Second)))
	}
	return append(lines, "end")
}

func stateLine(st *control.Service) string {
	var b strings.Builder
	b.WriteString(st.Name)
	for _, l := range st.Listeners {
		fmt.Fprintf(&b, " %s (%s)", l.Address, l.State)
	}
	fmt.Fprintf(&b, " user=%s server=%q running=%d starts=%d/min", st.User, st.Server, st.Running, st.PerMinute)
	for _, name := range []string{"instances", "per_source", "per_minute", "per_source_per_minute"} {
		if n := st.Limits[name]; n > 0 {
			fmt.Fprintf(&b, " %s=%d", name, n)
		}
	}
	return b.String()
}

// serverOf returns what serves a service's clients.
func serverOf(def *service.Definition) string {
	switch {
	case def.Image != nil:
		return def.Image.Path()
	case def.Redirects():
		return "redirect " + def.Policy.Redirect
	}
	return "internal " + def.Builtin.Name()
}
