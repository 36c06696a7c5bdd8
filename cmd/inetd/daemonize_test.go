package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"goinetd/inetd/reliability"
)

// inBackground starts an inetd as people do, and returns its pid.
func inBackground(t *testing.T, conf string, flags ...string) (pid int, said string) {
	t.Helper()
	dir := folder(t)
	pidfile := dir + "/pid"
	cmd := exec.Command(built.inetd, append(append([]string{"-p", pidfile}, flags...), write(t, dir+"/inetd.conf", conf, 0o644))...)
	out, err := cmd.CombinedOutput() // ends only when the daemon has let go of the pipe
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(pidfile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(pid, syscall.SIGTERM)
		for began := time.Now(); time.Since(began) < patience; time.Sleep(10 * time.Millisecond) {
			if _, err := os.Stat(pidfile); err != nil {
				return
			}
		}
		t.Error("the pidfile stays behind")
	})
	return pid, string(out)
}

// When the process in the foreground has ended, the daemon serves; it has no
// terminal, no folder and nobody's descriptors.
func TestBackground(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p, q := port(t), port(t)
	l, err := exec.LookPath("cat")
	if err != nil {
		t.Fatal(err)
	}
	pid, said := inBackground(t, fmt.Sprintf("%s stream tcp nowait nobody %s cat\n%s stream tcp nowait nosuchuser /bin/cat cat\n", at(p), l, at(q)))
	if got := request(t, p, "served"); got != "served" {
		t.Errorf("got %q", got)
	}
	if !strings.Contains(said, `unknown user "nosuchuser"`) {
		t.Errorf("the problem is not told: %q", said)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, remainder, _ := strings.Cut(string(stat), ") ")
	if f := strings.Fields(remainder); f[3] != strconv.Itoa(pid) || f[4] != "0" {
		t.Errorf("session %s, terminal %s", f[3], f[4])
	}
	if cwd, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); cwd != "/" {
		t.Errorf("runs in %s", cwd)
	}
	for fd := range 3 {
		if to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd)); to != "/dev/null" {
			t.Errorf("descriptor %d is %s", fd, to)
		}
	}
	comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if string(comm) != "inetd\n" {
		t.Errorf("ps calls it %s", comm)
	}
}

// A start in the background that serves nothing yet does not end with 0: the
// daemon says that it runs, and has the port when it is free.
func TestBackgroundPortTaken(t *testing.T) {
	// Serial: a child of another test would have its socket, too, until it execs.
	need(t, "root")
	for _, c := range []struct {
		name   string
		flags  []string
		status int
	}{{"inetd", nil, 75}, {"xinetd", []string{"-stayalive"}, 0}} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p := l.Addr().(*net.TCPAddr).Port
		dir := folder(t)
		if err := os.Symlink(built.inetd, dir+"/"+c.name); err != nil {
			t.Fatal(err)
		}
		args := append(c.flags, "-p", dir+"/pid", write(t, dir+"/inetd.conf", fmt.Sprintf("%s stream tcp nowait nobody /bin/echo echo fine\n", at(p)), 0o644))
		if c.name == "xinetd" {
			args = append(c.flags, "-pidfile", dir+"/pid", "-f", write(t, dir+"/xinetd.conf", fmt.Sprintf("service x\n{\n type = UNLISTED\n bind = 127.0.0.1\n port = %d\n protocol = tcp\n socket_type = stream\n wait = no\n user = nobody\n server = /bin/echo\n server_args = fine\n}\n", p), 0o644))
		}
		cmd := exec.Command(dir+"/"+c.name, args...)
		out, _ := cmd.CombinedOutput()
		text, err := os.ReadFile(dir + "/pid")
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		if want := fmt.Sprintf("%s: serves nothing yet: no port could be opened; pid %d runs on and retries\n", c.name, pid); cmd.ProcessState.ExitCode() != c.status || !strings.HasSuffix(string(out), want) {
			t.Errorf("%s: status %d, says %s", c.name, cmd.ProcessState.ExitCode(), out)
		}
		l.Close()
		for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
			if conn, err := net.Dial("tcp", at(p)); err == nil {
				conn.Close()
				break
			}
			if time.Since(began) > patience {
				t.Errorf("%s: the port is not had", c.name)
				break
			}
		}
		syscall.Kill(pid, syscall.SIGTERM)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Reloads, Did: "a start in the background whose only port is taken",
		Saw: "served when the port is free; the start ends with 75", Log: "serves nothing yet: no port could be opened; pid N runs on and retries"})
}

// A second inetd on a pidfile says who has it, and ends; a pidfile that was
// left behind keeps nobody out.
func TestPidfile(t *testing.T) {
	t.Parallel()
	need(t, "root")
	dir := folder(t)
	pidfile := write(t, dir+"/pid", "1\n", 0o644)
	conf := func(p int) string { return fmt.Sprintf("%s stream tcp nowait nobody /bin/cat cat\n", at(p)) }
	p := port(t)
	d := setup{conf: conf(p), flags: []string{"-p", pidfile}}.start(t)
	if text, _ := os.ReadFile(pidfile); string(text) != fmt.Sprintf("%d\n", d.pid()) {
		t.Errorf("the pidfile says %q, and the pid is %d", text, d.pid())
	}
	second := exec.Command(built.inetd, "-p", pidfile, write(t, dir+"/other.conf", conf(port(t)), 0o644))
	out, _ := second.CombinedOutput()
	if want := fmt.Sprintf("an inetd runs already: pid %d (inetd, user root", d.pid()); second.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), want) {
		t.Errorf("status %d, says %s", second.ProcessState.ExitCode(), out)
	}
	d.stop()
	if _, err := os.Stat(pidfile); err == nil {
		t.Error("the pidfile stays behind")
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Hosts, Did: "a second inetd on the same pidfile; a pidfile that was left behind",
		Saw: "the first serves on; the second does not start, and says who has it", Log: "an inetd runs already: pid N (...) holds /x/pid"})
}

// TERM, INT and QUIT end the daemon at once; its programs finish on their
// own.
func TestEnding(t *testing.T) {
	t.Parallel()
	need(t, "root")
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT} {
		p := port(t)
		d := setup{conf: fmt.Sprintf("%s stream tcp nowait nobody /bin/cat cat\n", at(p))}.start(t)
		c := dial(t, p)
		io.WriteString(c, "x")
		io.ReadFull(c, make([]byte, 1))
		d.await("1 program running") // it runs before it is counted
		d.signal(sig)
		<-d.ended
		d.hasState("STOPPING=1")
		if code := d.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("%v: status %d\n%s", sig, code, d.text())
		}
		d.find(`stopped listening; 1 program still running`, 1)
		io.WriteString(c, "still here")
		c.CloseWrite()
		if got := readAll(t, c); got != "still here" {
			t.Errorf("%v: the running client got %q", sig, got)
		}
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Signals, Did: "SIGTERM, SIGINT and SIGQUIT while programs run",
		Saw: "refused at once; programs that run finish", Log: "SIGTERM: stopped listening; N programs still running"})
}

// hasState looks for a state among those that a daemon reported before it ended.
func (d *daemonProcess) hasState(state string) {
	d.t.Helper()
	for {
		select {
		case got := <-d.states:
			if strings.Contains(got, state) {
				return
			}
		case <-time.After(patience):
			d.t.Fatalf("never reported %s", state)
		}
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	wrong := write(t, folder(t)+"/x", "127.0.0.1:7 stream tcp nowait nosuchuser /bin/cat cat\n", 0o644)
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"-V"}, 0, "inetd (goinetd) devel\n"},
		{[]string{"-x"}, 64, "inetd: unknown option -x\nusage: inetd"},
		{[]string{"--loud"}, 64, "inetd: unknown option --loud\nusage: inetd"},
		{[]string{"--r"}, 64, "inetd: option --r can be --rate or --resolve\n"},
		{[]string{"--help"}, 0, "usage: inetd"},
		{[]string{"-?"}, 0, "usage: inetd"},
		{[]string{"-h"}, 0, "usage: inetd"},
		{[]string{"--version"}, 0, "inetd (goinetd) devel\n"},
		{[]string{"--rate"}, 64, "inetd: option --rate needs a value\n"},
		{[]string{"-R"}, 64, "inetd: option -R needs a value\n"},
		{[]string{"-q", "many"}, 64, `inetd: option -q: "many" is not a number from 0 to 1073741824`},
		{[]string{"-t", "../../examples/demo.conf"}, 0, "configuration read: "},
		{[]string{"-t", "/nonexistent/inetd.conf"}, 1, "no such file or directory"},
		{[]string{"-t", wrong}, 1, `x:1: unknown user "nosuchuser" (service 7 skipped; `},
		{[]string{"-i", "/nonexistent/inetd.conf"}, 1, "stat /nonexistent/inetd.conf: no such file or directory"},
	} {
		cmd := exec.Command(built.inetd, c.args...)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != c.status || !strings.Contains(string(out), c.want) {
			t.Errorf("inetd %q: status %d, says %s", c.args, code, out)
		}
	}
}

// Options are read as getopt(3) does.
func TestParseOptions(t *testing.T) {
	for line, check := range map[string]func(*options) bool{
		"-di":      func(o *options) bool { return o.debug && o.foreground && o.inetd.LogStarts },
		"-lR256 x": func(o *options) bool { return o.inetd.LogStarts && o.inetd.PerMinute == 256 && len(o.files) == 1 },
		"-R 5 -C60 -s 2": func(o *options) bool {
			return o.inetd.PerMinute == 5 && o.inetd.PerSourcePerMinute == 60 && o.inetd.PerSource == 2
		},
		"-c 3 -q9":        func(o *options) bool { return o.inetd.Instances == 3 && o.backlog == 9 },
		"-a 192.0.2.1 -E": func(o *options) bool { return o.inetd.Address == "192.0.2.1" && o.keepEnv },
		"-p x -- -d": func(o *options) bool {
			return !o.debug && strings.HasSuffix(o.pidfile, "/x") && strings.HasSuffix(o.files[0], "/-d")
		},
		"": func(o *options) bool { return o.inetd.PerMinute == 256 && len(o.files) == 0 },
	} {
		o, err := parseFlags(strings.Fields(line))
		if err != nil || !check(o) {
			t.Errorf("%q: %+v, %v", line, o, err)
		}
	}
}
