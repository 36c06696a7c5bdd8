package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	soakClients = 32  // at once
	soakAhead   = 500 // connections that go on during a reload or an upgrade
)

// A soak is a long run of mixed services.
type soak struct {
	t       *testing.T
	d       *daemonProcess
	dir     string
	program string // the daemon's file, which upgrades replace
	ports   map[string]int

	served    map[string]*atomic.Int64 // by the name of a service
	short     map[string]*atomic.Int64 // answers that are cut off, in services with programs
	kills     map[string]*atomic.Int64 // by the name of a program, which is its service's
	killed    map[string]*atomic.Int64 // the time of the last one, in Unix milliseconds
	cut       atomic.Int64             // clients without a program that an upgrade did not wait for
	resent    atomic.Int64             // datagrams, some of which are answered twice
	late      atomic.Int64             // second answers, to whoever has the port by then
	upgrades  atomic.Int64             // begun
	upgrading atomic.Bool
	reloads   int
	failures  atomic.Int64
}

// soakPrograms are the services whose programs are killed at random. Each
// program has the name of its service.
var soakPrograms = []string{"word", "banner", "plain", "plus", "unix", "few", "one"}

// soakRound is a sequence of connections, which is repeated.
var soakRound = []string{"word", "echo", "refused", "redirect", "word", "echo-udp", "daytime", "few", "word", "plus", "unix", "one",
	"word", "plain", "missing", "echo", "daytime-udp", "banner", "word", "redirect", "unknown", "killed", "daytime", "echo-udp"}

// Mixed services serve many clients through reloads, upgrades and killed
// programs. Every answer is right, and the daemon does not grow. SOAK is the
// number of connections; a million wants -timeout 30m.
func TestSoak(t *testing.T) {
	// Serial: measures memory.
	need(t, "root", "cc")
	n := 10_000
	if text := os.Getenv("SOAK"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 2000 {
			t.Fatalf("SOAK=%s: a number of connections is wanted, 2000 or more", text)
		}
	}
	s := newSoak(t)
	began := time.Now()
	jobs := make(chan int, soakAhead)
	var clients sync.WaitGroup
	for range soakClients {
		clients.Go(func() {
			for i := range jobs {
				if s.failures.Load() < 20 {
					s.client(i)
				}
			}
		})
	}
	var first, last soakFigures
	burst := 2 + n/50_000
	for i := range n {
		jobs <- i
		if i%50 == 0 {
			s.kill()
		}
		if i%500 == 250 {
			s.reload()
		}
		// The first tenth and the last are of processes of about the same age.
		if i == n/20 || i == n/4 || i == n/2 || i == n*3/4 {
			for range burst {
				s.upgrade()
			}
		}
		if i%(n/200) == 0 {
			switch tenth := i * 10 / n; tenth {
			case 1:
				first.add(s.sample())
			case 9:
				last.add(s.sample())
			}
		}
	}
	close(jobs)
	clients.Wait()
	s.report(n, time.Since(began))
	first.compare(t, last)
	s.drained()
}

// newSoak starts a daemon with the services of a soak.
func newSoak(t *testing.T) *soak {
	t.Helper()
	s := &soak{t: t, dir: folder(t), ports: map[string]int{}, served: map[string]*atomic.Int64{}, short: map[string]*atomic.Int64{}, kills: map[string]*atomic.Int64{}, killed: map[string]*atomic.Int64{}}
	s.program = filepath.Join(s.dir, "inetd")
	s.replaceProgram()
	command(t, "cc", "-O2", "-static", "-nostdlib", "-o", s.dir+"/word", "../../inetd/bench/c/word.c")
	if err := compile("testdata/one.c", s.dir+"/one"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"banner", "plain", "plus", "unix"} {
		if err := os.Link(s.dir+"/word", s.dir+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("/bin/cat")
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.dir+"/few", string(text), 0o755)
	write(t, s.dir+"/greeting", "welcome\n", 0o644)
	for _, name := range soakRound {
		s.served[name], s.short[name] = new(atomic.Int64), new(atomic.Int64)
		s.kills[name], s.killed[name] = new(atomic.Int64), new(atomic.Int64)
	}
	for _, name := range []string{"word", "echo", "refused", "redirect", "daytime", "few", "mux", "one", "missing", "banner", "killed", "extra"} {
		s.ports[name] = port(t)
	}
	behind, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { behind.Close() })
	s.ports["behind"] = behind.Addr().(*net.TCPAddr).Port
	go func() {
		for {
			c, err := behind.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	s.d = setup{program: s.program, conf: s.conf(false)}.start(t)
	return s
}

// conf returns the configuration, with or without the service that comes and
// goes.
func (s *soak) conf(extra bool) string {
	text := fmt.Sprintf("[defaults]\ncps = [0, \"1s\"]\ninstances = \"UNLIMITED\"\nlog_on_success = [\"PID\", \"HOST\", \"EXIT\"]\nlog_on_failure = [\"HOST\"]\nlog_type = [\"FILE\", \"%s/log\"]\n", s.dir)
	service := func(name, listen, format string, args ...any) {
		text += fmt.Sprintf("\n[service.%s]\nuser = \"nobody\"\n", name)
		if listen != "" {
			text += "listen = " + listen + "\n"
		}
		text += fmt.Sprintf(format, args...) + "\n"
	}
	tcp := func(name string) string { return fmt.Sprintf("\"tcp:127.0.0.1:%d\"", s.ports[name]) }
	both := func(name string) string { return fmt.Sprintf("[%s, \"udp:127.0.0.1:%d\"]", tcp(name), s.ports[name]) }
	service("word", tcp("word"), "server = \"%s/word\"", s.dir)
	service("echo", both("echo"), "type = \"internal\"")
	service("daytime", both("daytime"), "type = \"internal\"")
	service("redirect", tcp("redirect"), "redirect = \"127.0.0.1:%d\"", s.ports["behind"])
	service("refused", tcp("refused"), "server = \"%s/word\"\nno_access = [\"127.0.0.0/8\"]", s.dir)
	service("tcpmux", tcp("mux"), "type = \"internal\"")
	service("plain", "", "type = \"tcpmux\"\nserver = \"%s/plain\"", s.dir)
	service("plus", "", "type = \"tcpmuxplus\"\nserver = \"%s/plus\"", s.dir)
	service("unix", fmt.Sprintf("\"unix:%s/socket\"", s.dir), "server = \"%s/unix\"", s.dir)
	service("one", fmt.Sprintf("\"udp:127.0.0.1:%d\"", s.ports["one"]), "server = \"%s/one\"\nwait = true", s.dir)
	service("missing", tcp("missing"), "server = \"%s/missing\"", s.dir)
	service("banner", tcp("banner"), "server = \"%s/banner\"\nbanner = \"%s/greeting\"", s.dir, s.dir)
	service("few", tcp("few"), "server = \"%s/few\"\ninstances = 2\nqueue = true", s.dir)
	service("killed", tcp("killed"), "server = \"/bin/sh\"\nserver_args = [\"-c\", \"echo $$; exec cat\"]")
	if extra {
		service("extra", tcp("extra"), "server = \"%s/word\"", s.dir)
	}
	return text
}

// children returns the daemon's children, those that have ended included.
func (s *soak) children() (pids []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.d.pid()))
	if len(lists) == 0 {
		lacking(s.t, "/proc/PID/task/TID/children (CONFIG_PROC_CHILDREN)")
	}
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, word := range strings.Fields(string(text)) {
			pid, _ := strconv.Atoi(word)
			pids = append(pids, pid)
		}
	}
	return pids
}

// kill kills one program, whichever.
func (s *soak) kill() {
	pids := s.children()
	rand.Shuffle(len(pids), func(i, j int) { pids[i], pids[j] = pids[j], pids[i] })
	for _, pid := range pids {
		for _, name := range soakPrograms {
			if s.killChild(pid, name, name) {
				return
			}
		}
	}
}

// reload adds the service that comes and goes, or takes it away.
func (s *soak) reload() {
	s.reloads++
	extra := s.reloads%2 == 1
	s.d.reload(s.conf(extra))
	got, err := s.ask(s.reloads, "extra", "")
	switch {
	case extra && (got != "word\n" || err != nil):
		s.failures.Add(1)
		s.t.Errorf("reload %d: the new service says %q, %v", s.reloads, got, err)
	case !extra && !errors.Is(err, syscall.ECONNREFUSED):
		s.failures.Add(1)
		s.t.Errorf("reload %d: the removed service says %q, %v", s.reloads, got, err)
	}
}

// replaceProgram puts a new file in the place of the daemon's program.
func (s *soak) replaceProgram() {
	text, err := os.ReadFile(built.inetd)
	if err != nil {
		s.t.Fatal(err)
	}
	write(s.t, s.program+".new", string(text), 0o755)
	if err := os.Rename(s.program+".new", s.program); err != nil {
		s.t.Fatal(err)
	}
}

func (s *soak) upgrade() {
	s.replaceProgram()
	s.upgrading.Store(true)
	s.upgrades.Add(1)
	s.d.signal(syscall.SIGUSR2)
	s.d.await("RELOADING=1")
	s.d.await("READY=1")
	s.upgrading.Store(false)
	if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", s.d.pid())); exe != s.program {
		s.t.Errorf("after upgrade %d the daemon runs %s, %v", s.upgrades.Load(), exe, err)
	}
}

// soakFigures are the least of each figure in a number of samples: what the
// daemon has without most of the clients of the moment.
type soakFigures struct {
	samples int
	least   [4]int
}

// soakLimits are the names of the figures, and by how much each may grow
// beside 5 %, for those clients that are left.
var soakLimits = [4]struct {
	name string
	more float64
}{{"VmRSS (kB)", 2048}, {"descriptors", soakClients}, {"threads", 3}, {"children", 8}}

func (s *soak) sample() [4]int {
	return [4]int{s.d.status("VmRSS"), s.d.count("fd"), s.d.status("Threads"), len(s.children())}
}

func (f *soakFigures) add(sample [4]int) {
	for i, n := range sample {
		if f.samples == 0 || n < f.least[i] {
			f.least[i] = n
		}
	}
	f.samples++
}

// compare reports what is larger in the last tenth than in the first.
func (f *soakFigures) compare(t *testing.T, last soakFigures) {
	for i, limit := range soakLimits {
		before, after := f.least[i], last.least[i]
		t.Logf("%s: %d or more in the first tenth, %d in the last", limit.name, before, after)
		if i == 0 && (racing || portable) {
			continue // the memory is not that of the daemon as it is shipped
		}
		if float64(after) > float64(before)*1.05+limit.more {
			t.Errorf("%s grows from %d to %d", limit.name, before, after)
		}
	}
}

// report logs what was done, and fails the test if that is not all.
func (s *soak) report(n int, took time.Duration) {
	total, kills := 0, 0
	var served, killed []string
	seen := map[string]bool{}
	for _, name := range soakRound {
		if seen[name] {
			continue
		}
		seen[name] = true
		total += int(s.served[name].Load())
		served = append(served, fmt.Sprintf("%s %d", name, s.served[name].Load()))
		if k := s.kills[name].Load(); k > 0 {
			kills += int(k)
			killed = append(killed, fmt.Sprintf("%s %d (%d answers cut off)", name, k, s.short[name].Load()))
		}
		if s.short[name].Load() > s.kills[name].Load() {
			s.t.Errorf("%s: %d answers are cut off, and %d programs were killed", name, s.short[name].Load(), s.kills[name].Load())
		}
	}
	s.t.Logf("%d connections in %v: %s", total, took.Round(time.Second/10), strings.Join(served, ", "))
	s.t.Logf("%d reloads, %d upgrades (%d clients not waited for), %d programs killed: %s; %d datagrams sent again", s.reloads, s.upgrades.Load(), s.cut.Load(), kills, strings.Join(killed, ", "), s.resent.Load())
	if total != n {
		s.t.Errorf("%d connections of %d", total, n)
	}
	if kills == 0 {
		s.t.Error("nothing was killed")
	}
}

// drained waits until the daemon has no more descriptors than one that has
// served its first client, for whom it opens its log file.
func (s *soak) drained() {
	s.t.Helper()
	s.d.reload(s.conf(false))
	fresh := setup{program: s.program, conf: strings.ReplaceAll(s.conf(false), "127.0.0.1:", "127.0.0.201:")}
	fresh.conf = strings.NewReplacer(s.dir+"/socket", s.dir+"/other", s.dir+"/log", s.dir+"/fresh.log").Replace(fresh.conf)
	idle := fresh.start(s.t)
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.201:%d", s.ports["word"]))
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	if got := readAll(s.t, c); got != "word\n" {
		s.t.Errorf("the new daemon's client got %q", got)
	}
	until(s.t, func() bool { // its program is reaped
		log, _ := os.ReadFile(s.dir + "/fresh.log")
		return strings.Contains(string(log), "EXIT: word")
	})
	s.t.Logf("idle: %d descriptors, those of a new daemon are %d", s.d.count("fd"), idle.count("fd"))
	s.d.idle(idle.count("fd"))
}
