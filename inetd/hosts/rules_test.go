package hosts

import (
	"os"
	"path/filepath"
	"testing"
)

// A file of comments alone, as Debian ships it, has no rules; a line that is
// wrong is meant as one.
func TestHasRules(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]bool{
		"": false,
		"# /etc/hosts.deny: list of hosts\n#\n\n  \n# ALL: PARANOID\n": false,
		"# x\nALL: ALL\n": true,
		"ALL\n":           true,
	} {
		path := filepath.Join(dir, "hosts.deny")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := HasRules(path); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if HasRules(filepath.Join(dir, "missing")) {
		t.Error("a missing file has rules")
	}
	if !HasRules(dir) { // it cannot be read
		t.Error("what cannot be read has none")
	}
}
