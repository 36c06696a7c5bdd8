package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/inetd/reliability"
)

// A service whose program is traced by its own child has ended and cannot be
// collected; that keeps nobody else from being.
func TestTracedProgram(t *testing.T) {
	t.Parallel()
	need(t, "root", "cc")
	dir := folder(t)
	p, q := port(t), port(t)
	name := fmt.Sprint("traced", p) // nothing else on this host has it
	if err := compile("testdata/traced.c", dir+"/"+name); err != nil {
		t.Fatal(err)
	}
	d := setup{conf: fmt.Sprintf("%s stream tcp nowait nobody %s/%s traced\n%s stream tcp nowait/1 nobody /bin/echo echo next\n", at(p), dir, name, at(q)), flags: []string{"-l"}}.start(t)
	t.Cleanup(func() { exec.Command("pkill", "-KILL", "-x", name).Run() })
	c := dial(t, p)
	buf := make([]byte, len("traced"))
	if _, err := io.ReadFull(c, buf); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := request(t, q, ""); got != "next\n" {
			t.Errorf("got %q", got)
		}
	}
	d.find(fmt.Sprintf(`EXIT: %d `, q), 3)
	exec.Command("pkill", "-KILL", "-x", name).Run()
	d.find(fmt.Sprintf(`EXIT: %d `, p), 1)
	reliability.Survived(t, reliability.Fault{Theme: reliability.Starts, Did: "a program that ended and is held by a tracer of its own",
		Saw: "others are served, and their ends seen"})
}

// A client that is refused learns of it at once, and its connection stays
// until it has: only then can nothing that was said to it be lost.
func TestRefusedClientIsDrained(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p := port(t)
	d := setup{conf: fmt.Sprintf("%s stream tcp nowait nobody /nonexistent/x x\n", at(p))}.start(t)
	c := dial(t, p)
	if got := readAll(t, c); got != "" {
		t.Errorf("got %q", got)
	}
	d.find(`FAIL: `, 1)
	// The daemon's end of the connection has an inode for as long as the
	// daemon has it open (proc(5)).
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	ends := fmt.Sprintf("0100007F:%04X 0100007F:%04X", p, c.LocalAddr().(*net.TCPAddr).Port)
	open := slices.ContainsFunc(strings.Split(string(table), "\n"), func(line string) bool {
		f := strings.Fields(line)
		return len(f) > 9 && f[1]+" "+f[2] == ends && f[9] != "0"
	})
	if !open {
		t.Error("the daemon has closed the connection of a client that has not gone")
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Clients, Did: "refused clients that go on sending",
		Saw: "the banner whole, and no reset"})
}

// A limit of starts counts clients, not workers that woke up for one.
func TestLimitCountsClients(t *testing.T) {
	t.Parallel()
	need(t, "root")
	for range 10 {
		p := port(t)
		d := setup{conf: fmt.Sprintf("%s stream tcp nowait.2 nobody /bin/echo echo fine\n", at(p))}.start(t)
		for range 2 {
			if got := request(t, p, ""); got != "fine\n" {
				t.Fatalf("got %q\n%s", got, d.text())
			}
		}
		d.signal(syscall.SIGUSR1)
		d.find(`STATE: end`, 1)
		if strings.Contains(d.text(), "looping") {
			t.Fatalf("two clients of two are a loop:\n%s", d.text())
		}
		d.stop()
	}
}

// A link in the place of a Unix socket is not followed by root, and a socket
// that was removed is bound anew.
func TestUnixSocketReplaced(t *testing.T) {
	t.Parallel()
	need(t, "root")
	dir := folder(t)
	victim := write(t, dir+"/victim", "secret", 0o600)
	conf := fmt.Sprintf("%s/x stream unix nowait root /bin/echo echo here\n", dir)
	d := setup{conf: conf}.start(t)
	os.Remove(dir + "/x")
	os.Symlink(victim, dir+"/x")
	d.reload(conf)
	if info, _ := os.Stat(victim); info.Mode().Perm() != 0o600 {
		t.Errorf("the file behind the link has mode %o now", info.Mode().Perm())
	}
	os.Remove(dir + "/x")
	d.reload(conf)
	d.find(`was deleted: opened again`, 1)
	c, err := net.Dial("unix", dir+"/x")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := readAll(t, c); got != "here\n" {
		t.Errorf("got %q", got)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Hosts, Did: "a Unix socket's file that is replaced by a link, and deleted",
		Saw: "served on a new file after a reload; what the link names is not touched", Log: "/x was deleted: opened again"})
}

// Programs whose exec hangs, as on a file system that does not answer, hang
// alone, however many there are: other clients are served by programs,
// builtins and redirects, and the daemon reloads and ends.
func TestExecHangs(t *testing.T) {
	for _, clients := range []int{1, 8} {
		t.Run(fmt.Sprint(clients), func(t *testing.T) { testExecHangs(t, clients) })
	}
}

func testExecHangs(t *testing.T, clients int) {
	t.Parallel()
	need(t, "root")
	if portable {
		t.Skip("syscall.ForkExec does not say which child it waits for")
	}
	dir := folder(t)
	true_, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	stuck := write(t, dir+"/stuck", string(true_), 0o755)
	watch := block(t, stuck, unix.FAN_OPEN_EXEC_PERM)
	defer watch.Close()
	p, q, echo, forward, hidden := port(t), port(t), port(t), port(t), port(t)
	conf := fmt.Sprintf(`
[service.stuck]
listen = "tcp:%s"
user = "nobody"
server = "%s"
[service.hidden]
listen = "tcp:%s"
user = "nobody"
server = "%s"
[service.fine]
listen = "tcp:%s"
user = "nobody"
server = "/bin/echo"
server_args = ["fine"]
[service.echo]
type = "INTERNAL"
listen = "tcp:%s"
[service.forward]
listen = "tcp:%s"
user = "nobody"
redirect = "%s"
`, at(p), stuck, at(hidden), stuck, at(q), at(echo), at(forward), at(echo))
	d := setup{conf: conf, flags: []string{"-l", "-f", "toml"}}.start(t)
	for i := range clients {
		dial(t, []int{p, hidden}[i%2])
	}
	if _, err := watch.Read(make([]byte, unix.FAN_EVENT_METADATA_LEN)); err != nil { // an exec has come so far, and waits
		t.Fatal(err)
	}
	d.find(`has not executed its program after`, 1)
	for range 3 {
		d.reload(conf) // collects garbage
		for _, c := range []struct {
			port       int
			send, want string
		}{{q, "", "fine\n"}, {echo, "e", "e"}, {forward, "f", "f"}} {
			if got := request(t, c.port, c.send); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		}
	}
	d.signal(syscall.SIGTERM)
	d.find(`stopped listening`, 1)
	watch.Close() // a thread in a vfork is not to be killed before its child goes on
	if clients > 1 {
		reliability.Survived(t, reliability.Fault{Theme: reliability.Starts, Did: fmt.Sprintf("%d programs whose exec hangs, on any number of cores (a file system that does not answer)", clients),
			Saw: "other programs, builtins and redirects serve; SIGHUP and SIGTERM work", Log: "pid N has not executed its program after 100ms: ...; clients of stuck wait, other services are not affected"})
	}
}

// block has everybody wait who opens a file, or executes it, until what it
// returns is closed.
func block(t *testing.T, path string, events uint64) *os.File {
	t.Helper()
	group, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC, unix.O_RDONLY)
	if err != nil {
		lacking(t, fmt.Sprintf("fanotify (%v)", err))
	}
	watch := os.NewFile(uintptr(group), "fanotify")
	if err := unix.FanotifyMark(group, unix.FAN_MARK_ADD, events, unix.AT_FDCWD, path); err != nil {
		lacking(t, fmt.Sprintf("a kernel with fanotify's permission events (%v)", err))
	}
	return watch
}

// A file system that does not answer when the configuration is read delays the
// other services by two seconds, and no more.
func TestSlowFile(t *testing.T) {
	t.Parallel()
	need(t, "root")
	dir := folder(t)
	conf := ""
	for _, name := range []string{"one", "two", "three"} {
		file := write(t, dir+"/"+name, "#!/bin/sh\n", 0o755)
		defer block(t, file, unix.FAN_OPEN_PERM).Close()
		conf += fmt.Sprintf("%s stream tcp nowait nobody %s x\n", at(port(t)), file)
	}
	q := port(t)
	d := setup{conf: conf + fmt.Sprintf("%s stream tcp nowait nobody /bin/echo echo fine\n", at(q))}.start(t)
	d.find(`its files could not be looked at within 2s`, 1)
	if got := request(t, q, ""); got != "fine\n" {
		t.Errorf("got %q", got)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Starts, Did: "files that cannot be opened while the configuration is read",
		Saw: "other services start 2 s later", Log: "x: its files could not be looked at within 2s"})
}

// leased returns a program whose exec waits until the returned file is closed,
// because that has a lease on it (fcntl(2)).
func leased(t *testing.T) (path string, holder *os.File) {
	t.Helper()
	program, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	holder, err = os.OpenFile(write(t, folder(t)+"/leased", string(program), 0o755), os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { holder.Close() })
	signal.Ignore(unix.SIGIO) // asks for the lease back
	if _, err := unix.FcntlInt(holder.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		lacking(t, fmt.Sprintf("a file system with leases (%v)", err))
	}
	return holder.Name(), holder
}

// startTimeout is the default of start_timeout.
const startTimeout = 10 * time.Second

// An upgrade ends starts that hang, and leaves nothing of them. While they
// hang, the connections of other clients end.
func TestUpgradeWhileStartsHang(t *testing.T) {
	t.Parallel()
	need(t, "root")
	if portable {
		t.Skip("syscall.ForkExec does not say which child it waits for")
	}
	program, _ := leased(t)
	p, hidden, q, echo := port(t), port(t), port(t), port(t)
	d := setup{flags: []string{"-l"}, conf: fmt.Sprintf("%s stream tcp nowait nobody %s x\n%s stream tcp nowait nobody %s x\n%s stream tcp nowait nobody /bin/echo echo fine\n%s stream tcp nowait root internal echo\n",
		at(p), program, at(hidden), program, at(q), at(echo))}.start(t)
	before := d.count("fd")
	other := dial(t, echo)
	io.WriteString(other, "x")
	if _, err := io.ReadFull(other, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	dial(t, p)
	d.find(`has not executed its program after`, 1)
	dial(t, hidden) // is forked
	d.find(`has not executed its program after`, 2)
	other.CloseWrite()
	other.SetDeadline(time.Now().Add(startTimeout / 2))
	if _, err := other.Read(make([]byte, 1)); err != io.EOF { // a child that hangs has no copy of its connection
		t.Errorf("the end of another client's connection: %v", err)
	}
	d.signal(syscall.SIGUSR2)
	d.await("RELOADING=1")
	d.await("READY=1")
	if got := request(t, q, ""); got != "fine\n" {
		t.Errorf("got %q", got)
	}
	d.idle(before)
	reliability.Survived(t, reliability.Fault{Theme: reliability.Signals, Did: "an upgrade while starts hang",
		Saw: "refused, but for those of other services", Lost: "the starts that hang"})
}

// A program that cannot be executed in time is refused, and its service goes
// on: here its owner holds a lease on its file (fcntl(2)), so that the exec
// waits for lease-break-time.
func TestStartTimeout(t *testing.T) {
	t.Parallel()
	need(t, "root")
	if portable {
		t.Skip("syscall.ForkExec does not say which child it waits for")
	}
	program, file := leased(t)
	p, q := port(t), port(t)
	conf := fmt.Sprintf(`
[service.leased]
listen = "tcp:%s"
user = "nobody"
server = "%s"
start_timeout = "300ms"
[service.fine]
listen = "tcp:%s"
user = "nobody"
server = "/bin/echo"
server_args = ["fine"]
`, at(p), program, at(q))
	d := setup{conf: conf, flags: []string{"-l", "-f", "toml"}}.start(t)
	for range 3 { // the first by vfork, the others by fork
		if got := request(t, p, ""); got != "" {
			t.Errorf("got %q", got)
		}
		if got := request(t, q, ""); got != "fine\n" {
			t.Errorf("got %q", got)
		}
	}
	d.find(`FAIL: leased start_timeout from=127.0.0.1`, 3)
	file.Close() // the lease is given up
	for range 20 {
		request(t, p, "")
	}
	d.find(`EXIT: leased status=0`, 20)
	reliability.Survived(t, reliability.Fault{Theme: reliability.Starts, Did: "a lease on the program's file, so that its exec waits for 45 s",
		Saw: "refused after start_timeout (default 10 s); others served meanwhile; served once the lease is gone", Log: "FAIL: leased start_timeout from=127.0.0.1"})
}
