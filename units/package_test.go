package units

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackageFiles builds with a umask that hides everything, and looks at
// what is in the package.
func TestPackageFiles(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		lacking(t, "dpkg-deb")
	}
	lookAtSources()
	deb := strings.TrimSpace(sh(t, `umask 077; VERSION=1.0 debian/build "$0"`, t.TempDir()))
	modes := map[string]string{}
	for line := range strings.Lines(sh(t, `dpkg-deb -c "$0"`, deb)) {
		f := strings.Fields(line) // drwxr-xr-x root/root 0 2026-11-25 14:15 ./usr/
		name := strings.TrimPrefix(f[5], ".")
		modes[name] = f[0]
		want := "-rw-r--r--"
		switch {
		case strings.HasSuffix(name, "/"):
			want = "drwxr-xr-x"
		case name == "/usr/sbin/inetd" || name == "/usr/bin/inetctl" || name == "/etc/init.d/inetd":
			want = "-rwxr-xr-x"
		}
		if f[0] != want || f[1] != "root/root" {
			t.Errorf("%s is %s %s, want %s root/root", name, f[0], f[1], want)
		}
	}

	documents := []string{"../README.md", "../CHANGELOG.md"}
	for _, pattern := range []string{"../docs/*", "../examples/*"} {
		files, _ := filepath.Glob(pattern)
		documents = append(documents, files...)
	}
	for _, document := range documents {
		name := "/usr/share/doc/goinetd/" + filepath.Base(document)
		switch section := filepath.Ext(document); {
		case section == ".5" || section == ".8":
			name = fmt.Sprintf("/usr/share/man/man%s/%s.gz", section[1:], filepath.Base(document))
		case strings.HasPrefix(document, "../examples/"):
			name = "/usr/share/doc/goinetd/examples/" + filepath.Base(document)
		}
		if modes[name] == "" {
			t.Errorf("%s is not in the package as %s", document, name)
		}
	}

	control := t.TempDir()
	sh(t, `dpkg-deb -e "$0" "$1"`, deb, control)
	for _, script := range []string{"preinst", "postinst", "prerm", "postrm"} {
		text, err := os.ReadFile(filepath.Join(control, script))
		if err != nil {
			t.Error(err)
		}
		if strings.Contains(string(text), "@UNITDIR@") {
			t.Errorf("%s has a name that was not filled in", script)
		}
		sh(t, `sh -n "$0"`, filepath.Join(control, script))
	}
	if _, err := exec.LookPath("lintian"); err == nil {
		if out, err := exec.Command("lintian", "--allow-root", "--fail-on", "error,warning", deb).CombinedOutput(); err != nil {
			t.Errorf("lintian: %v\n%s", err, out)
		}
	}
}

// TestManualPages has mandoc judge the manual pages.
func TestManualPages(t *testing.T) {
	if _, err := exec.LookPath("mandoc"); err != nil {
		t.Skip("mandoc is missing")
	}
	pages, err := filepath.Glob("../docs/*.[58]")
	if err != nil || pages == nil {
		t.Fatal("no manual pages: ", err)
	}
	if out, err := exec.Command("mandoc", append([]string{"-Tlint", "-W", "warning"}, pages...)...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("mandoc: %v\n%s", err, out)
	}
}
