package socket

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/descriptor"
)

// Options are how a socket is opened. Zero values leave the kernel's own.
type Options struct {
	Backlog       int  // of listen(2); the kernel caps it at net.core.somaxconn
	SendBuffer    int  // bytes
	ReceiveBuffer int  // bytes
	NoDelay       bool // TCP_NODELAY, which connections inherit
	KeepAlive     bool // SO_KEEPALIVE likewise

	Mode     fs.FileMode // of a Unix socket's file
	UID, GID int         // of a Unix socket's file; -1: as it comes
}

// An OpenError says which step of opening a socket failed.
type OpenError struct {
	Address Address
	Step    string
	Err     error
}

func (e *OpenError) Error() string {
	s := fmt.Sprintf("%s %s: %v", e.Step, e.Address, e.Err)
	if errors.Is(e.Err, unix.EACCES) && e.Step == "bind" && e.Address.Network != "unix" {
		s += " (ports below net.ipv4.ip_unprivileged_port_start need root or CAP_NET_BIND_SERVICE)"
	}
	return s
}

func (e *OpenError) Unwrap() error { return e.Err }

// Retryable reports whether opening a socket may work later without a change
// of the configuration: the port is in use, or the address is not up.
func Retryable(err error) bool {
	return errors.Is(err, unix.EADDRINUSE) || errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) ||
		errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM)
}

// NoFamily reports whether the host does not have the address family, as one
// without IPv6.
func NoFamily(err error) bool {
	return errors.Is(err, unix.EAFNOSUPPORT)
}

// Open makes a socket, binds it and, for a type that accepts connections,
// listens. The descriptor is blocking and close-on-exec. The error is an
// *OpenError.
func Open(a Address, o Options) (fd int, err error) {
	step := "socket"
	defer func() {
		if err != nil {
			if fd > 0 {
				unix.Close(fd)
			}
			fd, err = -1, &OpenError{a, step, err}
		}
	}()
	if fd, err = unix.Socket(a.domain(), kinds[a.Type]|unix.SOCK_CLOEXEC, int(a.Proto)); err != nil {
		return
	}
	fd = descriptor.Raise(fd)
	step = "setsockopt"
	options := a.beforeBind()
	for _, one := range o.adjustable(a) {
		if one.value != 0 { // which a new socket has
			options = append(options, one)
		}
	}
	if err = setOptions(fd, options); err != nil {
		return
	}
	sa, err := a.sockaddr()
	if err != nil {
		step = "bind"
		return
	}
	step = "bind"
	switch {
	case a.Network == "unix":
		err = bindUnix(fd, a, o)
	case a.AnyPort():
		err = bindAnyPort(fd, a)
	default:
		err = unix.Bind(fd, sa)
	}
	if err == nil {
		if err = join(fd, a); err != nil {
			step = "join"
		}
	}
	if err == nil && Accepts(a.Type) {
		step = "listen"
		err = unix.Listen(fd, o.Backlog)
	}
	return
}

// An option is one setsockopt(2).
type option struct{ level, name, value int }

// adjustable returns the options that can change while a socket is open. A
// buffer of 0 bytes leaves the kernel's size.
func (o Options) adjustable(a Address) []option {
	var list []option
	if a.Network == "tcp" {
		list = append(list, option{unix.IPPROTO_TCP, unix.TCP_NODELAY, toInt(o.NoDelay)}, option{unix.SOL_SOCKET, unix.SO_KEEPALIVE, toInt(o.KeepAlive)})
	}
	if o.SendBuffer > 0 {
		list = append(list, option{unix.SOL_SOCKET, unix.SO_SNDBUF, o.SendBuffer})
	}
	if o.ReceiveBuffer > 0 {
		list = append(list, option{unix.SOL_SOCKET, unix.SO_RCVBUF, o.ReceiveBuffer})
	}
	return list
}

// beforeBind returns the options that have to be set before bind(2).
func (a Address) beforeBind() []option {
	var list []option
	if a.Network == "tcp" {
		list = append(list, option{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1})
	}
	if a.domain() == unix.AF_INET6 {
		list = append(list, option{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, toInt(!a.Mapped)})
	}
	return list
}

func toInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func setOptions(fd int, list []option) error {
	for _, o := range list {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return err
		}
	}
	return nil
}

// Adjust changes the options of a socket that is open. Options that the
// kernel refuses stay as they were.
func Adjust(fd int, a Address, o Options) {
	for _, one := range o.adjustable(a) {
		unix.SetsockoptInt(fd, one.level, one.name, one.value)
	}
}

// join makes a UDP socket that is bound to a multicast address a member of
// its group, on the interface that the routes name.
func join(fd int, a Address) error {
	group := a.Addr.Addr()
	if a.Network != "udp" || !group.IsMulticast() {
		return nil
	}
	if group.Is4() {
		return unix.SetsockoptIPMreq(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &unix.IPMreq{Multiaddr: group.As4()})
	}
	m := &unix.IPv6Mreq{Multiaddr: group.As16()}
	if i, err := net.InterfaceByName(group.Zone()); err == nil {
		m.Interface = uint32(i.Index)
	}
	return unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, m)
}

// StopListening has the kernel refuse connections to a TCP socket, and those in
// its queue, while it stays bound. Without SO_REUSEADDR nobody else can bind
// the port. A UDP socket only stays bound.
func StopListening(fd int, kind config.SocketType) {
	if !Accepts(kind) {
		return
	}
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 0)
	unix.Shutdown(fd, unix.SHUT_RDWR)
}

// ListenAgain ends StopListening. Datagrams that came meanwhile are discarded.
func ListenAgain(fd int, kind config.SocketType, backlog int) error {
	if !Accepts(kind) {
		for range maxDiscard {
			if _, _, err := unix.Recvfrom(fd, nil, unix.MSG_DONTWAIT); err != nil {
				break
			}
		}
		return nil
	}
	if on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err == nil && on != 0 {
		return nil
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	return unix.Listen(fd, backlog)
}

// maxDiscard is how many datagrams ListenAgain discards: more come while it
// does.
const maxDiscard = 1 << 16

// bindUnix binds a Unix socket. A file that exists is removed only if it is a
// socket and nobody answers there. Owner and mode are set before anybody can
// connect: the file is created with mode 0 (bind takes the mode of the
// socket's inode, unix(7)), and listen follows.
func bindUnix(fd int, a Address, o Options) error {
	if err := unix.Fchmod(fd, 0); err != nil {
		return err
	}
	err := unix.Bind(fd, &unix.SockaddrUnix{Name: a.Path})
	if err == unix.EADDRINUSE {
		if err = removeStale(a); err == nil {
			err = unix.Bind(fd, &unix.SockaddrUnix{Name: a.Path})
		}
	}
	if err != nil {
		return err
	}
	id := Identify(a.Path)
	if err = id.Permit(a.Path, o); err != nil {
		id.Remove(a.Path)
	}
	return err
}

// removeStale removes a socket's file that nobody answers at.
func removeStale(a Address) error {
	info, err := os.Lstat(a.Path)
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is there and is not a socket", a.Path)
	}
	probe, err := unix.Socket(unix.AF_UNIX, kinds[a.Type]|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(probe)
	if err := unix.Connect(probe, &unix.SockaddrUnix{Name: a.Path}); err != unix.ECONNREFUSED {
		return unix.EADDRINUSE
	}
	return os.Remove(a.Path)
}

// An Identity distinguishes a Unix socket's file from another one of the same name.
type Identity struct{ dev, ino uint64 }

// Identify returns the identity of the file at a path.
func Identify(path string) Identity {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return Identity{}
	}
	return Identity{st.Dev, st.Ino}
}

// Permit sets the owner and the mode of the socket's file. Whoever may write
// to the directory can put a link in its place, and we are root: what is
// changed is the socket that was identified, or nothing.
func (id Identity) Permit(path string, o Options) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK || (Identity{st.Dev, st.Ino}) != id {
		return fmt.Errorf("%s is not our socket any more", path)
	}
	pinned := fmt.Sprintf("/proc/self/fd/%d", fd)
	if o.UID >= 0 || o.GID >= 0 {
		if err := unix.Fchownat(fd, "", o.UID, o.GID, unix.AT_EMPTY_PATH); err != nil {
			return err
		}
	}
	return os.Chmod(pinned, o.Mode)
}

// Remove removes the socket's file, if it is still the one it was.
func (id Identity) Remove(path string) {
	if id != (Identity{}) && Identify(path) == id {
		os.Remove(filepath.Clean(path))
	}
}

// SetNonblock switches O_NONBLOCK of the open file description, which a
// child that inherits the descriptor shares.
func SetNonblock(fd int, on bool) error {
	return unix.SetNonblock(fd, on)
}

// EnablePktinfo makes a UDP socket report which of our addresses a datagram
// was sent to, so that the reply can come from there.
func EnablePktinfo(fd int, ipv6 bool) error {
	if ipv6 {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
}
