package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// RejectConflicts drops services whose socket an earlier service has, and
// returns a problem for each. Load has done it for what it returns; whoever
// joins what several calls returned does it again.
//
// A service on both families leaves IPv6 to an entry that names it: in
// 4.4BSD's files tcp is IPv4, with an entry for tcp6 beside it. Behind an
// entry that has one of the families it gets the other one.
func RejectConflicts(services []*Service) (retained []*Service, problems []Problem) {
	splitFamilies(services)
	taken := make(map[string]*Service, len(services))
	for _, s := range services {
		narrowed := s.narrow(taken)
		places := s.socketKeys()
		var first *Service
		for _, p := range places {
			if taken[p] != nil {
				first = taken[p]
			}
		}
		switch {
		case first != nil && first.Key() == s.Key():
			problems = append(problems, s.Problem(Error, "give one of them another address, port or name, or remove one",
				"service %s is defined already at %s", s.ID, first.Pos))
			continue
		case first != nil:
			problems = append(problems, s.Problem(Error, "give one of them another address or port, or remove one",
				"%s is already served by %s", s.ID, first.Pos))
			continue
		}
		for _, p := range places {
			taken[p] = s
		}
		retained, problems = append(retained, s), append(problems, narrowed...)
	}
	return retained, append(problems, overlaps(retained)...)
}

// splitFamilies narrows tcp and udp to IPv4 where another service is on IPv6
// alone.
func splitFamilies(services []*Service) {
	six := map[string]bool{}
	for _, s := range services {
		for _, l := range s.Listen {
			if l.Family == IPv6 {
				for _, p := range l.places(s.SocketType, IPv6) {
					six[p] = true
				}
			}
		}
	}
	for _, s := range services {
		for i := range s.Listen {
			l := &s.Listen[i]
			if l.Family == Both && slices.ContainsFunc(l.places(s.SocketType, IPv6), func(p string) bool { return six[p] }) {
				l.Family = IPv4
			}
		}
	}
}

// narrow leaves a service that is for both families the one that is free,
// where an earlier service has the other, and returns a warning for that.
func (s *Service) narrow(taken map[string]*Service) (problems []Problem) {
	for i := range s.Listen {
		l := &s.Listen[i]
		if l.Family != Both {
			continue
		}
		four, six := l.takenBy(taken, s.SocketType, IPv4), l.takenBy(taken, s.SocketType, IPv6)
		if (four == nil) == (six == nil) {
			continue
		}
		before, first, had, left := *l, four, IPv4, IPv6
		if four == nil {
			first, had, left = six, IPv6, IPv4
		}
		l.Family = left
		problems = append(problems, s.Problem(Warning, "write "+l.protocol()+" here, if that is meant",
			"%s serves only %s: %s has %s", before, familyNames[left], first.Pos, familyNames[had]))
	}
	return problems
}

// takenBy returns the service that has a place of the listener; nil: none.
func (l Listen) takenBy(taken map[string]*Service, t SocketType, f Family) *Service {
	for _, p := range l.places(t, f) {
		if taken[p] != nil {
			return taken[p]
		}
	}
	return nil
}

var familyNames = map[Family]string{IPv4: "IPv4", IPv6: "IPv6"}

// socketKey identifies a socket of one family.
func (l Listen) socketKey(t SocketType, f Family) string {
	host := l.Host
	if l.isWildcard() {
		host = ""
	} else if a, err := netip.ParseAddr(host); err == nil {
		host = a.String()
	}
	key := append(make([]byte, 0, 64), l.Network...) // of thousands of services: fmt would take most of the time
	key = append(key, t...)
	key = append(key, byte(f))
	key = append(key, host...)
	for _, n := range []int{l.Port, l.Proto} {
		key = strconv.AppendInt(append(key, ' '), int64(n), 10)
	}
	return string(append(key, l.Path...))
}

// rpcKey identifies what rpcbind(8) has one address for: a version of a program
// over one protocol and family.
func (l Listen) rpcKey(version uint32, t SocketType, f Family) string {
	return fmt.Sprintf("rpc %d/%d %s %s%d", l.RPC.Program, version, l.Network, t, f)
}

// places returns the keys of what only one service can have: the socket of one
// family, unless it may be any, and the registrations of an RPC service.
func (l Listen) places(t SocketType, f Family) (list []string) {
	if l.RPC == (RPC{}) || l.Port != 0 {
		list = append(list, l.socketKey(t, f))
	}
	for n := uint64(l.RPC.Low); l.RPC != (RPC{}) && n <= uint64(l.RPC.High); n++ {
		list = append(list, l.rpcKey(uint32(n), t, f))
	}
	return list
}

// families returns the families that a listener takes a socket of.
func (l Listen) families() []Family {
	if l.Family == Both || l.Family == Mapped && l.Host == "" {
		return []Family{IPv4, IPv6}
	}
	return []Family{l.Family}
}

// socketKeys returns the keys of a service's sockets, each family apart.
func (s *Service) socketKeys() []string {
	if s.Mux != "" {
		return []string{"tcpmux " + strings.ToLower(s.Mux)}
	}
	var places []string
	for _, l := range s.Listen {
		for _, f := range l.families() {
			places = append(places, l.places(s.SocketType, f)...)
		}
	}
	return places
}

// overlaps returns a warning for each service with an address of its own on
// a port that another one has on every address. bind(2) of whichever comes
// second fails with EADDRINUSE: for TCP although SO_REUSEADDR is set, because
// the first one listens; for UDP because it is not set, as it would let any
// process of ours share the port.
func overlaps(services []*Service) (problems []Problem) {
	type place struct {
		network string
		family  Family
		port    int
	}
	everywhere := map[place]*Service{}
	for _, s := range services {
		for _, l := range s.Listen {
			for _, f := range l.families() {
				if l.Port != 0 && l.isWildcard() {
					everywhere[place{l.Network, f, l.Port}] = s
				}
			}
		}
	}
	for _, s := range services {
		for _, l := range s.Listen {
			if l.Port == 0 || l.isWildcard() {
				continue
			}
			families := l.families()
			i := slices.IndexFunc(families, func(f Family) bool { return everywhere[place{l.Network, f, l.Port}] != nil })
			if i < 0 {
				continue
			}
			other := everywhere[place{l.Network, families[i], l.Port}]
			problems = append(problems, s.Problem(Warning, "give one of them another port, or each an address of its own",
				"%s cannot listen together with %s, which has port %d on every address: the one that is opened first has it",
				l, other.Pos, l.Port))
		}
	}
	return problems
}

// isWildcard reports whether a listener is for every address.
func (l Listen) isWildcard() bool {
	a, err := netip.ParseAddr(l.Host)
	return l.Host == "" || err == nil && a.IsUnspecified()
}
