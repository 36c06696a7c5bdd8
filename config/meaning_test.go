package config

import (
	"slices"
	"strings"
	"testing"
)

// A limit of the defaults that a wait service cannot have is a warning; what
// says who may come in ends it.
func TestDefaultsOfWaitService(t *testing.T) {
	wait := func(defaults, settings string) (*Service, []Problem) {
		services, problems := ReadXinetd("x", "defaults\n{\n"+defaults+"\n}\nservice a\n{\ntype = UNLISTED\nport = 1001\nsocket_type = stream\nwait = yes\nuser = nobody\nserver = /bin/x\n"+
			settings+"\n}\n", Options{Builtins: known})
		if len(services) == 0 {
			return nil, problems
		}
		return services[0], problems
	}
	s, problems := wait("instances = 50\nper_source = 10\ncps_per_source = 5 60\nidle_timeout = 60\nsession_timeout = 60", "")
	if s == nil || s.PerSource != 0 || s.CPSPerSource != (Rate{}) || s.IdleTimeout != 0 || s.SessionTimeout != 0 || s.Instances != 50 {
		t.Fatalf("%+v %v", s, problems)
	}
	if len(problems) != 4 || !has(problems, "per_source of the defaults (x:4) has no effect on a: the program of a wait service accepts for itself") || problems[0].Line == 4 {
		t.Errorf("%v", problems)
	}
	for _, closes := range []string{"only_from = 10.0.0.1", "no_access = 10.0.0.1"} {
		if s, problems = wait(closes, ""); s != nil || !Errors(problems) {
			t.Errorf("%s in defaults leaves a wait service open: %v", closes, problems)
		}
	}
	for _, own := range []string{"per_source = 10", "session_timeout = 60"} {
		if s, problems = wait("", own); s != nil || !Errors(problems) {
			t.Errorf("%s of the service is passed over: %v", own, problems)
		}
	}
	services, problems := ReadTOML("x", "[defaults]\nper_source = 2\n[service.a]\nlisten = \"tcp:7\"\nwait = true\nuser = \"nobody\"\nserver = \"/bin/x\"\n", Options{Builtins: known})
	if len(services) != 1 || services[0].PerSource != 0 || !has(problems, "per_source of the defaults (x:2) has no effect on a") {
		t.Errorf("TOML: %v %v", services, problems)
	}
}

// A setting of xinetd.conf without a value is not set; one that may have been
// meant to close or limit the service ends it.
func TestEmptySettings(t *testing.T) {
	for _, name := range optional {
		s, problems := xinetdService(t, "banner_fail = /of/defaults", name+" =")
		if s == nil || len(problems) != 1 || !has(problems, "x:13:1: "+name+" has no value, and is not set") || s.BannerFail != "/of/defaults" || s.ID != "a" {
			t.Errorf("%s: %v", name, problems)
		}
	}
	for _, name := range []string{"bind", "interface", "cps", "instances", "per_source", "umask", "max_load", "v6only", "libwrap", "access_times", "flags", "redirect", "chroot", "session_timeout", "disable", "log_type"} {
		if s, problems := xinetdService(t, "", name+" ="); s != nil || !Errors(problems) {
			t.Errorf("%s with no value runs: %v", name, problems)
		}
	}
	if services, problems := ReadTOML("x", "[service.a]\nlisten = \"tcp:7\"\nnice = []\nuser = \"nobody\"\nserver = \"/bin/x\"\n", Options{Builtins: known}); len(services) != 0 {
		t.Errorf("TOML: %v", problems)
	}
}

// The flags IPv4 and IPv6 choose among the addresses of a name, and refuse an
// address of the other family.
func TestFlagsOfFamily(t *testing.T) {
	for settings, want := range map[string]string{
		"bind = localhost":                      "tcp:localhost:1001",
		"bind = localhost\nflags = IPv6":        "tcp6:localhost:1001",
		"bind = localhost\nflags = IPv4":        "tcp4:localhost:1001",
		"bind = localhost\nflags = IPv4 IPv6":   "tcp:localhost:1001",
		"bind = ::1\nflags = IPv6":              "tcp6:[::1]:1001",
		"bind = ::\nflags = IPv6":               "tcp:1001",
		"bind = ::\nflags = IPv6\nv6only = yes": "tcp6:1001",
		"flags = IPv6\nv6only = yes":            "tcp6:1001",
		"bind = ::\nflags = IPv4":               "address :: does not go with the flag IPv4",
		"bind = ::1\nflags = IPv4":              "address ::1 does not go with the flag IPv4",
		"bind = 192.0.2.1\nflags = IPv6":        "address 192.0.2.1 does not go with the flag IPv6",
		"bind = 0.0.0.0\nflags = IPv6":          "address 0.0.0.0 does not go with the flag IPv6",
		"bind = 192.0.2.1\nv6only = yes":        "address 192.0.2.1 does not go with tcp6",
	} {
		s, problems := xinetdService(t, "", settings)
		if got := describe(nil, problems); s == nil && !strings.Contains(got, want) || s != nil && s.Listen[0].String() != want {
			t.Errorf("%q: %+v %v, want %s", settings, s, problems, want)
		}
	}
}

// Of a variable that is set twice the last value counts: programs would see
// the first.
func TestEnvTwice(t *testing.T) {
	for settings, want := range map[string][]string{
		"env = A=1 A=2":                     {"A=2"},
		"env = A=1 B=1\nenv += A=2 AB=3":    {"B=1", "A=2", "AB=3"},
		"env = A=1\nenv += A=2\nenv -= A=2": {"A=1"},
		"env = A=1 B=2 A=":                  {"B=2", "A="},
	} {
		s, problems := xinetdService(t, "", settings)
		if s == nil || !slices.Equal(s.Env, want) {
			t.Errorf("%q: %+v, want %q, %v", settings, s, want, problems)
		}
	}
}

// FAIL lines have the client's address unless log_on_failure is written
// without HOST, be it in the defaults.
func TestLogOnFailureWithoutHost(t *testing.T) {
	for _, c := range []struct {
		defaults, service string
		want              LogSet
	}{
		{"", "", LogHost},
		{"", "log_on_failure = ATTEMPT", LogAttempt},
		{"", "log_on_failure += USERID", LogHost | LogUserID},
		{"log_on_failure = ATTEMPT", "", LogAttempt},
		{"log_on_failure = ATTEMPT\nlog_on_failure = USERID", "", LogAttempt | LogUserID},
		{"log_on_failure = ATTEMPT", "log_on_failure += PORT", LogAttempt | LogPort},
		{"log_on_failure += ATTEMPT", "", LogHost | LogAttempt},
		{"log_on_failure = HOST ATTEMPT", "log_on_failure -= HOST", LogAttempt},
		{"log_on_failure =", "", 0},
	} {
		s, problems := xinetdService(t, c.defaults, c.service)
		if s == nil || s.LogOnFailure != c.want {
			t.Errorf("%+v: %+v %v", c, s, problems)
		}
	}
}

// No hint proposes to remove what may have been meant to close a service.
func TestHintsClose(t *testing.T) {
	for name, want := range map[string]string{
		"onlyfrom": "write only_from, if that is meant", "only_form": "write only_from", "instnaces": "write instances, if that is meant", "acces_times": "write access_times",
		"allow_from": "looks like a restriction", "hosts_deny": "looks like a restriction", "max_clients": "looks like a restriction", "bnd": "write bind",
		"bogus": "remove it", "nicer": "write nice, or remove it",
	} {
		for _, dialect := range []Dialect{Xinetd, TOML} {
			text := "service a\n{\nport = 1001\n" + plain + name + " = x\n}\n"
			inDefaults := "defaults\n{\n" + name + " = x\n}\nservice a\n{\nport = 1001\n" + plain + "}\n"
			if dialect == TOML {
				service := "[service.a]\nlisten = \"tcp:7\"\nuser = \"nobody\"\nserver = \"/bin/x\"\n"
				text, inDefaults = service+name+" = \"x\"\n", "[defaults]\n"+name+" = \"x\"\n"+service
			}
			for _, text := range []string{text, inDefaults} {
				_, problems := Read("x", text, Options{Builtins: known, Dialect: dialect})
				if len(problems) != 1 || !strings.Contains(problems[0].Hint, want) || want[:6] != "remove" && name != "nicer" && strings.Contains(problems[0].Hint, "remove") {
					t.Errorf("%s in %s: %v", name, dialect, problems)
				}
			}
		}
	}
	for settings, want := range map[string]string{"flags = IDONLY\nwait = no\nsocket_type = dgram": "correct them", "flags = LABELED": "confine the program", "flags = INTERCEPT": "protect the service"} {
		text := "service a\n{\ntype = UNLISTED\nport = 1001\nuser = nobody\nserver = /bin/x\n" + settings
		if !strings.Contains(settings, "wait") {
			text += "\nsocket_type = stream\nwait = no"
		}
		if _, problems := ReadXinetd("x", text+"\n}\n", Options{Builtins: known}); len(problems) != 1 || !strings.HasPrefix(problems[0].Hint, want) {
			t.Errorf("%s: %v", settings, problems)
		}
	}
}

// A service that serves nobody refuses its clients: none of them would leave
// a queue.
func TestNoInstances(t *testing.T) {
	services, problems := ReadTOML("x", "[service.a]\nlisten = \"tcp:7\"\nuser = \"nobody\"\nserver = \"/bin/x\"\ninstances = 0\nqueue = true\n", Options{Builtins: known})
	if len(services) != 1 || services[0].Queue || services[0].Instances != None || len(problems) != 0 {
		t.Errorf("%+v %v", services, problems)
	}
	if s, _ := xinetdService(t, "queue = yes", "instances = 0"); s == nil || s.Queue {
		t.Errorf("%+v", s)
	}
}

// An address is taken out of a list in whatever form it is written, and what
// removes nothing is said.
func TestRemovedAddresses(t *testing.T) {
	for _, c := range []struct{ list, minus, want string }{
		{"192.0.2.0/24 10.0.0.1", "192.0.2.0", "10.0.0.1"},
		{"192.0.2.0 10.0.0.1", "192.0.2.0/24", "10.0.0.1"},
		{"[2001:db8::]/32 10.0.0.1", "2001:db8:0::/32", "10.0.0.1"},
		{"a.Example.org 10.0.0.1", "A.example.org", "10.0.0.1"},
		{"10.0.0.1", "10.0.0.1", ""},
		{"10.0.0.1", "10.0.0.2", "10.0.0.1 only_from -= 10.0.0.2 removes nothing"},
		{"10.0.0.0/8", "10.0.0.0/16", "10.0.0.0/8 only_from -= 10.0.0.0/16 removes nothing"},
	} {
		text := "defaults\n{\nonly_from = " + c.list + "\n}\nservice s\n{\ntype = UNLISTED\nport = 7\nsocket_type = stream\nwait = no\nuser = root\nserver = /bin/x\nonly_from -= " + c.minus + "\n}\n"
		services, problems := ReadXinetd("x", text, Options{})
		if len(services) != 1 {
			t.Fatal(problems)
		}
		var words []string
		for _, s := range services[0].OnlyFrom {
			words = append(words, s.Text)
		}
		for _, p := range problems {
			words = append(words, p.Text)
		}
		if got := strings.Join(words, " "); got != c.want || services[0].OnlyFrom == nil {
			t.Errorf("%s -= %s: %q, want %q", c.list, c.minus, got, c.want)
		}
	}
}
