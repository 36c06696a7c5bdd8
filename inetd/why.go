package inetd

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"goinetd/config"
	"goinetd/inetd/admit"
	"goinetd/inetd/control"
	"goinetd/inetd/hosts"
	"goinetd/inetd/logline"
	"goinetd/inetd/service"
	"goinetd/inetd/syslog"
)

// This file says whether a client would be let in now, by the code that decides
// about clients, and without one.

// Why returns what would happen now to a client of a service that comes from an
// address to one of ours; where that is not valid, to the one that we would send
// from. It may take as long as name services do.
func (s *Server) Why(name string, from, to netip.Addr) (*control.Verdict, error) {
	s.mu.Lock()
	list, err := s.findLocked(name)
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	svc := list[0]
	c := client{fd: -1, from: netip.AddrPortFrom(from, 0), svc: svc, def: svc.def}
	for _, l := range svc.listeners {
		if l.Network == "unix" {
			continue
		}
		if c.l = l; l.Addr.Addr().Is4() == from.Is4() {
			break
		}
	}
	if c.l != nil {
		c.to = c.l.Addr
	}
	s.mu.Unlock()
	if !to.IsValid() {
		to = sourceFor(from)
	}
	if c.to.IsValid() && c.to.Addr().IsUnspecified() && to.IsValid() {
		c.local = netip.AddrPortFrom(to, c.to.Port())
	}
	v := s.policyVerdict(&c)
	if v.Reason == "" {
		s.mu.Lock()
		s.countsVerdictLocked(&c, v)
		s.mu.Unlock()
	}
	v.Admitted = v.Reason == ""
	return v, nil
}

// sourceFor returns the address that this host would send from to another one;
// the zero value: there is no way there.
func sourceFor(to netip.Addr) netip.Addr {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 9))) // which sends nothing
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}

// policyVerdict decides by the service's settings, hosts.allow and hosts.deny.
func (s *Server) policyVerdict(c *client) *control.Verdict {
	v := &control.Verdict{Service: c.def.Name, Client: c.from.Addr().String(), Position: c.def.Pos.String()}
	p := c.def.Policy
	if p == nil {
		v.Notes = append(v.Notes, "no setting refuses a client by its address, the time or the load")
		return v
	}
	d := s.check(new(scratch), c, lookups{})
	if d.NeedName {
		v.Notes = append(v.Notes, "the client's host name is looked up")
	}
	if d.needUser {
		v.Notes = append(v.Notes, "a rule asks for the client's ident user, which is taken for unknown here")
	}
	for known := (lookups{user: new(string)}); d.Reason == "" && (d.NeedName || d.needServer || d.needUser); d = s.check(new(scratch), c, known) {
		if d.NeedName {
			known.host = admit.LookupHost(c.from.Addr())
		}
		if d.needServer {
			known.server = admit.LookupHost(c.localAddr().Addr())
		}
	}
	v.Reason, v.Rule = d.Reason, d.Rule
	if d.Reason == "" && c.def.AsksUser() && p.RequiresUser() {
		v.Notes = append(v.Notes, "IDONLY: only if the client's ident server answers")
	}
	if d.actions != nil {
		v.Notes = append(v.Notes, actionNotes(d.actions)...)
		if _, err := s.imageFor(c, d.actions); err != nil && v.Reason == "" {
			v.Reason, v.Notes = logline.ReasonLibwrap, append(v.Notes, err.Error())
		}
	}
	return v
}

// actionNotes says what the options of a rule of hosts.allow or hosts.deny do.
func actionNotes(a *hosts.Actions) (notes []string) {
	for _, command := range a.Spawn {
		notes = append(notes, "spawn: "+command)
	}
	if a.Twist != "" {
		notes = append(notes, "twist, in place of the service: "+a.Twist)
	}
	return notes
}

// countsVerdictLocked decides by what changes with every client.
func (s *Server) countsVerdictLocked(c *client, v *control.Verdict) {
	svc, limits := c.svc, c.def.Limits
	reason, note := "", ""
	switch {
	case svc.stopped:
		reason, note = "stopped", "stopped by inetctl: until it is started, or a reload"
	case svc.suspended != nil:
		reason, note = "suspended", fmt.Sprintf("suspended for %v more", time.Until(svc.suspended.until).Round(time.Second))
	case s.bans.Banned(c.from.Addr(), s.now()):
		reason, note = logline.ReasonAddress, "banned by a sensor"
	case s.o.MaxPrograms > 0 && s.running >= s.o.MaxPrograms:
		reason, note = reasonProcessLimit, fmt.Sprintf("%d clients of all services are served, and no more may be", s.running)
	case svc.paused || svc.holds > 0:
		note = "waits in the queue: the service is paused"
	case limits.Queue && limits.Instances > 0 && svc.gate.Running() >= limits.Instances:
		note = fmt.Sprintf("waits in the queue until one of %d instances ends", limits.Instances)
	case c.def.Mux == "" && !slices.ContainsFunc(svc.listeners, func(l *listener) bool { return l.fd >= 0 }):
		reason, note = "not open", "none of its sockets is open (inetctl status)"
	default:
		reason = string(svc.gate.Peek(limits, s.now(), c.from.Addr()))
	}
	v.Reason = reason
	if note != "" {
		v.Notes = append(v.Notes, note)
	}
}

// WhyWithout is Why for services that no daemon serves: who is served already
// does not count.
func WhyWithout(o Options, confs []*config.Service, name string, from, to netip.Addr) (*control.Verdict, error) {
	s := &Server{o: o, log: o.Log, started: time.Now(), warned: map[string]bool{}, services: newRegistry(), sockets: newSocketTable()}
	options := service.Options{Root: true, Log: o.Log, LogFile: func(config.LogType) *syslog.Logger { return o.Log }, MayRefuse: o.Hosts.MayRefuse}
	defs, _ := service.NewBuilder(options, confs).BuildAll(confs, nil)
	for _, d := range defs {
		svc := &activeService{def: d}
		s.services.byKey[d.Key] = svc
		for i := range d.Addresses { // as if it were open
			svc.listeners = append(svc.listeners, &listener{Address: &d.Addresses[i], svc: svc})
		}
	}
	return s.Why(name, from, to)
}
