package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"goinetd/inetd/reliability"
)

// What the daemon may take, in kB resident.
const (
	smallest     = 4600  // with one service
	served       = 6912  // after 500 clients: two thirds of it are pages of the program's file
	thousands    = 9300  // with 5,000 services
	loading      = 15000 // while these are read
	perEcho      = 8     // for each connection that it holds
	manyServices = 5000
)

// mostThreads is how many threads the daemon may have: each worker can be
// replaced, and the reaper, the log and Go's runtime have some.
var mostThreads = 2*runtime.NumCPU() + 16

// asShipped ends a test of what the daemon takes where it is not the daemon
// as it is shipped.
func asShipped(t *testing.T) {
	t.Helper()
	if racing || portable {
		t.Skip("this is about the daemon as it is shipped")
	}
}

func TestMemory(t *testing.T) {
	// Serial: measures memory.
	need(t, "root")
	asShipped(t)
	p := port(t)
	// The median of three daemons: on a busy host the runtime of one in about
	// twenty keeps 2 MB more. What a start needed is released soon after it.
	check := func(what, field string, most int, start func() *daemonProcess) {
		var kB []int
		for range 3 {
			d := start()
			n := d.status(field)
			for end := time.Now().Add(10 * releaseDelay); n > most && field == "VmRSS" && time.Now().Before(end); n = d.status(field) {
				time.Sleep(releaseDelay / 10)
			}
			kB = append(kB, n)
			d.stop()
		}
		slices.Sort(kB)
		t.Logf("%d kB %s", kB[1], what)
		if kB[1] > most {
			t.Error("that is too much")
		}
	}
	one := setup{conf: fmt.Sprintf("%s stream tcp nowait nobody /bin/true true\n", at(p)), flags: []string{"-l", "-R", "0"}}
	check("with one service", "VmRSS", smallest, func() *daemonProcess { return one.start(t) })
	check("after 500 clients", "VmRSS", served, func() *daemonProcess {
		d := one.start(t)
		for range 500 {
			request(t, p, "")
		}
		return d
	})
	raiseFiles(t)
	var conf strings.Builder
	for i := range manyServices { // where nobody else on this host listens
		fmt.Fprintf(&conf, "127.%d.%d.1:%d stream tcp nowait nobody /bin/true true\n", 100+i/250, i%250, p)
	}
	many := func() *daemonProcess { return setup{conf: conf.String()}.start(t) }
	check(fmt.Sprintf("with %d services", manyServices), "VmRSS", thousands, many)
	check("at most, while they are read", "VmHWM", loading, many)
}

// Memory that clients needed is released when there have been none for a while.
func TestMemoryWhenIdle(t *testing.T) {
	t.Parallel()
	need(t, "root")
	asShipped(t)
	p := port(t)
	d := setup{program: built.impatient, conf: fmt.Sprintf("%s stream tcp nowait nobody /bin/true true\n", at(p)), flags: []string{"-R", "0"}}.start(t)
	most := 0 // on a busy host, some of it may be released between two clients
	for range 200 {
		request(t, p, "")
		most = max(most, d.status("VmRSS"))
	}
	until(t, func() bool { return d.status("VmRSS") < most-1000 })
	if got := request(t, p, ""); got != "" {
		t.Errorf("after it: %q", got)
	}
}

// Ten idle seconds without a wake-up.
func TestIdle(t *testing.T) {
	// Serial: counts wake-ups.
	need(t, "root")
	asShipped(t)
	p := port(t)
	d := setup{conf: fmt.Sprintf("%s stream tcp nowait nobody /bin/cat cat\n%s dgram udp wait root internal echo\n", at(p), at(p))}.start(t)
	request(t, p, "x")
	question(t, p, "x")
	time.Sleep(2 * time.Second) // the last of the exit, and Go's own housekeeping
	before := switches(t, d.pid())
	time.Sleep(10 * time.Second) // the time that is measured
	if n := switches(t, d.pid()) - before; n != 0 {
		t.Errorf("%d wake-ups in ten idle seconds", n)
	}
}

// switches returns how often a process's threads have gone to sleep.
func switches(t *testing.T, pid int) (n int) {
	t.Helper()
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/status", pid, task.Name()))
		for _, line := range strings.Split(string(text), "\n") {
			if remainder, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
				k, _ := strconv.Atoi(strings.TrimSpace(remainder))
				n += k
			}
		}
	}
	return n
}

// openMany opens connections to a port from many addresses of loopback, and sees
// to it that each is served.
func openMany(t *testing.T, port, n int) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, n)
	var all sync.WaitGroup
	const atOnce = 16
	for w := range atOnce {
		all.Go(func() {
			buf := make([]byte, 1)
			for i := w; i < n; i += atOnce {
				dialer := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%200))}}
				c, err := dialer.Dial("tcp", at(port))
				if err != nil {
					t.Error(err)
					return
				}
				conns[i] = c
				c.SetDeadline(time.Now().Add(patience))
				io.WriteString(c, "x")
				if _, err := io.ReadFull(c, buf); err != nil {
					t.Errorf("connection %d: %v", i, err)
					return
				}
			}
		})
	}
	all.Wait()
	t.Cleanup(func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	return conns
}

// 10,000 connections to a builtin at once, without a process or a thread for
// each.
func TestManyEchoes(t *testing.T) {
	// Serial: measures memory and threads.
	need(t, "root")
	asShipped(t)
	raiseFiles(t)
	const n = 10000
	p := port(t)
	d := setup{conf: fmt.Sprintf("%s stream tcp nowait root internal echo\n", at(p)), flags: []string{"-R", "0"}}.start(t)
	request(t, p, "warm")
	before := d.status("VmRSS")
	openMany(t, p, n)
	if got := d.status("VmRSS") - before; got > n*perEcho {
		t.Errorf("%d kB for %d connections", got, n)
	}
	if got := d.status("Threads"); got > mostThreads {
		t.Errorf("%d threads", got)
	}
	if out, _ := exec.Command("pgrep", "-P", strconv.Itoa(d.pid())).Output(); len(out) > 0 {
		t.Errorf("children: %s", out)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Clients, Did: "10,000 idle clients of a builtin",
		Saw: "all served; no thread and no process for them"})
}

// 5,000 programs at once.
func TestManyPrograms(t *testing.T) {
	// Serial: starts 5,000 processes and counts threads.
	need(t, "root")
	asShipped(t)
	raiseFiles(t)
	const n = 5000
	p := port(t)
	d := setup{conf: fmt.Sprintf("%s stream tcp nowait %s /bin/cat cat\n", at(p), lonely(t)), flags: []string{"-R", "0", "-l"}}.start(t)
	request(t, p, "warm")
	before := d.count("fd")
	for _, c := range openMany(t, p, n) {
		defer c.Close()
	}
	if got := d.status("Threads"); got > mostThreads {
		t.Errorf("%d threads with %d programs", got, n)
	}
	out, err := exec.Command("pgrep", "-c", "-P", strconv.Itoa(d.pid())).Output()
	if err != nil || strings.TrimSpace(string(out)) != strconv.Itoa(n) {
		t.Errorf("pgrep counts %s, %v", out, err)
	}
	command(t, "pkill", "-P", strconv.Itoa(d.pid()))
	d.find(`EXIT: \d+ signal=15 `, n)
	d.idle(before)
	reliability.Survived(t, reliability.Fault{Theme: reliability.Clients, Did: "5,000 programs at once",
		Saw: "all served", Lost: "nothing: every end is seen", Log: "EXIT: N signal=15 pid=N duration=N(sec)"})
}

// The daemon imports nothing that makes it large. crypto/tls comes in with
// go-systemd's activation package; nobody calls the functions for it, and the
// linker leaves it out.
func TestImports(t *testing.T) {
	t.Parallel()
	need(t, "go")
	for _, dep := range strings.Fields(command(t, "go", "list", "-deps", ".")) {
		switch dep {
		case "net/http", "html/template", "text/template", "os/exec", "regexp", "log/slog":
			t.Errorf("the daemon imports %s", dep)
		}
	}
	for _, line := range strings.Split(command(t, "go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "goinetd/..."), "\n") {
		if strings.Contains(line, "crypto/tls") {
			t.Errorf("imports something large: %s", line)
		}
	}
	asShipped(t)
	out := command(t, "go", "tool", "nm", built.inetd)
	if large := "crypto/tls.(*Conn).Handshake"; strings.Contains(out, large) {
		t.Errorf("%s is linked in", large)
	}
}
