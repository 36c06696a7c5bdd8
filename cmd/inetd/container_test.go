package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"goinetd/inetd/reliability"
)

// asInit runs a daemon as PID 1 of a pid namespace, as in a container.
var asInit = []string{"unshare", "-p", "-f", "--kill-child", "--mount-proc"}

// initOf returns the pid that a daemon of asInit has outside.
func initOf(t *testing.T, d *daemonProcess) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(command(t, "pgrep", "-P", strconv.Itoa(d.pid()))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { exec.Command("kill", strconv.Itoa(pid)).Run() }) // unshare ignores SIGTERM while it waits
	return pid
}

// zombies returns the number of a process's children that are zombies.
func zombies(t *testing.T, pid int) (n int) {
	t.Helper()
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		children, _ := os.ReadFile(list)
		for _, child := range strings.Fields(string(children)) {
			stat, _ := os.ReadFile("/proc/" + child + "/stat")
			if _, rest, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(rest, "Z") {
				n++
			}
		}
	}
	return n
}

// As PID 1 the daemon collects what others leave behind, as fast as it comes,
// and loses no status of its own programs over that. It wakes up for nothing
// else.
func TestOrphansOfPID1(t *testing.T) {
	// Serial: counts wake-ups.
	need(t, "root", "unshare", "pgrep")
	p := port(t)
	// Two orphans for each connection, which end after their parent.
	leave := script(t, "(sleep 0.05; exit 3) >/dev/null 2>&1 </dev/null &\n(sleep 0.06) >/dev/null 2>&1 </dev/null &\nexit 7")
	d := setup{conf: fmt.Sprintf("%s stream tcp nowait.0 nobody %s leave\n", at(p), leave), flags: []string{"-l"}, before: asInit}.start(t)
	pid := initOf(t, d)
	var clients sync.WaitGroup
	const each, atOnce = 100, 4
	for range atOnce {
		clients.Go(func() {
			for range each {
				request(t, p, "")
			}
		})
	}
	done := make(chan struct{})
	go func() {
		clients.Wait()
		close(done)
	}()
	most := 0
	for look := time.Tick(50 * time.Millisecond); done != nil; {
		select {
		case <-done:
			done = nil
		case <-look:
			most = max(most, zombies(t, pid))
		}
	}
	if most > 50 && !racing { // which makes the daemon some times slower
		t.Errorf("%d zombies at one time", most)
	}
	d.find(`EXIT: \d+ status=7 `, each*atOnce)
	for began := time.Now(); zombies(t, pid) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("%d zombies are left", zombies(t, pid))
		}
	}
	if racing || portable {
		return
	}
	time.Sleep(2 * time.Second) // as in TestIdle
	before := switches(t, pid)
	time.Sleep(3 * time.Second) // the time that is measured
	if n := switches(t, pid) - before; n != 0 {
		t.Errorf("%d wake-ups in three idle seconds", n)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Hosts, Did: "800 orphans of 400 programs, as PID 1",
		Saw: "served", Lost: "nothing: at most 50 zombies at a look, every status of its own", Log: "EXIT: N status=7 pid=N duration=N(sec)"})
}

// Where the host allows too little for a start, one line says what it is and
// how it is raised, and no traceback of Go's does.
func TestSmallLimits(t *testing.T) {
	t.Parallel()
	need(t, "root", "prlimit", "setpriv")
	asShipped(t)
	user := lonely(t)
	asUser := []string{"setpriv", "--reuid=" + user, "--regid=" + user, "--clear-groups", "prlimit"}
	cases := []struct {
		before []string
		want   string
	}{
		{[]string{"prlimit", "--nofile=5"}, `^inetd: the limit of open files is 5, and at least 20 are needed: raise it \(.*\)\n$`},
		{append(asUser, "--nproc=7"), `^inetd: the limit of processes of uid ` + user + ` is 7 with \d+ in use, and the daemon needs \d+ more threads: raise it \(.*\)\n$`},
	}
	for _, mount := range []string{"/sys/fs/cgroup/pids", "/sys/fs/cgroup"} {
		dir := fmt.Sprintf("%s/inetd-test-%d", mount, os.Getpid())
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { os.Remove(dir) })
		if os.WriteFile(dir+"/pids.max", []byte("7"), 0o644) == nil {
			cases = append(cases, struct {
				before []string
				want   string
			}{[]string{"sh", "-c", "echo $$ >" + dir + "/cgroup.procs; exec \"$@\"", "sh"},
				`^inetd: ` + dir + `/pids\.max is 7 with \d+ in use, and the daemon needs \d+ more threads: raise it \(.*\)\n$`})
			break
		}
	}
	conf := write(t, folder(t)+"/inetd.conf", "", 0o644)
	for _, c := range cases {
		args := append(c.before, built.inetd, "-i", conf)
		cmd := exec.Command(args[0], args[1:]...)
		out, _ := cmd.CombinedOutput()
		if !regexp.MustCompile(c.want).Match(out) || cmd.ProcessState.ExitCode() != 1 {
			t.Errorf("%s: status %d, says %s", c.before, cmd.ProcessState.ExitCode(), out)
		}
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Hosts, Did: "a start with 5 descriptors, 7 processes, or 7 pids in its cgroup",
		Saw: "no traceback, status 1", Lost: "the start", Log: "the limit of open files is 5, and at least 20 are needed: raise it (ulimit -Hn, LimitNOFILE= of the unit)"})
}

// pidOf returns the pid of the inetd with an argument.
func pidOf(t *testing.T, arg string) int {
	t.Helper()
	list, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range list {
		text, _ := os.ReadFile(path)
		if args := strings.Split(string(text), "\x00"); slices.Contains(args, arg) && filepath.Base(args[0]) == "inetd" {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			return pid
		}
	}
	t.Fatalf("no inetd with %s", arg)
	return 0
}

// What nobody asked for does not stop a start in the background: there is no
// /proc, /dev/null or /dev/log, and the default pidfile cannot be written. The
// end waits for none of it.
func TestBareHost(t *testing.T) {
	t.Parallel()
	need(t, "root", "unshare", "mount")
	for _, run := range []string{"mount -t tmpfs -o ro none /run", "mount -t tmpfs none /run; mkdir /run/inetd.pid"} {
		p := port(t)
		conf := write(t, folder(t)+"/inetd.conf", fmt.Sprintf("%s stream tcp nowait nobody /bin/echo echo fine\n", at(p)), 0o644)
		// The shell is PID 1: with it everything in the namespace ends.
		cmd := exec.Command("unshare", "-m", "-p", "-f", "--kill-child", "sh", "-c",
			run+`; mount -t tmpfs none /dev; mount -t tmpfs none /proc; PATH=$1:$PATH; inetd "$2" 2>&1; echo "status $?"; read end`, "sh", filepath.Dir(built.inetd), conf)
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		for lines := bufio.NewScanner(stdout); !strings.Contains(said.String(), "status ") && lines.Scan(); {
			said.WriteString(lines.Text() + "\n")
		}
		if !regexp.MustCompile(`(^|\n)inetd: pidfile: open /run/inetd\.pid: .*; runs without one \(-p names another file\)\nstatus 0\n$`).MatchString(said.String()) {
			t.Fatalf("%s: it says %q", run, said.String())
		}
		if got := request(t, p, ""); got != "fine\n" {
			t.Errorf("got %q", got)
		}
		pid := pidOf(t, conf)
		began := time.Now()
		command(t, "kill", strconv.Itoa(pid))
		for {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if _, state, _ := strings.Cut(string(stat), ") "); err != nil || strings.HasPrefix(state, "Z") {
				break
			}
			if time.Since(began) > patience {
				t.Fatal("it does not end")
			}
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(began); took > 900*time.Millisecond && !racing { // the race detector sleeps for a second at the end
			t.Errorf("SIGTERM took %v", took)
		}
		stdin.Close()
		cmd.Wait()
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Hosts, Did: "no /proc, no /dev/null, no /dev/log, a read-only /run",
		Saw: "served; SIGTERM ends it at once", Lost: "the pidfile", Log: "pidfile: open /run/inetd.pid: ...; runs without one (-p names another file)"})
}

// A pidfile that was asked for is needed, and so is one that another daemon
// has.
func TestPidfileRequired(t *testing.T) {
	t.Parallel()
	need(t, "root")
	dir := folder(t)
	conf := write(t, dir+"/inetd.conf", fmt.Sprintf("%s stream tcp nowait nobody /bin/echo echo\n", at(port(t))), 0o644)
	cmd := exec.Command(built.inetd, "-p", dir+"/missing/pid", conf)
	out, _ := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "missing/pid: no such file or directory") {
		t.Errorf("status %d, says %s", cmd.ProcessState.ExitCode(), out)
	}
	// The default one, in a mount namespace of its own.
	both := command(t, "unshare", "-m", "-p", "-f", "--kill-child", "--mount-proc", "sh", "-c",
		`mount -t tmpfs none /run; "$1" "$2" 2>&1; echo "first $?"; "$1" "$2" 2>&1; echo "second $?"`, "sh", built.inetd, conf)
	if !regexp.MustCompile(`(?s)first 0\n.*an inetd runs already: .*second 1\n$`).MatchString(both) {
		t.Errorf("two of them: %s", both)
	}
}

// A log file that is a name of one of our own descriptors is that descriptor,
// which no open(2) can have: a socket, and a pipe of another user. It stays at
// a reload. A descriptor that the daemon was not started with is no log.
func TestLogToOwnDescriptor(t *testing.T) {
	t.Parallel()
	need(t, "root", "setpriv")
	p, q, r := port(t), port(t), port(t)
	service := func(port int, log string) string {
		return fmt.Sprintf("service s%d\n{\n type = UNLISTED\n protocol = tcp\n socket_type = stream\n port = %d\n bind = 127.0.0.1\n wait = no\n user = %s\n server = /bin/echo\n server_args = fine\n log_type = FILE %s\n log_on_success = PID\n}\n",
			port, port, "nobody", log)
	}
	dir := folder(t)
	conf := write(t, dir+"/xinetd.conf", service(p, "/dev/stdout")+service(q, "/dev/fd/3")+service(r, "/dev/fd/6"), 0o644)
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	pipe, end, err := os.Pipe() // root's
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	user := lonely(t)
	cmd := exec.Command("setpriv", "--reuid="+user, "--regid="+user, "--clear-groups", built.inetd, "-i", conf)
	cmd.Stdout, cmd.ExtraFiles = theirs, []*os.File{end}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	end.Close()
	defer cmd.Wait()
	defer cmd.Process.Signal(syscall.SIGTERM)
	messages := bufio.NewScanner(stderr)
	until := func(text string) {
		for messages.Scan() {
			if strings.Contains(messages.Text(), text) {
				return
			}
		}
		t.Fatalf("no %q", text)
	}
	onSocket, onPipe := bufio.NewScanner(ours), bufio.NewScanner(pipe)
	for i := range 2 {
		if i == 1 {
			cmd.Process.Signal(syscall.SIGHUP)
		}
		until("configuration read: 3 services")
		request(t, p, "")
		if !onSocket.Scan() || !strings.Contains(onSocket.Text(), fmt.Sprintf("START: s%d pid=", p)) {
			t.Errorf("the socket has %q", onSocket.Text())
		}
		request(t, q, "")
		if !onPipe.Scan() || !strings.Contains(onPipe.Text(), fmt.Sprintf("START: s%d pid=", q)) {
			t.Errorf("the pipe has %q", onPipe.Text())
		}
	}
	request(t, r, "")
	until("log /dev/fd/6: bad file descriptor; its lines are lost")
	reliability.Survived(t, reliability.Fault{Theme: reliability.Hosts, Did: "a log to /dev/stdout that is a socket, and to another user's pipe",
		Saw: "served", Lost: "nothing: every line"})
}
