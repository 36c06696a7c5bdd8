package portowner

import (
	"encoding/binary"
	"encoding/hex"
	"maps"
	"net/netip"
	"strings"
)

// OfPort returns the owner of a port, and false where there is none any more.
// This process is named only where nobody else has it.
func (p *Processes) OfPort(network string, at netip.AddrPort) (who Owner, ok bool) {
	inodes := map[string]bool{}
	for _, file := range []string{network, network + "6"} {
		for _, bound := range p.boundTo(file, at.Port()) {
			if bound.excludes(at.Addr()) && !(file != network && at.Addr().Is4() && p.isIPv6Only(bound.inode)) {
				inodes[bound.inode] = true
			}
		}
	}
	return p.describe(inodes, network, at.Port())
}

// OfPath returns the owner of a Unix socket's path, and false where there is
// none any more.
func (p *Processes) OfPath(path string) (who Owner, ok bool) {
	inodes := map[string]bool{}
	for _, line := range p.table("unix") {
		if f := strings.Fields(line); len(f) == 8 && f[7] == path {
			inodes[f[6]] = true
		}
	}
	return p.describe(inodes, "unix", 0)
}

func (p *Processes) describe(inodes map[string]bool, network string, port uint16) (who Owner, ok bool) {
	if len(inodes) == 0 {
		return Owner{}, false
	}
	maps.DeleteFunc(inodes, func(inode string, _ bool) bool {
		_, ours := p.own[inode]
		return ours
	})
	if len(inodes) == 0 {
		return Owner{Desc: "another service of this inetd", Self: true}, true
	}
	// systemd keeps a socket that it has passed to a service: name the service.
	if pids := p.with(inodes); len(pids) > 0 {
		if pids[0] == 1 && len(pids) > 1 {
			pids = pids[1:]
		}
		return p.ownerOf(pids[0], network, port), true
	}
	return Owner{Desc: "a process that we may not see (another user's, or in another namespace)"}, true
}

// A boundSocket is one line of a file of /proc/net.
type boundSocket struct {
	addr  netip.Addr
	inode string
}

// excludes reports whether the socket keeps others from binding an address of
// its port.
func (b boundSocket) excludes(addr netip.Addr) bool {
	return b.addr == addr || b.addr.IsUnspecified() || addr.IsUnspecified()
}

// boundTo returns the sockets of a file of /proc/net that are bound to a port,
// or listen there.
func (p *Processes) boundTo(file string, port uint16) []boundSocket {
	byPort, known := p.bound[file]
	if !known {
		byPort = map[uint16][]boundSocket{}
		for _, line := range p.table(file) {
			if at, inode, ok := readBound(line, strings.HasPrefix(file, "tcp")); ok {
				byPort[at.Port()] = append(byPort[at.Port()], boundSocket{at.Addr(), inode})
			}
		}
		p.bound[file] = byPort
	}
	return byPort[port]
}

// readBound reads a line of /proc/net/tcp or udp (proc(5)).
func readBound(line string, listening bool) (at netip.AddrPort, inode string, ok bool) {
	f := strings.Fields(line)
	if len(f) < 10 || listening && f[3] != "0A" {
		return at, "", false
	}
	at, ok = hexAddr(f[1])
	return at, f[9], ok
}

// hexAddr reads "0100007F:0007": 32-bit words in the host's byte order.
func hexAddr(s string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(s, ":")
	h, err1 := hex.DecodeString(host)
	p, err2 := hex.DecodeString(port)
	if err1 != nil || err2 != nil || len(h)%4 != 0 || len(p) != 2 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(h); i += 4 {
		binary.NativeEndian.PutUint32(h[i:], binary.BigEndian.Uint32(h[i:]))
	}
	a, ok := netip.AddrFromSlice(h)
	return netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(p)), ok
}
