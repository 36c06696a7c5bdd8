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

// KeptName is the name under which a service manager keeps a copy of a socket
// of ours: FDNAME= of sd_pid_notify_with_fds(3). It is the same as long as
// the socket lives.
func StoreName(fd int) string {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return ""
	}
	return fmt.Sprint(storePrefix, st.Ino)
}

// Leave names a socket for the inetd that comes after us. name is that of the
// service manager's copy; empty: it has none.
func Retain(fd int, name string) *Inherited {
	if name == "" {
		name = retainedName
	}
	return &Inherited{FD: fd, Name: name}
}

// Kept tells whether the service manager has a copy of a socket that an inetd
// before us opened.
func (in *Inherited) InStore() bool { return strings.HasPrefix(in.Name, storePrefix) }

// Ours tells whether an inetd before us opened the socket. Such a one is ours
// to close, other than those that systemd opened.
func (in *Inherited) Retained() bool { return in.InStore() || in.Name == retainedName }

// Passed makes an Inherited of a descriptor that came to us over an exec.
func FromExec(fd int, name string) *Inherited {
	unix.CloseOnExec(fd)
	return identify(fd, name)
}

// Serves tells whether a kept socket is what an address asks for, no more
// and no less.
func (in *Inherited) Serves(a Address) bool {
	switch {
	case !in.Fits(a):
		return false
	case a.Network == "unix":
		return Identify(a.Path) != (Identity{}) // somebody can reach it
	}
	return in.Address.Addr == a.Addr && (a.Addr.Addr().Is4() || in.Dual == a.Mapped)
}
