package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sane checks what every reader promises of what it returns.
func sane(t *testing.T, text string, services []*Service, problems []Problem) {
	t.Helper()
	lines := strings.Count(text, "\n") + 1
	for _, p := range problems {
		if p.Line < 1 || p.Line > lines || p.Text == "" || p.Hint == "" || p.String() == "" {
			t.Errorf("problem without a place, a reason or a hint: %+v", p)
		}
	}
	for _, s := range services {
		saneServer(t, s)
		saneLimits(t, s)
		saneAddresses(t, s)
	}
}

// saneServer: exactly one of a program, a builtin and a redirect serves, at
// least at one address.
func saneServer(t *testing.T, s *Service) {
	t.Helper()
	served := 0
	for _, by := range []string{s.Server, s.Internal, s.Redirect} {
		if by != "" {
			served++
		}
	}
	if s.Name == "" || s.ID == "" || served != 1 || s.Server != "" && (len(s.Args) == 0 || s.User == "") {
		t.Errorf("%+v", s)
	}
	if (len(s.Listen) == 0) != (s.Mux != "") {
		t.Errorf("no address: %+v", s)
	}
	if s.Wait && s.SocketType == Stream && (len(s.NoAccess) > 0 || s.PerSource != 0) {
		t.Errorf("what cannot be enforced is accepted: %+v", s)
	}
}

func saneLimits(t *testing.T, s *Service) {
	t.Helper()
	for _, n := range []int64{int64(s.Instances) - None, int64(s.PerSource) - None, int64(s.PerMinute) - None, int64(s.CPS.Max), int64(s.CPS.Pause),
		int64(s.IdleTimeout), int64(s.SessionTimeout), int64(s.DenyTime - Forever), int64(0o777 - s.Umask)} {
		if n < 0 {
			t.Errorf("a limit out of range: %+v", s)
		}
	}
	for _, span := range s.AccessTimes {
		if span.From < 0 || span.From > 1439 || span.To < 0 || span.To > 1439 {
			t.Errorf("%+v", span)
		}
	}
}

func saneAddresses(t *testing.T, s *Service) {
	t.Helper()
	for _, list := range [][]Source{s.OnlyFrom, s.NoAccess} {
		for _, source := range list {
			if (len(source.Prefixes) == 0) == (source.Name == "") || source.Pos.Line < 1 {
				t.Errorf("%+v", source)
			}
		}
	}
	for _, l := range s.Listen {
		tcpOrUDP := l.Network == "tcp" || l.Network == "udp"
		if tcpOrUDP && (l.Port < 1 && l.RPC == (RPC{}) || l.Port > 65535) || l.Network == "unix" && !filepath.IsAbs(l.Path) || l.Mode&^0o777 != 0 {
			t.Errorf("%+v", l)
		}
	}
}

func FuzzReadXinetd(f *testing.F) {
	files, _ := filepath.Glob("testdata/xinetd.d/*")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	for seed := range int64(20) {
		f.Add(newDice(seed).xinetdConf())
	}
	f.Add("defaults\n{\nonly_from = 10.0.0.0 {\n}\ninclude /nowhere\nincludedir nowhere\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(strings.ToLower(text), "include") {
			t.Skip("reads files")
		}
		services, problems := ReadXinetd("x", text, Options{Builtins: known, Services: "testdata/services"})
		sane(t, text, services, problems)
	})
}

func FuzzReadTOML(f *testing.F) {
	for seed := range int64(20) {
		services, _ := ReadXinetd("x", newDice(seed).xinetdConf(), Options{Builtins: known})
		text, _ := Write(TOML, services, Options{Builtins: known})
		f.Add(text)
	}
	f.Add("[defaults]\nonly_from = ['10.0.0.0/8']\n[service.x]\nlisten = [\"tcp:7\", \"udp:[::1]:7\", 'unix:/x', \"systemd:y\"] # z\ntype = \"internal\"\nenv = {A = 1}\n")
	f.Add("[service]\nx.listen = 'tcp:1'\nx.server = '''/bin/x'''\nx.user = \"\"\"a\"\"\"\n[service.\"a b\"]\ndisable = true\n")
	f.Fuzz(func(t *testing.T, text string) {
		services, problems := ReadTOML("x", text, Options{Builtins: known, Services: "testdata/services"})
		sane(t, text, services, problems)
	})
}
