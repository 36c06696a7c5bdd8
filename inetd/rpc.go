package inetd

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"goinetd/config"
	"goinetd/inetd/rpcbind"
	"goinetd/inetd/socket"
	"goinetd/inetd/syslog"
)

// This file has what rpcbind(8) is told of the RPC services.

func (s *Server) newRegistrar() *rpcbind.Registrar {
	logAt := func(p syslog.Priority) func(string, ...any) {
		return func(format string, args ...any) { s.log.Printf(p, format, args...) }
	}
	return rpcbind.New(rpcbind.Options{Notice: logAt(syslog.Notice), Warn: logAt(syslog.Warning), Owners: func() rpcbind.Owner {
		processes := s.o.ScanProcesses()
		return func(network string, at netip.AddrPort) (desc, advice string, ok bool) {
			who, ok := processes.OfPort(network, at)
			return who.Desc, who.Advice(), ok && !who.Self
		}
	}})
}

// adoptRegistrations has the registrations of the process before us removed
// that no service wants any more. One that crashed has left nothing but its
// sockets.
func (s *Server) adoptRegistrations(sockets []*socket.Inherited) {
	list := s.o.State.Programs
	for _, in := range sockets {
		if in.Address.RPC == (config.RPC{}) {
			continue
		}
		for netID, at := range netIDs(in.FD, in.Address.Network) {
			list = append(list, rpcbind.Program{Number: in.Address.RPC.Program, NetID: netID, Addr: at})
		}
	}
	if list != nil {
		s.registrar.Adopt(list)
	}
}

// publishRegistrations has registered what is served, and nothing else. What is
// not open yet is registered when it is.
func (s *Server) publishRegistrations() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return
	}
	var open []*listener
	for _, l := range s.sockets.byKey {
		if l.fd >= 0 && l.RPC != (config.RPC{}) && !l.orphaned {
			open = append(open, l)
		}
	}
	slices.SortFunc(open, func(a, b *listener) int { return cmp.Compare(a.number, b.number) })
	var list []rpcbind.Registration
	for _, l := range open {
		for netID, at := range netIDs(l.fd, l.Network) {
			for v := uint64(l.RPC.Low); v <= uint64(l.RPC.High); v++ {
				list = append(list, rpcbind.Registration{Program: l.RPC.Program, Version: uint32(v), NetID: netID, Addr: at, Service: l.svc.def.Name})
			}
		}
	}
	s.registrar.Set(list)
}

// unregisterLimit is how long rpcbind(8) may take at the end.
const unregisterLimit = time.Second

// unregister removes our registrations from rpcbind(8), unless a process after
// this one goes on with them. The caller holds s.changing.
func (s *Server) unregister() {
	if s.registrar.Running() && (s.o.Restarting == nil || !s.o.Restarting()) {
		s.registrar.Close(unregisterLimit)
	}
}

// netIDs returns where a socket is reached, by the names that rpcbind has for
// the protocols (netconfig(5)).
func netIDs(fd int, network string) map[string]netip.AddrPort {
	at, dual := socket.Bound(fd)
	switch {
	case at.Addr().Is4():
		return map[string]netip.AddrPort{network: at}
	case dual && at.Addr().IsUnspecified():
		return map[string]netip.AddrPort{network: netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port()), network + "6": at}
	}
	return map[string]netip.AddrPort{network + "6": at}
}

// address returns what the socket is bound to, as logs have it.
func (l *listener) address() string {
	if l.fd < 0 || l.RPC == (config.RPC{}) {
		return l.Address.String()
	}
	at, _ := socket.Bound(l.fd)
	return "rpc/" + l.Network + " " + at.String() + " " + l.RPC.String()
}
