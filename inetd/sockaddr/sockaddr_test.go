package sockaddr

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// A link-local address has its interface with it, others have none.
func TestZone(t *testing.T) {
	for _, c := range []struct {
		sa   unix.SockaddrInet6
		want string
	}{
		{unix.SockaddrInet6{Addr: netip.MustParseAddr("fe80::5").As16(), Port: 7, ZoneId: 1}, "[fe80::5%lo]:7"},
		{unix.SockaddrInet6{Addr: netip.MustParseAddr("fe80::5").As16(), Port: 7, ZoneId: 1 << 30}, "[fe80::5%1073741824]:7"},
		{unix.SockaddrInet6{Addr: netip.MustParseAddr("2001:db8::5").As16(), Port: 7, ZoneId: 1}, "[2001:db8::5]:7"},
		{unix.SockaddrInet6{Addr: netip.MustParseAddr("::ffff:169.254.1.1").As16(), Port: 7, ZoneId: 1}, "169.254.1.1:7"},
	} {
		if got := From(&c.sa).String(); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
		raw := unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: c.sa.Addr, Port: 7 << 8, Scope_id: c.sa.ZoneId}
		if got := FromRaw6(&raw).String(); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}
