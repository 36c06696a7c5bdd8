// Package reliability is for tests: it keeps docs/reliability.md, a table of
// the faults that the daemon survives. A test that causes one ends with a call
// of [Survived], which fails if the document does not say the same. With
// UPDATE=1 it writes the row.
package reliability

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// A Fault is a row: what was done, what clients saw, what was lost, and what
// the log said. Numbers that differ from run to run are N.
type Fault struct {
	Theme Theme
	Did   string
	Saw   string
	Lost  string // empty: nothing
	Log   string // empty: nothing
}

// A Theme is a heading of the document.
type Theme string

// The themes, in the order of the document.
const (
	Starts    Theme = "Programs that cannot be started"
	Shortages Theme = "Shortages"
	Clients   Theme = "Clients"
	Signals   Theme = "Signals and upgrades"
	Reloads   Theme = "The configuration"
	Hosts     Theme = "Containers and odd hosts"
	Managers  Theme = "Under systemd and SysV init"
)

var themes = []Theme{Starts, Shortages, Clients, Signals, Reloads, Hosts, Managers}

// Survived notes that the daemon has survived what the test has done. What is
// named as the test is that, or a script.
func Survived(t *testing.T, f Fault, script ...string) {
	t.Helper()
	if t.Failed() {
		return
	}
	name, _, _ := strings.Cut(t.Name(), "/")
	if len(script) > 0 {
		name = script[0]
	}
	if os.Getenv("UPDATE") != "" {
		if err := update(f, name); err != nil {
			t.Fatal(err)
		}
		return
	}
	text, err := os.ReadFile(file())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), f.row(name)) {
		t.Errorf("docs/reliability.md does not have this row (UPDATE=1 writes it):\n%s", f.row(name))
	}
}

// file returns the path of the document.
func file() string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "../../docs/reliability.md")
}

func (f Fault) row(test string) string {
	lost, log := f.Lost, ""
	if lost == "" {
		lost = "nothing"
	}
	if f.Log != "" {
		log = "`" + f.Log + "`"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s |\n", f.Did, f.Saw, lost, log, test)
}

// Rows returns the rows of the document, by theme and by what was done.
func Rows() (map[Theme]map[string]string, error) {
	text, err := os.ReadFile(file())
	rows, in := map[Theme]map[string]string{}, Theme("")
	for line := range strings.Lines(string(text)) {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			in = Theme(strings.TrimSpace(heading))
			rows[in] = map[string]string{}
		}
		did, _, isRow := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		if isRow && strings.HasPrefix(line, "| ") && did != "What was done" && !strings.HasPrefix(did, "---") {
			rows[in][did] = line
		}
	}
	return rows, err
}

// updated are the tests whose old rows have been removed.
var updated = struct {
	sync.Mutex
	tests map[string]bool
}{tests: map[string]bool{}}

// update writes a row. Tests of other packages may do so at the same time.
func update(f Fault, test string) error {
	updated.Lock()
	defer updated.Unlock()
	lock, err := os.OpenFile(file(), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	rows, err := Rows()
	if err != nil {
		return err
	}
	if !updated.tests[test] {
		updated.tests[test] = true
		for _, in := range rows {
			maps.DeleteFunc(in, func(_, row string) bool { return strings.HasSuffix(row, " | "+test+" |\n") })
		}
	}
	if rows[f.Theme] == nil {
		rows[f.Theme] = map[string]string{}
	}
	rows[f.Theme][f.Did] = f.row(test)
	var b strings.Builder
	b.WriteString(head)
	for _, in := range themes {
		fmt.Fprintf(&b, "\n## %s\n\n| What was done | What clients saw | Lost | The log | Test |\n| --- | --- | --- | --- | --- |\n", in)
		for _, did := range slices.Sorted(maps.Keys(rows[in])) {
			b.WriteString(rows[in][did])
		}
	}
	return os.WriteFile(file(), []byte(b.String()), 0o644)
}

const head = `# What the daemon survives

Each row is a fault that a test causes to the daemon, against real sockets, programs and init systems. The test fails if
a client that should be served is not, or if anything is lost. The row is written by the test when it has passed
(` + "`UPDATE=1 go test ./...`" + `), and CI fails where this file says something else. N stands for what differs from run to run.
` + "`go test ./cmd/inetd ./inetd -run NAME -v`" + ` runs the test in the last column; scripts are in units/testdata, and run in
booted systems.
`
