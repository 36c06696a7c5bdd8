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
// (FDNAME= of sd_pid_notify_with_fds(3)). It stays the same as long as the
// socket exists.
func StoreName(fd int) string {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return ""
	}
	return fmt.Sprint(storePrefix, st.Ino)
}

// Retain describes a socket for the process after us. name is that of the
// service manager's copy; empty: it has none.
func Retain(fd int, name string) *Inherited {
	if name == "" {
		name = retainedName
	}
	return &Inherited{FD: fd, Name: name}
}

// InStore reports whether the service manager has a copy of a socket that a
// process before us opened.
func (in *Inherited) InStore() bool { return strings.HasPrefix(in.Name, storePrefix) }

// Retained reports whether a process before us opened the socket. We may close
// such a one, unlike those that the service manager opened.
func (in *Inherited) Retained() bool { return in.InStore() || in.Name == retainedName }

// FromExec describes a socket that came to us over an exec.
func FromExec(fd int, name string) *Inherited {
	unix.CloseOnExec(fd)
	return identify(fd, name)
}

// Serves reports whether a retained socket is exactly what an address asks
// for.
func (in *Inherited) Serves(a Address) bool {
	switch {
	case !in.Fits(a):
		return false
	case a.Network == "unix":
		return Identify(a.Path) != (Identity{}) // somebody can reach it
	}
	return in.Address.Addr == a.Addr && (a.Addr.Addr().Is4() || in.Dual == a.Mapped)
}
