package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
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
	if most > 50 {
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
}
