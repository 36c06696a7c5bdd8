package spawn

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A starter is one of the ways to start a program, which returns when the
// exec is over.
type starter func(im *Image, fd int) (Process, error)

func byStart(im *Image, fd int) (Process, error) { return im.Start(fd, new(Scratch)) }

func byFork(im *Image, fd int) (Process, error) {
	f, err := im.Fork(fd, new(Scratch))
	if err != nil || f.Report < 0 {
		return f.Process, err
	}
	defer f.Close()
	for {
		unix.Poll([]unix.PollFd{{Fd: int32(f.Report), Events: unix.POLLIN}}, -1)
		if err, done := f.Result(); done {
			return f.Process, err
		}
	}
}

// run starts a program and returns what it writes and how it ends.
func run(t *testing.T, w *Attr, path string, args ...string) (string, unix.WaitStatus, error) {
	t.Helper()
	return runBy(byStart, t, w, path, args...)
}

func runBy(start starter, t *testing.T, w *Attr, path string, args ...string) (string, unix.WaitStatus, error) {
	t.Helper()
	im, err := w.Prepare(path, args)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ourEnd := os.NewFile(uintptr(pair[0]), "ours")
	defer ourEnd.Close()
	p, err := start(im, pair[1])
	unix.Close(pair[1])
	if err != nil {
		return "", 0, err
	}
	text, err := io.ReadAll(ourEnd)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), p.wait(), nil
}

// A client whose descriptor is the last that RLIMIT_NOFILE allows is served, be
// it after others have ended.
func TestLastDescriptor(t *testing.T) {
	im, err := new(Attr).Prepare("/bin/echo", []string{"echo"})
	if err != nil {
		t.Fatal(err)
	}
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Setrlimit(unix.RLIMIT_NOFILE, &before) })
	const last = 99
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if err := unix.Dup3(int(null.Fd()), last, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(last)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: last + 1, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	p, err := byStart(im, last)
	if err != nil {
		t.Fatal(err)
	}
	p.wait()
}

// Each step that fails is named, with its errno, and leaves no child behind.
func TestStepErrors(t *testing.T) {
	text := t.TempDir() + "/text"
	os.WriteFile(text, []byte("words\n"), 0o755)
	for _, c := range []struct {
		attrs Attr
		path  string
		want  string
		errno syscall.Errno
	}{
		{Attr{}, "/nonexistent/program", "exec /nonexistent/program: no such file or directory", syscall.ENOENT},
		{Attr{}, "/etc/passwd", "exec /etc/passwd: permission denied", syscall.EACCES},
		{Attr{}, text, "exec " + text + ": exec format error", syscall.ENOEXEC},
		{Attr{Dir: "/nonexistent"}, "/bin/true", "", syscall.ENOENT},
	} {
		for _, start := range []starter{byStart, byFork} {
			_, _, err := runBy(start, t, &c.attrs, c.path, "x")
			var e *StepError
			if !errors.As(err, &e) || e.Errno != c.errno || !strings.HasPrefix(err.Error(), c.want) || e.Temporary() {
				t.Errorf("%s: %v, want %s (%v)", c.path, err, c.want, c.errno)
			}
		}
	}
	if out, status, err := runBy(byFork, t, &Attr{}, "/bin/echo", "echo", "forked"); out != "forked\n" || status != 0 || err != nil {
		t.Errorf("%q, %v, %v", out, status, err)
	}
	if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("a child is left: %d, %v", pid, err)
	}
}

// The connection's variables follow those that all programs share.
func TestEnvironment(t *testing.T) {
	env, err := NewEnv([]string{"A=1", "B=two words"})
	if err != nil {
		t.Fatal(err)
	}
	im, err := (&Attr{Env: env}).Prepare("/usr/bin/env", []string{"env"})
	if err != nil {
		t.Fatal(err)
	}
	var s Scratch
	for _, who := range []string{"first", "a second one that is longer"} {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		s.Reset()
		s.Done(append(s.Var("WHO"), who...))
		s.Done(append(s.Var("EMPTY"), ""...))
		p, err := im.Start(pair[1], &s)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(pair[1])
		ourEnd := os.NewFile(uintptr(pair[0]), "ours")
		got, _ := io.ReadAll(ourEnd)
		ourEnd.Close()
		p.wait()
		if want := "A=1\nB=two words\nWHO=" + who + "\nEMPTY=\n"; string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if _, err := NewEnv([]string{"A=\x00"}); err == nil {
		t.Error("a NUL is accepted")
	}
}

// Many threads start many programs, and every exit comes with its tag.
func TestChildren(t *testing.T) {
	c, err := NewChildren[int]()
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	seen := map[int]int{}
	const workers, each = 4, 100
	all := make(chan struct{})
	go c.Reap(func(e Exit, tag int) {
		mu.Lock()
		defer mu.Unlock()
		seen[tag] = e.Status.ExitStatus()
		if len(seen) == workers*each {
			close(all)
		}
	})
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	var attrs Attr
	if _, err := attrs.Prepare("/bin/true", []string{"true"}); err != nil { // the world is shared from here on
		t.Fatal(err)
	}
	var started sync.WaitGroup
	for w := range workers {
		started.Go(func() {
			var s Scratch
			for i := range each {
				tag := w*each + i
				im, err := attrs.Prepare("/bin/sh", []string{"sh", "-c", fmt.Sprintf("exit %d", tag%200)})
				if err != nil {
					t.Error(err)
					return
				}
				p, err := im.Start(null, &s)
				if err != nil {
					t.Error(err)
					return
				}
				c.Add(p, tag)
			}
		})
	}
	started.Wait()
	select {
	case <-all:
	case <-time.After(time.Minute):
		t.Fatalf("%d of %d exits", len(seen), workers*each)
	}
	for tag, status := range seen {
		if status != tag%200 {
			t.Errorf("program %d ended with %d", tag, status)
		}
	}
	if n := c.Len(); n != 0 {
		t.Errorf("%d left in the table", n)
	}
}

func TestAccounts(t *testing.T) {
	a := NewAccounts()
	root, err := a.Lookup("root", "")
	if err != nil || root.UID != 0 || root.GID != 0 || len(root.Groups) == 0 {
		t.Errorf("%+v, %v", root, err)
	}
	number, err := a.Lookup("4242", "4343")
	if err != nil || number.UID != 4242 || number.GID != 4343 || fmt.Sprint(number.Groups) != "[4343]" {
		t.Errorf("%+v, %v", number, err)
	}
	for _, invalid := range []string{"nosuchuser", "-1", "4294967295", "", "-n", "a:b", "+0", " 0"} {
		if got, err := a.Lookup(invalid, ""); err == nil {
			t.Errorf("%q: %+v", invalid, got)
		}
		if got, err := a.GroupID(invalid); err == nil {
			t.Errorf("group %q: %d", invalid, got)
		}
	}
	// what getent says of a user, as of one that is in a directory only
	if lines, _ := getent("passwd", "root"); len(lines) != 1 || !strings.HasPrefix(lines[0], "root:") {
		t.Errorf("getent says %q", lines)
	}
}

// A child that lives on costs the reaper nothing until it ends: it gets a
// pidfd after some tries. With many children on an old kernel it gets one at
// once.
func TestYoung(t *testing.T) {
	im, err := new(Attr).Prepare("/bin/cat", []string{"cat"})
	if err != nil {
		t.Fatal(err)
	}
	for _, old := range []bool{false, true} {
		c, err := NewChildren[int]()
		if err != nil {
			t.Fatal(err)
		}
		tries := youngTries
		if old {
			defer func(f func() bool) { findsQuickly = f }(findsQuickly)
			findsQuickly = func() bool { return false }
			for i := range maxYoungLive {
				c.live[-i] = entry[int]{}
			}
			tries = 0
		}
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		p, err := im.Start(pair[1], new(Scratch))
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(pair[1])
		exits := make(chan Exit, 1)
		ended := func(e Exit, _ int) { exits <- e }
		c.Add(p, 1)
		for i := range tries {
			if c.timeout() != 1 || len(c.live) > 0 {
				t.Fatalf("after %d tries it is watched", i)
			}
			c.reapYoung(ended)
		}
		if c.timeout() != -1 || c.live[p.PID].pidfd < 0 {
			t.Errorf("old kernel %v: %+v after %d tries", old, c.live[p.PID], tries)
		}
		go c.Reap(ended)
		unix.Close(pair[0])
		if e := <-exits; e.PID != p.PID || !e.HasStatus || e.Status != 0 {
			t.Errorf("%+v", e)
		}
	}
}

// Where too many descriptors are in use a child gets no pidfd, and its exit is
// seen all the same.
func TestNoPidfd(t *testing.T) {
	c, err := NewChildren[int]()
	if err != nil {
		t.Fatal(err)
	}
	c.maxPidfd = 0
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	c.Add(Existing(pid), 1)
	if _, polled := c.polled[pid]; !polled || c.live[pid].pidfd != -1 || c.timeout() != 100 {
		t.Errorf("it is not polled: %+v", c.live[pid])
	}
	exits := make(chan Exit, 1)
	go c.Reap(func(e Exit, _ int) { exits <- e })
	in.Close()
	if e := <-exits; e.PID != pid || !e.HasStatus || e.Status != 0 {
		t.Errorf("%+v", e)
	}
}

// As PID 1 the reaper collects children that are not in the table: orphans,
// and children of our own that end before they get there, whose status Add
// still finds.
func TestOrphans(t *testing.T) {
	c, err := NewChildren[string]()
	if err != nil {
		t.Fatal(err)
	}
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	start := func(status int) Process {
		im, err := new(Attr).Prepare("/bin/sh", []string{"sh", "-c", fmt.Sprint("exit ", status)})
		if err != nil {
			t.Fatal(err)
		}
		p, err := im.Start(null, new(Scratch))
		if err != nil {
			t.Fatal(err)
		}
		var info unix.Siginfo
		if err := unix.Waitid(unix.P_PID, p.PID, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
			t.Fatal(err)
		}
		return p
	}
	exits := map[string]Exit{}
	ended := func(e Exit, tag string) { exits[tag] = e }
	known, early, orphan := start(3), start(4), start(5)
	c.Add(known, "known") // it stands before the others in the kernel's list
	c.reapOrphans(ended)
	if err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != unix.ECHILD {
		t.Errorf("a child is left: %v", err)
	}
	if e := exits["known"]; e.Status.ExitStatus() != 3 || !e.HasStatus {
		t.Errorf("the child in the table: %+v", e)
	}
	c.Add(early, "early")
	c.reapYoung(ended)
	if n := c.Len(); n != 0 {
		t.Errorf("%d children stay in the table", n)
	}
	if e := exits["early"]; e.Status.ExitStatus() != 4 || !e.HasStatus {
		t.Errorf("the child that came into the table late: %+v", e)
	}
	c.orphans.renewed = time.Time{}
	for range 2 { // a status is kept for two periods at most
		c.orphans.keep(1<<30, 0)
		c.orphans.renewed = time.Time{}
	}
	if _, ok := c.orphans.take(orphan.PID); ok {
		t.Error("statuses are kept for ever")
	}
}

// A process is exiting from its end on until it has been reaped, and not
// before.
func TestExiting(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	if Exiting(pid) {
		t.Error("a program that runs is exiting")
	}
	in.Close()
	var info unix.Siginfo
	for unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	if !Exiting(pid) {
		t.Error("a zombie is not exiting")
	}
	cmd.Wait()
	if !Exiting(pid) {
		t.Error("a process that is gone is not exiting")
	}
}
