package portowner

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// A Listening is a socket that clients can reach: of TCP or a Unix stream one
// that listens, of UDP one that is bound and not connected.
type Listening struct {
	Network string // "tcp", "tcp6", "udp", "udp6", "unix"
	Addr    netip.AddrPort
	Path    string // of a Unix socket; an abstract one begins with @
	PIDs    []int  // that have it, in order; none: they may not be seen
	Owner   Owner  // the first of them that is not a service manager with a copy
}

// Listening returns the sockets of the host's own network namespace, by port.
func (p *Processes) Listening() (list []Listening) {
	for _, file := range []string{"tcp", "tcp6", "udp", "udp6"} {
		isTCP := strings.HasPrefix(file, "tcp")
		for _, line := range p.table(file) {
			at, inode, ok := readBound(line, isTCP)
			if !ok || !isTCP && !isUnconnected(line) {
				continue
			}
			list = append(list, p.listening(Listening{Network: file, Addr: at}, inode))
		}
	}
	for _, line := range p.table("unix") {
		if path, inode, ok := readListeningUnix(line); ok {
			list = append(list, p.listening(Listening{Network: "unix", Path: path}, inode))
		}
	}
	slices.SortStableFunc(list, func(a, b Listening) int {
		return cmp.Or(cmp.Compare(a.Addr.Port(), b.Addr.Port()), cmp.Compare(a.Network, b.Network), cmp.Compare(a.Path, b.Path))
	})
	return list
}

// listening adds who has a socket.
func (p *Processes) listening(l Listening, inode string) Listening {
	l.PIDs = p.with(map[string]bool{inode: true})
	pids := l.PIDs
	if len(pids) > 1 && pids[0] == 1 { // systemd keeps a copy of what it passes to a service
		pids = pids[1:]
	}
	if len(pids) > 0 {
		l.Owner = p.ownerOf(pids[0], strings.TrimSuffix(l.Network, "6"), l.Addr.Port())
	}
	return l
}

// isUnconnected reports whether a line of /proc/net/udp is that of a socket that
// receives from anybody (TCP_CLOSE, which stands for that).
func isUnconnected(line string) bool {
	f := strings.Fields(line)
	return len(f) > 3 && f[3] == "07"
}

// readListeningUnix reads a line of /proc/net/unix (proc(5)).
func readListeningUnix(line string) (path, inode string, ok bool) {
	f := strings.Fields(line)
	if len(f) < 8 {
		return "", "", false
	}
	flags, err := strconv.ParseUint(f[3], 16, 32)
	const acceptsConnections = 1 << 16 // __SO_ACCEPTCON
	return strings.Join(f[7:], " "), f[6], err == nil && flags&acceptsConnections != 0
}
