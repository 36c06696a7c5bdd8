package config

import "testing"

// Problems are where the key is, however that is written.
func TestTOMLPositions(t *testing.T) {
	const text = `# comment
[service."caf\u00e9"]
listen = "tcp:7001"
bogus = 1

[service]
dotted.listen = "tcp:7002"
dotted . "b\u006fgus" = 2
'quo"ted'.bogus = 3
inline = { listen = "tcp:7003", bogus = 4 }
"a.b".bogus = 5
`
	_, problems := ReadTOML("x.toml", text, Options{})
	want := map[string]Pos{
		"café":    {"x.toml", 4, 1},
		"dotted":  {"x.toml", 8, 1},
		`quo"ted`: {"x.toml", 9, 1},
		"inline":  {"x.toml", 10, 1},
		"a.b":     {"x.toml", 11, 1},
	}
	for _, p := range problems {
		if p.Text != `unknown setting "bogus"` {
			continue
		}
		if p.Pos != want[p.Service] {
			t.Errorf("%s: at %v:%d, want %v:%d", p.Service, p.Pos, p.Column, want[p.Service], want[p.Service].Column)
		}
		delete(want, p.Service)
	}
	if len(want) > 0 {
		t.Errorf("no problem of %v among %v", want, problems)
	}
}

// A conversion keeps the comments of keys with escapes.
func TestTOMLCommentsOfEscapedKeys(t *testing.T) {
	services, problems := ReadTOML("x.toml", "# about it\n[service.\"caf\\u00e9\"]\nlisten = \"tcp:7001\"\nuser = \"nobody\"\n# its program\n\"s\\u0065rver\" = \"/bin/cat\"\n", Options{})
	if len(services) != 1 {
		t.Fatal(problems)
	}
	if c := services[0].comments; len(c[""]) != 1 || c[""][0] != "# about it" || len(c["server"]) != 1 {
		t.Errorf("comments %q", c)
	}
}
