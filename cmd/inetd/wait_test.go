package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"goinetd/inetd/reliability"
)

// A program that reads one datagram and ends is started again for what is
// still queued: a burst of 50 datagrams gets 50 answers.
func TestDatagramWaitBurst(t *testing.T) {
	t.Parallel()
	need(t, "root", "cc")
	one := filepath.Join(folder(t), "one")
	if err := compile("testdata/one.c", one); err != nil {
		t.Fatal(err)
	}
	p := port(t)
	d := setup{conf: fmt.Sprintf("%s dgram udp wait nobody %s one\n", at(p), one), flags: []string{"-l"}}.start(t)
	c := udp(t, p)
	for i := range 50 {
		fmt.Fprintf(c, "question %d", i)
	}
	answers := map[string]bool{}
	buf := make([]byte, 100)
	for range 50 {
		n, err := c.Read(buf)
		if err != nil {
			t.Fatalf("%d of 50 answers: %v", len(answers), err)
		}
		answers[string(buf[:n])] = true
	}
	if len(answers) != 50 {
		t.Errorf("%d different answers", len(answers))
	}
	starts := d.find(`START: \S+ pid=\d+ from=127\.0\.0\.1 port=(\d+)`, 50)
	if want := fmt.Sprint(c.LocalAddr().(*net.UDPAddr).Port); starts[0][1] != want {
		t.Errorf("START says port %s, the client's is %s", starts[0][1], want)
	}
	d.find(`EXIT: \S+ status=0 pid=\d+ duration=0\(sec\)`, 50)
	reliability.Survived(t, reliability.Fault{Theme: reliability.Clients, Did: "50 clients of a UDP wait service at once",
		Saw: "50 of 50 answered"})
}

// A stream wait program accepts for itself. When it ends, the next client
// starts it again.
func TestStreamWait(t *testing.T) {
	t.Parallel()
	need(t, "root", "cc")
	three := filepath.Join(folder(t), "three")
	if err := compile("testdata/three.c", three); err != nil {
		t.Fatal(err)
	}
	p := port(t)
	d := setup{conf: fmt.Sprintf("%s stream tcp wait nobody %s three\n", at(p), three), flags: []string{"-l"}}.start(t)
	pids := map[string]int{}
	for range 4 {
		pids[request(t, p, "")]++
	}
	d.find(`START: `, 2)
	if len(pids) != 2 {
		t.Errorf("four clients, three for each program, were served by %v", pids)
	}
}

// nowait Unix sockets serve connections, wait ones lend the socket; dgram
// ones are read by their program.
func TestUnixSockets(t *testing.T) {
	t.Parallel()
	need(t, "root", "cc")
	dir := folder(t)
	one := filepath.Join(dir, "one")
	if err := compile("testdata/one.c", one); err != nil {
		t.Fatal(err)
	}
	stream, dgram, owned := dir+"/stream", dir+"/dgram", dir+"/owned"
	// what another inetd left behind
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: stream, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false)
	old.Close()
	d := setup{env: []string{"FDSTORE=0"}, conf: fmt.Sprintf("%s stream unix nowait nobody /bin/cat cat\n%s dgram unix wait root %s one\n:nobody:daemon:0640:%s stream unix nowait root /bin/cat cat\n",
		stream, dgram, one, owned)}.start(t)
	var clients sync.WaitGroup
	for i := range 20 {
		clients.Go(func() {
			c, err := net.Dial("unix", stream)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			fmt.Fprintf(c, "hello %d", i)
			c.(*net.UnixConn).CloseWrite()
			if got := readAll(t, c); got != fmt.Sprintf("hello %d", i) {
				t.Errorf("cat says %q", got)
			}
		})
	}
	clients.Wait()
	local := &net.UnixAddr{Name: dir + "/client", Net: "unixgram"}
	c, err := net.DialUnix("unixgram", local, &net.UnixAddr{Name: dgram, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "ping")
	buf := make([]byte, 10)
	if n, err := c.Read(buf); err != nil || string(buf[:n]) != "ping" {
		t.Errorf("dgram answer %q, %v", buf[:n], err)
	}
	for path, want := range map[string]string{stream: "666 root root", owned: "640 nobody daemon"} {
		if got := strings.TrimSpace(command(t, "stat", "-c", "%a %U %G", path)); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	d.stop()
	if left, _ := filepath.Glob(dir + "/[sdo]*[md]"); len(left) > 0 {
		t.Errorf("sockets left behind: %q", left)
	}
}

// A datagram service that is nowait shares its socket with its programs: each
// datagram starts one.
func TestDatagramNowait(t *testing.T) {
	t.Parallel()
	need(t, "root", "cc")
	one := filepath.Join(folder(t), "one")
	if err := compile("testdata/one.c", one); err != nil {
		t.Fatal(err)
	}
	p := port(t)
	setup{conf: fmt.Sprintf("%s dgram udp nowait nobody %s one\n", at(p), one)}.start(t)
	c := udp(t, p)
	buf := make([]byte, 100)
	for i := range 5 {
		fmt.Fprintf(c, "q%d", i)
		if n, err := c.Read(buf); err != nil || string(buf[:n]) != fmt.Sprintf("q%d", i) {
			t.Fatalf("answer %q, %v", buf[:n], err)
		}
	}
}

// The program of a datagram service learns who sent the first datagram.
func TestDatagramWaitSender(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p := port(t)
	dir := folder(t)
	d := setup{conf: fmt.Sprintf("%s dgram udp wait root /bin/sh sh -c \"env > %s/new; dd bs=1 count=1 of=/dev/null; mv %s/new %s/env\"\n", at(p), dir, dir, dir)}.start(t)
	c := udp(t, p)
	fmt.Fprint(c, "x")
	var text string
	until(t, func() bool {
		b, err := os.ReadFile(dir + "/env")
		text = string(b)
		return err == nil
	})
	for _, want := range []string{"REMOTE_HOST=127.0.0.1\n", "REMOTE_ADDR=127.0.0.1\n", fmt.Sprintf("REMOTE_PORT=%d\n", c.LocalAddr().(*net.UDPAddr).Port)} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %q\n%s", want, text, d.text())
		}
	}
}
