// Package differences is for tests that compare this program with others on
// random input: it chooses their seed, and keeps docs/differences.md, the table
// of the differences that have a reason.
package differences

import (
	"math/rand"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Dice are a source of random input.
type Dice struct{ *rand.Rand }

// Roll returns dice with a seed that is another in each run, unless GOINETD_SEED
// has one. The seed is printed where the test fails.
func Roll(t *testing.T) Dice {
	t.Helper()
	seed := time.Now().UnixNano() % 1e9
	if text := os.Getenv("GOINETD_SEED"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			t.Fatalf("GOINETD_SEED=%s is not a number", text)
		}
		seed = n
	}
	t.Logf("GOINETD_SEED=%d go test -run '^%s$' repeats this", seed, t.Name())
	return Dice{rand.New(rand.NewSource(seed))}
}

// Of returns one of some words.
func (d Dice) Of(words ...string) string { return words[d.Intn(len(words))] }

// One reports true once in n times.
func (d Dice) One(n int) bool { return d.Intn(n) == 0 }

// A Class is a difference that has a reason: a row of the document.
type Class[T any] struct {
	Name    string
	Applies func(T) bool // reports whether a difference is of this class
}

// Explain returns the name of the first class that a difference is of, or "".
func Explain[T any](classes []Class[T], difference T) string {
	for _, c := range classes {
		if c.Applies(difference) {
			return c.Name
		}
	}
	return ""
}

// Documented fails unless the table of a section of docs/differences.md has just
// these classes.
func Documented[T any](t *testing.T, section string, classes []Class[T]) {
	t.Helper()
	_, self, _, _ := runtime.Caller(0)
	text, err := os.ReadFile(filepath.Join(filepath.Dir(self), "../../docs/differences.md"))
	if err != nil {
		t.Fatal(err)
	}
	var names, rows []string
	for _, c := range classes {
		names = append(names, c.Name)
	}
	_, rest, found := strings.Cut("\n"+string(text), "\n## "+section+"\n")
	if !found {
		t.Fatalf("docs/differences.md has no section %q", section)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	for line := range strings.Lines(rest) {
		if cells := strings.Split(line, "|"); len(cells) > 3 {
			if name := strings.TrimSpace(cells[1]); name != "class" && strings.Trim(name, "-") != "" {
				rows = append(rows, name)
			}
		}
	}
	slices.Sort(names)
	slices.Sort(rows)
	if !slices.Equal(names, rows) {
		t.Errorf("section %s of docs/differences.md has the classes\n%s\nthe test has\n%s", section, strings.Join(rows, "\n"), strings.Join(names, "\n"))
	}
}
