package inetd

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// tcpPair returns both ends of a connection.
func tcpPair(t *testing.T) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	one, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { one.Close(); other.Close() })
	return one.(*net.TCPConn), other.(*net.TCPConn)
}

// What comes in goes out, through a pipe and, where there is none, without.
// Afterwards no pipe is left, and none is in use while nothing comes.
func TestSplice(t *testing.T) {
	for name, limit := range map[string]int{"pipe": pipeFDs, "no pipe": 0} {
		pool := &pipePool{conns: &connTable{limit: limit}}
		client, from := tcpPair(t)
		to, server := tcpPair(t)
		var count atomic.Int64
		ended := make(chan error, 1)
		pool.ref()
		go func() {
			err := pool.splice(to, from, &count)
			to.CloseWrite()
			ended <- err
		}()
		text := make([]byte, 5<<20)
		for i := range text {
			text[i] = byte(rand.Uint32())
		}
		client.Write(text[:10])
		got := make([]byte, 10)
		if _, err := io.ReadFull(server, got); err != nil || !bytes.Equal(got, text[:10]) {
			t.Fatalf("%s: %q, %v", name, got, err)
		}
		go func() {
			client.Write(text[10:])
			client.CloseWrite()
		}()
		server.SetReadDeadline(time.Now().Add(time.Minute))
		if rest, err := io.ReadAll(server); err != nil || !bytes.Equal(rest, text[10:]) {
			t.Errorf("%s: %d bytes, %v", name, len(rest), err)
		}
		if err := <-ended; err != nil || count.Load() != int64(len(text)) {
			t.Errorf("%s: %d bytes counted, %v", name, count.Load(), err)
		}
		if pool.unref(); pool.made != 0 || pool.conns.used != 0 {
			t.Errorf("%s: %d pipes are left", name, pool.made)
		}
	}
}

// A target that is gone is an error, and its pipe is not used again.
func TestSpliceReset(t *testing.T) {
	pool := &pipePool{conns: &connTable{limit: pipeFDs}}
	client, from := tcpPair(t)
	to, server := tcpPair(t)
	server.SetLinger(0)
	server.Close()
	var count atomic.Int64
	ended := make(chan error, 1)
	pool.ref()
	go func() { ended <- pool.splice(to, from, &count) }()
	client.SetWriteDeadline(time.Now().Add(time.Minute))
	for {
		client.Write(make([]byte, 100<<10))
		select {
		case err := <-ended:
			if err == nil || pool.made > len(pool.free) {
				t.Errorf("%v; %d pipes, %d free", err, pool.made, len(pool.free))
			}
			return
		default:
		}
	}
}
