package config

import (
	"strings"
	"testing"
)

// Which of several services are served, where, and what is said of the
// others.
func TestConflicts(t *testing.T) {
	const tail = " nowait root /bin/x\n"
	for _, c := range []struct{ what, text, want, said string }{
		{"tcp behind tcp4", "7 stream tcp4" + tail + "7 stream tcp" + tail, "tcp4:7 tcp6:7", "x:2: tcp:7 serves only IPv6: x:1 has IPv4 (write tcp6 here, if that is meant)"},
		{"tcp6 behind tcp", "7 stream tcp" + tail + "7 stream tcp6" + tail, "tcp4:7 tcp6:7", ""},
		{"udp behind udp4", "7 dgram udp4" + tail + "7 dgram udp" + tail, "udp4:7 udp6:7", "x:2: udp:7 serves only IPv6"},
		{"tcp behind both", "7 stream tcp4" + tail + "7 stream tcp6" + tail + "7 stream tcp" + tail, "tcp4:7 tcp6:7", "x:3: service 7 is defined already at x:1"},
		{"twice the same", "7 stream tcp" + tail + "7 stream tcp" + tail, "tcp:7", "x:2: service 7 is defined already at x:1 (service 7 skipped;"},
		{"an address beside all", "7 stream tcp4" + tail + "127.0.0.1:7 stream tcp4" + tail, "tcp4:7 tcp4:127.0.0.1:7",
			"x:2: tcp4:127.0.0.1:7 cannot listen together with x:1, which has port 7 on every address"},
		{"in the other order", "127.0.0.1:7 dgram udp" + tail + "7 dgram udp" + tail, "udp4:127.0.0.1:7 udp:7", "x:1: udp4:127.0.0.1:7 cannot listen together with x:2"},
		{"of the other family", "127.0.0.1:7 stream tcp" + tail + "7 stream tcp6" + tail, "tcp4:127.0.0.1:7 tcp6:7", ""},
		{"over another protocol", "127.0.0.1:7 stream tcp" + tail + "7 dgram udp" + tail, "tcp4:127.0.0.1:7 udp:7", ""},
		{"every address, twice written", "0.0.0.0:7 stream tcp" + tail + "7 stream tcp4" + tail, "tcp4:0.0.0.0:7", "x:2: 7 is already served by x:1"},
		{"IPv4 mapped into IPv6", "127.0.0.1:7 stream tcp" + tail + "7 stream tcp46" + tail, "tcp4:127.0.0.1:7 tcp46:7", "x:1: tcp4:127.0.0.1:7 cannot listen together with x:2"},
		{"one tcpmux name", "tcpmux/a stream tcp" + tail + "tcpmux/+A stream tcp" + tail, "", "x:2: service tcpmux/+A is defined already at x:1"},
	} {
		services, wrong := ReadInetd("x", c.text, Options{Builtins: known})
		if len(wrong) > 0 {
			t.Fatal(wrong)
		}
		retained, problems := RejectConflicts(services)
		var got []string
		for _, s := range retained {
			for _, l := range s.Listen {
				got = append(got, l.String())
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
		said := ""
		for _, p := range problems {
			said += p.String() + "\n"
		}
		if !strings.Contains(said, c.said) || c.said == "" && said != "" {
			t.Errorf("%s: said %q, want %q", c.what, said, c.said)
		}
	}
}

// Services of one name on several ports are several services.
func TestKeys(t *testing.T) {
	entry := func(settings string) string { return "service quiz\n{\n" + settings + plain + "}\n" }
	services, problems := ReadXinetd("x", entry("port = 1001\n")+entry("port = 1002\n")+entry("port = 1001\nbind = 127.0.0.1\n"), Options{Builtins: known})
	keys := map[string]bool{}
	for _, s := range services {
		keys[s.Key()] = true
		if s.NameKey() != "quiz/stream" {
			t.Errorf("name key %q", s.NameKey())
		}
	}
	if len(keys) != 3 || len(problems) != 0 {
		t.Errorf("%v %v", keys, problems)
	}
}
