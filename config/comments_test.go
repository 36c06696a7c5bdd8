package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// toTOML converts a text. It fails where something is lost.
func toTOML(t *testing.T, file string, d Dialect, text string) string {
	t.Helper()
	o := Options{Builtins: known, Services: "testdata/services", Dialect: d}
	services, problems := Read(file, text, o)
	if len(services) == 0 {
		t.Fatalf("no services: %v\n%s", problems, text)
	}
	converted, lost := Write(TOML, services, o)
	if lost != nil {
		t.Fatalf("lost %v\n%s", lost, converted)
	}
	return converted
}

// A conversion of what a conversion has written changes nothing: neither
// settings nor where comments are.
func TestTOMLIsStable(t *testing.T) {
	var files []string
	for _, pattern := range []string{"testdata/*.conf", "testdata/*.toml", "../examples/*.conf", "../examples/*.toml"} {
		list, _ := filepath.Glob(pattern)
		files = append(files, list...)
	}
	if len(files) < 5 {
		t.Fatal(files)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		first := toTOML(t, file, DetectDialect(file, string(text)), string(text))
		if second := toTOML(t, "x", TOML, first); second != first {
			t.Errorf("%s: converted once:\n%s\ntwice:\n%s", file, first, second)
		}
	}
}

// withComments puts comments and blank lines at random places of a TOML file.
func (d dice) withComments(text string) (commented string, comments []string) {
	var b strings.Builder
	comment := func() string {
		comments = append(comments, fmt.Sprintf("# comment %d.", len(comments)))
		return comments[len(comments)-1]
	}
	add := func() {
		for d.chance(3) {
			b.WriteString(d.of(comment()+"\n", "\n"))
		}
	}
	for line := range strings.Lines(text) {
		add()
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "" || d.chance(2):
		case strings.HasSuffix(line, "]") && !strings.HasPrefix(line, "[") && d.chance(2) && !strings.HasSuffix(line, "[]"):
			line = strings.TrimSuffix(line, "]") + ", " + comment() + "\n  " + comment() + "\n] " + comment()
		case !strings.HasPrefix(line, "#"):
			line += " " + comment()
		}
		b.WriteString(line + "\n")
	}
	add()
	return b.String(), comments
}

// Every comment is kept, once, whatever it stands at.
func TestCommentsOfTOML(t *testing.T) {
	const defaults = "[defaults]\numask = \"022\"\nnice = 3\n[service]\n"
	for seed := range int64(500) {
		d := newDice(seed)
		services, _ := ReadXinetd("x", d.xinetdConf(), Options{Builtins: known, Services: "testdata/services"})
		if len(services) == 0 {
			continue
		}
		for _, s := range services {
			s.comments = nil
		}
		text, _ := Write(TOML, services, Options{Builtins: known, Services: "testdata/services"})
		if d.chance(2) {
			text = defaults + text
		}
		text, comments := d.withComments(strings.Replace(text, "[service.s0]\n", "[service.s0]\ndisable = false\nenv = [\"A=b\"]\n", int(seed%2)))
		if strings.Count(text, "\nenv = ") > 1 { // of s0: once is enough
			continue
		}
		first := toTOML(t, "x", TOML, text)
		for _, c := range comments {
			// What "," + comment of withComments writes counts where it is used.
			if want := strings.Count(text, c); strings.Count(first, c) != want {
				t.Fatalf("seed %d: %q is there %d times, want %d:\n%s\nof\n%s", seed, c, strings.Count(first, c), want, first, text)
			}
		}
		if second := toTOML(t, "x", TOML, first); second != first {
			t.Fatalf("seed %d: converted once:\n%s\ntwice:\n%s", seed, first, second)
		}
	}
}

// Where comments stand.
func TestCommentPlaces(t *testing.T) {
	const text = `# of the file
[defaults] # of the defaults
umask = "022" # of umask
[service.a] # of a
# of listen
listen = ["tcp:7001", # of one
  "udp:7001"] # of listen, too
user = "root" # of user
server = "/bin/cat"
env.A = "1" # of A
disable = false # of disable
# before b
[service.b]
listen = "tcp:7002"
user = "root"
server = "/bin/cat"
# at the end
`
	const want = `# of the file
# of the defaults
# of umask
# of a
[service.a]
# of disable
# of listen
# of one
# of listen, too
listen = "tcp:7001"
# of user
user = "root"
server = "/bin/cat"
umask = "022"
# of A
env = ["A=1"]

[service.a-dgram]
id = "a"
name = "a"
listen = "udp:7001"
user = "root"
server = "/bin/cat"
umask = "022"
env = ["A=1"]

# before b
[service.b]
listen = "tcp:7002"
user = "root"
server = "/bin/cat"
umask = "022"
# at the end
`
	if got := toTOML(t, "x", TOML, text); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// The comment of a setting that has no effect in the defaults.
func TestCommentOfDefaults(t *testing.T) {
	const text = "defaults\n{\n# of nice\nnice = 3\n# of umask\numask = 022\n# the end\n}\n" +
		"service a\n{\ntype = UNLISTED\nport = 7001\nsocket_type = stream\nwait = no\nuser = root\nserver = /bin/cat\n}\n"
	if got := toTOML(t, "x", Xinetd, text); !strings.HasPrefix(got, "# of umask\n# of nice\n# the end\n[service.a]\n") {
		t.Error(got)
	}
}

// Between two files, comments go to the service behind them.
func TestCommentsBetweenFiles(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"a.toml", "b.toml"} {
		text := fmt.Sprintf("[service.s%d]\nlisten = \"tcp:%d\"\nuser = \"root\"\nserver = \"/bin/cat\"\n# end %d\n", i, 7000+i, i)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	services, problems, err := Load([]string{dir}, Options{})
	first, lost := Write(TOML, services, Options{})
	if err != nil || problems != nil || lost != nil || strings.Count(first, "# end") != 2 {
		t.Fatalf("%v %v %v\n%s", err, problems, lost, first)
	}
	if second := toTOML(t, "x", TOML, first); second != first {
		t.Errorf("once:\n%s\ntwice:\n%s", first, second)
	}
}
