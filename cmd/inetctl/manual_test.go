package main

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Every verb and every option has its place in the manual page, but for those of
// serve that are settings, which are in inetd.toml(5).
func TestManual(t *testing.T) {
	text, err := os.ReadFile("../../docs/inetctl.8")
	if err != nil {
		t.Fatal(err)
	}
	manual := string(text)
	_, described, _ := strings.Cut(manual, ".Sh DESCRIPTION")
	verbs := 0
	for _, c := range newRoot().Commands() {
		verbs++
		name := c.Name()
		if !strings.Contains(described, ".It Cm "+name+"\n") {
			t.Errorf("the verb %s is not described", name)
		}
		if c.Short == "" || c.RunE == nil && c.Run == nil {
			t.Errorf("%s has no short description, or does nothing", name)
		}
		c.Flags().VisitAll(func(f *pflag.Flag) { checkFlag(t, c, f, manual) })
	}
	if verbs < 18 {
		t.Errorf("%d verbs", verbs)
	}
}

func checkFlag(t *testing.T, c *cobra.Command, f *pflag.Flag, manual string) {
	t.Helper()
	if c.Name() == "serve" && isSettingFlag(f.Name) || f.Name == "help" {
		return
	}
	long, short := "Fl -"+f.Name, "Fl "+f.Shorthand
	if !strings.Contains(manual, long) && (f.Shorthand == "" || !strings.Contains(manual, short)) {
		t.Errorf("the option --%s of %s is not in the manual page", f.Name, c.Name())
	}
}
