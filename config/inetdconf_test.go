package config

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/diff"
)

var update = flag.Bool("update", false, "write the golden files anew")

// describe writes services and problems as the golden files have them.
func describe(services []*Service, problems []Problem) string {
	var b strings.Builder
	for _, s := range services {
		fmt.Fprintf(&b, "%d %s %s", s.Pos.Line, s.Name, s.SocketType)
		for _, l := range s.Listen {
			fmt.Fprintf(&b, " %s", l)
			if l.Network == "unix" {
				fmt.Fprintf(&b, "(%s:%s:%04o)", l.Owner, l.Group, l.Mode)
			}
		}
		if s.Mux != "" {
			fmt.Fprintf(&b, " mux=%s plus=%v", s.Mux, s.MuxPlus)
		}
		fmt.Fprintf(&b, " wait=%v user=%s", s.Wait, s.User)
		for _, a := range attributes {
			if a.get == nil || slices.Contains([]string{"user", "server", "server_args"}, a.name) {
				continue
			}
			usual := a.get(&Service{Settings: &Settings{Umask: -1, Groups: true, Queue: true, PerMinute: 256, LogOnFailure: LogHost | LogPort}})
			if got := a.get(s); !slices.Equal(got, usual) || (got == nil) != (usual == nil) {
				fmt.Fprintf(&b, " %s=%s", a.name, strings.Join(got, ","))
			}
		}
		if s.ID != s.Name {
			fmt.Fprintf(&b, " id=%s", s.ID)
		}
		if s.Internal != "" {
			fmt.Fprintf(&b, " internal=%s sensor=%v", s.Internal, s.Sensor)
		}
		if s.NoDelay {
			b.WriteString(" NODELAY")
		}
		if s.KeepAlive {
			b.WriteString(" KEEPALIVE")
		}
		if s.Server != "" {
			fmt.Fprintf(&b, " %s %q", s.Server, s.Args)
		}
		b.WriteString("\n")
	}
	for _, p := range problems {
		fmt.Fprintf(&b, "%s: %s\n", p.Severity, p)
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.[ct]*")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	o := Options{Builtins: known, PerMinute: 256, Services: "testdata/services", KnownUser: func(name string) bool { return name == "john.doe" }}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			services, problems, err := Load([]string{file}, o)
			if err != nil {
				t.Fatal(err)
			}
			got := describe(services, problems)
			golden := strings.TrimSuffix(file, filepath.Ext(file)) + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s", diff.Diff(golden, want, "got", []byte(got)))
			}
		})
	}
}

// What the command line says holds for the lines that do not say it.
func TestOptions(t *testing.T) {
	o := Options{Builtins: known, PerMinute: 7, Instances: 8, PerSource: 9, PerSourcePerMinute: 10, Address: "192.0.2.1", LogStarts: true}
	services, problems := ReadInetd("x", "7007 stream tcp nowait root /bin/a\n*:7008 stream tcp nowait.1/2/3/4 root /bin/b\n", o)
	if len(services) != 2 || len(problems) != 0 {
		t.Fatal(services, problems)
	}
	a, b := services[0], services[1]
	if a.PerMinute != 7 || a.Instances != 8 || a.PerSource != 9 || a.PerSourcePerMinute != 10 || a.Listen[0].String() != "tcp4:192.0.2.1:7007" || a.LogOnSuccess == 0 {
		t.Errorf("%+v", a)
	}
	if b.PerMinute != 1 || b.Instances != 2 || b.PerSource != 4 || b.PerSourcePerMinute != 3 || b.Listen[0].String() != "tcp:7008" {
		t.Errorf("%+v", b)
	}
}

func TestDirectories(t *testing.T) {
	dir := t.TempDir()
	for name, port := range map[string]string{"b": "7002", "a": "7001", "c.dpkg-old": "7003", ".hidden": "7004", "d~": "7005"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(port+" stream tcp nowait root /bin/x\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	os.Mkdir(filepath.Join(dir, "sub"), 0o755)
	os.Symlink("nowhere", filepath.Join(dir, "z"))
	services, problems, err := Load([]string{dir}, Options{Builtins: known})
	if err != nil {
		t.Fatal(err)
	}
	if len(services) != 2 || services[0].Name != "7001" || services[1].Name != "7002" {
		t.Errorf("services %v", describe(services, nil))
	}
	if len(problems) != 4 || Errors(problems) {
		t.Errorf("problems %v", problems)
	}
	if _, _, err := Load([]string{filepath.Join(dir, "missing")}, Options{Builtins: known}); err == nil {
		t.Error("a missing file is no error")
	}
}

func TestSplitFields(t *testing.T) {
	for line, want := range map[string][]string{
		`a  b	c`:                  {"a", "b", "c"},
		`a "b c" 'd "e'`:          {"a", "b c", `d "e`},
		`"q\"r\\s\t" x`:           {`q"r\s\t`, "x"},
		`e"f g"h don't`:           {`e"f`, `g"h`, "don't"},
		`'' ""`:                   {"", ""},
		`"x"y`:                    {"x", "y"},
		`back\slash # no comment`: {`back\slash`, "#", "no", "comment"},
	} {
		got, _, err := splitFields(nil, line)
		if err != nil || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Errorf("%s: got %q, %v; want %q", line, got, err, want)
		}
	}
	if _, _, err := splitFields(nil, `a "b`); err != errUnterminated {
		t.Errorf("got %v", err)
	}
}

func FuzzReadInetd(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.conf")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
		for _, line := range strings.Split(string(text), "\n") {
			f.Add(line)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		services, problems := ReadInetd("inetd.conf", text, Options{Builtins: known, PerMinute: 256, Services: "testdata/services"})
		sane(t, text, services, problems)
		retained, _ := RejectConflicts(services)
		if again, more := RejectConflicts(retained); len(again) != len(retained) || Errors(more) {
			t.Errorf("clashes are left: %v", more)
		}
	})
}
