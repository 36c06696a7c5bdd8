package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"goinetd/inetd/reliability"
)

// A log file that cannot be written, whatever it is, costs its lines and
// nothing else, and that is said once.
func TestLogFileKinds(t *testing.T) {
	t.Parallel()
	need(t, "root")
	dir := folder(t)
	for _, name := range []string{"fifo", "read"} {
		if err := unix.Mkfifo(dir+"/"+name, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	reader, err := os.OpenFile(dir+"/read", os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	os.Mkdir(dir+"/directory", 0o755)
	socket, err := net.Listen("unix", dir+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	write(t, dir+"/target", "", 0o644)
	os.Symlink(dir+"/target", dir+"/link")
	const lines, either = "", "too many levels of symbolic links" // every line is had; that, or it is said
	logs := []struct{ path, said string }{
		{dir + "/fifo", "no such device or address"},
		{dir + "/read", lines},
		{dir + "/directory", "is a directory"},
		{"/dev/full", "no space left on device"},
		{dir + "/missing/log", "no such file or directory"},
		{dir + "/socket", "no such device or address"},
		{dir + "/link", either},
		{"/proc/self/mem", "input/output error"}, // address 0, where nothing can be written
		{dir + "/file", lines},
	}
	conf := ""
	var ports []int
	for _, l := range logs {
		p := port(t)
		ports = append(ports, p)
		conf += entry(p, "server = /bin/echo", "server_args = fine", "log_type = FILE "+l.path)
	}
	d := setup{conf: conf}.start(t)
	const clients = 30
	for range clients {
		for i, l := range logs {
			if got := request(t, ports[i], ""); got != "fine\n" {
				t.Errorf("with a log to %s: %q", l.path, got)
			}
		}
	}
	d.signal(syscall.SIGTERM)
	d.awaitEnd()
	for i, l := range logs {
		n := strings.Count(d.text(), l.path+": "+l.said)
		if l.said == either && n == 0 {
			l.said = lines
		}
		if l.said == lines && n > 0 || l.said != lines && n != 1 {
			t.Errorf("%s (%s): said %d times:\n%s", l.path, l.said, n, d.text())
		}
		if l.said == lines {
			text := make([]byte, 1<<16)
			from := reader
			if l.path != dir+"/read" {
				if from, err = os.Open(l.path); err != nil {
					t.Fatal(err)
				}
				defer from.Close()
			}
			k, _ := from.Read(text)
			if n := strings.Count(string(text[:k]), fmt.Sprintf("START: s%d ", ports[i])); n != clients {
				t.Errorf("%s has %d lines of %d", l.path, n, clients)
			}
		}
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Hosts, Did: "a log file that is a FIFO with or without a reader, a directory, /dev/full, /proc/self/mem (EIO), a socket, a link, or in a folder that is missing",
		Saw: "served", Lost: "lines that cannot be written, which is said once", Log: "log /x/missing/log: no such file or directory; its lines are lost"})
}

// A pidfile that is something else is not touched, and the start says why it
// cannot be ours; what a daemon left behind is taken.
func TestPidfileKinds(t *testing.T) {
	t.Parallel()
	need(t, "root")
	dir := folder(t)
	conf := write(t, dir+"/inetd.conf", fmt.Sprintf("%s stream tcp nowait nobody /bin/echo echo\n", at(port(t))), 0o644)
	victim := write(t, dir+"/victim", "12345 is not ours\n", 0o644)
	os.Symlink(victim, dir+"/link")
	os.Symlink(dir+"/nothing", dir+"/dangling")
	if err := unix.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	os.Mkdir(dir+"/folder", 0o755)
	socket, err := net.Listen("unix", dir+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	locked, err := os.Create(dir + "/locked")
	if err != nil {
		t.Fatal(err)
	}
	defer locked.Close()
	if err := unix.FcntlFlock(locked.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, said string }{
		{"/dev/full", "no space left on device"},
		{"/dev/null", "invalid argument"},
		{dir + "/link", "too many levels of symbolic links"},
		{dir + "/dangling", "too many levels of symbolic links"},
		{dir + "/fifo", "illegal seek"},
		{dir + "/folder", "is a directory"},
		{dir + "/missing/pid", "no such file or directory"},
		{dir + "/socket", "no such device or address"},
		{dir + "/locked", "an inetd runs already: another process holds"},
	} {
		before, _ := os.Lstat(c.path)
		cmd := exec.Command(built.inetd, "-p", c.path, conf)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(string(out), c.path) || !strings.Contains(string(out), c.said) {
			t.Errorf("%s: status %d, says %s", c.path, code, out)
		}
		after, _ := os.Lstat(c.path)
		if before != nil && (after == nil || before.Mode() != after.Mode() || before.Size() != after.Size()) {
			t.Errorf("%s is another file now", c.path)
		}
	}
	if text, _ := os.ReadFile(victim); string(text) != "12345 is not ours\n" {
		t.Errorf("the file behind a link says %q", text)
	}
	if left, _ := filepath.Glob(dir + "/[nm]*"); len(left) > 0 {
		t.Errorf("made %q", left)
	}
	p := port(t)
	garbage := write(t, dir+"/garbage", strings.Repeat("xyz\x00\n", 1000), 0o644)
	d := setup{conf: fmt.Sprintf("%s stream tcp nowait nobody /bin/echo echo fine\n", at(p)), flags: []string{"-p", garbage}}.start(t)
	if text, _ := os.ReadFile(garbage); string(text) != fmt.Sprintf("%d\n", d.pid()) {
		t.Errorf("the pidfile has %d bytes: %.20q", len(text), text)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Hosts, Did: "a pidfile that is /dev/full, /dev/null, a link, dangling, a FIFO, a folder, a socket, locked, in a folder that is missing, or 5,000 bytes of garbage",
		Saw: "not started, but with the garbage", Lost: "the start; the file is not touched", Log: "pidfile: open /x/pid: too many levels of symbolic links"})
}
