package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A differenceClass is one kind of difference from xinetd. The table of
// docs/differences.md has its reason.
type differenceClass struct {
	name string
	is   func(difference) bool
}

// xinetdClasses are looked through in this order.
var xinetdClasses = []differenceClass{
	{"variables of the connection", func(d difference) bool {
		return strings.HasPrefix(d.field, "env ") && d.theirs == "" && slices.Contains([]string{"PROTO", "REMOTE_ADDR", "REMOTE_PORT", "TCPLOCALIP", "TCPLOCALPORT", "TCPREMOTEIP", "TCPREMOTEPORT"}, d.field[4:])
	}},
	{"soft limit of open files", func(d difference) bool {
		return d.field == "rlimit7" && (!d.service.wrote("rlimit_files") || d.service.kind == "redirect") && d.theirs == "4000 4000" && d.here == "1000 4000"
	}},
	{"a quote begins a word", func(d difference) bool {
		status := strings.Contains(d.service.of("server_args"), "exit3") && strings.Contains(d.theirs+d.here, "EXIT status=")
		return (d.field == "argv" || d.field == "log" && status) && quoteBegins(d.service.of("server_args"))
	}},
	{"REMOTE_HOST of wait services", func(d difference) bool {
		return d.field == "env REMOTE_HOST" && d.service.kind == "stream wait" && d.here == ""
	}},
	{"nice below zero", func(d difference) bool {
		return d.field == "nice" && d.service.of("nice") == "-5" && d.service.of("user") != "root"
	}},
	{"chargen's first character", func(d difference) bool {
		return d.field == "text" && d.service.name == "chargen" && strings.ReplaceAll(d.here, " ", "") != d.here
	}},
	{"the form of daytime", func(d difference) bool {
		return d.field == "text" && d.service.name == "daytime" && strings.Contains(d.here, "99:99:99 9999")
	}},
	{"lists for a stream with wait", func(d difference) bool {
		return d.service.kind == "stream wait" && d.listed()
	}},
	{"banners of a stream with wait", func(d difference) bool {
		return d.service.kind == "stream wait" && d.effective("banner")+d.effective("banner_success")+d.effective("banner_fail") != ""
	}},
	{"v6only", func(d difference) bool {
		target := d.field == "outcome" && d.service.kind == "redirect" && d.file.of("v6only") != "" && d.inLog(1, "FAIL redirect: dial")
		return target || d.reached() && d.effective("v6only") != ""
	}},
	{"an address of the other family than the flag", func(d difference) bool {
		bound := d.bound()
		six, four := d.service.has("flags", "IPv6"), d.service.has("flags", "IPv4")
		return d.reached() && (six && !four && strings.Contains(bound, ".") || four && !six && strings.Contains(bound, ":"))
	}},
	{"bind to a name", func(d difference) bool {
		return d.reached() && d.bound() == "localhost" && (d.theirs == "refused" || d.theirs == "silent")
	}},
	{"all addresses of one family", func(d difference) bool {
		return d.reached() && (d.bound() == "::" || d.bound() == "0.0.0.0")
	}},
	{"groups of a user without an entry", func(d difference) bool {
		fails := (d.field == "outcome" && d.here == "served") || d.field == "text" || d.field == "log"
		return fails && d.service.of("user") == "12345" && d.effective("groups") == "yes"
	}},
	{"IPv6 prefixes of 128", func(d difference) bool {
		return d.access() && strings.Contains(d.probe.from, ":") && d.lists("/128")
	}},
	{"names of networks", func(d difference) bool {
		if d.field == "log" {
			return d.lists("testnet") && strings.Contains(d.theirs+d.here, "FAIL")
		}
		return (d.access() || d.field == "text") && d.lists("testnet") && strings.HasPrefix(d.probe.from, "192.0.2.")
	}},
	{"names of IPv4 clients", func(d difference) bool {
		return d.access() && !strings.Contains(d.probe.from, ":") && (!d.service.has("flags", "IPv4") || d.service.kind == "mux") && (d.lists(".test") || d.lists("localhost"))
	}},
	{"names of datagrams' senders", func(d difference) bool {
		return d.access() && d.service.kind == "internal datagram" && d.here == "silent" && (d.lists(".test") || d.lists("localhost"))
	}},
	{"refused clients count", func(d difference) bool {
		return d.field == "outcome" && (d.theirs == "refused" || d.theirs == "closed") && d.service.counts(d.file) && d.anyClosed()
	}},
	{"counts after other answers", func(d difference) bool {
		return d.field == "outcome" && !d.first && d.service.counts(d.file) && d.otherAnswers() &&
			(d.inLog(0, "FAIL") || d.inLog(1, "FAIL") || strings.HasPrefix(d.effective("log_type"), "SYSLOG")) // whose lines are not seen
	}},
	{"the order of the checks", func(d difference) bool {
		return d.field == "log" && strings.HasPrefix(d.theirs+d.here, "FAIL") && d.service.counts(d.file) && !d.otherAnswers()
	}},
	{"datagrams that wait", func(d difference) bool {
		return d.field == "outcome" && d.service.kind == "datagram wait" && !d.first && d.theirs == "silent" && d.here == "served"
	}},
	{"the source address of an internal UDP service", func(d difference) bool {
		return d.field == "source" && d.here == d.probe.to
	}},
	{"xinetd's child ends of SIGPIPE", func(d difference) bool {
		return (d.field == "outcome" || d.field == "text" || strings.HasPrefix(d.theirs, "EXIT signal=13") || d.field == "log" && d.theirs == "") && d.inLog(0, "EXIT signal=13") && !d.inLog(1, "EXIT signal=13")
	}},
	{"xinetd loses a socket", func(d difference) bool {
		relies := map[string]string{"mux": "mux", "redirect": "target"}[d.service.kind]
		return d.theirs != "served" && (d.lost(d.service.id) || relies != "" && d.lost(relies))
	}},
	{"an internal UDP service falls silent", func(d difference) bool {
		return d.field == "outcome" && d.service.kind == "internal datagram" && d.theirs == "silent" && d.here == "served"
	}},
	{"xinetd admits and does not serve", func(d difference) bool {
		told := d.service.kind != "program" || d.effective("log_on_failure") != ""
		return d.field == "outcome" && (d.theirs == "closed" || d.theirs == "silent") && d.here == "served" && told && d.failsLogged() < d.notServed()
	}},
	{"a client is left hanging", func(d difference) bool {
		return d.field == "outcome" && d.theirs == "silent" && d.here == "closed"
	}},
	{"conditions behind tcpmux", func(d difference) bool {
		conditions := d.effective("access_times") + d.effective("max_load") + d.effective("instances") + d.effective("per_source")
		return d.field == "outcome" && d.service.kind == "mux" && d.theirs == "served" && d.here == "closed" && conditions != ""
	}},
	{"the log of services behind tcpmux", func(d difference) bool {
		return d.field == "log" && d.service.kind == "mux" && d.theirs == ""
	}},
	{"replies of tcpmux", func(d difference) bool {
		return d.field == "text" && d.service.kind == "mux"
	}},
	{"the log of clients with different answers", func(d difference) bool {
		return d.field == "log" && d.otherAnswers()
	}},
	{"START and EXIT of a refusal", func(d difference) bool {
		return d.field == "log" && d.here == "" && !strings.HasPrefix(d.theirs, "FAIL") && d.anyClosed()
	}},
	{"log_on_failure is not written", func(d difference) bool {
		adds := slices.ContainsFunc(d.service.settings, func(a setting) bool { return a.name == "log_on_failure" && a.op != "=" })
		return d.field == "log" && strings.HasPrefix(d.theirs+d.here, "FAIL") && (d.effective("log_on_failure") == "" || adds && d.file.of("log_on_failure") == "")
	}},
	{"EXIT of time and daytime", func(d difference) bool {
		return d.field == "log" && d.service.kind == "internal" && strings.HasPrefix(d.here, "EXIT") && (d.service.name == "time" || d.service.name == "daytime")
	}},
	{"the end of chargen", func(d difference) bool {
		return d.field == "log" && d.service.name == "chargen" && (d.theirs == "" && strings.HasPrefix(d.here, "EXIT status=0") || strings.HasPrefix(d.theirs, "EXIT signal=13"))
	}},
	{"START of internal UDP services", func(d difference) bool {
		return d.field == "log" && d.service.kind == "internal datagram" && strings.HasPrefix(d.theirs, "START")
	}},
	{"refused datagrams", func(d difference) bool {
		return d.field == "log" && d.service.datagram() && strings.HasPrefix(d.theirs+d.here, "FAIL")
	}},
	{"redirects that fail", func(d difference) bool {
		return d.field == "log" && d.service.kind == "redirect" && d.inLog(1, "FAIL redirect:")
	}},
}

// The table of docs/differences.md and the classes have the same names.
func TestDifferencesDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## xinetd\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var documented, known []string
	for _, m := range regexp.MustCompile(`(?m)^\| ([^|]+) \|`).FindAllStringSubmatch(section, -1) {
		if name := strings.ReplaceAll(m[1], "`", ""); name != "class" && name[0] != '-' {
			documented = append(documented, name)
		}
	}
	for _, c := range xinetdClasses {
		known = append(known, c.name)
	}
	slices.Sort(documented)
	slices.Sort(known)
	if !slices.Equal(documented, known) {
		t.Errorf("docs/differences.md has %q, the tests have %q", documented, known)
	}
}

// classOf returns the class of a difference, or nil.
func classOf(d difference) *differenceClass {
	for i := range xinetdClasses {
		if c := &xinetdClasses[i]; c.is(d) {
			return c
		}
	}
	return nil
}

// quoteBegins reports whether one of some words begins with a quote.
func quoteBegins(words string) bool {
	return slices.ContainsFunc(strings.Fields(words), func(w string) bool { return w[0] == '\'' || w[0] == '"' })
}

// inLog reports whether a daemon, 0 for xinetd and 1 for ours, logged a line
// that begins so for the service.
func (d difference) inLog(daemon int, line string) bool {
	return slices.ContainsFunc(d.both[daemon].Log[d.service.id], func(l string) bool { return strings.HasPrefix(l, line) })
}

// failsLogged returns the number of clients that xinetd says it refused.
func (d difference) failsLogged() (n int) {
	for _, l := range d.both[0].Log[d.service.id] {
		if strings.HasPrefix(l, "FAIL") {
			n++
		}
	}
	return n
}

// notServed returns the number of clients that came in to xinetd and got
// nothing.
func (d difference) notServed() (n int) {
	for _, a := range d.both[0].Answers[d.service.id] {
		if a.Outcome == "closed" || a.Outcome == "silent" {
			n++
		}
	}
	return n
}

// lost reports whether xinetd lost the socket of a service.
func (d difference) lost(id string) bool {
	return strings.Contains(d.both[0].Daemon, "file descriptor of service "+id+" has been closed")
}

// effective returns what a service or, where it says nothing, the defaults
// write for a setting.
func (d difference) effective(name string) string {
	if d.service.wrote(name) {
		return d.service.of(name)
	}
	return d.file.of(name)
}

// bound returns the address of a service.
func (d difference) bound() string {
	if own := d.service.of("bind") + d.service.of("interface"); own != "" {
		return strings.Replace(own, "alice.test", "10.1.2.3", 1)
	}
	return d.file.of("bind")
}

// listed reports whether a service has a condition on its clients.
func (d difference) listed() bool {
	for _, name := range []string{"only_from", "no_access", "access_times", "libwrap", "max_load"} {
		if d.service.wrote(name) || d.effective(name) != "" {
			return true
		}
	}
	return false
}

// lists reports whether a word is in the lists that apply.
func (d difference) lists(word string) bool {
	return strings.Contains(d.service.of("only_from")+" "+d.service.of("no_access")+" "+d.file.of("only_from")+" "+d.file.of("no_access"), word)
}

// reached reports whether only one of the daemons was listening there.
func (d difference) reached() bool {
	return d.field == "outcome" && (d.theirs == "refused" || d.here == "refused" || d.service.datagram())
}

// access reports whether only one of the daemons admitted a client.
func (d difference) access() bool {
	served := d.theirs == "served" || d.here == "served"
	other := d.theirs == "closed" || d.here == "closed" || d.service.datagram()
	return d.field == "outcome" && served && other
}

// anyClosed reports whether xinetd refused a client of the service.
func (d difference) anyClosed() bool {
	return slices.ContainsFunc(d.both[0].Answers[d.service.id], func(a answer) bool { return a.Outcome != "served" })
}

// otherAnswers reports whether clients of the service got different answers.
func (d difference) otherAnswers() bool {
	for i, a := range d.both[0].Answers[d.service.id] {
		if a.Outcome != d.both[1].Answers[d.service.id][i].Outcome {
			return true
		}
	}
	return false
}
