package inetd

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"goinetd/config"
	"goinetd/inetd/builtin"
	"goinetd/inetd/socket"
	"goinetd/inetd/syslog"
)

// Apply makes the server serve what a configuration says, at start and at
// every reload, and gives all problems: those it was given and those it
// found. It reports them, too.
//
// Sockets that are wanted before and after stay as they are, with the
// clients that queue in them. Programs that run go on. While anything in the
// configuration is wrong, no service is taken away: one whose line is broken
// keeps running under its old definition.
func (s *Server) Apply(confs []*config.Service, problems []config.Problem) []config.Problem {
	defs, found := s.defineAll(confs)
	problems = append(problems, found...)
	keep := config.Errors(problems)
	for _, p := range problems {
		s.Report(p)
	}

	s.mu.Lock()
	for _, svc := range s.services {
		if back := s.rested(svc); back != "" {
			s.log.Printf(syslog.Notice, "%s", back)
		}
	}
	before := s.services
	s.services = s.succeed(defs, keep)
	claimed, clashes := s.claim(defs)
	for _, l := range s.listeners {
		if !claimed[l] {
			s.remove(l)
		}
	}
	s.publish()
	clear(s.warned)
	s.renewLogs()
	added, gone, now := difference(before, s.services)
	s.mu.Unlock()

	for _, p := range clashes {
		s.Report(p)
	}
	problems = append(append(problems, clashes...), s.openAll()...)
	s.log.Printf(syslog.Notice, "configuration read: %d services (%d new, %d removed)", now, added, gone)
	return problems
}

// defineAll makes definitions, and problems of what cannot be defined.
func (s *Server) defineAll(confs []*config.Service) (defs []*definition, problems []config.Problem) {
	r := s.definer()
	r.lookUp(confs)
	others, mux, muxed := false, false, (*config.Service)(nil)
	for _, conf := range confs {
		d, p := r.define(conf)
		if p != nil {
			problems = append(problems, *p)
			continue
		}
		defs = append(defs, d)
		problems = append(problems, warnings(conf)...)
		others = others || d.image != nil && !r.ourselves(conf.User)
		if t := d.terms; t != nil && t.access.Named() && conf.SocketType == config.Dgram && !conf.Wait {
			problems = append(problems, conf.Problem(config.Warning, "write addresses", "%s: names in address lists are not looked up for datagrams that no program waits for: whoever they decide about is refused", conf.ID))
		}
		mux = mux || conf.Internal == "tcpmux"
		if conf.Mux != "" {
			muxed = conf
		}
	}
	if others && !s.root {
		problems = append(problems, config.Problem{Severity: config.Warning,
			Text: fmt.Sprintf("not root: every program runs as uid %d, whatever user its service names", os.Geteuid())})
	}
	if muxed != nil && !mux {
		problems = append(problems, muxed.Problem(config.Warning, "add: tcpmux stream tcp nowait root internal",
			"%s cannot be reached: no tcpmux service is configured", muxed.Name))
	}
	return defs, problems
}

func (r *definer) ourselves(user string) bool {
	a, err := r.accounts.Lookup(user, "")
	return err == nil && int(a.UID) == os.Geteuid()
}

// succeed gives each definition its service: the one of that key, else one
// that has its socket and is not defined any more, else a new one. With
// keep, services that are not defined any more stay.
func (s *Server) succeed(defs []*definition, keep bool) map[string]*service {
	defined := map[string]bool{}
	for _, d := range defs {
		defined[d.key] = true
	}
	next := map[string]*service{}
	inherits := map[*service]bool{}
	for _, d := range defs {
		svc := s.services[d.key]
		for _, p := range d.places {
			if l := s.listeners[p.Key()]; svc == nil && l != nil && !defined[l.svc.def.key] && !inherits[l.svc] {
				svc = l.svc
			}
		}
		if svc == nil {
			svc = &service{}
		}
		inherits[svc] = true
		svc.def = d
		next[d.key] = svc
	}
	if keep {
		for key, svc := range s.services {
			if next[key] == nil && !inherits[svc] {
				next[key] = svc
				s.log.Printf(syslog.Warning, "%s is not in the configuration any more, and goes on while that has errors", svc.def.name)
			}
		}
	}
	return next
}

// claim gives each service the listeners of its places, in the order of the
// configuration. What a place has already is kept; what is new is to be
// opened. A service that goes on as it was keeps what it has before all
// others. s.mu is held.
func (s *Server) claim(defs []*definition) (claimed map[*listener]bool, clashes []config.Problem) {
	claimed = map[*listener]bool{}
	for _, svc := range s.services {
		if svc.def.places != nil {
			continue
		}
		svc.listeners = slices.DeleteFunc(svc.listeners, func(l *listener) bool { return l.svc != svc })
		for _, l := range svc.listeners {
			claimed[l] = true
		}
	}
	for _, d := range defs {
		if svc := s.services[d.key]; svc != nil && svc.def == d {
			clashes = append(clashes, s.occupy(svc, claimed)...)
		}
	}
	for _, svc := range s.services {
		for _, l := range svc.listeners {
			s.adapt(l)
		}
		svc.full = true // whatever the limits were: look again
		s.resume(svc)
	}
	return claimed, clashes
}

// occupy makes or takes over the listeners of a service's places. The first
// of two services that want the same has it.
func (s *Server) occupy(svc *service, claimed map[*listener]bool) (clashes []config.Problem) {
	wanted := len(svc.def.places)
	svc.listeners = nil
	places, missing := s.placed(svc.def)
	for _, name := range missing {
		clashes = append(clashes, svc.def.problem(config.Error, "give a socket unit FileDescriptorName="+name+", and have it start us",
			"%s: systemd handed over no %s socket of the name %q", svc.def.name, svc.def.kind, name))
	}
	for _, p := range places {
		l := s.listeners[p.Key()]
		if claimed[l] {
			clashes = append(clashes, svc.def.problem(config.Warning, "give one of them another address or port", "%s: %s serves %s already",
				svc.def.name, l.svc.def.name, p.Address))
			continue
		}
		if l != nil && l.lost() {
			s.log.Printf(syslog.Warning, "%s: %s was removed behind our back: opened anew", l.svc.def.name, l.Path)
			s.turn(l, closed)
			l = nil
		}
		if l == nil {
			l = &listener{fd: -1}
			s.listeners[p.Key()] = l
		}
		l.place, l.svc, l.orphan = p, svc, false
		svc.listeners = append(svc.listeners, l)
		claimed[l] = true
	}
	svc.def.places = nil
	if len(svc.listeners) == 0 && wanted > 0 {
		delete(s.services, svc.def.key)
	}
	return clashes
}

// lost tells of a Unix socket whose file is gone: nobody can reach it.
func (l *listener) lost() bool {
	return l.Network == "unix" && l.inherited == nil && l.fd >= 0 && l.state != lent && socket.Identify(l.Path) != l.file
}

// adapt makes a socket that is kept fit its new definition. s.mu is held.
func (s *Server) adapt(l *listener) {
	if l.state == watching { // what is waited for may be another
		s.turn(l, paused)
		s.turn(l, watching)
	}
	if l.fd < 0 {
		return
	}
	socket.Adjust(l.fd, l.Address, *l.svc.def.open)
	if l.Network == "unix" && l.inherited == nil {
		if err := l.file.Permit(l.Path, *l.svc.def.open); err != nil {
			s.log.Printf(syslog.Warning, "%s: %v", l.svc.def.name, err)
		}
	}
}

// remove takes a listener away that no service wants. One that a program has
// stays until that ends: our copy keeps the address from being lost to a
// service that comes back with the next reload.
func (s *Server) remove(l *listener) {
	if l.state == lent {
		l.orphan = true
		return
	}
	s.turn(l, closed)
}

// publish makes what is looked up by others than reloads. s.mu is held.
func (s *Server) publish() {
	clear(s.mux)
	ports := map[uint16]bool{}
	for _, port := range builtin.LoopPorts {
		ports[port] = true
	}
	for _, svc := range s.services {
		if svc.def.mux != "" {
			s.mux[strings.ToLower(svc.def.mux)] = svc
		}
		for _, l := range svc.listeners {
			if l.builtinDatagrams() && svc.def.internal != "discard" {
				ports[l.Addr.Port()] = true
			}
		}
	}
	s.udpPorts.Store(&ports)
}

// refusesSource tells whether a datagram from the port is not to be answered.
func (s *Server) refusesSource(from netip.AddrPort) bool { return (*s.udpPorts.Load())[from.Port()] }

func difference(before, after map[string]*service) (added, gone, now int) {
	for key := range after {
		if before[key] == nil {
			added++
		}
	}
	for key := range before {
		if after[key] == nil {
			gone++
		}
	}
	return added, gone, len(after)
}
