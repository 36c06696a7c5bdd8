package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Which of the default inputs is read, at the start and by a daemon that has
// read another one before, and what is said about it.
func TestChoose(t *testing.T) {
	line := func(ports ...int) string {
		var text string
		for _, p := range ports {
			text += fmt.Sprintf("%d stream tcp nowait root /bin/x\n", p)
		}
		return text
	}
	const toml, conf, folder, xinetd = "inetd.toml", "inetd.conf", "inetd.d/x", "xinetd.conf"
	const comments, empty = "# none\n", "\n"
	entry := "service a\n{\nport = 1001\n" + plain + "}\n"
	table := "[service.a]\nlisten = \"tcp:1002\"\nuser = \"root\"\nserver = \"/bin/x\"\n"
	type files map[string]string
	for _, c := range []struct {
		what   string
		before files  // what the daemon has read; nil: this is its start
		now    files  // "inetd.d/" is the folder without a file
		want   string // services, or the end of the error
		said   []string
	}{
		{"one file", nil, files{conf: line(1)}, "1", []string{"reading /inetd.conf"}},
		{"a file and the folder", nil, files{conf: line(1), folder: line(2)}, "1 2", []string{"reading /inetd.conf and /inetd.d"}},
		{"services behind a file with comments alone", nil, files{conf: comments, xinetd: entry}, "a",
			[]string{"/inetd.conf has no services and is not read, because /xinetd.conf is", "reading /xinetd.conf"}},
		{"services in both", nil, files{conf: line(1), xinetd: entry}, "1",
			[]string{"/xinetd.conf has 1 service and is not read, because /inetd.conf is (name both in OPTIONS of /etc/default/inetd to read both)"}},
		{"no services anywhere", nil, files{conf: comments, xinetd: comments}, "", []string{"reading /inetd.conf"}},
		{"an empty file before services", nil, files{toml: "", conf: line(1, 2)}, "1 2", []string{"reading /inetd.conf"}},
		{"a broken line keeps its file", nil, files{conf: "1 stream tcp\n", xinetd: entry}, "", []string{"reading /inetd.conf", "field 4"}},
		{"nothing", nil, files{}, "no such file or directory", nil},

		{"an empty file that comes", files{xinetd: entry}, files{toml: empty, xinetd: entry}, "a", []string{"reading /xinetd.conf"}},
		{"an empty folder that comes", files{xinetd: entry}, files{"inetd.d/": "", xinetd: entry}, "a",
			[]string{"/inetd.d has no services and is not read", "reading /xinetd.conf"}},
		{"a file with services that comes", files{xinetd: entry}, files{toml: table, xinetd: entry}, "a",
			[]string{"now reading /inetd.toml; /xinetd.conf (1 service) is no longer read", "/xinetd.conf has 1 service and is not read"}},
		{"a file that goes, beside a folder without services", files{conf: line(1, 2), folder: comments}, files{folder: comments},
			"/inetd.conf: no such file or directory", nil},
		{"a file that goes, beside a folder with services", files{conf: line(1, 2), folder: line(3)}, files{folder: line(3)}, "3",
			[]string{"now reading /inetd.d; /inetd.conf (2 services) is no longer read"}},
		{"the only file goes", files{xinetd: entry}, files{}, "no such file or directory", nil},
		{"the file goes, another one has no services", files{xinetd: entry}, files{conf: comments}, "/xinetd.conf: no such file or directory", nil},
		{"the file is emptied", files{conf: line(1)}, files{conf: empty, xinetd: entry}, "", []string{"inetd.conf: the file is empty (no service is removed"}},
		{"its last service is switched off", files{conf: line(1)}, files{conf: comments}, "", []string{"reading /inetd.conf"}},
		{"a file without services is removed", files{conf: line(1), toml: comments}, files{conf: line(1)}, "1", []string{"reading /inetd.conf"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			root := t.TempDir()
			o := Options{Builtins: known}
			choose := func(now files, served Served) (Choice, error) {
				os.RemoveAll(filepath.Join(root, "etc"))
				for name, text := range now {
					path := filepath.Join(root, "etc", name)
					os.MkdirAll(filepath.Dir(root+"/etc/"+name), 0o755)
					if !strings.HasSuffix(name, "/") {
						if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
							t.Fatal(err)
						}
					}
				}
				return Choose(root, served, o)
			}
			var served Served
			if c.before != nil {
				before, err := choose(c.before, nil)
				if err != nil {
					t.Fatal(err)
				}
				served = before.Served()
				o.Served = func(file string) bool {
					for _, s := range before.Services {
						if s.Pos.File == file {
							return true
						}
					}
					return false
				}
			}
			got, err := choose(c.now, served)
			if err != nil {
				if !errors.Is(err, fs.ErrNotExist) || c.want == "" || !strings.HasSuffix(err.Error(), c.want) {
					t.Errorf("error %v, want %q", err, c.want)
				}
				return
			}
			var names, said []string
			for _, s := range got.Services {
				names = append(names, s.Name)
			}
			if strings.Join(names, " ") != c.want {
				t.Errorf("services %q, want %q", names, c.want)
			}
			for _, p := range got.Problems {
				said = append(said, p.String())
			}
			all := strings.ReplaceAll(strings.Join(append(said, got.Notes...), "\n"), root+"/etc", "")
			for _, want := range c.said {
				if !strings.Contains(all, want) {
					t.Errorf("no %q in\n%s", want, all)
				}
			}
			if c.before != nil && !strings.Contains(strings.Join(c.said, ""), "no longer read") && strings.Contains(all, "no longer read") {
				t.Errorf("said without a change:\n%s", all)
			}
		})
	}
}

// What cannot be read is not passed over for another input.
func TestChooseUnreadable(t *testing.T) {
	root := t.TempDir()
	os.MkdirAll(root+"/etc", 0o755)
	os.Symlink("inetd.toml", root+"/etc/inetd.toml")
	os.WriteFile(root+"/etc/inetd.conf", []byte("7 stream tcp nowait root /bin/x\n"), 0o644)
	if _, err := Choose(root, nil, Options{}); err == nil || !strings.Contains(err.Error(), "inetd.toml") {
		t.Errorf("a link to itself: %v", err)
	}
}

// A file without a text is an error where its services run, and a warning
// else; one with comments is neither.
func TestEmptyFile(t *testing.T) {
	dir := t.TempDir()
	xinetd := "service a\n{\nport = 1001\n" + plain + "}\ninclude part\n"
	for _, c := range []struct {
		text, served, want string
	}{
		{"", "", "warning"}, {"", "part", "error"}, {" \n\t\n", "part", "error"}, {"\ufeff\n", "part", "error"}, {"# none\n", "part", ""}, {"", "other", "warning"},
	} {
		os.WriteFile(dir+"/part", []byte(c.text), 0o644)
		os.WriteFile(dir+"/xinetd.conf", []byte(xinetd), 0o644)
		o := Options{Builtins: known, Served: func(file string) bool { return file == dir+"/"+c.served }}
		for _, path := range []string{dir + "/part", dir + "/xinetd.conf"} {
			_, problems, err := Load([]string{path}, o)
			got := ""
			for _, p := range problems {
				got += p.Severity.String()
			}
			if err != nil || got != c.want {
				t.Errorf("%q, served %q, read by %s: %v %v, want %q", c.text, c.served, filepath.Base(path), problems, err, c.want)
			}
		}
	}
}

// A file whose services run, and that is not there any more by its name.
func TestServedFileGoes(t *testing.T) {
	dir := t.TempDir()
	os.Symlink("nowhere", dir+"/a")
	for _, served := range []bool{false, true} {
		o := Options{Served: func(file string) bool { return served && file == dir+"/a" }}
		if _, problems, err := Load([]string{dir}, o); err != nil || len(problems) != 1 || Errors(problems) != served {
			t.Errorf("a link to nothing, served %v: %v %v", served, problems, err)
		}
	}
	o := Options{Served: func(file string) bool { return file == dir }}
	if _, _, err := Load([]string{dir}, o); err == nil {
		t.Error("a file that has become a directory is read")
	}
}
