package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
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
)

// What runs in namespaces of its own: one daemon, the real xinetd or ours, and
// the clients of its services.

// A run is one daemon with one configuration.
type run struct {
	File     int
	Dir      string // of the configuration
	Program  string
	Result   string        // the file for what the clients received
	Patience time.Duration // for an answer
}

// A result is what came of it.
type result struct {
	Answers map[string][]answer // of a service's probes, by its id
	Log     map[string][]string // its lines without what differs from run to run
	Daemon  string              // the daemon's own log
}

// An answer is what a client received.
type answer struct {
	Outcome string            // refused (no connection), closed (nothing but banners received), silent (in time), served, or an error
	Facts   map[string]string // what the program reported, or the text
}

// differVariable has the run, as JSON.
const differVariable = "GOINETD_TEST_RUN"

// insideRun is the inner half of TestDifferXinetd.
func insideRun(t *testing.T, seed int64) {
	var r run
	if err := json.Unmarshal([]byte(os.Getenv(differVariable)), &r); err != nil {
		t.Fatal(err)
	}
	f := xinetdFileOf(seed, r.File, r.Dir)
	xinetdHost(t, r.Dir)
	log := r.Dir + "/log/daemon"
	cmd := exec.Command("prlimit", "-n1000:4000", r.Program, "-dontfork", "-f", r.Dir+"/conf", "-filelog", log, "-pidfile", r.Dir+"/log/pid")
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "FOO=foo", "BAR=bar", "TZ=" + r.Dir + "/zone"}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	until(t, func() bool {
		text, _ := os.ReadFile(log)
		return regexp.MustCompile("Started working|configuration read").Match(text)
	})
	v := &visitor{run: r, pid: cmd.Process.Pid, answers: map[string][]answer{}}
	v.visitAll(f)
	cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(patience):
		cmd.Process.Kill()
		t.Error("the daemon does not end on SIGTERM")
	}
	evict(r.Dir)
	text, _ := os.ReadFile(log)
	out, err := json.Marshal(result{Answers: v.answers, Log: serviceLog(r.Dir + "/log"), Daemon: string(text)})
	if err != nil {
		t.Fatal(err)
	}
	write(t, r.Result, string(out), 0o644)
}

// xinetdHost makes namespaces a host with several addresses, where it is 11:30
// and the load is 2.5.
func xinetdHost(t *testing.T, dir string) {
	t.Helper()
	ip := exec.Command("ip", "-batch", "-")
	commands := "link set lo up\n"
	for _, a := range slices.Concat(clients4, clients6) {
		if strings.Contains(a, ":") {
			commands += "addr add " + a + "/128 dev lo nodad\n"
		} else {
			commands += "addr add " + a + "/32 dev lo\n"
		}
	}
	ip.Stdin = strings.NewReader(strings.ReplaceAll(strings.ReplaceAll(commands, "addr add 127.0.0.1/32 dev lo\n", ""), "addr add ::1/128 dev lo nodad\n", ""))
	if out, err := ip.CombinedOutput(); err != nil {
		t.Fatalf("ip: %v\n%s", err, out)
	}
	services := ""
	for i := range perFile {
		services += fmt.Sprintf("listed%d %d/tcp\nlisted%d %d/udp\n", i, firstPort+i, i, firstPort+i)
	}
	etc(t, map[string]string{
		"services": services, "hosts": "127.0.0.1 localhost\n::1 localhost\n10.1.2.3 alice.test\n192.0.2.7 bob.test\n2001:db8::1 six.test\n", "networks": "testnet 192.0.2.0\n",
		"nsswitch.conf": "hosts: files\nnetworks: files\npasswd: files\ngroup: files\nservices: files\n", "resolv.conf": "", "hosts.allow": "", "hosts.deny": "wrapped: ALL\n",
		"passwd": "root:x:0:0::/:/bin/sh\ngames:x:5:60::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\nalice:x:1500:1500::/:/bin/sh\nbob:x:1501:1502::/:/bin/sh\n",
		"group":  "root:x:0:\nmail:x:8:alice,games\nadm:x:4:root\ngames:x:60:\nalice:x:1500:\nstaff:x:50:bob,alice\nbob:x:1502:\nnogroup:x:65534:\n",
	})
	command(t, "mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", dir+"/log")
	write(t, dir+"/log/load", "2.50 1.00 1.00 1/100 1\n", 0o444)
	command(t, "mount", "--bind", dir+"/log/load", "/proc/loadavg")
	zone(t, dir+"/zone", 11, 30)
}

// A visitor is all clients of a daemon.
type visitor struct {
	run
	pid       int
	lingering int // programs that do not end
	mu        sync.Mutex
	answers   map[string][]answer
}

// visitAll asks every service. Those that count their clients come behind the
// others, one after the other, when nothing else runs. Where cps suspends a
// service or a datagram is refused, xinetd goes on to close the number of a
// descriptor that something else may have by then: these come last.
func (v *visitor) visitAll(f *xinetdFile) {
	var counting, rates, datagrams, others []*xinetdService
	for _, s := range f.services {
		switch {
		case s.datagram():
			datagrams = append(datagrams, s)
		case s.wrote("cps"):
			rates = append(rates, s)
		case s.counts(f):
			counting = append(counting, s)
		default:
			others = append(others, s)
		}
	}
	v.visitTogether(others)
	v.awaitPrograms(0)
	for _, s := range slices.Concat(counting, rates) {
		v.visit(s, true)
	}
	v.visitTogether(datagrams)
	v.awaitPrograms(0)
}

// visitTogether asks services at the same time.
func (v *visitor) visitTogether(list []*xinetdService) {
	var together sync.WaitGroup
	free := make(chan struct{}, 8)
	for _, s := range list {
		together.Go(func() {
			if !s.datagram() { // which wait most of the time
				free <- struct{}{}
				defer func() { <-free }()
			}
			v.visit(s, false)
		})
	}
	together.Wait()
}

// counts reports whether a service has a limit on its clients that they reach.
func (s *xinetdService) counts(f *xinetdFile) bool {
	small := f.of("instances") == "3" || f.of("per_source") == "2"
	return !s.datagram() && (small || s.wrote("instances") || s.wrote("per_source") || s.wrote("cps") && s.kind != "stream wait" || s.holds())
}

// holds reports whether clients of a service stay.
func (s *xinetdService) holds() bool {
	return slices.ContainsFunc(s.probes, func(p probe) bool { return p.hold })
}

// awaitPrograms waits until the daemon has no more than some programs: a client that
// comes before is counted with those that are over. Programs that do not end
// in time are not waited for again.
func (v *visitor) awaitPrograms(running int) {
	n := 0
	for deadline := time.Now().Add(v.Patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		n = 0
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", v.pid))
		for _, list := range lists {
			text, _ := os.ReadFile(list)
			n += len(strings.Fields(string(text)))
		}
		if n <= running+v.lingering {
			return
		}
	}
	v.lingering = n - running
}

// visit asks one service.
func (v *visitor) visit(s *xinetdService, alone bool) {
	var list []answer
	var held []net.Conn
	var pids []int
	for _, p := range s.probes {
		a, pid, c := v.ask(s, p)
		list = append(list, a)
		switch {
		case c != nil && pid > 0:
			held, pids = append(held, c), append(pids, pid)
		case pid > 0:
			gone(pid, v.Patience)
		}
		if alone {
			v.awaitPrograms(len(held))
		}
	}
	for i, c := range held {
		c.Close()
		gone(pids[i], v.Patience)
	}
	if alone {
		v.awaitPrograms(0)
	}
	v.mu.Lock()
	v.answers[s.id] = list
	v.mu.Unlock()
}

// gone waits until the daemon has taken note of a program's end.
func gone(pid int, patience time.Duration) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if syscall.Kill(pid, 0) != nil {
			return
		}
	}
}

// ask sends what one client sends. It returns the pid of the program that
// answered, and the connection if it stays.
func (v *visitor) ask(s *xinetdService, p probe) (answer, int, net.Conn) {
	if s.datagram() {
		return v.askDatagram(s, p)
	}
	to := s.port
	if s.kind == "mux" {
		to = muxPort
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(p.from)}, Timeout: v.Patience}
	c, err := d.Dial("tcp", net.JoinHostPort(p.to, strconv.Itoa(to)))
	if errors.Is(err, syscall.ECONNREFUSED) {
		return answer{Outcome: "refused"}, 0, nil
	} else if err != nil {
		return answer{Outcome: err.Error()}, 0, nil
	}
	c.SetDeadline(time.Now().Add(v.Patience))
	switch {
	case s.kind == "mux":
		io.WriteString(c, s.name+"\r\n")
	case s.name == "echo":
		io.WriteString(c, "hello\r\n")
	}
	stop := map[string]string{"chargen": "\r\n", "echo": "hello\r\n"}[s.name]
	if !p.hold && stop == "" && s.kind != "mux" && s.kind != "redirect" {
		c.(*net.TCPConn).CloseWrite()
	}
	text, err := readReport(c, stop)
	a, pid := s.answerOf(text, c.LocalAddr().(*net.TCPAddr).Port)
	if a.Outcome != "served" && errors.Is(err, os.ErrDeadlineExceeded) {
		a.Outcome = "silent"
	}
	if p.hold && pid > 0 {
		return a, pid, c
	}
	c.Close()
	return a, pid, nil
}

// readReport reads to the end of a report or of the connection, or to what an
// internal service replies.
func readReport(c net.Conn, stop string) (string, error) {
	var text []byte
	b := make([]byte, 65536)
	for {
		n, err := c.Read(b)
		text = append(text, b[:n]...)
		if err == io.EOF || errors.Is(err, syscall.ECONNRESET) {
			err = nil
			return string(text), err
		}
		if err != nil || strings.HasSuffix(string(text), "\nend\n") || stop != "" && strings.Contains(string(text), stop) {
			return string(text), err
		}
	}
}

// askDatagram asks by one datagram.
func (v *visitor) askDatagram(s *xinetdService, p probe) (answer, int, net.Conn) {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(p.from)})
	if err != nil {
		return answer{Outcome: err.Error()}, 0, nil
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(v.Patience))
	c.WriteTo([]byte("hello"), &net.UDPAddr{IP: net.ParseIP(p.to), Port: s.port})
	b := make([]byte, 65536)
	n, from, err := c.ReadFromUDP(b)
	if err != nil {
		return answer{Outcome: "silent"}, 0, nil
	}
	a, pid := s.answerOf(string(b[:n]), c.LocalAddr().(*net.UDPAddr).Port)
	if strings.HasPrefix(s.kind, "internal") {
		a.Facts["source"] = strings.TrimPrefix(from.IP.String(), "::ffff:")
	}
	return a, pid, nil
}

// answerOf sorts what a client with some port received.
func (s *xinetdService) answerOf(text string, port int) (a answer, pid int) {
	if text == "" {
		return answer{Outcome: "closed"}, 0
	}
	a = answer{Outcome: "served", Facts: map[string]string{}}
	before, report, ok := strings.Cut(text, "report ")
	if !ok {
		if strings.HasPrefix(s.kind, "internal") || s.kind == "redirect" {
			before = regexp.MustCompile(`^(banner\n)?(welcome\n)?(denied\n)?`).ReplaceAllString(text, "")
		} else {
			before = ""
		}
		a.Facts["text"] = strings.TrimSuffix(text, before) + s.textOf(before)
		if before == "" {
			a.Outcome = "closed"
		}
		return a, 0
	}
	if before != "" {
		a.Facts["text"] = before
	}
	number, report, _ := strings.Cut(report, "\n")
	pid, _ = strconv.Atoi(number)
	for line := range strings.Lines(strings.ReplaceAll(report, "::ffff:", "")) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if name == "env" {
			var variable string
			variable, value, _ = strings.Cut(value, "=")
			name += " " + variable
			if value == strconv.Itoa(port) {
				value = "PORT"
			}
		}
		if old, again := a.Facts[name]; again {
			value = old + "; " + value
		}
		a.Facts[name] = value
	}
	return a, pid
}

// textOf returns a text of no program without the time, and of chargen one line.
func (s *xinetdService) textOf(text string) string {
	switch {
	case s.name == "time" && s.kind != "redirect" && len(text) == 4:
		return "TIME"
	case s.name == "chargen":
		line, _, _ := strings.Cut(text, "\r\n")
		return line
	case s.name == "echo":
		return text
	}
	return regexp.MustCompile("[0-9]").ReplaceAllString(text, "9")
}

// serviceLog returns the log lines of each service, by its id, without dates,
// pids and durations.
func serviceLog(dir string) map[string][]string {
	lines := map[string][]string{}
	form := regexp.MustCompile(`^\S+: ([A-Z]+: (\S+?)(\(\S+\))?( .*)?)$`)
	unequal := regexp.MustCompile(`pid=\d+|duration=\d+|::ffff:`)
	names, _ := filepath.Glob(dir + "/*")
	for _, name := range names {
		base := filepath.Base(name)
		text, _ := os.ReadFile(name)
		if base == "daemon" || base == "pid" || base == "load" {
			continue
		}
		for line := range strings.Lines(string(text)) {
			m := form.FindStringSubmatch(strings.TrimSpace(line))
			if m == nil {
				lines[""] = append(lines[""], line)
				continue
			}
			verb, _, _ := strings.Cut(m[1], ":")
			kept := unequal.ReplaceAllStringFunc(verb+m[4], func(s string) string {
				name, _, found := strings.Cut(s, "=")
				if !found {
					return ""
				}
				return name + "="
			})
			lines[m[2]] = append(lines[m[2]], kept)
		}
	}
	return lines
}
