package socket

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/config/netdb"
)

// This file has what is different with sockets of RPC services: their port may
// be any, and the process after us has to know whose they are.

// The ports that bindresvport(3) chooses from.
const (
	firstReserved = 600
	lastReserved  = 1023
)

// bindAnyPort binds a socket to a port that nobody has. For root it is one below
// 1024, as with bindresvport(3): while nobody listens there, no user can take
// the port, with the clients that rpcbind(8) sends there.
func bindAnyPort(fd int, a Address) error {
	if os.Geteuid() == 0 {
		avoid := assignedPorts(a.Network)
		const n = lastReserved - firstReserved + 1
		start := rand.IntN(n)
		for i := range n {
			port := uint16(firstReserved + (start+i)%n)
			if avoid[port] {
				continue
			}
			err := a.bindPort(fd, port)
			if err == nil || !errors.Is(err, unix.EADDRINUSE) && !errors.Is(err, unix.EACCES) {
				return err
			}
		}
	}
	return a.bindPort(fd, 0)
}

func (a Address) bindPort(fd int, port uint16) error {
	a.Addr = netip.AddrPortFrom(a.Addr.Addr(), port)
	sa, err := a.sockaddr()
	if err != nil {
		return err
	}
	return unix.Bind(fd, sa)
}

// assignedPorts returns the ports that other services may want: those of
// services(5), and of the file that bindresvport(3) has for that.
func assignedPorts(network string) map[uint16]bool {
	ports := map[uint16]bool{}
	for name, port := range netdb.ReadServices("/etc/services") {
		if strings.HasSuffix(name, "/"+network) {
			ports[uint16(port)] = true
		}
	}
	text, _ := os.ReadFile("/etc/bindresvport.blacklist")
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		if port, err := strconv.ParseUint(strings.TrimSpace(line), 10, 16); err == nil {
			ports[uint16(port)] = true
		}
	}
	return ports
}

// Bound returns the address that a socket of IPv4 or IPv6 is bound to, and
// whether it is one of IPv6 that takes IPv4 as well. The zero value: it is
// neither.
func Bound(fd int) (at netip.AddrPort, dual bool) {
	in := identify(fd, "")
	return in.Address.Addr, in.Dual
}

// rpcMark is in the name of a retained socket before what Address.Key has of an
// RPC service: the program, the first version, and the port that is configured.
const rpcMark = ".rpc."

// rpcSuffix returns what is added to the name of a retained socket.
func (a Address) rpcSuffix() string {
	if a.RPC == (config.RPC{}) {
		return ""
	}
	return fmt.Sprintf("%s%d.%d.%d", rpcMark, a.RPC.Program, a.RPC.Low, a.Addr.Port())
}

// setRPC takes what the name of a retained socket says.
func (in *Inherited) setRPC() {
	_, suffix, ok := strings.Cut(in.Name, rpcMark)
	if !ok || !in.Retained() {
		return
	}
	var rpc config.RPC
	var port uint16
	if n, err := fmt.Sscanf(suffix, "%d.%d.%d", &rpc.Program, &rpc.Low, &port); err == nil && n == 3 {
		in.Address.RPC = rpc
		in.Address.Addr = netip.AddrPortFrom(in.Address.Addr.Addr(), port)
	}
}
