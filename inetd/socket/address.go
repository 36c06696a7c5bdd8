// Package socket opens the sockets that services are reached by, takes them
// from systemd, and hands them on. Its descriptors are plain numbers that
// never enter Go's poller: a child shares their open file description, and
// with it O_NONBLOCK.
//
// Descriptors that live long are moved to high numbers (Raise), so that
// connections passing through get low ones; package spawn says why.
package socket

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
)

// An Address is what a socket is bound to, or is to be bound to.
type Address struct {
	Network string // "tcp", "udp", "unix", or a protocol of a raw socket
	Type    config.SocketType
	Addr    netip.AddrPort // of a Unix socket: zero
	Mapped  bool           // IPv6 that takes IPv4 as well
	Proto   uint16         // of a raw socket
	RPC     config.RPC     // of an RPC service, whose port can be 0: any; else zero
	Path    string         // of a Unix socket
	Name    string         // Network "systemd": what systemd calls it; it has no address yet
}

// String returns the address as the logs have it: "tcp 127.0.0.1:7".
func (a Address) String() string {
	switch a.Network {
	case "unix":
		return "unix " + a.Path
	case "systemd":
		return "systemd " + a.Name
	}
	if a.AnyPort() {
		return "rpc/" + a.Network + " " + a.Addr.Addr().String() + " " + a.RPC.String()
	}
	return a.Network + " " + a.Addr.String()
}

// AnyPort reports whether the port does not matter: clients ask rpcbind(8).
func (a Address) AnyPort() bool { return a.RPC != (config.RPC{}) && a.Addr.Port() == 0 }

// Key identifies the socket of an address: type, protocol, port and address, in
// few bytes, as there may be thousands.
func (a Address) Key() string {
	network, number := a.Network, a.Addr.Port()
	if a.Type == config.Raw { // the kernel knows its protocol by number, and says that it is the port
		network, number = "raw", a.Proto
	}
	key := append(make([]byte, 0, 64), byte(kinds[a.Type]))
	key = append(key, network...)
	if network == "unix" || network == "systemd" {
		return string(append(append(key, a.Path...), a.Name...))
	}
	key = append(key, byte(number>>8), byte(number))
	if a.AnyPort() { // more versions are no other socket, a program with other ones is
		key = fmt.Appendf(key, "rpc %d/%d", a.RPC.Program, a.RPC.Low)
	}
	if a.Mapped {
		key = append(key, '+')
	}
	key = append(key, a.Addr.Addr().AsSlice()...)
	return string(append(key, a.Addr.Addr().Zone()...))
}

// lookupLimit is how long the resolver may take over one name.
const lookupLimit = 5 * time.Second

// Addresses returns the addresses that a listener stands for: one for each
// family, or for each address of its host name.
func Addresses(l config.Listen, t config.SocketType, known Hosts) ([]Address, error) {
	a := Address{Network: l.Network, Type: t, Proto: uint16(l.Proto), RPC: l.RPC, Path: l.Path}
	if l.Network == "unix" || l.Network == "systemd" {
		a.Name = l.Host
		return []Address{a}, nil
	}
	hosts, err := known.lookup(l.Host, l.Family)
	if err != nil {
		return nil, err
	}
	var list []Address
	for _, h := range hosts {
		if h.Is4() && l.Family == config.IPv6 || h.Is6() && l.Family == config.IPv4 || h.Is4() && l.Family == config.Mapped {
			continue
		}
		a.Addr = netip.AddrPortFrom(h, uint16(l.Port))
		a.Mapped = l.Family == config.Mapped
		list = append(list, a)
	}
	if len(list) == 0 {
		family := "IPv6"
		if l.Family == config.IPv4 {
			family = "IPv4"
		}
		return nil, fmt.Errorf("%q has no %s address", l.Host, family)
	}
	return list, nil
}

func (h Hosts) lookup(host string, family config.Family) ([]netip.Addr, error) {
	if host == "" {
		switch family {
		case config.IPv4:
			return []netip.Addr{netip.IPv4Unspecified()}, nil
		case config.Both:
			return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}, nil
		}
		return []netip.Addr{netip.IPv6Unspecified()}, nil
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	found := h[host]
	return found.addresses, found.err
}

// Addresses returns what a name was found to be; nil: nothing, or it has not
// been looked up.
func (h Hosts) Addresses(name string) []netip.Addr { return h[name].addresses }

// Preset sets what a name is.
func (h Hosts) Preset(name string, addresses []netip.Addr) { h[name] = answer{addresses: addresses} }

// Hosts are names that have been looked up.
type Hosts map[string]answer

type answer struct {
	addresses []netip.Addr
	err       error
}

// Resolve looks up host names, all at the same time. It takes at most
// lookupLimit.
func Resolve(names []string) Hosts {
	h := Hosts{}
	for _, name := range names {
		if _, err := netip.ParseAddr(name); err != nil {
			h[name] = answer{}
		}
	}
	if len(h) == 0 {
		return h // without a timer: even one that is stopped can wake us later
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupLimit)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, name := range slices.Collect(maps.Keys(h)) {
		all.Go(func() {
			found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
			for i := range found {
				found[i] = found[i].Unmap()
			}
			mu.Lock()
			h[name] = answer{found, err}
			mu.Unlock()
		})
	}
	all.Wait()
	return h
}

// sockaddr returns an address in the form of the system calls.
func (a Address) sockaddr() (unix.Sockaddr, error) {
	switch {
	case a.Network == "unix":
		return &unix.SockaddrUnix{Name: a.Path}, nil
	case a.Addr.Addr().Is4():
		return &unix.SockaddrInet4{Port: int(a.Addr.Port()), Addr: a.Addr.Addr().As4()}, nil
	}
	sa := &unix.SockaddrInet6{Port: int(a.Addr.Port()), Addr: a.Addr.Addr().As16()}
	if zone := a.Addr.Addr().Zone(); zone != "" {
		i, err := net.InterfaceByName(zone)
		if err != nil {
			return nil, fmt.Errorf("interface %s: %w", zone, unix.ENODEV) // which may come up
		}
		sa.ZoneId = uint32(i.Index)
	}
	return sa, nil
}

// domain returns the address family for socket(2).
func (a Address) domain() int {
	switch {
	case a.Network == "unix":
		return unix.AF_UNIX
	case a.Addr.Addr().Is4():
		return unix.AF_INET
	}
	return unix.AF_INET6
}

var kinds = map[config.SocketType]int{
	config.Stream: unix.SOCK_STREAM, config.Dgram: unix.SOCK_DGRAM, config.Seqpacket: unix.SOCK_SEQPACKET,
	config.RDM: unix.SOCK_RDM, config.Raw: unix.SOCK_RAW,
}

// Accepts reports whether connections are accepted from sockets of this type.
func Accepts(t config.SocketType) bool {
	return t == config.Stream || t == config.Seqpacket
}
