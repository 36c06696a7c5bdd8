package inetd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"goinetd/config"
	"goinetd/inetd/builtin"
	"goinetd/inetd/syslog"
)

// serve runs a server in this process and returns the address of its service.
func serve(tb testing.TB, remainder string) (s *Server, at string) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	at = l.Addr().String()
	l.Close()
	user := fmt.Sprint(os.Geteuid())
	services, problems := config.ReadInetd("test.conf", at+" stream tcp nowait "+user+" "+remainder, config.Options{LogStarts: true, Builtins: builtin.Known()})
	s, err = New(Options{Log: syslog.ToDaemon("test", "daemon")}) // as in the background
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := s.Start(services, problems); err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		s.Run(ctx)
		close(ended)
	}()
	tb.Cleanup(func() {
		s.Stop()
		stop()
		<-ended
	})
	return s, at
}

func dialed(tb testing.TB, at string) *net.TCPConn {
	tb.Helper()
	c, err := net.Dial("tcp", at)
	if err != nil {
		tb.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// One connection after the other: accept, admit, spawn, reap.
func BenchmarkProgram(b *testing.B) {
	_, at := serve(b, "/bin/true true")
	b.ReportAllocs()
	for b.Loop() {
		c := dialed(b, at)
		io.Copy(io.Discard, c)
		c.Close()
	}
}

func BenchmarkEchoConnection(b *testing.B) {
	_, at := serve(b, "internal echo")
	b.ReportAllocs()
	word := []byte("word")
	for b.Loop() {
		c := dialed(b, at)
		c.Write(word)
		io.ReadFull(c, make([]byte, len(word)))
		c.Close()
	}
}

func BenchmarkEchoBytes(b *testing.B) {
	_, at := serve(b, "internal echo")
	c := dialed(b, at)
	defer c.Close()
	data := bytes.Repeat([]byte("x"), 64<<10)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		go c.Write(data)
		if _, err := io.ReadFull(c, make([]byte, len(data))); err != nil {
			b.Fatal(err)
		}
	}
}

// What a configuration of thousands of services costs to take over again.
func BenchmarkReload(b *testing.B) {
	const n = 1000
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "127.77.%d.%d:7 stream tcp nowait %d /bin/true true\n", i/250, i%250+1, os.Geteuid())
	}
	s, _ := serve(b, "/bin/true true")
	b.ReportAllocs()
	for b.Loop() {
		services, problems := config.ReadInetd("test.conf", text.String(), config.Options{})
		if problems := s.Apply(services, problems); config.Errors(problems) {
			b.Fatal(problems[0])
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/service")
}
