package main

import (
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// The README's client lines get the answers that stand below them, from the
// example configuration as it stands, run by somebody who is not root.
func TestReadme(t *testing.T) {
	t.Parallel()
	need(t, "root", "nc", "perl")
	if !inside(t) { // the ports of the example may be taken
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	conf, err := os.ReadFile("../../examples/demo.conf")
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(text), "```console\n")
	block, _, ok2 := strings.Cut(block, "```")
	if !ok || !ok2 {
		t.Fatal("no console block in the README")
	}
	d := setup{conf: string(conf), flags: []string{"-l"}, attr: &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}}.start(t)
	date := regexp.MustCompile(`[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}|(?m)^\d{4}$`)
	plain := func(s string) string { return date.ReplaceAllString(strings.ReplaceAll(s, "\r", ""), "DATE") }
	for _, part := range strings.Split(block, "$ ")[1:] {
		line, want, _ := strings.Cut(part, "\n")
		if got := plain(command(t, "bash", "-c", line)); got != plain(want) {
			t.Errorf("%s\ngot  %q\nwant %q\n%s", line, got, plain(want), d.text())
		}
	}
}
