package socket

import (
	"net"
	"net/netip"
	"testing"
)

// A connection to an address comes to a socket that is bound to it, or to every
// address if it is one of ours.
func TestReaches(t *testing.T) {
	for _, c := range []struct {
		bound  string
		mapped bool
		to     string
		want   bool
	}{
		{"127.0.0.1:80", false, "127.0.0.1:80", true},
		{"127.0.0.1:80", false, "127.0.0.1:81", false},
		{"127.0.0.1:80", false, "127.0.0.2:80", false},
		{"127.0.0.1:80", false, "0.0.0.0:80", true},
		{"192.0.2.1:80", false, "0.0.0.0:80", false},
		{"0.0.0.0:80", false, "127.0.0.2:80", true},
		{"0.0.0.0:80", false, "192.0.2.1:80", false},
		{"0.0.0.0:80", false, "[::1]:80", false},
		{"[::]:80", false, "127.0.0.1:80", false},
		{"[::]:80", true, "127.0.0.1:80", true},
		{"[::]:80", false, "[::1]:80", true},
		{"[::]:80", false, "[2001:db8::1]:80", false},
	} {
		a := Address{Network: "tcp", Addr: netip.MustParseAddrPort(c.bound), Mapped: c.mapped}
		if got := a.Reaches(netip.MustParseAddrPort(c.to)); got != c.want {
			t.Errorf("%s, mapped %v, to %s: %v", c.bound, c.mapped, c.to, got)
		}
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range own { // of any kind of interface
		p := netip.MustParsePrefix(n.String())
		if p.Addr().IsLoopback() || !p.Addr().Is4() {
			continue
		}
		a := Address{Network: "tcp", Addr: netip.MustParseAddrPort("0.0.0.0:80")}
		if !a.Reaches(netip.AddrPortFrom(p.Addr(), 80)) {
			t.Errorf("%s is not ours", p)
		}
	}
}
