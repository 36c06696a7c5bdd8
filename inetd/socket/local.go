package socket

import (
	"net"
	"net/netip"
)

// Reaches reports whether a connection to an address would come to a socket
// that is bound to a.
func (a Address) Reaches(to netip.AddrPort) bool {
	at, want := a.Addr.Addr(), to.Addr().Unmap()
	switch {
	case a.Network != "tcp" || a.Addr.Port() != to.Port():
		return false
	case !at.IsUnspecified():
		return at == want || want.IsUnspecified() && at.IsLoopback() // connect(2) takes 0.0.0.0 for 127.0.0.1
	case at.Is4() != want.Is4() && !a.Mapped:
		return false
	}
	return isLocal(want)
}

// isLocal reports whether an address is one of this host's.
func isLocal(a netip.Addr) bool {
	if a.IsLoopback() || a.IsUnspecified() {
		return true
	}
	own, _ := net.InterfaceAddrs()
	for _, n := range own {
		if p, err := netip.ParsePrefix(n.String()); err == nil && p.Addr().Unmap() == a.WithZone("") {
			return true
		}
	}
	return false
}
