package service

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"goinetd/config"
)

// A log in a directory that others may write to is warned of, wherever it is
// among the directories above, and one in root's is not.
func TestLogDirectory(t *testing.T) {
	dir := t.TempDir()
	inner := filepath.Join(dir, "inner")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	conf := &config.Service{ID: "x", Settings: &config.Settings{LogType: config.LogType{Path: filepath.Join(inner, "log")}}}
	warned := func() string {
		for _, p := range fileProblems(conf, map[string]bool{}) {
			return p.String()
		}
		return ""
	}
	if got := warned(); got != "" {
		t.Errorf("without cause: %s", got)
	}
	for _, c := range []struct {
		dir       string
		mode      os.FileMode
		user, gid int
		want      string
	}{
		{inner, 0o777, -1, -1, inner + " may be written to by everybody, who can"},
		{inner, 0o777 | os.ModeSticky, -1, -1, inner + " may be written to by everybody, who can"},
		{inner, 0o775, -1, 47110, inner + " may be written to by gid 47110, who can"},
		{inner, 0o755, 47110, -1, inner + " may be written to by uid 47110, who can"},
		{dir, 0o777, -1, -1, dir + " may be written to by everybody, who can"},
		{dir, 0o777 | os.ModeSticky, -1, -1, ""},
	} {
		if os.Geteuid() != 0 && (c.user > 0 || c.gid > 0) {
			continue
		}
		os.Chown(c.dir, c.user, c.gid)
		os.Chmod(c.dir, c.mode)
		if got := warned(); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s %v: got %q, want %q", c.dir, c.mode, got, c.want)
		}
		os.Chown(c.dir, os.Geteuid(), os.Getegid())
		os.Chmod(c.dir, 0o755)
	}
	conf.LogType.Path = "/dev/stdout"
	if got := warned(); got != "" {
		t.Errorf("stdout: %s", got)
	}
}
