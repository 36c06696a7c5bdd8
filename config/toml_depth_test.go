package config

import (
	"os"
	"runtime"
	"strings"
	"testing"
)

// A file of any depth is refused before it costs memory, be it TOML or not.
func TestTOMLDepth(t *testing.T) {
	deep := func(text string) string { return strings.Repeat(text, 200000) }
	const nested, parts = ": lists and tables are nested more than 32 deep (", ": a key has more than 32 parts ("
	for _, c := range []struct{ name, text, want string }{
		{"lists", "# one\na = " + deep("["), "x:2:37" + nested},
		{"lists that are closed", "a = " + deep("[") + deep("]"), "x:1:37" + nested},
		{"inline tables", "a = " + deep("{a="), "x:1:101" + nested},
		{"lists over lines", "a = [\n" + deep("[ # a comment\n"), "x:33:1" + nested},
		{"a table", "[" + deep("a.") + "a]\n", "x:1:65" + parts},
		{"a key", deep("a .\t") + "a = 1\n", "x:1:127" + parts},
		{"quoted parts", deep(`"a".`) + "a = 1\n", "x:1:128" + parts},
		{"behind strings", "a = '[\"'\nb = \"\\\"[\"\nc = '''\n[\n'''\nd = \"\"\"\n\"\\\"\"\"\"\n" + deep("a."), "x:8:64" + parts},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		services, problems := ReadTOML("x", c.text, Options{})
		runtime.ReadMemStats(&after)
		if len(problems) != 1 || len(services) != 0 || !strings.HasPrefix(problems[0].String(), c.want) {
			t.Errorf("%s: %.200v, want %s", c.name, problems, c.want)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
			t.Errorf("%s: %d bytes are allocated", c.name, used)
		}
	}
	text, err := os.ReadFile("testdata/all.toml")
	if err != nil {
		t.Fatal(err)
	}
	// Neither dots nor brackets in strings, comments and several lines count.
	for _, text := range []string{string(text), "a = '" + deep(".[") + "'\n", "# " + deep(".[") + "\n# " + deep("."), "a = [\n" + deep("[1.5],\n") + "]\n"} {
		if line, column, problem := tomlTooDeep(text); problem != "" {
			t.Errorf("%.60q: %d:%d: %s", text, line, column, problem)
		}
	}
}
