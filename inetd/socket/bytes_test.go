package socket

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// However a connection ends, its counts are those of its data.
func TestBytes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, c := range []struct {
		name string
		end  func(client, server *net.TCPConn)
	}{
		{"open", func(_, _ *net.TCPConn) {}},
		{"the client has shut down its side", func(client, _ *net.TCPConn) { client.CloseWrite() }},
		{"we have", func(_, server *net.TCPConn) { server.CloseWrite() }},
		{"the client has closed it, then we", func(client, server *net.TCPConn) { client.Close(); server.CloseWrite() }},
		{"we have closed it, then the client", func(client, server *net.TCPConn) { server.CloseWrite(); client.Close() }},
		{"the client has reset it", func(client, _ *net.TCPConn) { client.SetLinger(0); client.Close() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			server, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			client.Write([]byte("hello"))
			server.Write([]byte("good day"))
			file, err := server.(*net.TCPConn).File() // a copy, which lives on
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			c.end(client.(*net.TCPConn), server.(*net.TCPConn))
			for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
				in, out, ok := Bytes(int(file.Fd()))
				if ok && in == 5 && out == 8 {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("%d bytes in, %d out, %v; want 5 and 8", in, out, ok)
				}
			}
			// Once all segments have come, it is the same.
			time.Sleep(20 * time.Millisecond)
			if in, out, ok := Bytes(int(file.Fd())); !ok || in != 5 || out != 8 {
				t.Errorf("%d bytes in, %d out, %v; want 5 and 8", in, out, ok)
			}
		})
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	if _, _, ok := Bytes(fds[0]); ok {
		t.Error("counts of a Unix socket")
	}
}
