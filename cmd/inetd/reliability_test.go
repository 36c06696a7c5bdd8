package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"goinetd/inetd/reliability"
)

// Every row of docs/reliability.md is that of a test, or a script, that is
// still there.
func TestReliabilityRows(t *testing.T) {
	t.Parallel()
	var tests strings.Builder
	for _, pattern := range []string{"*_test.go", "../../inetd/*_test.go", "../../inetd/*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tests.Write(text)
		}
	}
	rows, err := reliability.Rows()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for theme, in := range rows {
		for did, row := range in {
			n++
			cells := strings.Split(strings.TrimSuffix(row, " |\n"), " | ")
			name := cells[len(cells)-1]
			if strings.HasSuffix(name, ".sh") {
				if text, err := os.ReadFile("../../units/testdata/" + name); err != nil || !strings.Contains(string(text), did) {
					t.Errorf("%s: %s: not in units/testdata/%s", theme, did, name)
				}
			} else if !strings.Contains(tests.String(), "func "+name+"(") {
				t.Errorf("%s: %s: there is no %s", theme, did, name)
			}
		}
	}
	if n < 40 {
		t.Errorf("only %d rows", n)
	}
}
