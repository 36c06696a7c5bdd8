package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"goinetd/config"
	"goinetd/inetd/differences"
)

// A mutated file is a configuration of which some services are broken. Each
// service says its own number to its clients.
type mutated struct {
	dialect  config.Dialect
	text     string
	broken   map[int]bool // services by number
	services int
}

const firstMutatedPort = 7000

// A mutator writes configurations, and breaks them.
type mutator struct{ differences.Dice }

func (m mutator) file(dialect config.Dialect) mutated {
	f := mutated{dialect: dialect, services: 6, broken: map[int]bool{}}
	for range 1 + m.Intn(2) {
		f.broken[m.Intn(f.services)] = true
	}
	switch dialect {
	case config.Xinetd:
		f.text = "defaults\n{\n\tlog_on_success = HOST PID\n\tcps = 1000 1\n}\n\n"
	case config.TOML:
		f.text = "[defaults]\ncps = [1000, 1]\n\n"
	default:
		f.text = "# services\n"
	}
	for i := range f.services {
		text := map[config.Dialect]func(int) string{config.Inetd: m.line, config.Xinetd: m.entry, config.TOML: m.table}[dialect](i)
		if f.broken[i] {
			for range 1 + m.Intn(3) {
				text = m.mutate(text)
			}
			text = strings.TrimRight(text, "\n") + "\n"
		}
		f.text += text
	}
	return f
}

func (m mutator) line(i int) string {
	return fmt.Sprintf("%s%d stream %s nowait%s %s /bin/echo echo %d\n", m.Of("", "", "127.0.0.1:"), firstMutatedPort+i, m.Of("tcp", "tcp4"), m.Of("", ".60", ".1000"), m.Of("root", "nobody", "nobody.daemon"), i)
}

// settings are some lines of a service, as xinetd.conf or TOML has them.
func (m mutator) settings(all ...string) (list []string) {
	for _, s := range all {
		if m.One(3) {
			list = append(list, s)
		}
	}
	m.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

func (m mutator) entry(i int) string {
	list := append([]string{"type = UNLISTED", fmt.Sprint("port = ", firstMutatedPort+i), "socket_type = stream", "protocol = tcp", "wait = no", "user = root", "server = /bin/echo", fmt.Sprint("server_args = ", i)},
		m.settings("only_from = 127.0.0.0/8 ::1", "no_access = 192.0.2.0/24", "instances = 10", "per_source = 10", "umask = 022", "nice = 1", "env = A=1 B=2", "passenv = PATH", "access_times = 00:00-23:59",
			"log_on_failure = HOST", "flags = NODELAY", "group = daemon", "groups = yes", "rlimit_cpu = 100", "max_load = 1000", "log_type = SYSLOG daemon info", "bind = 127.0.0.1", "disable = no")...)
	return fmt.Sprintf("service s%d\n{\n\t%s\n}\n", i, strings.Join(list, "\n\t"))
}

func (m mutator) table(i int) string {
	list := append([]string{fmt.Sprintf("listen = %q", fmt.Sprint("tcp:127.0.0.1:", firstMutatedPort+i)), `user = "root"`, `server = "/bin/echo"`, fmt.Sprintf(`server_args = ["%d"]`, i)},
		m.settings(`only_from = ["127.0.0.0/8"]`, `no_access = ["192.0.2.0/24"]`, "instances = 10", "per_source = 10", `umask = "022"`, "nice = 1", `env = { A = "1" }`, `access_times = ["0:00-23:59"]`,
			`log_on_failure = ["HOST"]`, "no_new_privs = true", `group = "daemon"`, "groups = true", `rlimit_as = "640M"`, "queue = true", `session_timeout = "10m"`)...)
	return fmt.Sprintf("[service.s%d]\n%s\n", i, strings.Join(list, "\n"))
}

// mutate makes one mistake.
func (m mutator) mutate(text string) string {
	lines := strings.SplitAfter(text, "\n")
	lines = slices.DeleteFunc(lines, func(s string) bool { return s == "" })
	if len(text) < 2 || len(lines) == 0 {
		return text
	}
	at, n := m.Intn(len(text)), m.Intn(len(lines))
	switch m.Intn(8) {
	case 0, 1:
		return text[:at] + text[at+1:]
	case 2, 3:
		return text[:at] + m.Of(" ", "\"", "'", "{", "}", "[", "]", "=", "#", ":", ",", ".", "/", "\\", "-", "x", "0", "\n", "\t", "+", "é") + text[at:]
	case 4:
		lines[n] += lines[n]
	case 5:
		lines[n] = lines[n][:len(lines[n])/2] + "\n"
	case 6:
		lines[n] = ""
	case 7:
		words := strings.Fields(lines[n])
		if len(words) > 1 {
			i := m.Intn(len(words) - 1)
			words[i], words[i+1] = words[i+1], words[i]
		}
		lines[n] = strings.Join(words, " ") + "\n"
	}
	return strings.Join(lines, "")
}

// A checkDifference is a problem that check or the daemon alone reports, or a
// service that nobody touched and that does not answer.
type checkDifference struct {
	mutated
	daemon, check []string // every problem that they report
	side          string   // which reports it: "daemon" or "check"; or "service"
	problem       string
}

var checkClasses = []differences.Class[checkDifference]{
	{Name: "addresses that are not there", Applies: func(d checkDifference) bool {
		return d.side == "daemon" && strings.Contains(d.problem, "bind ") && strings.Contains(d.problem, "cannot assign requested address")
	}},
	{Name: "a file that is not TOML", Applies: func(d checkDifference) bool {
		return d.side == "service" && d.dialect == config.TOML && slices.ContainsFunc(d.check, func(p string) bool { return strings.Contains(p, "nothing of the file is used") })
	}},
	{Name: "a line that continues", Applies: func(d checkDifference) bool {
		return d.side == "service" && d.dialect == config.Inetd && regexp.MustCompile(`\\\n(127\.0\.0\.1:)?700`+d.problem+`|(?m)^(127\.0\.0\.1:)?700`+d.problem+` .*\n[ \t]`).MatchString(d.text)
	}},
	{Name: "an address alone", Applies: func(d checkDifference) bool {
		return d.side == "service" && d.dialect == config.Inetd && regexp.MustCompile(`(?m)^\S+:[ \t]*$`).MatchString(d.text)
	}},
	{Name: "a port that a broken line has taken", Applies: func(d checkDifference) bool {
		return d.side == "service" && slices.ContainsFunc(d.check, func(p string) bool { return strings.Contains(p, "already served by") })
	}},
}

func TestCheckClassesAreDocumented(t *testing.T) {
	differences.Documented(t, "check", checkClasses)
}

// Three hundred broken files: the daemon starts, logs what inetctl check reports,
// in the same words, and serves what nobody has touched.
func TestDifferCheck(t *testing.T) {
	t.Parallel()
	asShipped(t)
	if !inside(t) {
		return
	}
	const files = 300
	etc(t, map[string]string{"nsswitch.conf": "hosts: files\npasswd: files\ngroup: files\nservices: files\n", "resolv.conf": ""})
	inetctl := folder(t) + "/inetctl"
	command(t, "go", "build", "-o", inetctl, "../inetctl")
	m := mutator{differences.Roll(t)}
	list := make([]checkDifference, files)
	down := make([][]int, files) // services that nobody touched
	for i := range list {
		list[i].mutated = m.file([]config.Dialect{config.Inetd, config.Xinetd, config.TOML}[i%3])
	}
	t.Run("files", func(t *testing.T) {
		for i := range list {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				ownNetwork(t)
				d := setup{conf: list[i].text}.launch(t)
				running := d.awaitStart()
				out, err := exec.Command(inetctl, "check", "--json", d.conf).Output()
				if _, exited := err.(*exec.ExitError); err != nil && !exited {
					t.Fatal(err)
				}
				list[i].check = findings(t, out)
				for n := range list[i].services {
					if !list[i].broken[n] && (!running || probeTCPFor(patience, "127.0.0.1", firstMutatedPort+n) != fmt.Sprintln(n)) {
						down[i] = append(down[i], n)
					}
				}
				d.stop()
				list[i].daemon = startProblems(d.text())
			})
		}
	})
	counts := map[string]int{}
	wrong := 0
	judge := func(i int, d checkDifference) {
		if why := differences.Explain(checkClasses, d); why != "" {
			counts[why]++
		} else if wrong++; wrong <= 8 {
			t.Errorf("file %d, %s: %s\n%s\ncheck:\n%s\ndaemon:\n%s", i, d.side, d.problem, d.text, strings.Join(d.check, "\n"), strings.Join(d.daemon, "\n"))
		}
	}
	for i, d := range list {
		for _, p := range d.daemon {
			if counts["problems"]++; !slices.Contains(d.check, p) {
				d.side, d.problem = "daemon", p
				judge(i, d)
			}
		}
		for _, p := range d.check {
			if !slices.Contains(d.daemon, p) {
				d.side, d.problem = "check", p
				judge(i, d)
			}
		}
		counts["untouched services"] += d.services - len(d.broken)
		for _, n := range down[i] {
			d.side, d.problem = "service", fmt.Sprint(n)
			judge(i, d)
		}
	}
	t.Logf("%d files, %d differences without a reason: %v", files, wrong, counts)
	if counts["problems"] < files/2 {
		t.Errorf("the dice are loaded: %v", counts)
	}
}

// awaitStart waits until the daemon serves, or has ended for want of a service.
func (d *daemonProcess) awaitStart() (running bool) {
	for {
		select {
		case state := <-d.states:
			if strings.Contains(state, "READY=1") {
				return true
			}
		case <-d.ended:
			if d.cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled() || strings.Contains(d.text(), "panic") {
				d.t.Errorf("inetd died:\n%s", d.text())
			}
			return false
		case <-time.After(patience):
			d.t.Fatalf("inetd neither serves nor ends:\n%s", d.text())
		}
	}
}

// findings returns the problems of inetctl check --json, as the daemon logs them.
func findings(t *testing.T, report []byte) (list []string) {
	t.Helper()
	var r struct {
		Problems []struct {
			File, Severity, Service, Text, Hint string
			Line, Column                        int
		}
	}
	if err := json.Unmarshal(report, &r); err != nil {
		t.Fatalf("inetctl check: %v\n%s", err, report)
	}
	for _, f := range r.Problems {
		p := config.Problem{Pos: config.Pos{File: f.File, Line: f.Line, Column: f.Column}, Service: f.Service, Text: f.Text, Hint: f.Hint}
		if f.Severity == config.Error.String() {
			p.Severity = config.Error
		}
		list = append(list, p.String())
	}
	return list
}

// startProblems returns the lines of a log that tell problems of a configuration.
func startProblems(log string) (list []string) {
	usual := regexp.MustCompile(`^(configuration read: |reading |SIGTERM: |START: |EXIT: |FAIL: |nothing to serve|no service|\S+: pid \d+ )`) // the last of a start that is slow
	for line := range strings.Lines(log) {
		_, text, found := strings.Cut(strings.TrimSuffix(line, "\n"), "]: ")
		if found && !usual.MatchString(text) {
			list = append(list, text)
		}
	}
	return list
}
