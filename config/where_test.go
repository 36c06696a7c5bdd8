package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tomlService reads one service of TOML with defaults.
func tomlService(t *testing.T, defaults string, settings ...string) (*Service, []Problem) {
	t.Helper()
	services, problems := ReadTOML("x", "[defaults]\n"+defaults+"\n[service.a]\nuser = \"nobody\"\nserver = \"/bin/x\"\n"+strings.Join(settings, "\n")+"\n", Options{Builtins: known, Services: "testdata/services"})
	if len(services) == 0 {
		return nil, problems
	}
	return services[0], problems
}

// Nothing that says where a service listens is passed over beside listen: what
// the service has is an error, what the defaults have counts.
func TestAddressBesideListen(t *testing.T) {
	for _, own := range []string{`bind = "127.0.0.1"`, `interface = "127.0.0.1"`, `port = 8`, `protocol = "udp"`, `v6only = true`, `flags = ["IPv6"]`, `flags = ["IPv4", "NODELAY"]`} {
		s, problems := tomlService(t, "", `listen = "tcp:7"`, own)
		if s != nil || len(problems) != 1 || !has(problems, "not go with listen") || problems[0].Line != 7 {
			t.Errorf("%s: %+v %v", own, s, problems)
		}
	}
	if s, problems := tomlService(t, "", `listen = "tcp:7"`, `flags = ["IPv4", "IPv6"]`); s == nil || len(problems) != 0 {
		t.Errorf("both families: %v", problems)
	}
	for _, c := range []struct{ defaults, listen, want string }{
		{`bind = "127.0.0.1"`, `"tcp:7"`, "tcp4:127.0.0.1:7"},
		{`bind = "127.0.0.1"`, `"tcp:echo"`, "tcp4:127.0.0.1:7"},
		{`bind = "127.0.0.1"`, `"udp:7"`, "udp4:127.0.0.1:7"},
		{`bind = "localhost"`, `"tcp6:7"`, "tcp6:localhost:7"},
		{`bind = "::"`, `"tcp:7"`, "tcp:7"},
		{`bind = "127.0.0.1"`, `"tcp:*:7"`, "tcp:7"},
		{`bind = "127.0.0.1"`, `"tcp:192.0.2.1:7"`, "tcp4:192.0.2.1:7"},
		{`bind = "127.0.0.1"`, `"unix:/x"`, "unix:/x"},
		{`bind = "127.0.0.1"`, `"systemd:x"`, "systemd:x"},
		{`bind = "127.0.0.1"`, `"tcp6:7"`, "address 127.0.0.1 does not go with tcp6"},
		{`v6only = true`, `"tcp:7"`, "tcp6:7"},
		{`v6only = true`, `"tcp4:7"`, "tcp4:7"},
		{`v6only = true`, `"tcp:192.0.2.1:7"`, "tcp4:192.0.2.1:7"},
		{`v6only = true`, `"tcp:localhost:7"`, "tcp6:localhost:7"},
	} {
		s, problems := tomlService(t, c.defaults, "listen = "+c.listen)
		if s == nil && !has(problems, c.want) || s != nil && s.Listen[0].String() != c.want {
			t.Errorf("%s, listen = %s: %+v %v, want %s", c.defaults, c.listen, s, problems, c.want)
		}
	}
	// xinetd.conf's extension is the same.
	if s, problems := xinetdService(t, "", "listen = tcp:7", "bind = 127.0.0.1"); s != nil {
		t.Errorf("%v", problems)
	}
}

// What means nothing in [defaults] and may be meant to restrict services is an
// error of those that do not say it.
func TestMisplacedDefaults(t *testing.T) {
	for _, c := range []struct {
		defaults, own string
		runs          bool
	}{
		{"libwrap = true", "", false}, {"libwrap = \"in.x\"", "", false}, {"libwrap = true", "libwrap = true", true}, {"libwrap = false", "", true},
		{"flags = [\"IDONLY\"]", "", false}, {"flags = [\"NODELAY\"]", "", true}, {"flags = [\"ipv4\"]", "", false}, {"flags = [\"IPv4\"]", "flags = [\"NODELAY\"]", true},
		{"listen = \"tcp:127.0.0.1:7\"", "port = 7\nprotocol = \"tcp\"", false},
		{"socket_mode = \"0600\"", "listen = \"unix:/x\"", false}, {"socket_mode = \"0600\"", "listen = \"tcp:7\"", true},
		{"port = 7", "", true}, {"protocol = \"udp\"", "", true}, {"user = \"nobody\"", "", true},
	} {
		own := c.own
		if !strings.Contains(own, "listen") && !strings.Contains(own, "port") {
			own += "\nlisten = \"tcp:7\""
		}
		s, problems := tomlService(t, c.defaults, own)
		name, _, _ := strings.Cut(c.defaults, " ")
		if (s != nil) != c.runs || strings.Contains(c.own, name) != (len(problems) == 0) || len(problems) > 0 && !has(problems, name+" in defaults has no effect") {
			t.Errorf("%+v: %+v %v", c, s, problems)
		}
	}
}

// Keys of TOML have no case, but nobody can be sure of Disable.
func TestCaseOfKeys(t *testing.T) {
	s, problems := tomlService(t, "", `listen = "tcp:7"`, "Disable = true")
	if s != nil || !has(problems, `unknown key "Disable" (service a skipped; write disable, in small letters)`) {
		t.Errorf("%v %v", s, problems)
	}
	if s, problems = tomlService(t, "", `listen = "tcp:7"`, `Only_From = ["10.0.0.1"]`); s == nil || len(s.OnlyFrom) != 1 {
		t.Errorf("%v %v", s, problems)
	}
	for _, twice := range []string{"only_from = [\"10.0.0.1\"]\nOnly_From = []", "port = 7\nsocket_type = \"stream\"\nbind = \"127.0.0.1\"\ninterface = \"0.0.0.0\"", "instances = 1\nInstances = 7"} {
		if s, problems = tomlService(t, "", `listen = "tcp:7"`, twice); s != nil || !has(problems, "is set twice, by names that mean the same") {
			t.Errorf("%q: %+v %v", twice, s, problems)
		}
	}
}

// Numbers that are no ports, and protocols that nobody here speaks, are called
// that in every dialect.
func TestPortsAndProtocols(t *testing.T) {
	toml := func(listen string) string {
		return "[service.a]\nuser = \"nobody\"\nserver = \"/bin/x\"\nlisten = \"" + listen + "\"\n"
	}
	for text, want := range map[string]string{
		"65536 stream tcp nowait root /bin/x\n":                   "65536 is not a port",
		"0 stream tcp nowait root /bin/x\n":                       "0 is not a port",
		"99999999999999999999999 dgram udp wait root /bin/x\n":    "99999999999999999999999 is not a port",
		"7 stream sctp nowait root /bin/x\n":                      "sctp is not supported",
		"7 stream mptcp6 nowait root /bin/x\n":                    "mptcp is not supported",
		toml("tcp:65536"):                                         "65536 is not a port",
		toml("udp:192.0.2.1:70000"):                               "70000 is not a port",
		toml("sctp:7"):                                            "sctp is not supported (service a skipped; write tcp or udp)",
		toml("mptcp:192.0.2.1:7"):                                 "mptcp is not supported (service a skipped; write tcp or udp)",
		"service a\n{\nport = 65536\n" + plain + "}\n":            `"65536" is not a port`,
		"service a\n{\nport = 1\nprotocol = sctp\n" + plain + "}": "sctp is not supported",
		"service a\n{\nport = 1\ntype = UNLISTED\nsocket_type = stream\nwait = no\nredirect = 192.0.2.1 65536\n}": "65536 is not a port",
	} {
		if services, problems := Read("x", text, Options{Builtins: known}); len(services) != 0 || len(problems) != 1 || !has(problems, want) {
			t.Errorf("%s%v %v", text, services, problems)
		}
	}
}

// A folder that Kubernetes makes of a ConfigMap has links to ..data, which is
// a link to a folder. Nobody is to read about that.
func TestConfigMap(t *testing.T) {
	dir := t.TempDir()
	for _, inside := range []string{"inetd.d", "xinetd.d"} {
		os.MkdirAll(filepath.Join(dir, inside, "..2026_11_25"), 0o755)
		os.MkdirAll(filepath.Join(dir, inside, "old.d"), 0o755)
		os.MkdirAll(filepath.Join(dir, inside, ".hidden.d"), 0o755)
		os.Symlink("..2026_11_25", filepath.Join(dir, inside, "..data"))
		os.Symlink("..2026_11_24", filepath.Join(dir, inside, "..data_tmp"))
		os.Symlink("..data/services", filepath.Join(dir, inside, "services"))
	}
	os.WriteFile(filepath.Join(dir, "inetd.d/..data/services"), []byte("7001 stream tcp nowait root /bin/a\n"), 0o644)
	os.WriteFile(filepath.Join(dir, "xinetd.d/..data/services"), []byte("service a\n{\nport = 1001\n"+plain+"}\n"), 0o644)
	os.WriteFile(filepath.Join(dir, "xinetd.conf"), []byte("includedir xinetd.d\n"), 0o644)
	for _, path := range []string{"inetd.d", "xinetd.conf"} {
		services, problems, err := Load([]string{filepath.Join(dir, path)}, Options{Builtins: known})
		if err != nil || len(services) != 1 || len(problems) != 0 {
			t.Errorf("%s: %v %v %v", path, services, problems, err)
		}
	}
}
