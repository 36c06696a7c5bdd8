package socket

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/descriptor"
)

// An Inherited socket was opened by systemd, or by whoever started us in its
// manner (sd_listen_fds(3)).
type Inherited struct {
	FD      int
	Name    string  // FileDescriptorName=; "LISTEN_FD_3" where none was given
	Address Address // what it is bound to
	Dual    bool    // an IPv6 socket that takes IPv4 as well
}

// passed is how many of the LISTEN_FDS descriptors were open when the program
// began. Behind those, later, are descriptors of our own.
var passed = countPassed()

func countPassed() (n int) {
	announced, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	for n < announced && descriptor.Inherited(listenFDsStart+n) {
		n++
	}
	return n
}

// listenFDsStart is SD_LISTEN_FDS_START of sd_listen_fds(3).
const listenFDsStart = 3

// CorrectListenFDs sets LISTEN_FDS to the number of descriptors that were
// passed to us, and returns that number. The error says that LISTEN_FDS was
// larger, as behind a wrapper that closes descriptors. Call it before anything
// reads LISTEN_FDS.
func CorrectListenFDs() (n int, err error) {
	announced, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) || announced <= 0 {
		return 0, nil
	}
	if passed < announced {
		err = fmt.Errorf("LISTEN_FDS is %d, but the number of descriptors that were passed is %d: those are used", announced, passed)
		os.Setenv("LISTEN_FDS", strconv.Itoa(passed))
	}
	return passed, err
}

// FromSystemd takes the sockets that the process was started with and
// removes LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES from the environment.
func FromSystemd() []*Inherited {
	var list []*Inherited
	for _, f := range activation.Files(true) {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
		f.Close()
		if err != nil {
			continue
		}
		list = append(list, identify(descriptor.Raise(fd), f.Name()))
	}
	return list
}

// identify asks the kernel what a socket is.
func identify(fd int, name string) *Inherited {
	in := &Inherited{FD: fd, Name: name}
	defer in.setRPC()
	kind, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	for t, k := range kinds {
		if k == kind {
			in.Address.Type = t
		}
	}
	proto, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return in
	}
	switch sa := sa.(type) {
	case *unix.SockaddrUnix:
		in.Address.Network, in.Address.Path = "unix", sa.Name
		return in
	case *unix.SockaddrInet4:
		in.Address.Addr = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		in.Address.Addr = netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
		v6only, err := unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
		in.Dual = err == nil && v6only == 0
	default:
		return in
	}
	switch proto {
	case unix.IPPROTO_TCP:
		in.Address.Network = "tcp"
	case unix.IPPROTO_UDP:
		in.Address.Network = "udp"
	default:
		in.Address.Network, in.Address.Proto = "raw", uint16(proto)
	}
	return in
}

// Fits reports whether the socket is the one that an address asks for. One on
// [::] that takes IPv4 too serves 0.0.0.0 as well.
func (in *Inherited) Fits(a Address) bool {
	b := in.Address
	if b.Type != a.Type || b.Path != a.Path || a.Network == "unix" != (b.Network == "unix") {
		return false
	}
	if a.Network == "unix" {
		return true
	}
	if a.Type != config.Raw && b.Network != a.Network || a.Addr.Port() != b.Addr.Port() {
		return false
	}
	if in.Dual && b.Addr.Addr() == netip.IPv6Unspecified() && a.Addr.Addr() == netip.IPv4Unspecified() {
		return true
	}
	return a.Addr == b.Addr
}
