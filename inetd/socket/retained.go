package socket

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// What the names begin with of sockets that an inetd opened itself and left
// to the one that comes after it: those that a service manager has a copy of,
// and the others.
const (
	storePrefix  = "kept-"
	retainedName = "left-"
)

// StoreName is the name of a service manager's copy of a socket that we opened
// (FDNAME= of sd_pid_notify_with_fds(3)), by its inode and, for an RPC service,
// its program. It stays the same as long as the socket exists.
func StoreName(inode uint64, a Address) string { return fmt.Sprint(storePrefix, inode, a.rpcSuffix()) }

// Retain describes a socket for the process after us. stored is the name of the
// service manager's copy; empty: it has none.
func Retain(fd int, a Address, stored string) *Inherited {
	if stored == "" {
		stored = retainedName + a.rpcSuffix()
	}
	return &Inherited{FD: fd, Name: stored}
}

// InStore reports whether the service manager has a copy of a socket that a
// process before us opened.
func (in *Inherited) InStore() bool { return strings.HasPrefix(in.Name, storePrefix) }

// Retained reports whether a process before us opened the socket. We may close
// such a one, unlike those that the service manager opened.
func (in *Inherited) Retained() bool {
	name, _, _ := strings.Cut(in.Name, rpcMark)
	return in.InStore() || name == retainedName
}

// FromExec describes a socket that came to us over an exec.
func FromExec(fd int, name string) *Inherited {
	unix.CloseOnExec(fd)
	return identify(fd, name)
}

// Key identifies what the socket is bound to: Address.Key of what it serves.
func (in *Inherited) Key() string {
	a := in.Address
	a.Mapped = in.Dual
	return a.Key()
}

// Reachable reports whether clients can connect: whether the file of a Unix
// socket is still the one that the socket is bound to.
func (in *Inherited) Reachable() bool {
	if in.Address.Network != "unix" {
		return true
	}
	there := Identify(in.Address.Path)
	if there == (Identity{}) {
		return false
	}
	// SIOCUNIXFILE of linux/un.h; without CAP_NET_ADMIN it is not known.
	const siocUnixFile = 0x89e0
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(in.FD), siocUnixFile, 0)
	if errno != 0 {
		return true
	}
	defer unix.Close(int(fd))
	var st unix.Stat_t
	return unix.Fstat(int(fd), &st) == nil && there == Identity{uint64(st.Dev), st.Ino}
}

// Inode returns the inode of a socket; 0: it is not open.
func Inode(fd int) uint64 {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return 0
	}
	return st.Ino
}
