package main

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Random configurations for xinetd, and what their clients do. Both are made
// of the seed alone.

// An xinetdFile is a configuration: a file, one that it includes, and a
// directory.
type xinetdFile struct {
	seed     int64
	dir      string // where it stands
	defaults []setting
	services []*xinetdService
}

type setting struct{ name, op, value string }

// An xinetdService is a random service.
type xinetdService struct {
	name, id, kind string // of xinetdKinds
	port           int
	settings       []setting
	probes         []probe
}

// A probe is what clients do to a service, one after the other.
type probe struct {
	from, to string
	hold     bool // the connection stays until the service's last probe
}

// The kinds of services, and how many of each there are among 20.
var xinetdKinds = []struct {
	name  string
	count int
}{{"program", 12}, {"datagram wait", 2}, {"stream wait", 1}, {"internal", 2}, {"internal datagram", 1}, {"redirect", 1}, {"mux", 1}}

const (
	firstPort, muxPort, targetPort = 2000, 2998, 2999
	perFile                        = 40
)

var (
	clients4 = []string{"127.0.0.1", "127.0.0.2", "127.1.1.1", "127.9.8.7", "10.1.2.3", "10.1.2.4", "10.9.0.1", "192.0.2.7", "192.0.2.200", "172.16.5.5"}
	clients6 = []string{"::1", "fd00::1", "2001:db8::1", "2001:db8:1::1"}
)

// of returns what a service itself writes for a setting, one line after the other.
func (s *xinetdService) of(name string) string { return valuesOf(s.settings, name) }

// of returns what the defaults write for a setting.
func (f *xinetdFile) of(name string) string { return valuesOf(f.defaults, name) }

// has reports whether a setting of the service has a word among its values.
func (s *xinetdService) has(name, word string) bool {
	return slices.Contains(strings.Fields(s.of(name)), word)
}

// wrote reports whether a service sets something.
func (s *xinetdService) wrote(name string) bool {
	return slices.ContainsFunc(s.settings, func(a setting) bool { return a.name == name })
}

func valuesOf(list []setting, name string) string {
	var values []string
	for _, a := range list {
		if a.name == name {
			values = append(values, a.value)
		}
	}
	return strings.Join(values, " ")
}

// datagram reports whether a service is one of UDP.
func (s *xinetdService) datagram() bool { return strings.Contains(s.kind, "datagram") }

// xinetdFileOf makes one of a seed's files.
func xinetdFileOf(seed int64, n int, dir string) *xinetdFile {
	f := &xinetdFile{seed: seed, dir: dir}
	d := dice{rand.New(rand.NewSource(seed*1000 + int64(n)))}
	for i := range perFile {
		f.services = append(f.services, d.service(f, i))
	}
	f.defaults = d.defaults(f)
	return f
}

func (d dice) chance(n int) bool { return d.Intn(n) == 0 }

// some returns up to n of some words.
func (d dice) some(n int, words ...string) string {
	var list []string
	for range d.Intn(n + 1) {
		if w := d.of(words...); !slices.Contains(list, w) {
			list = append(list, w)
		}
	}
	return strings.Join(list, " ")
}

func (d dice) addresses() string {
	return d.some(4, "127.0.0.1", "127.0.0.0/8", "127.0.0.0", "127.1.1.1/32", "10.0.0.0", "10.1.0.0", "10.1.2.3", "10.1.2.{3,5}", "10.{1,2}", "10.1.2.0/24",
		"192.0.2.0/24", "192.0.2.0", "192.0.2.7", "172.16.0.0/12", "0.0.0.0/0", "::1", "::1/128", "fd00::/8", "2001:db8::/48", "2001:db8::1", "::/0",
		"alice.test", ".test", "six.test", "testnet", "localhost")
}

// logs returns what is logged of clients.
func (d dice) logs(onSuccess bool) string {
	if onSuccess {
		return d.some(4, "PID", "HOST", "EXIT", "DURATION")
	}
	return d.some(2, "HOST", "ATTEMPT")
}

// defaults makes the values for all services. They log to one file.
func (d dice) defaults(f *xinetdFile) []setting {
	list := []setting{{"log_type", "=", "FILE " + f.dir + "/log/services" + d.of("", " 1M", " 1M 2M")}, {"log_on_success", "=", "PID HOST EXIT DURATION"}}
	add := func(n int, name, value string) {
		if d.chance(n) {
			list = append(list, setting{name, "=", value})
		}
	}
	add(2, "log_on_failure", d.of("HOST", "HOST ATTEMPT", "ATTEMPT"))
	add(6, "log_on_failure", d.of("HOST", "ATTEMPT"))
	add(3, "no_access", d.of("10.9.0.1", "192.0.2.200 2001:db8:1::1"))
	add(6, "only_from", "127.0.0.0/8 10.0.0.0 192.0.2.0/24 ::/0 172.16.0.0/16")
	add(4, "instances", d.of("3", "50", "UNLIMITED"))
	add(4, "per_source", d.of("2", "10", "UNLIMITED"))
	add(3, "cps", d.of("50 10", "100 2", "0 0"))
	add(3, "umask", d.of("002", "022", "077"))
	add(3, "groups", d.of("yes", "no"))
	add(4, "passenv", d.of("PATH FOO", "FOO", "PATH"))
	add(5, "v6only", d.of("yes", "no"))
	add(5, "banner", f.dir+"/banner")
	add(5, "banner_success", f.dir+"/welcome")
	add(5, "banner_fail", f.dir+"/denied")
	add(6, "max_load", d.of("100", "3.5"))
	add(8, "bind", d.of("127.0.0.1", "0.0.0.0", "::"))
	pick := func() (ids string) {
		for _, s := range f.services {
			if d.chance(8) {
				ids += " " + s.id
			}
		}
		return strings.TrimSpace(ids)
	}
	add(4, "disabled", pick())
	if d.chance(10) {
		ids := []string{"mux", "target0", "target1"}
		for _, s := range f.services {
			if !d.chance(6) {
				ids = append(ids, s.id)
			}
		}
		list = append(list, setting{"enabled", "=", strings.Join(ids, " ")})
	}
	return list
}

// kindOf returns a kind, each as often as it is to be.
func (d dice) kindOf() string {
	n := d.Intn(20)
	for _, k := range xinetdKinds {
		if n -= k.count; n < 0 {
			return k.name
		}
	}
	panic("the kinds are not 20")
}

// service makes a service and its probes.
func (d dice) service(f *xinetdFile, i int) *xinetdService {
	s := &xinetdService{name: fmt.Sprintf("s%d", i), kind: d.kindOf(), port: firstPort + i}
	s.id = s.name
	set := func(name, value string) { s.settings = append(s.settings, setting{name, "=", value}) }
	maybe := func(n int, name, value string) {
		if d.chance(n) {
			set(name, value)
		}
	}
	if strings.HasPrefix(s.kind, "internal") {
		s.name = d.of("echo", "chargen", "daytime", "time")
		if s.datagram() {
			s.name = d.of(s.name, "discard") // whose client of TCP cannot tell whether it is served
		}
		s.id = fmt.Sprintf("s%d", i)
		set("id", s.id)
		set("type", d.of("INTERNAL UNLISTED", "UNLISTED INTERNAL"))
	} else if s.kind == "mux" {
		set("type", d.of("TCPMUX UNLISTED", "TCPMUXPLUS UNLISTED"))
	} else if d.chance(3) {
		s.name = fmt.Sprintf("listed%d", i) // in the services(5) of the test
		set("id", s.id)
	} else {
		set("type", "UNLISTED")
		if d.chance(5) {
			s.id = fmt.Sprintf("id-%d", i)
			set("id", s.id)
		}
	}
	if s.kind != "mux" {
		maybe(1, "port", fmt.Sprint(s.port))
	}
	d.identity(f, s, set, maybe)
	d.limits(f, s, maybe)
	d.access(f, s, maybe)
	d.environment(s)
	d.shuffle(s)
	d.probesOf(s)
	return s
}

// identity adds what a service is and who serves it.
func (d dice) identity(f *xinetdFile, s *xinetdService, set func(name, value string), maybe func(n int, name, value string)) {
	wait := "no"
	if strings.HasSuffix(s.kind, "wait") || s.kind == "internal datagram" {
		wait = d.of("yes", "yes", "YES")
	}
	if s.kind == "internal datagram" {
		wait = "no"
	}
	set("wait", wait)
	if s.datagram() {
		set("socket_type", "dgram")
		set("protocol", "udp")
	} else {
		set("socket_type", d.of("stream", "stream", "STREAM"))
		set("protocol", "tcp")
	}
	if s.kind == "redirect" {
		set("redirect", d.of(fmt.Sprintf("127.0.0.1 %d", targetPort), fmt.Sprintf("::1 %d", targetPort), "127.0.0.1 1"))
	}
	flags := d.some(3, "NODELAY", "KEEPALIVE", "REUSE", "NORETRY", "NOLIBWRAP", d.of("IPv4", "IPv6"))
	if s.datagram() {
		flags = d.some(2, "REUSE", "NOLIBWRAP", d.of("IPv4", "IPv6"))
	}
	if program := s.kind == "program" || s.kind == "mux" || strings.HasSuffix(s.kind, " wait"); program {
		set("server", f.dir+"/report")
		words := d.some(4, "-v", "exit3", "'q", "'two", "words'", `"x"`, "#c", "$HOME", "%d", "a=b", `back\slash`, "exit0")
		if d.chance(6) {
			flags, words = strings.TrimSpace(flags+" NAMEINARGS"), strings.TrimSpace("renamed "+words)
		}
		if words != "" {
			set("server_args", words)
		}
	}
	if flags != "" {
		set("flags", flags)
	}
	set("user", d.of("root", "nobody", "games", "alice", "bob", "1500", "12345"))
	maybe(4, "group", d.of("games", "mail", "60", "12345"))
	maybe(4, "groups", d.of("yes", "no"))
	maybe(30, "disable", d.of("yes", "no", "no"))
	if !d.chance(4) || s.kind == "mux" {
		return
	}
	set(d.of("bind", "interface"), d.of("127.0.0.1", "0.0.0.0", "10.1.2.3", "::1", "::", "localhost", "fd00::1", "alice.test"))
}

// limits adds the limits of a service and of its programs.
func (d dice) limits(f *xinetdFile, s *xinetdService, maybe func(n int, name, value string)) {
	maybe(6, "umask", d.of("022", "077", "002", "000", "0"))
	maybe(6, "nice", d.of("5", "0", "19", "-5"))
	maybe(8, "rlimit_as", d.of("512M", "300000K", "UNLIMITED"))
	maybe(8, "rlimit_cpu", d.of("30", "UNLIMITED"))
	maybe(8, "rlimit_data", d.of("64M", "2000K"))
	maybe(8, "rlimit_rss", d.of("64M", "5000000"))
	maybe(8, "rlimit_stack", d.of("8M", "1024k"))
	maybe(4, "rlimit_files", d.of("64", "100"))
	maybe(10, "max_load", d.of("1.5", "100", "2.4", "2.6"))
	if !strings.HasSuffix(s.kind, "wait") {
		maybe(6, "instances", d.of("1", "2", "UNLIMITED"))
		maybe(6, "per_source", d.of("1", "2", "UNLIMITED"))
	}
	if s.kind == "stream wait" {
		maybe(1, "cps", "20 60") // where it cannot know the client, xinetd starts programs without an end
	}
	if s.kind == "program" || s.kind == "internal" {
		maybe(12, "cps", d.of("3 60", "4 60", "5 60"))
	}
	if !s.datagram() && s.kind != "mux" {
		maybe(10, "banner", f.dir+"/banner")
		maybe(10, "banner_success", f.dir+"/welcome")
		maybe(10, "banner_fail", f.dir+"/denied")
	}
}

// access adds who may come in, and what is logged of it.
func (d dice) access(f *xinetdFile, s *xinetdService, maybe func(n int, name, value string)) {
	list := func(n int, name string, value func() string) {
		if d.chance(n) {
			s.settings = append(s.settings, setting{name, d.of("=", "=", "+=", "-="), value()})
		}
	}
	rare := 1
	if s.kind == "stream wait" {
		rare = 4
	}
	list(4*rare, "only_from", d.addresses)
	list(12*rare, "only_from", d.addresses)
	list(5*rare, "no_access", d.addresses)
	maybe(8*rare, "access_times", d.of("0:00-23:59", "11:00-12:59", "13:00-18:00", "0:00-11:00", "1:15-2:15 11:15-13:00", "9:00-10:00 14:00-15:00"))
	maybe(10*rare, "libwrap", d.of("wrapped", "open"))
	maybe(10, "v6only", d.of("yes", "no"))
	maybe(15, "mdns", "no")
	maybe(15, "deny_time", d.of("10", "FOREVER", "NEVER"))
	maybe(6, "log_type", d.of("FILE "+f.dir+"/log/own-"+s.id, "FILE "+f.dir+"/log/own-"+s.id+" 1M 2M", "SYSLOG daemon info"))
	list(4, "log_on_success", func() string { return d.logs(true) })
	list(4, "log_on_failure", func() string { return d.logs(false) })
}

// environment adds variables.
func (d dice) environment(s *xinetdService) {
	if d.chance(4) {
		s.settings = append(s.settings, setting{"env", d.of("=", "+="), d.some(3, "A=1", "B=two", "A=2", "PATH=/nowhere", "C=", "D=x=y")})
	}
	if d.chance(10) {
		s.settings = append(s.settings, setting{"env", "+=", d.some(2, "E=5", "A=3")})
	}
	if d.chance(4) {
		s.settings = append(s.settings, setting{"passenv", d.of("=", "+=", "-="), d.some(3, "FOO", "BAR", "PATH")})
	}
}

// shuffle orders the settings of a service at random, but flags stand before
// server_args, where xinetd wants them.
func (d dice) shuffle(s *xinetdService) {
	d.Shuffle(len(s.settings), func(i, j int) { s.settings[i], s.settings[j] = s.settings[j], s.settings[i] })
	flags := slices.IndexFunc(s.settings, func(a setting) bool { return a.name == "flags" })
	args := slices.IndexFunc(s.settings, func(a setting) bool { return a.name == "server_args" })
	if args >= 0 && flags > args {
		s.settings[flags], s.settings[args] = s.settings[args], s.settings[flags]
	}
}

// probesOf decides who comes.
func (d dice) probesOf(s *xinetdService) {
	client := func() probe {
		if d.chance(4) {
			return probe{from: d.of(clients6...), to: "::1"}
		}
		return probe{from: d.of(clients4...), to: "127.0.0.1"}
	}
	bound := s.of("bind") + s.of("interface")
	for range 2 + d.Intn(2) {
		p := client()
		if bound == "10.1.2.3" && p.to == "127.0.0.1" || bound == "fd00::1" && p.to == "::1" {
			p.to = bound
		} else if bound == "alice.test" {
			p = probe{from: d.of(clients4...), to: "10.1.2.3"}
		}
		s.probes = append(s.probes, p)
	}
	first := s.probes[0]
	switch {
	case s.datagram() && s.name == "discard": // nobody answers
		s.probes = s.probes[:1]
	case s.wrote("cps") && s.kind != "stream wait":
		for range 6 {
			s.probes = append(s.probes, probe{from: first.from, to: first.to})
		}
	case s.kind == "program" && (s.wrote("instances") || s.wrote("per_source") || d.chance(8)):
		for range 3 {
			p := client()
			if d.chance(2) {
				p = first
			}
			if strings.Contains(p.to, ":") == strings.Contains(first.to, ":") {
				p.to = first.to
			}
			p.hold = true
			s.probes = append(s.probes, p)
		}
	}
}

// write writes the files of a configuration.
func (f *xinetdFile) write(n int) error {
	d := dice{rand.New(rand.NewSource(f.seed*1000 + int64(n) + 1<<40))}
	order := d.Perm(len(f.services))
	var parts [4]strings.Builder // the file, what it includes, and two files of its directory
	parts[0].WriteString(d.entry("defaults", f.defaults))
	includes := []string{"include " + f.dir + "/included\n", "includedir " + f.dir + "/conf.d\n"}
	d.Shuffle(2, func(i, j int) { includes[i], includes[j] = includes[j], includes[i] })
	for at, i := range order {
		if at == 5 || at == 20 {
			parts[0].WriteString(includes[at/20])
		}
		s := f.services[i]
		parts[max(0, d.Intn(7)-3)].WriteString(d.entry("service "+s.name, s.settings))
	}
	parts[0].WriteString(fmt.Sprintf("service tcpmux\n{\n type = INTERNAL UNLISTED\n id = mux\n port = %d\n socket_type = stream\n protocol = tcp\n wait = no\n user = root\n cps = 0 0\n}\n", muxPort))
	for i, bound := range []string{"127.0.0.1\n flags = IPv4", "::1\n flags = IPv6"} {
		parts[0].WriteString(fmt.Sprintf("service target\n{\n type = UNLISTED\n id = target%d\n port = %d\n bind = %s\n socket_type = stream\n protocol = tcp\n wait = no\n user = root\n server = %s/report\n cps = 0 0\n log_type = SYSLOG daemon\n}\n", i, targetPort, bound, f.dir))
	}
	os.MkdirAll(f.dir+"/conf.d", 0o755)
	os.MkdirAll(f.dir+"/log", 0o755)
	ignored := "service ignored\n{\n type = UNLISTED\n port = 2500\n socket_type = stream\n wait = no\n user = root\n server = /bin/date\n}\n"
	for name, text := range map[string]string{
		"conf": parts[0].String(), "included": parts[1].String(), "conf.d/a": parts[2].String(), "conf.d/b-2,v": parts[3].String(),
		"conf.d/x.conf": ignored, "conf.d/y~": ignored, "banner": "banner\n", "welcome": "welcome\n", "denied": "denied\n",
	} {
		if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// entry writes an entry with random blanks, comments and capitals.
func (d dice) entry(head string, settings []setting) string {
	var b strings.Builder
	b.WriteString(d.of("", "\n", "# a comment\n", "\t# { another = one }\n") + head + d.of("", " ", "\t") + "\n" + d.of("{", " {", "{ ") + "\n")
	for _, a := range settings {
		if d.chance(8) {
			b.WriteString(d.of("\n", "\t# disable = yes\n", "   \n"))
		}
		name := a.name
		if d.chance(12) {
			name = strings.ToUpper(name)
		}
		b.WriteString(d.of("\t", " ", "", "    ") + name + d.of(" ", "\t", "\t\t ") + a.op + d.of(" ", "\t", "") + strings.ReplaceAll(a.value, " ", d.of(" ", "  ", "\t")) + d.of("", "", " ") + "\n")
	}
	b.WriteString(d.of("", "\t") + "}\n" + d.of("", "\n"))
	return b.String()
}
