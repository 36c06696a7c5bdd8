package config

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// model returns what of a service does not depend on where it was written.
func model(s *Service) Service {
	m := *s
	m.Own()
	m.Pos, m.Dialect, m.fields, m.written, m.comments = Pos{}, "", nil, nil, nil
	for _, list := range []*[]Source{&m.OnlyFrom, &m.NoAccess} {
		if *list != nil {
			*list = append([]Source{}, *list...)
		}
		for i := range *list {
			(*list)[i].Pos = Pos{}
		}
	}
	return m
}

// roundTrip converts: a dialect, TOML, and the dialect again say the same.
func roundTrip(t *testing.T, d Dialect, services []*Service, o Options) {
	t.Helper()
	now := services
	text := ""
	for _, to := range []Dialect{TOML, d} {
		var lost []Loss
		text, lost = Write(to, now, o)
		lost = slices.DeleteFunc(lost, func(l Loss) bool { return l.Extension }) // written nevertheless
		if len(lost) > 0 {
			t.Fatalf("%s cannot say %v\n%s", to, lost, text)
		}
		again := o
		again.Dialect = to
		var problems []Problem
		if now, problems = Read("again", text, again); Errors(problems) || len(now) != len(services) {
			t.Fatalf("%d services of %d, %v\n%s", len(now), len(services), problems, text)
		}
	}
	for i := range services {
		if want, got := model(services[i]), model(now[i]); !reflect.DeepEqual(want, got) {
			t.Fatalf("%s there and back:\n%+v\n%+v\n%s", d, want, got, text)
		}
	}
}

// The examples and the stanzas that people run.
func TestRoundTrip(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.conf")
	more, _ := filepath.Glob("../examples/*.conf")
	if len(files) == 0 || len(more) == 0 {
		t.Fatal("no files")
	}
	o := Options{Builtins: known, Services: "testdata/services"}
	for _, file := range append(files, more...) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			services, _ := Read(file, string(text), o)
			d := DetectDialect(file, string(text))
			if len(services) == 0 {
				t.Fatal("no services")
			}
			if d == TOML {
				d = Xinetd
			}
			roundTrip(t, d, services, o)
		})
	}
}

// A dice throws configurations.
type dice struct{ *rand.Rand }

func newDice(seed int64) dice { return dice{rand.New(rand.NewSource(seed))} }

func (d dice) of(words ...string) string { return words[d.Intn(len(words))] }

func (d dice) chance(n int) bool { return d.Intn(n) == 0 }

func (d dice) address() string {
	switch d.Intn(8) {
	case 0:
		return fmt.Sprintf("10.%d.%d.0/%d", d.Intn(256), d.Intn(256), d.Intn(33))
	case 1:
		return fmt.Sprintf("192.168.{%d,%d}", d.Intn(256), d.Intn(256))
	case 2:
		return fmt.Sprintf("2001:db8:%x::/%d", d.Intn(65536), d.Intn(129))
	case 3:
		return d.of("host.example.org", ".example.org", "localhost")
	case 4:
		return fmt.Sprintf("172.%d.0.0", d.Intn(256))
	}
	return fmt.Sprintf("%d.%d.%d.%d", d.Intn(256), d.Intn(256), d.Intn(256), d.Intn(256))
}

func (d dice) words(n int, word func() string) string {
	var list []string
	for range d.Intn(n) {
		list = append(list, word())
	}
	return strings.Join(list, " ")
}

func (d dice) arg() string {
	return d.of("-x", "--daemon", "a=b", `"two words"`, `"quote\"and\\"`, `''`, "#x", "it's", `back\slash`, "ünï", "%d", "$HOME")
}

// xinetdConf throws an xinetd.conf.
func (d dice) xinetdConf() string {
	var b strings.Builder
	if d.chance(2) {
		fmt.Fprintf(&b, "defaults\n{\n log_type = %s\n log_on_success = HOST\n only_from = %s\n instances = %d\n}\n",
			d.of("SYSLOG daemon info", "FILE /var/log/x 1M 2M", "FILE /var/log/y"), d.address(), d.Intn(9))
	}
	for i := range 1 + d.Intn(4) {
		dgram := d.chance(4)
		fmt.Fprintf(&b, "# service %d\nservice s%d\n{\n\ttype = UNLISTED\n\tport = %d\n\tuser = %s\n", i, i, 2000+i, d.of("root", "nobody", "1234"))
		line := func(n int, format string, args ...any) {
			if d.chance(n) {
				fmt.Fprintf(&b, "\t"+format+"\n", args...)
			}
		}
		if dgram {
			b.WriteString("\tsocket_type = dgram\n\twait = yes\n")
		} else {
			b.WriteString("\tsocket_type = stream\n\twait = no\n")
			line(3, "flags = %s %s", d.of("NODELAY", "KEEPALIVE", "NOLIBWRAP", "NORETRY"), d.of("IPv4", "IPv6", "REUSE"))
			line(5, "per_source = %s", d.of("0", "4", "UNLIMITED"))
			line(5, "cps_per_source = %d %s", 1+d.Intn(9), d.of("5", "1m", "1m30s"))
			line(5, "idle_timeout = %s", d.of("90", "10m", "1d"))
			line(5, "session_timeout = %s", d.of("90s", "2h"))
		}
		if !dgram && d.chance(5) {
			fmt.Fprintf(&b, "\tredirect = %s %d\n", d.of("192.0.2.1", "2001:db8::1", "host.example.org"), 1+d.Intn(65535))
			line(2, "log_on_success += TRAFFIC")
		} else {
			fmt.Fprintf(&b, "\tserver = /usr/sbin/in.s%d\n", i)
			line(2, "server_args = %s %s", d.arg(), d.words(4, d.arg))
		}
		line(4, "# about groups\n\tgroups = %s", d.of("yes", "no"))
		line(4, "group = games")
		line(4, "umask = %03o", d.Intn(512))
		line(4, "nice = %d", d.Intn(40)-20)
		line(3, "only_from %s %s", d.of("=", "+=", "-="), d.words(4, d.address))
		line(3, "no_access %s %s", d.of("=", "+="), d.words(4, d.address))
		line(4, "access_times = %d:%02d-%d:%02d", d.Intn(12), d.Intn(60), 12+d.Intn(12), d.Intn(60))
		line(4, "instances = %s", d.of("0", "7", "UNLIMITED"))
		line(6, "queue = %s", d.of("yes", "no"))
		line(4, "cps = %d %d", d.Intn(100), d.Intn(100))
		line(5, "max_load = %s", d.of("2", "0.5", "12.25"))
		line(5, "deny_time = %s", d.of("FOREVER", "NEVER", "60"))
		line(4, "env = A=1 B=%s", d.of("x", "y z", `"`))
		line(5, "passenv = %s", d.words(3, func() string { return d.of("PATH", "LANG", "TZ") }))
		line(4, "rlimit_%s = %s", d.of("as", "data", "rss", "stack", "core", "fsize"), d.of("64M", "UNLIMITED", "8192k"))
		line(4, "rlimit_%s = %s", d.of("cpu", "files", "nproc"), d.of("20", "UNLIMITED"))
		line(5, "banner = /etc/%s", d.of("a", "b"))
		line(5, "banner_fail = /etc/c")
		line(5, "bind = %s", d.of("192.0.2.1", "localhost"))
		line(5, "libwrap = %s", d.of("in.other", "x"))
		line(4, "log_on_failure %s %s", d.of("=", "+=", "-="), d.words(3, func() string { return d.of("HOST", "USERID", "ATTEMPT", "PORT") }))
		line(4, "log_on_success %s %s", d.of("=", "+=", "-="), d.words(3, func() string { return d.of("HOST", "PID", "EXIT", "DURATION", "USERID") }))
		line(6, "chroot = /srv")
		line(6, "no_new_privs = yes")
		b.WriteString("}\n\n")
	}
	return b.String()
}

// inetdConf throws an inetd.conf.
func (d dice) inetdConf() string {
	var b strings.Builder
	for i := range 1 + d.Intn(6) {
		wait := d.of("nowait", "nowait.60", "nowait/10/30/5", "nowait.7/3/0/0")
		kind, proto := "stream", d.of("tcp", "tcp4", "tcp6", "tcp46", "tcp,rcvbuf=64k", "tcp6only")
		if d.chance(4) {
			kind, proto, wait = "dgram", d.of("udp", "udp4", "udp6,sndbuf=4096"), "wait"
		}
		name := fmt.Sprint(3000 + i)
		switch d.Intn(6) {
		case 0:
			name, proto = "127.0.0.1,[::1]:"+name, map[string]string{"stream": "tcp", "dgram": "udp"}[kind]
		case 1:
			if kind == "stream" {
				name, proto = fmt.Sprintf("tcpmux/%sm%d", d.of("", "+"), i), "tcp"
			}
		case 2:
			name, proto = fmt.Sprintf("%s/run/s%d", d.of("", ":root:daemon:0640:"), i), "unix"
		}
		program := fmt.Sprintf("/usr/sbin/s%d s%d %s", i, i, d.words(4, d.arg))
		if proto != "unix" && !strings.Contains(name, "tcpmux") && d.chance(4) {
			program = "internal " + d.of("echo", "discard", "time")
		}
		fmt.Fprintf(&b, "# line %d\n%s\t%s\t%s\t%s\t%s\t%s\n", i, name, kind, proto, wait, d.of("root", "nobody:games", "1.2"), program)
	}
	return b.String()
}

// A thousand configurations that nobody wrote.
func TestGeneratedRoundTrip(t *testing.T) {
	o := Options{Builtins: known, Services: "testdata/services"}
	for seed := range int64(1000) {
		d := newDice(seed)
		dialect, text := Xinetd, ""
		if seed%2 == 0 {
			text = d.xinetdConf()
		} else {
			dialect, text = Inetd, d.inetdConf()
		}
		services, problems := Read("seed", text, Options{Builtins: known, Services: o.Services, Dialect: dialect})
		if len(services) == 0 && !Errors(problems) {
			t.Fatalf("seed %d: nothing in\n%s", seed, text)
		}
		if Errors(problems) && seed%2 == 1 {
			t.Fatalf("seed %d: %v\n%s", seed, problems, text)
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) { roundTrip(t, dialect, services, o) })
		if t.Failed() {
			t.Fatalf("seed %d:\n%s\n%v", seed, text, problems)
		}
	}
}
