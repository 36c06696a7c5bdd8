package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"goinetd/inetd/reliability"
)

// A standard error that nobody reads, or whose reader has gone, keeps no
// client waiting.
func TestStderrPipes(t *testing.T) {
	t.Parallel()
	need(t, "root")
	start := func(t *testing.T) (p int, reader *os.File) {
		p = port(t)
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(built.inetd, "-i", "-l", "-R", "0", write(t, folder(t)+"/inetd.conf", fmt.Sprintf("%s stream tcp nowait root internal daytime\n", at(p)), 0o644))
		cmd.Stderr = writer
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		writer.Close()
		t.Cleanup(func() {
			cmd.Process.Signal(syscall.SIGTERM)
			cmd.Wait()
			reader.Close()
		})
		until(t, func() bool {
			c, err := net.Dial("tcp", at(p))
			if err == nil {
				c.Close()
			}
			return err == nil
		})
		return p, reader
	}
	const clients = 1500 // whose lines are more than a pipe holds
	serve := func(t *testing.T, p int) {
		for i := range clients {
			if got := request(t, p, ""); asDaytime(got) != got {
				t.Fatalf("client %d: %q", i, got)
			}
		}
	}
	t.Run("full", func(t *testing.T) {
		p, reader := start(t)
		serve(t, p)
		starts, buf, text := 0, make([]byte, 1<<16), ""
		for starts < clients {
			n, err := reader.Read(buf)
			if err != nil {
				t.Fatalf("%d of %d clients are in the log: %v", starts, clients, err)
			}
			text += string(buf[:n])
			starts = strings.Count(text, "START: ")
		}
	})
	t.Run("closed", func(t *testing.T) {
		p, reader := start(t)
		io.CopyN(io.Discard, reader, 1)
		reader.Close()
		serve(t, p)
	})
	reliability.Survived(t, reliability.Fault{Theme: reliability.Hosts, Did: "a standard error that is a pipe which nobody reads, or has closed",
		Saw: "served", Lost: "the lines that nobody can read any more"})
}
