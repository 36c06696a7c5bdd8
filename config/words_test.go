package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// xinetdService reads one service with more settings, and defaults.
func xinetdService(t *testing.T, defaults string, settings ...string) (*Service, []Problem) {
	t.Helper()
	services, problems := ReadXinetd("x", "defaults\n{\n"+defaults+"\n}\nservice a\n{\nport = 1001\n"+plain+strings.Join(settings, "\n")+"\n}\n", Options{Builtins: known})
	if len(services) == 0 {
		return nil, problems
	}
	return services[0], problems
}

// has reports whether a problem has a text.
func has(problems []Problem, text string) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return strings.Contains(p.String(), text) })
}

// What begins with # behind a value is a comment: the value counts.
func TestCommentBehindValue(t *testing.T) {
	s, problems := xinetdService(t, "instances = 50 # max", "per_source = 10 # of one address", "rlimit_cpu = 20 #seconds", "only_from = 10.0.0.1 # 10.0.0.2",
		"disable = no # switch", "umask = 5 ##x", "server_args = hi # words", "env = A=1 #x=2", `banner = /x "#y"`)
	if s != nil || !has(problems, "banner takes one value, not 2") {
		t.Errorf("what is quoted is taken for a comment: %v", problems)
	}
	s, problems = xinetdService(t, "instances = 50 # max", "per_source = 10 # of one address", "rlimit_cpu = 20 #seconds", "only_from = 10.0.0.1 # 10.0.0.2",
		"disable = no # switch", "umask = 5 ##x", "server_args = hi # words", "env = A=1 #x=2")
	if s == nil {
		t.Fatal(problems)
	}
	if s.Instances != 50 || s.PerSource != 10 || s.Rlimits["cpu"] != 20 || len(s.OnlyFrom) != 1 || s.Umask != 5 ||
		!slices.Equal(s.Args, []string{"x", "hi", "#", "words"}) || !slices.Equal(s.Env, []string{"A=1", "#x=2"}) {
		t.Errorf("%+v", s)
	}
	if Errors(problems) || len(problems) != 6 || !has(problems, "x:3:16: # max is taken for a comment; xinetd would take it for values (write the comment on a line of its own)") {
		t.Errorf("%d: %v", len(problems), problems)
	}
	// Where xinetd has an address in its list, there is a doubt.
	if s, problems = xinetdService(t, "", "no_access = 10.0.0.1 # 10.0.0.2"); s != nil || !has(problems, "10.0.0.2 stands behind #") {
		t.Errorf("no_access with an address in a comment: %v", problems)
	}
	if s, problems = xinetdService(t, "no_access = 10.0.0.1 # not bob"); s == nil || len(s.NoAccess) != 1 {
		t.Errorf("no_access with a comment: %v", problems)
	}
	for _, off := range []string{"disable = yes # for now", "disable = yes #"} {
		if s, problems = xinetdService(t, "", off); s != nil || len(problems) != 0 {
			t.Errorf("%s: %v %v", off, s, problems)
		}
	}
	if s, _ = xinetdService(t, "disabled = b # a"); s != nil {
		t.Error("disabled behind # in xinetd, and served here")
	}
	if s, problems = xinetdService(t, "", "disable = maybe # later"); s != nil || !has(problems, "disable is neither yes nor no") {
		t.Errorf("disable = maybe: %v", problems)
	}
	services, problems := ReadXinetd("x", "defaults # of all\n{ # begins\nonly_from = 10.0.0.1\n} # ends\nservice a # the first\n{\nport = 1001\n"+plain+"}\n", Options{Builtins: known})
	if len(services) != 1 || len(services[0].OnlyFrom) != 1 || len(problems) != 2 {
		t.Errorf("comments behind headers: %v %v", services, problems)
	}
}

// A quote that ends no value is a letter, as in xinetd.
func TestQuotesInWords(t *testing.T) {
	for args, want := range map[string][]string{
		`'q exit3 'q`: {"'q", "exit3", "'q"}, `"a"b c`: {`"a"b`, "c"}, `'tis fine`: {"'tis", "fine"},
		`"two words" x`: {"two words", "x"}, `'two words'`: {"two words"}, `"" ''`: {"", ""}, `it's`: {"it's"},
	} {
		s, problems := xinetdService(t, "", "server_args = "+args)
		if s == nil || !slices.Equal(s.Args[1:], want) {
			t.Errorf("%s: %q, want %q", args, s.Args, want)
		}
		if doubt := want[0][0:min(1, len(want[0]))] == "'" || want[0] == `"a"b`; doubt != has(problems, "the quote is part of the value") {
			t.Errorf("%s: %v", args, problems)
		}
	}
}

// A byte order mark and blanks of web pages cost nothing, in any file of any
// dialect.
func TestOddBlanks(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const bom, nbsp = "\ufeff", "\u00a0"
	entry := func(name, port string) string { return "service " + name + "\n{\nport = " + port + "\n" + plain }
	put("top", bom+"includedir d\ninclude blank\n")
	put("d/a", bom+entry("a", "1001")+"}\n"+bom+entry("b", "1002")+nbsp+nbsp+"server_args"+nbsp+"="+nbsp+"x"+nbsp+"\"two"+nbsp+"words\"\n"+nbsp+"instances = 3\n\xa0 nice = 4\n"+nbsp+"}\n")
	put("blank", bom+"\n")
	services, problems, err := Load([]string{filepath.Join(dir, "top")}, Options{Builtins: known})
	if err != nil || ids(services) != "a b" {
		t.Fatalf("%s: %v %v", ids(services), problems, err)
	}
	if b := services[1]; !slices.Equal(b.Args, []string{"x", "x", "two" + nbsp + "words"}) || b.Instances != 3 || b.Nice != 4 {
		t.Errorf("%+v", b)
	}
	if len(problems) != 2 || !has(problems, "a:10:1: the file has no-break spaces") || !has(problems, "the file is empty") {
		t.Errorf("%d: %v", len(problems), problems)
	}
	put("inetd.d/a", bom+"7001 stream tcp nowait root /bin/a\n"+nbsp+"7002"+nbsp+"stream tcp"+nbsp+"nowait root /bin/b b "+nbsp+" \"c"+nbsp+"d\"\n"+bom+"# comment\n"+nbsp+"# another\n")
	put("inetd.d/b", bom+"7003 stream tcp nowait root /bin/a\n")
	services, problems, err = Load([]string{filepath.Join(dir, "inetd.d")}, Options{Builtins: known})
	if err != nil || ids(services) != "7001 7002 7003" || len(problems) != 1 || !has(problems, "inetd.d/a:2: the file has no-break spaces") {
		t.Fatalf("%s: %v %v", ids(services), problems, err)
	}
	if b := services[1]; !slices.Equal(b.Args, []string{"b", "c" + nbsp + "d"}) {
		t.Errorf("%q", b.Args)
	}
	put("t.toml", bom+"[service.a]\nlisten = \"tcp:7\"\ntype = \"internal\"\nname = \"echo\"\n")
	services, problems, err = Load([]string{filepath.Join(dir, "t.toml")}, Options{Builtins: known})
	if err != nil || len(services) != 1 || len(problems) != 0 {
		t.Errorf("%v %v %v", services, problems, err)
	}
	put("t.toml", "[service.a]\n"+nbsp+nbsp+"listen = \"tcp:7\"\n")
	services, problems, _ = Load([]string{filepath.Join(dir, "t.toml")}, Options{Builtins: known})
	if len(services) != 0 || !has(problems, "t.toml:2") || !has(problems, "no-break space") {
		t.Errorf("%v %v", services, problems)
	}
}
