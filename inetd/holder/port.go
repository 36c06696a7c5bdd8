package holder

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// Port says who holds a port. ok is false where nobody does any more. Where
// the kernel will not tell, that is said.
func Port(network string, at netip.AddrPort) (who Holder, ok bool) {
	inodes := map[string]bool{}
	for _, file := range []string{network, network + "6"} {
		table, err := os.ReadFile("/proc/net/" + file)
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(table), "\n") {
			if inode, ok := holds(line, network, at); ok {
				inodes[inode] = true
			}
		}
	}
	return describe(inodes, network, at.Port())
}

// Unix says who holds a Unix socket's path.
func Unix(path string) (who Holder, ok bool) {
	table, _ := os.ReadFile("/proc/net/unix")
	inodes := map[string]bool{}
	for _, line := range strings.Split(string(table), "\n") {
		if f := strings.Fields(line); len(f) == 8 && f[7] == path {
			inodes[f[6]] = true
		}
	}
	return describe(inodes, "unix", 0)
}

func describe(inodes map[string]bool, network string, port uint16) (who Holder, ok bool) {
	if len(inodes) == 0 {
		return Holder{}, false
	}
	// systemd keeps a socket that it has handed to a service: name the service.
	if pids := byInode(inodes); len(pids) > 0 {
		slices.Sort(pids)
		if pids[0] == 1 && len(pids) > 1 {
			pids = pids[1:]
		}
		return here.describe(pids[0], network, port), true
	}
	return Holder{Who: "a process that we may not see (another user's, or in another namespace)"}, true
}

// holds reads a line of /proc/net/tcp or udp (proc(5)): does this socket
// keep others from binding the address?
func holds(line, network string, at netip.AddrPort) (inode string, ok bool) {
	f := strings.Fields(line)
	if len(f) < 10 || network == "tcp" && f[3] != "0A" { // listening
		return "", false
	}
	local, ok := hexAddr(f[1])
	if !ok || local.Port() != at.Port() {
		return "", false
	}
	a, b := local.Addr(), at.Addr()
	if a != b && !a.IsUnspecified() && !b.IsUnspecified() {
		return "", false
	}
	return f[9], true
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
