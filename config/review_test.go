package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const plain = "type = UNLISTED\nsocket_type = stream\nwait = no\nuser = nobody\nserver = /bin/x\n"

func ids(services []*Service) string {
	var list []string
	for _, s := range services {
		list = append(list, s.ID)
	}
	return strings.Join(list, " ")
}

// enabled and disabled name ids, and disable = yes comes before both.
func TestEnabled(t *testing.T) {
	entries := "service a\n{\nport = 1001\n" + plain + "}\nservice b\n{\nid = bee\nport = 1002\n" + plain + "}\nservice c\n{\ndisable = true\nport = 1003\n" + plain + "}\n"
	for defaults, want := range map[string]string{
		"":                              "a bee",
		"enabled = BEE c":               "bee",
		"disabled = bee":                "a",
		"enabled = a\nenabled += bee":   "a bee",
		"enabled = a\ndisabled = a bee": "",
		"enabled =":                     "",
	} {
		services, problems := ReadXinetd("x", "defaults\n{\n"+defaults+"\n}\n"+entries, Options{Builtins: known})
		if got := ids(services); got != want || len(problems) != 0 {
			t.Errorf("%q: %s, want %s, %v", defaults, got, want, problems)
		}
	}
	if services, problems := ReadXinetd("x", "service a\n{\nport = 1\ndisable = maybe\n"+plain+"}\n", Options{Builtins: known}); len(services) != 0 || len(problems) != 1 {
		t.Errorf("disable = maybe runs: %v", problems)
	}
}

// Files include each other, but not for ever.
func TestInclude(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	os.Mkdir(filepath.Join(dir, "d"), 0o755)
	write("top", "include other\nincludedir d\n")
	write("other", "service a\n{\nport = 1001\n"+plain+"}\ninclude top\n")
	write("d/b", "service b\n{\nport = 1002\n"+plain+"}\n")
	write("d/c.conf", "service c\n{\nport = 1003\n"+plain+"}\n")
	services, problems, err := Load([]string{filepath.Join(dir, "top")}, Options{Builtins: known})
	if err != nil || ids(services) != "a b" || len(problems) != 2 {
		t.Errorf("%s %v %v", ids(services), problems, err)
	}
}

// All problems of a service are reported in one run.
func TestAllProblems(t *testing.T) {
	_, problems := ReadTOML("x", "[service.x]\nlisten = \"tcp:7\"\ninstances = -1\nper_source = -2\nonly_from = [\"300.1.1.1\"]\nbogus = 1\naccess_times = [\"25:00-26:00\"]\n", Options{Builtins: known})
	if len(problems) != 5 {
		t.Errorf("%d: %v", len(problems), problems)
	}
	_, problems = ReadTOML("x", "[defaults]\nfoo = 1\numsk = \"022\"\n[service.x]\nlisten = \"tcp:7\"\ntype = \"internal\"\nname = \"echo\"\n", Options{Builtins: known})
	if len(problems) != 2 || !strings.Contains(problems[0].String()+problems[1].String(), "write umask") {
		t.Errorf("%v", problems)
	}
}

// What the defaults say of who may come in stops services when it is wrong,
// and what they say of anything else does not.
func TestWrongDefaults(t *testing.T) {
	for defaults, want := range map[string]string{"only_from = 300.1.1.1": "b", "onlyfrom = 10.0.0.0": "b", "umask = 9": "", "instances = x": "", "log_type = FILE relative": "a b", "banner = x": "a b", "only_from 10.0.0.0": "b"} {
		services, problems := ReadXinetd("x", "defaults\n{\n"+defaults+"\n}\nservice a\n{\nport = 1001\n"+plain+"}\nservice b\n{\nport = 1002\nonly_from = 10.0.0.1\n"+plain+"}\n", Options{Builtins: known})
		if got := ids(services); got != want || len(problems) == 0 {
			t.Errorf("%s: %q run, want %q, %v", defaults, got, want, problems)
		}
	}
}

func TestDisableInTOML(t *testing.T) {
	for value, want := range map[string]int{"true": 0, `"yes"`: 0, "false": 1, `"no"`: 1, "3": 0} {
		services, _ := ReadTOML("x", "[service.echo]\nlisten = \"tcp:7\"\ntype = \"internal\"\ndisable = "+value+"\n", Options{Builtins: known})
		if len(services) != want {
			t.Errorf("disable = %s: %d services", value, len(services))
		}
	}
}

// The families of a listener, by flags, bind and v6only.
func TestFamilies(t *testing.T) {
	for settings, want := range map[string]string{
		"": "tcp:1001", "flags = IPv4": "tcp4:1001", "flags = IPv6": "tcp:1001", "flags = IPv4 IPv6": "tcp:1001", "v6only = yes": "tcp6:1001", "v6only = no": "tcp:1001",
		"bind = ::": "tcp:1001", "bind = 0.0.0.0": "tcp4:0.0.0.0:1001", "interface = ::1": "tcp6:[::1]:1001", "bind = ::\nv6only = yes": "tcp6:1001",
	} {
		services, problems := ReadXinetd("x", "service a\n{\nport = 1001\n"+plain+settings+"\n}\n", Options{Builtins: known})
		if len(services) != 1 || services[0].Listen[0].String() != want {
			t.Errorf("%q: %v %v, want %s", settings, services, problems, want)
		}
	}
	services, _ := ReadXinetd("x", "defaults\n{\nv6only = yes\n}\nservice a\n{\nport = 1001\nflags = IPv4\n"+plain+"}\n", Options{Builtins: known})
	if len(services) != 1 || services[0].Listen[0].Family != IPv4 {
		t.Errorf("v6only in defaults: %v", services)
	}
	for _, flag := range []string{"INTERCEPT", "LABELED"} {
		if services, _ := ReadXinetd("x", "service a\n{\nport = 1001\nflags = "+flag+"\n"+plain+"}\n", Options{Builtins: known}); len(services) != 0 {
			t.Errorf("%s is passed over", flag)
		}
	}
}

// Comments go with what they are about.
func TestComments(t *testing.T) {
	text := "# top\ndefaults\n{\n\t# keep me\n\tinstances = 3\n}\n# about a\nservice a\n{\n\tport = 1001\n\t# why\n" + plain + "\t# last\n}\n# the end\n"
	services, _ := ReadXinetd("x", text, Options{Builtins: known})
	for _, d := range []Dialect{TOML, Xinetd, Inetd} {
		out, _ := Write(d, services, Options{Builtins: known})
		for _, c := range []string{"# top", "# keep me", "# about a", "# why", "# last", "# the end"} {
			if strings.Count(out, c+"\n") != 1 {
				t.Errorf("%s: %q\n%s", d, c, out)
			}
		}
	}
}

// Where what holds for all services cannot be made out, none may run: they
// would be open to everybody. What is cut off by a missing brace takes
// nothing else with it.
func TestNothingOpensByMistake(t *testing.T) {
	entry := func(name, more string) string { return "service " + name + "\n{\nport = 1001\n" + more + plain }
	for text, want := range map[string]string{
		"default\n{\nonly_from = 10.0.0.1\n}\n" + entry("a", "") + "}\n":                                                                      "",
		"defaults\n{\nonly_from = 10.0.0.1\ndisabled a\n}\n" + entry("a", "") + "}\n":                                                         "",
		"defaults\n{\nenabled b\n}\n" + entry("a", "") + "}\n":                                                                                "",
		"defaults\n{\ndisable = a\n}\n" + entry("a", "") + "}\n":                                                                              "",
		"defaults\n{\nonly_from = 10.0.0.1\n" + entry("b", "disable = yes\n") + "}\n" + entry("a", "") + "}\n":                                "a 10.0.0.1",
		"defaults\n{\nonly_from = 10.0.0.1\n" + entry("b", "only_from = 0.0.0.0/0\n") + "}\n" + "service c\n{\nport = 1002\n" + plain + "}\n": "b 0.0.0.0/0 c 10.0.0.1",
		entry("a", "") + entry("b", "disable = yes\n") + "}\n":                                                                                "",
	} {
		services, problems := ReadXinetd("x", text, Options{Builtins: known})
		var got []string
		for _, s := range services {
			got = append(got, s.ID)
			for _, o := range s.OnlyFrom {
				got = append(got, o.Text)
			}
		}
		if strings.Join(got, " ") != want || !Errors(problems) {
			t.Errorf("%s\n%q run, want %q, %v", text, got, want, problems)
		}
	}
	service := "[service.x]\nlisten = \"tcp:7\"\nuser = \"nobody\"\nserver = \"/bin/x\"\n"
	for _, top := range []string{"[default]\nonly_from = [\"10.0.0.1\"]\n", "[[defaults]]\nonly_from = [\"10.0.0.1\"]\n", "[defaults]\ndisabled = [\"x\"]\n", "[defaults]\nonly_frm = [\"10.0.0.1\"]\n"} {
		if services, problems := ReadTOML("x", top+service, Options{Builtins: known}); len(services) != 0 || !Errors(problems) {
			t.Errorf("%s%v", top, problems)
		}
	}
	for _, wrong := range []string{"listen = \"icmp:*\"\nonly_from = [\"10.0.0.1\"]\nuser = \"nobody\"\nserver = \"/bin/x\"\n", "listen = \"unix:/x\"\nredirect = \"127.0.0.1:80\"\n"} {
		if services, problems := ReadTOML("x", "[service.x]\n"+wrong, Options{Builtins: known}); len(services) != 0 {
			t.Errorf("%s%v", wrong, problems)
		}
	}
}

// An option in the place of argv[0] is warned of: argv[0] was forgotten.
func TestForgottenArgv0(t *testing.T) {
	for line, want := range map[string]string{
		"/usr/sbin/in.tftpd -s /srv":           `x:1: field 7, argv[0], is "-s": the program takes that for its name, and not for an option (write the name before it: /usr/sbin/in.tftpd in.tftpd -s)`,
		"/usr/sbin/in.tftpd in.tftpd -s /srv":  "",
		"/usr/sbin/in.tftpd":                   "",
		"/bin/sh -sh":                          "",
		"/usr/sbin/tcpd /usr/sbin/in.tftpd -s": "",
		"internal echo":                        "",
	} {
		services, problems := ReadInetd("x", "7007 stream tcp nowait root "+line+"\n", Options{Builtins: known})
		got := ""
		for _, p := range problems {
			got += p.String()
		}
		if len(services) != 1 || got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}
