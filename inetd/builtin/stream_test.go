package builtin

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/reliability"
)

func pair(t *testing.T) (server, client int) {
	t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(p[0])
		unix.Close(p[1])
	})
	return p[0], p[1]
}

func receiveAll(fd int) []byte {
	buf := make([]byte, 1<<20)
	n, _, _ := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
	return buf[:max(n, 0)]
}

func TestEcho(t *testing.T) { testEcho(t) }

// What clients do not take is kept up to a limit for all of them. Beyond it,
// echo leaves it to the kernel, and the clients see no difference.
func TestEchoPeeks(t *testing.T) {
	totalUnsent.Add(maxUnsent)
	defer totalUnsent.Add(-maxUnsent)
	testEcho(t)
	if n := totalUnsent.Load(); n != maxUnsent {
		t.Errorf("%d bytes kept", n-maxUnsent)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Clients, Did: "clients of echo that do not read, with more than 8 MB unsent",
		Saw: "everything, when they read", Lost: "nothing: more stays in the kernel's buffers"})
}

func testEcho(t *testing.T) {
	t.Helper()
	server, client := pair(t)
	s, buf := New("echo", config.BuiltinSettings{}).Stream(), make([]byte, 1024)
	if next := s.Ready(server, buf); next != Read {
		t.Errorf("without input: %v", next)
	}
	unix.Write(client, []byte("hello"))
	if next := s.Ready(server, buf); next != Read || string(receiveAll(client)) != "hello" {
		t.Errorf("next %v", next)
	}
	// A client that does not read is waited for, and gets everything later.
	unix.SetsockoptInt(server, unix.SOL_SOCKET, unix.SO_SNDBUF, 1)
	sent, got := 0, 0
	chunk := bytes.Repeat([]byte("x"), 512)
	next := Read
	for next == Read {
		n, err := unix.Write(client, chunk)
		if err != nil {
			t.Fatal(err)
		}
		sent += n
		next = s.Ready(server, buf)
	}
	if next != Write {
		t.Fatalf("with a full buffer: %v", next)
	}
	for got < sent {
		got += len(receiveAll(client))
		s.Ready(server, buf)
	}
	unix.Shutdown(client, unix.SHUT_WR)
	if next := s.Ready(server, buf); next != Close || got != sent {
		t.Errorf("at the end: %v, %d of %d bytes", next, got, sent)
	}
}

func TestDiscardAndLinger(t *testing.T) {
	server, client := pair(t)
	buf := make([]byte, 1024)
	s := New("discard", config.BuiltinSettings{}).Stream()
	unix.Write(client, []byte("anything"))
	if next := s.Ready(server, buf); next != Read || len(receiveAll(client)) != 0 {
		t.Errorf("discard: %v", next)
	}
	l := NewLinger(server)
	if n, err := unix.Read(client, buf); n != 0 || err != nil {
		t.Errorf("the client does not see the end: %d, %v", n, err)
	}
	unix.Write(client, []byte("late"))
	if next := l.Ready(server, buf); next != Read {
		t.Errorf("while the client is there: %v", next)
	}
	unix.Shutdown(client, unix.SHUT_WR)
	if next := l.Ready(server, buf); next != Close {
		t.Errorf("after it has closed: %v", next)
	}
	other, sender := pair(t)
	l = NewLinger(other)
	next, big := Read, bytes.Repeat([]byte("x"), 64<<10)
	for sent := 0; next == Read && sent < 3*maxLinger; {
		n, _ := unix.SendmsgN(sender, big, nil, nil, unix.MSG_DONTWAIT)
		sent += max(n, 0)
		next = l.Ready(other, make([]byte, 64<<10))
	}
	if next != Close {
		t.Error("a client that sends for ever is read from for ever")
	}
}

func TestChargenStream(t *testing.T) {
	server, client := pair(t)
	s, buf := New("chargen", config.BuiltinSettings{}).Stream(), make([]byte, 1024)
	unix.Write(client, []byte("ignored"))
	var got []byte
	for len(got) < 3*len(pattern) {
		if next := s.Ready(server, buf); next != ReadWrite {
			t.Fatalf("next %v", next)
		}
		got = append(got, receiveAll(client)...)
	}
	if want := bytes.Repeat(pattern, 1+len(got)/len(pattern))[:len(got)]; !bytes.Equal(got, want) {
		t.Error("the lines are not continuous")
	}
	unix.Shutdown(client, unix.SHUT_WR)
	if next := s.Ready(server, buf); next != Write { // it may still be listening
		t.Errorf("after the client's end: %v", next)
	}
	unix.Shutdown(client, unix.SHUT_RD)
	unix.Close(client)
	for range 10 {
		if next := s.Ready(server, buf); next == Close {
			return
		}
	}
	t.Error("a client that has gone is served on")
}

func TestReplies(t *testing.T) {
	for name, want := range map[string]int{"daytime": 26, "time": 4} {
		server, client := pair(t)
		if next := New(name, config.BuiltinSettings{}).Stream().Ready(server, make([]byte, 64)); next != Linger {
			t.Errorf("%s: %v", name, next)
		}
		if got := receiveAll(client); len(got) != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	server, client := pair(t)
	if next := NewText([]byte("hello")).Ready(server, nil); next != Sent || string(receiveAll(client)) != "hello" {
		t.Errorf("text: %v", next)
	}
	unix.Close(client)
	if next := NewText([]byte("x")).Ready(server, nil); next != Close {
		t.Errorf("to a client that has gone: %v", next)
	}
}

// Datagrams are answered from the address that they were sent to, in batches,
// and not where that is refused.
func TestDatagrams(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	if err := unix.Bind(fd, &unix.SockaddrInet4{}); err != nil {
		t.Fatal(err)
	}
	sa, _ := unix.Getsockname(fd)
	port := sa.(*unix.SockaddrInet4).Port
	c, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2), Port: port})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var d Datagrams
	h := New("echo", config.BuiltinSettings{})
	const many = 3*batchSize + 1
	for i := range many {
		c.Write([]byte{byte(i)})
	}
	d.Serve(fd, h, 0, func(from netip.AddrPort) bool { return false })
	buf := make([]byte, 10)
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	for i := range many {
		if n, err := c.Read(buf); err != nil || n != 1 || buf[0] != byte(i) {
			t.Fatalf("reply %d: %v %v", i, buf[:n], err)
		}
	}
	c.Write([]byte("x"))
	requested := false
	d.Serve(fd, h, 0, func(from netip.AddrPort) bool {
		requested = from == c.LocalAddr().(*net.UDPAddr).AddrPort()
		return true
	})
	if !requested {
		t.Error("the source was not asked about")
	}
	d.Serve(fd, h, 0, func(netip.AddrPort) bool { return false }) // nothing is queued
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := c.Read(buf); err == nil {
		t.Errorf("a refused source got %q", buf[:n])
	}
}

// Datagrams that were queued before the socket was told to say where they
// were sent to, as one of the service manager's is not, are answered.
func TestQueuedDatagrams(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{}); err != nil {
		t.Fatal(err)
	}
	sa, _ := unix.Getsockname(fd)
	c, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2), Port: sa.(*unix.SockaddrInet4).Port})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write([]byte("first"))
	unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	c.Write([]byte("second"))
	var d Datagrams
	d.Serve(fd, New("echo", config.BuiltinSettings{}), 0, func(netip.AddrPort) bool { return false })
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	buf := make([]byte, 10)
	for _, want := range []string{"first", "second"} {
		if n, err := c.Read(buf); err != nil || string(buf[:n]) != want {
			t.Errorf("%q, %v; want %q", buf[:n], err, want)
		}
	}
}

func TestTable(t *testing.T) {
	names := map[string]bool{}
	for _, k := range Known() {
		if names[k.Name] || k.Port == 0 || !k.Stream && !k.Datagram {
			t.Errorf("%+v", k)
		}
		names[k.Name] = true
		if h := New(k.Name, config.BuiltinSettings{}); h == nil || h.Name() != k.Name || k.Stream && h.Stream() == nil {
			t.Errorf("%s has no handler", k.Name)
		}
	}
	if New("nothing", config.BuiltinSettings{}) != nil {
		t.Error("a service that is not in the table has a handler")
	}
}
