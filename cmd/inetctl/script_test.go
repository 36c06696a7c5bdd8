package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"inetctl": main})
}

// TestScripts runs testdata/*.txt, which read like the manual page's examples.
// UPDATE=1 writes the outputs that they compare with anew.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", UpdateScripts: os.Getenv("UPDATE") != "", RequireExplicitExec: true})
}
