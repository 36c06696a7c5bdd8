package hosts

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
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

// Of options that are there twice, nice(2) adds up, and the last setenv counts.
func TestOptionTwice(t *testing.T) {
	v := checkTexts("ALL: ALL: nice: nice 3: setenv A 1: setenv B 2: setenv A 3\n", "", &Request{Daemon: "x", Client: netip.MustParseAddrPort("192.0.2.1:1")})
	if v.Actions.Nice != 13 || !slices.Equal(v.Actions.Env, []string{"B=2", "A=3"}) {
		t.Errorf("%+v", v.Actions)
	}
}
