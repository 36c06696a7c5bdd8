package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// Switching a service off and on again is the same text, and nothing else
// changes; off it does not run.
func TestSetDisabled(t *testing.T) {
	const inetdOff, xinetd = "#<off># 7001 stream tcp nowait nobody /bin/x x\n", "service %s\n{\n\ttype = UNLISTED\n\tport = 7001\n\tsocket_type = stream\n\twait = no\n\tuser = nobody\n\tserver = /bin/x\n}\n"
	other := "7002 stream tcp nowait nobody /bin/y y\n"
	for _, c := range []struct{ name, id, on, off string }{
		{"a line", "7001", "# first\n7001 stream tcp nowait nobody /bin/x x\n" + other, "# first\n" + inetdOff + other},
		{"a line that is continued", "7001", "7001 stream tcp\n\tnowait nobody \\\n/bin/x x\n" + other, "#<off># 7001 stream tcp\n#<off># \tnowait nobody \\\n#<off># /bin/x x\n" + other},
		{"the last line without an end", "7001", other + "7001 stream tcp nowait nobody /bin/x x", other + "#<off># 7001 stream tcp nowait nobody /bin/x x"},
		{"key = value", "7001", "7001 on protocol = tcp, wait = no, user = nobody, exec = /bin/x;\n" + other, "7001 off protocol = tcp, wait = no, user = nobody, exec = /bin/x;\n" + other},
		{"RPC", "rstatd", "rstatd/1-3 dgram rpc/udp wait nobody /bin/x x\n", "#<off># rstatd/1-3 dgram rpc/udp wait nobody /bin/x x\n"},
		{"xinetd", "a", strings.Replace(xinetd, "%s\n{\n", "a\n{\n\tdisable = no\n", 1), strings.Replace(xinetd, "%s\n{\n", "a\n{\n\tdisable = yes\n", 1)},
		{"TOML", "a", "# x\n[service.a]\ndisable = false\nlisten = [\"tcp:7001\", \"udp:7001\"]\nbuiltin = \"echo\"\n[service.b]\nlisten = \"tcp:7002\"\nbuiltin = \"echo\"\n",
			"# x\n[service.a]\ndisable = true\nlisten = [\"tcp:7001\", \"udp:7001\"]\nbuiltin = \"echo\"\n[service.b]\nlisten = \"tcp:7002\"\nbuiltin = \"echo\"\n"},
	} {
		o := Options{Builtins: known}
		off, err := SetDisabled("x", c.on, c.id, true, o)
		if err != nil || off != c.off {
			t.Errorf("%s: off: %v\n%s", c.name, err, off)
		}
		on, err := SetDisabled("x", c.off, c.id, false, o)
		if err != nil || on != c.on {
			t.Errorf("%s: on: %v\n%s", c.name, err, on)
		}
		for text, disable := range map[string]bool{c.on: false, c.off: true} {
			if _, err := SetDisabled("x", text, c.id, disable, o); !errors.Is(err, ErrNotOn) && !errors.Is(err, ErrNotOff) {
				t.Errorf("%s: again: %v", c.name, err)
			}
		}
	}
	// Where there is no setting, one is added.
	for text, want := range map[string]string{
		strings.Replace(xinetd, "%s", "a", 1):                      "service a\n{\n\tdisable = yes\n\ttype",
		"[service.a]\nlisten = \"tcp:7001\"\nbuiltin = \"echo\"\n": "[service.a]\ndisable = true\nlisten",
	} {
		off, err := SetDisabled("x", text, "a", true, Options{Builtins: known})
		if err != nil || !strings.Contains(off, want) {
			t.Errorf("%v\n%s", err, off)
		}
	}
	// What a list of the defaults switches off cannot be switched on in the service.
	listed := "defaults\n{\n\tdisabled = a\n}\n" + strings.Replace(xinetd, "%s", "a", 1)
	if _, err := SetDisabled("x", listed, "a", false, Options{Builtins: known}); err == nil || !strings.Contains(err.Error(), "it would still be off") || !strings.HasSuffix(err.Error(), "edit it by hand") {
		t.Error(err)
	}
	if _, err := SetDisabled("x", "[service.a\n", "a", true, Options{Builtins: known}); err == nil {
		t.Error("in a file that cannot be read")
	}
}

// Whatever the file, what is switched off can be switched on again, and no other
// service changes.
func FuzzSetDisabled(f *testing.F) {
	f.Add("# a\n7001 stream tcp\n\tnowait nobody /bin/x x\n7002 stream tcp nowait nobody /bin/y y", false)
	f.Add("7001 on protocol = tcp, wait = no,\n user = nobody, exec = /bin/x; 7002 stream tcp nowait nobody /bin/x x\n", false)
	f.Add("service a\n{\n\ttype = UNLISTED\n\tport = 7001\n\tsocket_type = stream\n\twait = no\n\tuser = nobody\n\tserver = /bin/x\n}\n", false)
	f.Add("[service.a]\nlisten = \"tcp:7001\"\nbuiltin = \"echo\"\n", true)
	f.Fuzz(func(t *testing.T, text string, toml bool) {
		if strings.Contains(strings.ToLower(text), "include") {
			t.Skip("reads files")
		}
		o := Options{Builtins: known, Services: "testdata/services"}
		if toml {
			o.Dialect = TOML
		}
		services, _ := Read("x", text, o)
		for _, s := range services {
			off, err := SetDisabled("x", text, s.ID, true, o)
			if err != nil {
				continue // it says what to do
			}
			on, err := SetDisabled("x", off, s.ID, false, o)
			if err != nil {
				t.Fatalf("%q is off, and cannot be switched on: %v\n%s", s.ID, err, off)
			}
			again, _ := Read("x", on, o)
			if a, b := fmt.Sprint(keysOf(services)), fmt.Sprint(keysOf(again)); a != b {
				t.Fatalf("%s, then %s:\n%s", a, b, on)
			}
		}
	})
}

func keysOf(services []*Service) (keys []string) {
	for _, s := range services {
		keys = append(keys, s.Key())
	}
	return keys
}
