// Package sockaddr converts the kernel's socket addresses to package
// netip's. An IPv4 address comes out as IPv4 whatever the socket's family.
package sockaddr

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// FromRaw returns the address that the kernel filled in. It is zero for what
// is not an internet address.
func FromRaw(raw *unix.RawSockaddrAny) netip.AddrPort {
	switch raw.Addr.Family {
	case unix.AF_INET:
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(raw))
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), hostOrder(&sa.Port))
	case unix.AF_INET6:
		return FromRaw6((*unix.RawSockaddrInet6)(unsafe.Pointer(raw)))
	}
	return netip.AddrPort{}
}

// FromRaw6 is FromRaw for room of the size of an IPv6 address, which an IPv4
// one fits into.
func FromRaw6(raw *unix.RawSockaddrInet6) netip.AddrPort {
	switch raw.Family {
	case unix.AF_INET:
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(raw))
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), hostOrder(&sa.Port))
	case unix.AF_INET6:
		return netip.AddrPortFrom(withZone(netip.AddrFrom16(raw.Addr).Unmap(), raw.Scope_id), hostOrder(&raw.Port))
	}
	return netip.AddrPort{}
}

// withZone adds the name of the interface to a link-local address, as
// getnameinfo(3) does: without it the address cannot be reached.
func withZone(a netip.Addr, scope uint32) netip.Addr {
	if scope == 0 || !a.IsLinkLocalUnicast() || a.Is4() {
		return a
	}
	if name := interfaceName(scope); name != "" {
		return a.WithZone(name)
	}
	return a.WithZone(strconv.FormatUint(uint64(scope), 10))
}

// interfaceName returns the name of an interface, empty where there is none.
func interfaceName(index uint32) string {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	request, _ := unix.NewIfreq("")
	request.SetUint32(index)
	if unix.IoctlIfreq(fd, unix.SIOCGIFNAME, request) != nil {
		return ""
	}
	return request.Name()
}

func hostOrder(port *uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(port))[:])
}

// From returns the address of a Sockaddr, zero for what is not an internet
// address.
func From(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(withZone(netip.AddrFrom16(sa.Addr).Unmap(), sa.ZoneId), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
