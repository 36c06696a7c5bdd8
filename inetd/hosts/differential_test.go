package hosts

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"goinetd/config/syslogname"
	"goinetd/inetd/differences"
)

// An answer is a verdict, and what the options did.
type answer struct {
	verdict string   // "granted", "denied" or "twist"
	actions []string // sorted
	problem string
}

func (a answer) String() string {
	return fmt.Sprintf("%s %q %s", a.verdict, a.actions, a.problem)
}

// request is what this package is asked. What is not looked up is nil.
func (q question) request() *Request {
	return &Request{Daemon: q.daemon, Client: netip.AddrPortFrom(netip.MustParseAddr(q.client), 1024), Server: netip.AddrPortFrom(netip.MustParseAddr(q.server), 22)}
}

func hostname(name string) *Hostname {
	switch name {
	case unknown:
		return &Hostname{}
	case paranoid:
		return &Hostname{Host: "liar.example.org", Paranoid: true}
	}
	return &Hostname{Host: name}
}

// check asks this package as the daemon does, which looks up what is needed,
// and fails if it answers otherwise where everything is known at once.
func (q question) check(t *testing.T) Verdict {
	t.Helper()
	files := New(q.path+".allow", q.path+".deny")
	r := q.request()
	v := files.Check(r)
	for range 3 {
		if v.NeedName && r.Host == nil {
			r.Host = hostname(q.host)
		}
		if v.NeedServerName && r.ServerHost == nil {
			r.ServerHost = hostname(q.serverHost)
		}
		if v.NeedUser && r.User == nil {
			r.User = &q.user
		}
		if v.incomplete() {
			v = files.Check(r)
		}
	}
	r = q.request()
	r.Host, r.ServerHost, r.User = hostname(q.host), hostname(q.serverHost), &q.user
	if all := files.Check(r); v.Refused != all.Refused || v.Rule != all.Rule || v.incomplete() || all.incomplete() {
		t.Errorf("asked step by step %+v, at once %+v\n%v", v, all, q)
	}
	return files.Check(r) // the actions, with all that is known, as the library has it
}

// ours is the answer of this package, in the words of testdata/libwrap.c.
func (q question) ours(t *testing.T) answer {
	v := q.check(t)
	a := answer{verdict: "granted", problem: v.Problem}
	switch {
	case v.Actions.Twist != "":
		a.verdict = "twist"
	case v.Refused:
		a.verdict = "denied"
	}
	add := func(format string, args ...any) { a.actions = append(a.actions, fmt.Sprintf(format, args...)) }
	for _, command := range v.Actions.Spawn {
		add("spawn %s", command)
	}
	for _, variable := range v.Actions.Env {
		add("env %s", variable)
	}
	if v.Actions.Twist != "" {
		add("twist %s", v.Actions.Twist)
	}
	if v.Actions.Nice != 0 {
		add("nice %d", v.Actions.Nice)
	}
	if v.Actions.Umask != nil {
		add("umask %o", *v.Actions.Umask)
	}
	if v.Actions.Linger != nil {
		add("linger %d", int(v.Actions.Linger.Seconds()))
	}
	if v.Actions.KeepAlive {
		add("keepalive")
	}
	if text := strings.ToLower(v.Actions.Severity); text != "" {
		facility, level, both := strings.Cut(text, ".")
		if !both {
			facility, level = "kern", text // the library has no facility then
		}
		f, _ := syslogname.Facility(facility)
		l, _ := syslogname.Level(level)
		add("severity %d", f<<3|l)
	}
	slices.Sort(a.actions)
	return a
}

// theirs reads an answer of testdata/libwrap.c. Of an option that is there
// several times the last counts, but that commands are run and nice(2) adds up.
func theirs(line string) answer {
	fields := strings.Split(line, "\t")
	a := answer{verdict: fields[0]}
	last := map[string]string{}
	nice := 0
	for _, f := range fields[1:] {
		name, value, _ := strings.Cut(f, " ")
		switch name {
		case "problem":
			a.problem += value + "\n"
		case "spawn":
			a.actions = append(a.actions, f)
		case "env":
			variable, _, _ := strings.Cut(value, "=")
			last[variable] = f
		case "nice":
			n, _ := strconv.Atoi(value)
			nice += n
			last[name] = fmt.Sprint("nice ", nice)
		default:
			last[name] = f
		}
	}
	for _, f := range last {
		if f != "nice 0" {
			a.actions = append(a.actions, f)
		}
	}
	slices.Sort(a.actions)
	return a
}

// A difference is a question with two answers.
type difference struct {
	question
	ours, theirs answer
}

// strict reports whether we refuse, for want of a word that is said, whom the
// library does not.
func (d difference) strict(problem string) bool {
	return d.ours.verdict == "denied" && strings.Contains(d.ours.problem, problem)
}

var classes = []differences.Class[difference]{
	{Name: "last line without newline", Applies: func(d difference) bool {
		return (d.allow != "" && !strings.HasSuffix(d.allow, "\n") || d.deny != "" && !strings.HasSuffix(d.deny, "\n")) && strings.Contains(d.theirs.problem, "missing newline")
	}},
	{Name: "0.0.0.0/0 in hosts.deny", Applies: func(d difference) bool {
		return strings.Contains(d.deny, "0.0.0.0/0") && !strings.Contains(d.client, ":")
	}},
	{Name: "file of patterns that cannot be read", Applies: func(d difference) bool { return d.strict("missing") }},
	{Name: "netgroups in hosts.deny", Applies: func(d difference) bool { return d.strict("NIS is not asked") }},
	{Name: "aclexec", Applies: func(d difference) bool { return d.strict(`unknown option "aclexec"`) }},
	{Name: "severity authpriv", Applies: func(d difference) bool {
		return d.theirs.verdict == "denied" && strings.Contains(d.theirs.problem, `"authpriv"`)
	}},
}

func TestClassesAreDocumented(t *testing.T) {
	differences.Documented(t, "hosts_access", classes)
}

// Five thousand questions, asked of this package and of the library itself.
func TestAgainstLibwrap(t *testing.T) {
	oracle := buildOracle(t)
	const n = 5000
	g := generator{differences.Rules{Dice: differences.Roll(t), Banners: "/nonexistent"}}
	questions := g.questions(t, t.TempDir(), n)
	var lines strings.Builder
	for _, q := range questions {
		lines.WriteString(q.line())
	}
	cmd := exec.Command(oracle)
	cmd.Stdin, cmd.Stderr = strings.NewReader(lines.String()), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("libwrap.c: %v", err)
	}
	answers := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(answers) != len(questions) {
		t.Fatalf("%d answers to %d questions", len(answers), len(questions))
	}
	counts := map[string]int{}
	wrong := 0
	for i, q := range questions {
		d := difference{q, q.ours(t), theirs(answers[i])}
		counts[d.theirs.verdict]++
		if d.ours.verdict == d.theirs.verdict && (d.ours.problem != "" || reflect.DeepEqual(d.ours.actions, d.theirs.actions)) {
			continue // of a rule that refuses because it is wrong, the library has begun with the options
		}
		if why := differences.Explain(classes, d); why != "" {
			counts[why]++
			continue
		}
		if wrong++; wrong <= 5 {
			t.Errorf("%v\nours: %v\nlibrary: %v", q, d.ours, d.theirs)
		}
	}
	t.Logf("%d questions, %d differences without a reason: %v", len(questions), wrong, counts)
	if counts["granted"] < n/10 || counts["denied"] < n/10 || counts["twist"] < n/200 {
		t.Errorf("the dice are loaded: %v", counts)
	}
}

// buildOracle compiles testdata/libwrap.c.
func buildOracle(t *testing.T) string {
	t.Helper()
	_, errCompiler := exec.LookPath("cc")
	_, errLibrary := os.Stat("/usr/include/tcpd.h")
	for what, err := range map[string]error{"cc": errCompiler, "libwrap0-dev": errLibrary} {
		if err != nil && os.Getenv("CI") != "" {
			t.Fatal(what + " is missing")
		} else if err != nil {
			t.Skip(what + " is missing")
		}
	}
	program := filepath.Join(t.TempDir(), "libwrap")
	if out, err := exec.Command("cc", "-O1", "-o", program, "testdata/libwrap.c", "-lwrap").CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	return program
}

// What we do otherwise than the library, and docs/differences.md explains.
func TestDifferences(t *testing.T) {
	for name, c := range map[string]struct {
		allow, deny string
		refused     bool
	}{
		"a last line without a newline counts":                {"", "ALL: ALL", true},
		"a network of length 0 in hosts.deny":                 {"", "ALL: 0.0.0.0/0\n", true},
		"a network of length 0 in hosts.allow lets nobody in": {"ALL: 0.0.0.0/0\n", "ALL: ALL\n", true},
		"a hosts.allow without a newline counts as well":      {"ALL: 192.0.2.", "ALL: ALL\n", false},
	} {
		v := checkTexts(c.allow, c.deny, &Request{Daemon: "x", Client: netip.MustParseAddrPort("192.0.2.1:1"), Host: &Hostname{}})
		if v.Refused != c.refused {
			t.Errorf("%s: %+v", name, v)
		}
	}
	dir := t.TempDir()
	os.Mkdir(dir+"/hosts.deny", 0o700)
	if v := New(dir+"/hosts.allow", dir+"/hosts.deny").Check(&Request{Daemon: "x", Host: &Hostname{}}); !v.Refused || v.Problem == "" {
		t.Errorf("a hosts.deny that cannot be read lets clients in: %+v", v)
	}
}
