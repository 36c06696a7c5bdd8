package socket

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/reliability"
)

func getOption(t *testing.T, fd, level, name int) int {
	t.Helper()
	n, err := unix.GetsockoptInt(fd, level, name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func open(t *testing.T, a Address, o Options) int {
	t.Helper()
	fd, err := Open(a, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

var plain = Options{Backlog: 5, UID: -1, GID: -1}

func TestOpen(t *testing.T) {
	tcp := Address{Network: "tcp", Type: config.Stream, Addr: netip.MustParseAddrPort("127.0.0.1:0")}
	o := plain
	o.NoDelay, o.KeepAlive, o.ReceiveBuffer = true, true, 20000
	fd := open(t, tcp, o)
	if fd < 256 {
		t.Errorf("descriptor %d is among those of connections", fd)
	}
	if flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
		t.Error("not close-on-exec")
	}
	if flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); flags&unix.O_NONBLOCK != 0 {
		t.Error("not blocking")
	}
	if getOption(t, fd, unix.IPPROTO_TCP, unix.TCP_NODELAY) == 0 || getOption(t, fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE) == 0 ||
		getOption(t, fd, unix.SOL_SOCKET, unix.SO_RCVBUF) != 40000 || getOption(t, fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN) == 0 {
		t.Error("an option is not set")
	}
	Adjust(fd, tcp, plain)
	if getOption(t, fd, unix.IPPROTO_TCP, unix.TCP_NODELAY) != 0 || getOption(t, fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE) != 0 {
		t.Error("an option is still set")
	}
	SetNonblock(fd, true)
	if flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); flags&unix.O_NONBLOCK == 0 {
		t.Error("not non-blocking")
	}

	in := FromExec(fd, "x")
	taken := tcp
	taken.Addr = in.Address.Addr
	_, err := Open(taken, plain)
	var failed *OpenError
	if !errors.As(err, &failed) || failed.Step != "bind" || !Retryable(err) || NoFamily(err) {
		t.Errorf("a port in use: %v", err)
	}
	for _, mapped := range []bool{false, true} {
		six := open(t, Address{Network: "udp", Type: config.Dgram, Addr: netip.MustParseAddrPort("[::]:0"), Mapped: mapped}, plain)
		if v6only := getOption(t, six, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY) != 0; v6only == mapped {
			t.Errorf("mapped %v: v6only is %v", mapped, v6only)
		}
		if err := EnablePktinfo(six, true); err != nil {
			t.Error(err)
		}
	}
	if _, err := Open(Address{Network: "tcp", Type: config.Stream, Addr: netip.MustParseAddrPort("192.0.2.77:7")}, plain); !Retryable(err) {
		t.Errorf("an address that is not up: %v", err)
	}
	if _, err := Open(Address{Network: "tcp", Type: config.Stream, Addr: netip.MustParseAddrPort("[fe80::1%nosuch0]:7")}, plain); !Retryable(err) {
		t.Errorf("an interface that does not exist: %v", err)
	}
	if text := (&OpenError{tcp, "bind", unix.EACCES}).Error(); !strings.Contains(text, "CAP_NET_BIND_SERVICE") {
		t.Errorf("%q does not say what is missing", text)
	}
	group := open(t, Address{Network: "udp", Type: config.Dgram, Addr: netip.MustParseAddrPort("224.0.0.251:0")}, plain)
	if err := EnablePktinfo(group, false); err != nil {
		t.Error(err)
	}
}

// A Unix socket has its mode before anybody can connect, replaces a stale
// file, and nothing else.
func TestUnix(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "socket")
	a := Address{Network: "unix", Type: config.Stream, Path: path}
	o := plain
	o.Mode = 0o640
	first, err := Open(a, o)
	if err != nil {
		t.Fatal(err)
	}
	mode := func() fs.FileMode {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	if mode() != 0o640 {
		t.Errorf("mode %o", mode())
	}
	if _, err := Open(a, o); !Retryable(err) {
		t.Errorf("a socket that somebody listens on: %v", err)
	}
	id := Identify(path)
	if err := os.Link(path, path+".old"); err != nil { // so that the next file gets another inode
		t.Fatal(err)
	}
	unix.Close(first) // the file is stale now
	second := open(t, a, o)
	if Identify(path) == id {
		t.Error("the stale file is still there")
	}
	id.Remove(path) // another file has the name
	if Identify(path) == (Identity{}) {
		t.Error("another socket's file was removed")
	}
	if err := id.Permit(path, o); err == nil {
		t.Error("another socket's file was changed")
	}
	id = Identify(path)
	o.Mode = 0o600
	if err := id.Permit(path, o); err != nil || mode() != 0o600 {
		t.Errorf("%v, mode %o", err, mode())
	}
	in := FromExec(second, "x")
	if !in.Fits(a) || in.Key() != a.Key() || !in.Reachable() {
		t.Errorf("%+v does not fit %v", in, a)
	}
	if id.Remove(path); Identify(path) != (Identity{}) {
		t.Error("the file is still there")
	}
	if in.Reachable() {
		t.Error("a socket that nobody can connect to is reachable")
	}
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(a, o); err == nil || Retryable(err) || !strings.Contains(err.Error(), "is not a socket") {
		t.Errorf("a plain file in its place: %v", err)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Hosts, Did: "a Unix socket's path with a stale socket, a live one, or another file",
		Saw: "a stale one is replaced; others are left alone"})
}

func TestAddresses(t *testing.T) {
	known := Resolve([]string{"127.0.0.1", "localhost"})
	for _, c := range []struct {
		l    config.Listen
		want string
	}{
		{config.Listen{Network: "tcp", Port: 7}, "tcp 0.0.0.0:7, tcp [::]:7"},
		{config.Listen{Network: "tcp", Port: 7, Family: config.IPv4}, "tcp 0.0.0.0:7"},
		{config.Listen{Network: "udp", Port: 7, Family: config.IPv6}, "udp [::]:7"},
		{config.Listen{Network: "tcp", Port: 7, Family: config.Mapped}, "tcp [::]:7"},
		{config.Listen{Network: "tcp", Port: 7, Host: "127.0.0.1"}, "tcp 127.0.0.1:7"},
		{config.Listen{Network: "tcp", Port: 7, Host: "localhost", Family: config.IPv4}, "tcp 127.0.0.1:7"},
		{config.Listen{Network: "unix", Path: "/x"}, "unix /x"},
		{config.Listen{Network: "systemd", Host: "web"}, "systemd web"},
	} {
		list, err := Addresses(c.l, config.Stream, known)
		var got []string
		for _, a := range list {
			got = append(got, a.String())
		}
		if err != nil || strings.Join(got, ", ") != c.want {
			t.Errorf("%v: %q, %v; want %s", c.l, got, err, c.want)
		}
	}
	if list, err := Addresses(config.Listen{Network: "tcp", Port: 7, Host: "::1", Family: config.IPv4}, config.Stream, known); err == nil {
		t.Errorf("an IPv6 address for IPv4: %v", list)
	}
	keys := map[string]bool{}
	for _, a := range []Address{
		{Network: "tcp", Type: config.Stream, Addr: netip.MustParseAddrPort("127.0.0.1:7")}, {Network: "tcp", Type: config.Stream, Addr: netip.MustParseAddrPort("127.0.0.1:8")},
		{Network: "udp", Type: config.Dgram, Addr: netip.MustParseAddrPort("127.0.0.1:7")}, {Network: "tcp", Type: config.Stream, Addr: netip.MustParseAddrPort("[::]:7")},
		{Network: "tcp", Type: config.Stream, Addr: netip.MustParseAddrPort("[::]:7"), Mapped: true}, {Network: "unix", Type: config.Stream, Path: "/a"}, {Network: "unix", Type: config.Dgram, Path: "/a"},
	} {
		if keys[a.Key()] {
			t.Errorf("%v has the key of another", a)
		}
		keys[a.Key()] = true
	}
}

// Sockets that are passed on are recognized for what they are.
func TestInherited(t *testing.T) {
	at := func(s string) Address {
		return Address{Network: "tcp", Type: config.Stream, Addr: netip.MustParseAddrPort(s)}
	}
	dual := &Inherited{Address: at("[::]:7"), Dual: true}
	for a, want := range map[string]bool{"[::]:7": true, "0.0.0.0:7": true, "127.0.0.1:7": false, "[::]:8": false, "[::1]:7": false} {
		if got := dual.Fits(at(a)); got != want {
			t.Errorf("a dual socket for %s: %v", a, got)
		}
	}
	if dual.Key() == at("0.0.0.0:7").Key() || dual.Key() == at("[::]:7").Key() {
		t.Error("a retained socket serves more than what is asked for")
	}
	mapped := at("[::]:7")
	mapped.Mapped = true
	if dual.Key() != mapped.Key() {
		t.Error("a retained socket for tcp46 does not serve it")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	name := StoreName(Inode(int(f.Fd())), Address{})
	stored := FromExec(int(f.Fd()), name)
	if !stored.InStore() || !stored.Retained() || stored.Address.Addr.String() != l.Addr().String() || stored.Address.Type != config.Stream {
		t.Errorf("%+v", stored)
	}
	if again := StoreName(Inode(int(f.Fd())), Address{}); again != name || Inode(-1) != 0 {
		t.Errorf("the name changed from %s to %s", name, again)
	}
	if r := Retain(7, Address{}, ""); r.InStore() || !r.Retained() {
		t.Errorf("%+v", r)
	}
	if r := Retain(7, Address{}, name); !r.InStore() {
		t.Errorf("%+v", r)
	}
	if systemd := FromExec(int(f.Fd()), "web"); systemd.Retained() {
		t.Errorf("%+v is ours to close", systemd)
	}
	// sd_listen_fds(3): none are passed to this process.
	os.Setenv("LISTEN_PID", "1")
	os.Setenv("LISTEN_FDS", "1")
	if list := FromSystemd(); len(list) != 0 || slices.Contains(os.Environ(), "LISTEN_FDS=1") {
		t.Errorf("%v", list)
	}
}
