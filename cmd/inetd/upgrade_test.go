package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/inetd/reliability"
)

// An upgrade: another program is put in the place of the one that runs, and
// SIGUSR2 has that started in the same process. Nobody is refused, programs
// go on and are counted, and a wait service is not started twice.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	need(t, "root", "perl")
	p, q, u, e := port(t), port(t), port(t), port(t)
	dir := folder(t)
	text, err := os.ReadFile(built.inetd)
	if err != nil {
		t.Fatal(err)
	}
	program := write(t, dir+"/inetd", string(text), 0o755)
	waiter := write(t, dir+"/waiter", "#!/usr/bin/perl\nuse Socket;\nopen(my $l, '+<&=', 0); while (accept(my $c, $l)) { my $x = <$c>; print $c \"$$\\n\"; last if $x =~ /end/ }\n", 0o755)
	d := setup{program: program, flags: []string{"-l", "-R", "0"}, conf: fmt.Sprintf("%s stream tcp nowait/2 root /bin/cat cat\n%s stream tcp wait root %s waiter\n%s dgram udp wait root internal echo\n%s stream tcp nowait root internal echo\nunix-echo stream unix nowait root /bin/cat cat\n",
		at(p), at(q), waiter, at(u), at(e))}
	d.conf = strings.Replace(d.conf, "unix-echo", dir+"/socket", 1)
	run := d.start(t)
	before := dial(t, p)
	io.WriteString(before, "one")
	io.ReadFull(before, make([]byte, 3))
	first := request(t, q, "\n")

	// What comes during the change waits; nothing is refused.
	stop := make(chan struct{})
	var load sync.WaitGroup
	served := 0
	load.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if got := request(t, p, "hello"); got != "hello" {
				t.Errorf("during the change: %q", got)
			}
			served++
		}
	})
	for range 3 {
		os.Rename(program, program+".old")
		write(t, program, string(text), 0o755)
		run.signal(syscall.SIGUSR2)
		run.await("RELOADING=1")
		run.await("READY=1")
	}
	close(stop)
	load.Wait()
	self := dial(t, e) // served by inetd itself, and quick enough
	io.WriteString(self, "early ")
	io.ReadFull(self, make([]byte, 6))
	run.signal(syscall.SIGUSR2)
	run.await("RELOADING=1")
	io.WriteString(self, "late")
	self.CloseWrite()
	if got := readAll(t, self); got != "late" {
		t.Errorf("a client of our own got %q", got)
	}
	run.await("READY=1")
	if served == 0 {
		t.Error("nobody was served meanwhile")
	}
	question(t, u, "hello")
	if got, err := net.Dial("unix", dir+"/socket"); err != nil {
		t.Error(err)
	} else {
		got.Close()
	}
	if again := request(t, q, "\n"); again != first {
		t.Errorf("the program of the wait service was %q and is %q", first, again)
	}
	request(t, q, "end\n")
	run.find(`EXIT: \S+ status=0 pid=`+strings.TrimSpace(first), 1)
	if third := request(t, q, "end\n"); third == first {
		t.Error("the wait service was not started again")
	}
	// The program of before is there and counts: with it, two may run.
	io.WriteString(before, "two")
	if _, err := io.ReadFull(before, make([]byte, 3)); err != nil {
		t.Error(err)
	}
	second := dial(t, p)
	io.WriteString(second, "x")
	io.ReadFull(second, make([]byte, 1))
	run.signal(syscall.SIGUSR1)
	state := run.find(fmt.Sprintf(`STATE: %d tcp .*running=(\d+)`, p), 1)
	if state[0][1] != "2" {
		t.Errorf("%s programs are counted, want 2", state[0][1])
	}
	third := dial(t, p)
	io.WriteString(third, "y")
	before.Close()
	if _, err := io.ReadFull(third, make([]byte, 1)); err != nil {
		t.Errorf("the place of a program of before is not given back: %v", err)
	}
	if n := run.count("fd"); n > 60 {
		t.Errorf("%d descriptors are open", n)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Signals, Did: "4 upgrades (SIGUSR2) under load, the program's file replaced in each",
		Saw: "every client served; programs go on and are counted; a wait service is not started twice", Log: "SIGUSR2: upgrading, with the same sockets"})
}

// A program's time is limited by the inetd that comes after the one that
// started it.
func TestUpgradeTimeout(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p := port(t)
	d := setup{conf: fmt.Sprintf("[service.x]\nlisten = \"tcp:%s\"\nserver = \"/bin/cat\"\nuser = \"root\"\nsession_timeout = \"2s\"\n", at(p))}.start(t)
	c := dial(t, p)
	io.WriteString(c, "x")
	io.ReadFull(c, make([]byte, 1))
	d.signal(syscall.SIGUSR2)
	d.await("RELOADING=1")
	d.await("READY=1")
	if got := readAll(t, c); got != "" {
		t.Errorf("got %q", got)
	}
	d.find("x: pid [0-9]+ terminated: session_timeout of 2s exceeded", 1)
	reliability.Survived(t, reliability.Fault{Theme: reliability.Signals, Did: "an upgrade while a program has a session_timeout",
		Saw: "ended in time by the next inetd", Log: "x: pid N terminated: session_timeout of 2s exceeded"})
}

// Relative paths on the command line mean the same after an upgrade.
func TestUpgradeRelativePath(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p := port(t)
	d := setup{conf: fmt.Sprintf("%s stream tcp nowait root internal echo\n", at(p)),
		before: []string{"sh", "-c", `cd "$(dirname "$3")"; exec "$1" "$2" "$(basename "$3")"`, "sh"}}.start(t)
	d.signal(syscall.SIGUSR2)
	d.await("RELOADING=1")
	d.await("READY=1")
	if got := request(t, p, "hello"); got != "hello" {
		t.Errorf("got %q", got)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Signals, Did: "SIGUSR2 of a daemon that was started with a relative path",
		Saw: "served as before"})
}

// A program that cannot run in our place, whatever is wrong with it, leaves
// all as it was; so do files that cannot be read.
func TestUpgradeImpossible(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p := port(t)
	text, err := os.ReadFile(built.inetd)
	if err != nil {
		t.Fatal(err)
	}
	program := write(t, folder(t)+"/inetd", string(text), 0o755)
	d := setup{program: program, conf: fmt.Sprintf("%s stream tcp nowait root /bin/cat cat\n", at(p))}.start(t)
	client := dial(t, p)
	tries := 0
	refused := func(why string) {
		t.Helper()
		d.signal(syscall.SIGUSR2)
		tries++
		d.find("SIGUSR2: upgrade refused: .*"+why+".*nothing is changed", 1)
		d.find("SIGUSR2: upgrade refused: ", tries)
		io.WriteString(client, "x")
		if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
			t.Fatalf("%s: the program of before: %v", why, err)
		}
		if got := request(t, p, "hello"); got != "hello" {
			t.Errorf("%s: got %q", why, got)
		}
	}
	replace := func(text string, mode os.FileMode) {
		t.Helper()
		os.Remove(program)
		write(t, program, text, mode)
	}
	replace("some words\n", 0o755)
	refused("exec format error")
	replace("", 0o755)
	refused("exec format error")
	replace("#!/nonexistent/interpreter\n", 0o755)
	refused("no such file or directory")
	replace(string(text[:100_000]), 0o755)
	refused("-t: ")
	replace(string(text[:len(text)/2]), 0o755)
	refused("-t: ")
	replace("#!/bin/true\n", 0o755)
	refused("did not read the configuration")
	replace("#!/bin/sh\necho no >&2; exit 1\n", 0o755)
	refused("exit status 1 \\(\"no\"\\)")
	replace(string(text), 0o644)
	refused("permission denied")
	os.Remove(program)
	refused("/inetd: no such file")
	replace(string(text), 0o755)
	os.Remove(d.conf)
	refused("inetd.conf: no such file")
	reliability.Survived(t, reliability.Fault{Theme: reliability.Signals, Did: "SIGUSR2 with a program that is text, empty, cut off, without its interpreter, ends at once, fails, or is gone; with a configuration that is gone",
		Saw: "served as before", Log: "SIGUSR2: upgrade refused: ... (nothing is changed)"})
}

// What a reload keeps, an upgrade keeps: a service whose line is wrong, or
// whose user is not known any more.
func TestUpgradeKeepsServices(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p, q := port(t), port(t)
	conf := fmt.Sprintf("%s stream tcp nowait root /bin/echo echo one\n%s stream tcp nowait root /bin/echo echo two\n", at(p), at(q))
	d := setup{conf: conf}.start(t)
	write(t, d.conf, strings.Replace(strings.Replace(conf, "nowait root /bin/echo echo one", "nowait nobody-knows-this /bin/echo echo one", 1), "nowait root", "nowhat root", 1), 0o644)
	for range 2 { // the second one has the services from a process that could not read them itself
		d.signal(syscall.SIGUSR2)
		d.await("RELOADING=1")
		d.await("READY=1")
	}
	for port, want := range map[int]string{p: "one\n", q: "two\n"} {
		if got := request(t, port, ""); got != want {
			t.Errorf("got %q, want %q\n%s", got, want, d.text())
		}
	}
	d.find(fmt.Sprintf(`%d: invalid or missing in the configuration; keeps its previous settings`, p), 2)
	reliability.Survived(t, reliability.Fault{Theme: reliability.Signals, Did: "SIGUSR2, twice, with a line that is wrong and a user that is not known any more",
		Saw: "served as before", Log: "N: invalid or missing in the configuration; keeps its previous settings until the errors are fixed"})
}

// SIGTERM ends the daemon, whatever it is doing: an upgrade that waits for a
// client, or a burst of other signals.
func TestTerminate(t *testing.T) {
	need(t, "root")
	for _, after := range []time.Duration{0, 10 * time.Millisecond, 300 * time.Millisecond, 900 * time.Millisecond, 1100 * time.Millisecond} {
		t.Run("behind SIGUSR2 by "+after.String(), func(t *testing.T) {
			t.Parallel()
			p := port(t)
			d := setup{conf: fmt.Sprintf("%s stream tcp nowait root internal echo\n", at(p))}.start(t)
			c := dial(t, p)
			io.WriteString(c, "x")
			io.ReadFull(c, make([]byte, 1))
			d.signal(syscall.SIGUSR2)
			time.Sleep(after) // any moment is as good
			d.signal(syscall.SIGTERM)
			d.awaitEnd()
		})
	}
	t.Run("in a burst", func(t *testing.T) {
		t.Parallel()
		var conf strings.Builder
		for range 300 {
			fmt.Fprintf(&conf, "%s stream tcp nowait root internal echo\n", at(port(t)))
		}
		d := setup{conf: conf.String()}.start(t)
		for range 60 {
			d.signal(syscall.SIGUSR1)
			d.signal(syscall.SIGHUP)
		}
		d.signal(syscall.SIGTERM)
		d.awaitEnd()
	})
	reliability.Survived(t, reliability.Fault{Theme: reliability.Signals, Did: "SIGTERM 0 to 1.1 s behind SIGUSR2; SIGTERM behind 60 SIGUSR1 and SIGHUP, with 300 services",
		Saw: "the daemon ends, every time"})
}

// A reload that hangs is reported, and later ones are done.
func TestReloadHangs(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p := port(t)
	conf := fmt.Sprintf("%s stream tcp nowait root internal echo\n", at(p))
	d := setup{program: built.impatient, conf: conf}.start(t)
	defer block(t, d.conf, unix.FAN_OPEN_PERM).Close()
	d.signal(syscall.SIGHUP)
	d.find(`reload: still reading the configuration after .*; services go on as they were`, 1)
	if hanging := d.hanging(); len(hanging) != 1 || hanging[0] == d.pid() { // the kernel leaves the first one the signals
		t.Errorf("threads %v of process %d hang", hanging, d.pid())
	}
	os.Remove(d.conf)
	d.reload(conf)
	d.find(`configuration read: 1 service \(0 new, 0 removed\)`, 1)
	if got := request(t, p, "x"); got != "x" {
		t.Errorf("got %q", got)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Reloads, Did: "a configuration file that cannot be opened for ever",
		Saw: "served as before; the next SIGHUP reads a new file", Log: "reload: still reading the configuration after 5s; services go on as they were (another SIGHUP begins anew)"})
}

// hanging returns the threads that nothing but a fatal signal wakes up.
func (d *daemonProcess) hanging() (ids []int) {
	d.t.Helper()
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", d.pid()))
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), ") D ") {
			id, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			ids = append(ids, id)
		}
	}
	return ids
}

// The watchdog is answered by a worker, and the manager learns how we are,
// and not while nothing changes.
func TestManager(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p := port(t)
	d := setup{conf: fmt.Sprintf("%s stream tcp nowait root /bin/cat cat\n", at(p)), before: []string{"/bin/sh", "-c", `WATCHDOG_PID=$$ exec "$0" "$@"`}, env: []string{"WATCHDOG_USEC=200000"}}.launch(t)
	d.await("STATUS=1 service, 0 programs running, 0 clients refused")
	d.await("WATCHDOG=1")
	c := dial(t, p)
	d.await("STATUS=1 service, 1 program running, 0 clients refused")
	c.Close()
	d.await("STATUS=1 service, 0 programs running, 0 clients refused")
	d.await("WATCHDOG=1")
	d.signal(syscall.SIGSTOP)
	for answers, quiet := 0, false; !quiet; answers++ {
		select {
		case got := <-d.states:
			if answers > 3 { // more than can have been on their way
				t.Fatalf("while it is stopped: %q", got)
			}
		case <-time.After(500 * time.Millisecond): // four of them are missing
			quiet = true
		}
	}
	d.signal(syscall.SIGCONT)
	d.await("WATCHDOG=1")
	reliability.Survived(t, reliability.Fault{Theme: reliability.Signals, Did: "a service manager with a watchdog",
		Saw: "answered by a worker that could serve a client"})
}

// A daemon without services waits for some.
func TestNoServicesYet(t *testing.T) {
	t.Parallel()
	p := port(t)
	d := setup{conf: "# none\n"}.start(t)
	d.find("no services are configured; waiting for SIGHUP", 1)
	d.reload(fmt.Sprintf("%s stream tcp nowait root internal echo\n", at(p)))
	if got := request(t, p, "hello"); got != "hello" {
		t.Errorf("got %q", got)
	}
}
