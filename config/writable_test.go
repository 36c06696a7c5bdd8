package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A configuration file, or one that it includes, that others may write to is
// warned of, and so is a directory in which they could replace it. One
// directory is one warning.
func TestWritableFiles(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	sub := filepath.Join(dir, "xinetd.d")
	main, one, two := filepath.Join(dir, "xinetd.conf"), filepath.Join(sub, "one"), filepath.Join(sub, "two")
	os.Mkdir(sub, 0o755)
	for file, text := range map[string]string{main: "includedir " + sub + "\n", one: "# none\n", two: "# none\n"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "link.conf")
	os.Symlink(main, link)
	const end = ", who can thus choose what inetd runs"
	for _, c := range []struct {
		load, path string
		mode       os.FileMode
		uid, gid   int
		want       []string
	}{
		{main, main, 0o644, 0, 0, nil},
		{main, main, 0o666, 0, 0, []string{main + " may be written to by everybody" + end}},
		{main, main, 0o664, 0, 47110, []string{main + " may be written to by gid 47110" + end}},
		{main, main, 0o644, 47110, 0, []string{main + " may be written to by uid 47110" + end}},
		{link, main, 0o644, 47110, 0, []string{link + " may be written to by uid 47110" + end}},
		{main, two, 0o666, 0, 0, []string{two + " may be written to by everybody" + end}},
		{main, sub, 0o777, 0, 0, []string{sub + " may be written to by everybody" + end}},
		{sub, sub, 0o777, 0, 0, []string{sub + " may be written to by everybody" + end}},
		{main, dir, 0o777, 0, 0, []string{dir + " may be written to by everybody" + end}},
		{main, dir, 0o777 | os.ModeSticky, 0, 0, nil},
		{sub, sub, 0o777 | os.ModeSticky, 0, 0, []string{sub + " may be written to by everybody" + end}},
	} {
		os.Chown(c.path, c.uid, c.gid)
		os.Chmod(c.path, c.mode)
		_, problems, err := Load([]string{c.load}, Options{WarnWritable: true})
		var got []string
		for _, p := range problems {
			if p.Severity != Warning || p.Hint == "" {
				t.Errorf("%+v", p)
			}
			got = append(got, p.File+" "+p.Text)
		}
		if err != nil || strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s, %s %v: got %q, want %q, %v", c.load, c.path, c.mode, got, c.want, err)
		}
		os.Chown(c.path, 0, 0)
		os.Chmod(c.path, map[bool]os.FileMode{true: 0o755, false: 0o644}[c.path == dir || c.path == sub])
	}
}
