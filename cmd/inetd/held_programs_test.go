package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"goinetd/inetd/reliability"
)

// Every kind of file that cannot be executed, again and again, leaves neither
// descriptors nor children.
func TestCannotExecRounds(t *testing.T) {
	t.Parallel()
	need(t, "root")
	dir := folder(t)
	os.Mkdir(dir+"/directory", 0o755)
	kinds := []struct{ program, args, fail string }{
		{dir + "/missing", "", `no such file or directory`},
		{write(t, dir+"/denied", "#!/bin/sh\n", 0o644), "", `permission denied`},
		{dir + "/directory", "", `permission denied|is a directory`},
		{write(t, dir+"/empty", "", 0o755), "", `exec format error`},
		{write(t, dir+"/text", "just some words\n", 0o755), "", `exec format error`},
		{write(t, dir+"/lost", "#!/nonexistent/perl\n", 0o755), "", `no such file or directory`},
		{write(t, dir+"/self", "#!"+dir+"/self\n", 0o755), "", `too many levels of symbolic links|exec format error`},
		{"/bin/echo", strings.Repeat("x", 200_000), `argument list too long`},
	}
	good := port(t)
	conf := fmt.Sprintf("%s stream tcp nowait nobody /bin/echo echo fine\n", at(good))
	var ports []int
	for _, k := range kinds {
		ports = append(ports, port(t))
		conf += fmt.Sprintf("%s stream tcp nowait nobody %s x %s\n", at(ports[len(ports)-1]), k.program, k.args)
	}
	d := setup{conf: conf, flags: []string{"-R", "0"}}.start(t)
	before := d.count("fd")
	const rounds = 20
	for range rounds {
		for i, k := range kinds {
			if got := request(t, ports[i], "hello"); got != "" {
				t.Errorf("%s answers %q", k.program, got)
			}
		}
		if got := request(t, good, ""); got != "fine\n" {
			t.Errorf("the good service says %q", got)
		}
	}
	for i, k := range kinds {
		d.find(fmt.Sprintf(`FAIL: %d exec \S+: (%s).* from=127\.0\.0\.1 port=\d+\n`, ports[i], k.fail), rounds)
	}
	d.idle(before)
	if n := zombies(t, d.pid()); n > 0 {
		t.Errorf("%d zombies", n)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Starts, Did: "20 rounds of programs that are missing, denied, a directory, empty, text, their own interpreter, or have an argument of 200 kB",
		Saw: "closed at once; other services serve", Lost: "nothing: no descriptor, no zombie", Log: "FAIL: N exec /x/directory: permission denied from=127.0.0.1 port=N"})
}

// A wait program that is stopped keeps its own service and no other; one that
// is killed, or fails at once, is started again for the next client.
func TestWaitProgramEnds(t *testing.T) {
	t.Parallel()
	need(t, "root", "perl")
	p, q, echo := port(t), port(t), port(t)
	waiter := write(t, folder(t)+"/waiter", "#!/usr/bin/perl\nopen(my $l, '+<&=', 0); while (accept(my $c, $l)) { print $c \"$$\\n\"; close $c }\n", 0o755)
	d := setup{conf: fmt.Sprintf("%s stream tcp wait.0 nobody %s waiter\n%s dgram udp wait.0 nobody /bin/sh sh -c \"dd bs=100 count=1 status=none >/dev/null; exit 1\"\n%s stream tcp nowait root internal echo\n",
		at(p), waiter, at(q), at(echo)), flags: []string{"-l"}}.start(t)
	before := d.count("fd")
	others := func() {
		t.Helper()
		if got := request(t, echo, "x"); got != "x" {
			t.Errorf("another service says %q", got)
		}
	}
	first := request(t, p, "")
	pid, _ := strconv.Atoi(strings.TrimSpace(first))
	syscall.Kill(pid, syscall.SIGSTOP)
	waiting := dial(t, p)
	others()
	d.signal(syscall.SIGHUP) // does not start it twice
	d.await("RELOADING=1")
	d.await("READY=1")
	syscall.Kill(pid, syscall.SIGCONT)
	if got := readAll(t, waiting); got != first {
		t.Errorf("the client that waited was served by %q, not %q", got, first)
	}
	for range 10 {
		syscall.Kill(pid, syscall.SIGKILL)
		d.find(fmt.Sprintf(`EXIT: \d+ signal=9 pid=%d `, pid), 1)
		next := request(t, p, "")
		if next == first {
			t.Fatalf("served by %q, which was killed", first)
		}
		first = next
		pid, _ = strconv.Atoi(strings.TrimSpace(first))
	}
	others()
	for i := range 50 {
		fmt.Fprint(udp(t, q), "x")
		d.find(fmt.Sprintf(`EXIT: %d status=1 `, q), i+1)
	}
	others()
	syscall.Kill(pid, syscall.SIGKILL)
	d.idle(before)
	reliability.Survived(t, reliability.Fault{Theme: reliability.Starts, Did: "a wait program that is stopped, killed ten times, or fails at once 50 times",
		Saw: "waits until it is continued; else the next one starts it again; others served", Log: "EXIT: N signal=9 pid=N duration=N(sec)"})
}

// A wait program outlives a daemon that is killed. The next one says who has
// the port, and takes it over when that program ends.
func TestKilledWithSocketHandedOff(t *testing.T) {
	// Serial: a child of another test would have the socket, too, until it execs.
	need(t, "root", "perl")
	p, echo := port(t), port(t)
	waiter := write(t, folder(t)+"/waiter", "#!/usr/bin/perl\nopen(my $l, '+<&=', 0); while (accept(my $c, $l)) { my $x = <$c>; print $c \"$$\\n\"; close $c; last if $x =~ /end/ }\n", 0o755)
	s := setup{conf: fmt.Sprintf("%s stream tcp wait root %s waiter\n%s stream tcp nowait root internal echo\n", at(p), waiter, at(echo))}
	d := s.start(t)
	first := request(t, p, "\n")
	d.cmd.Process.Kill()
	d.awaitEnd()
	if got := request(t, p, "\n"); got != first {
		t.Errorf("the program says %q, before %q", got, first)
	}
	d = s.start(t)
	d.find(fmt.Sprintf(`bind tcp 127\.0\.0\.1:%d: address already in use by pid %s \(`, p, strings.TrimSpace(first)), 1)
	if got := request(t, echo, "x"); got != "x" {
		t.Errorf("another service says %q", got)
	}
	if got := request(t, p, "end\n"); got != first {
		t.Errorf("the program says %q, before %q", got, first)
	}
	d.find(`now listening on `, 1)
	if got := request(t, p, "end\n"); got == first || got == "" {
		t.Errorf("the next program says %q, the one before %q", got, first)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Signals, Did: "kill -9 of the daemon while a wait program has its socket",
		Saw: "served by that program, and by the next daemon when it has ended", Log: "bind tcp 127.0.0.1:N: address already in use by pid N (...); N is retried until it can listen"})
}

// SIGTERM under load ends the daemon; nobody gets half a reply.
func TestTerminateUnderLoad(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p, q := port(t), port(t)
	d := setup{conf: fmt.Sprintf("%s stream tcp nowait.0 nobody /bin/echo echo fine\n%s stream tcp nowait.0 root internal daytime\n", at(p), at(q))}.start(t)
	var load sync.WaitGroup
	var mu sync.Mutex
	served, bad := 0, []string{}
	enough := make(chan struct{})
	for i := range 6 {
		to := []int{p, q}[i%2]
		load.Go(func() {
			for {
				c, err := net.Dial("tcp", at(to))
				if err != nil {
					return // it has ended
				}
				text, err := io.ReadAll(c)
				c.Close()
				mu.Lock()
				if whole := string(text) == "fine\n" || len(text) == 26; whole && err == nil {
					if served++; served == 200 {
						close(enough)
					}
				} else if len(text) > 0 {
					bad = append(bad, string(text))
				}
				mu.Unlock()
			}
		})
	}
	<-enough
	d.signal(syscall.SIGTERM)
	d.awaitEnd()
	load.Wait()
	if len(bad) > 0 {
		t.Errorf("half replies: %q", bad)
	}
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("status %d", code)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Signals, Did: "SIGTERM under load",
		Saw: "a whole reply, or none: refused, or reset where it was queued", Log: "SIGTERM: stopped listening; N programs still running"})
}
