// Command inetctl is the administrator's tool for inetd: it looks into a running
// one and has it do things, checks and converts configurations, and serves a
// program at once. See inetctl(8).
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// version is set by the linker: -X main.version=...
var version = "devel"

// Exit statuses.
const (
	exitOK       = 0
	exitWarnings = 1 // warnings only for check; settings lost for convert
	exitErrors   = 2 // errors, or it could not be done
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// A statusError ends inetctl with a status. What is to be said has been said.
type statusError int

func (s statusError) Error() string { return fmt.Sprintf("status %d", int(s)) }

// run runs a command line and returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	verb, err := root.ExecuteC()
	status := statusError(exitErrors)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &status):
	case verb == root:
		fmt.Fprintf(stderr, "inetctl: %v\n", err)
	default:
		fmt.Fprintf(stderr, "inetctl: %s: %v\n", verb.Name(), err)
	}
	return int(status)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "inetctl",
		Short: "Look into inetd, and have it do things",
		Long: `inetctl looks into a running inetd and has it do things (status, ps, events,
reload, stop, ...), and works on configurations without one (check, convert,
serve).`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(cmd.ErrOrStderr())
			cmd.Help()
			return statusError(exitErrors)
		},
	}
	root.SetVersionTemplate("inetctl (goinetd) {{.Version}}\n")
	root.Flags().BoolP("version", "V", false, "print the version")
	root.AddGroup(&cobra.Group{ID: "daemon", Title: "A running inetd:"}, &cobra.Group{ID: "files", Title: "Configurations:"})
	for _, c := range []*cobra.Command{statusCommand(), psCommand(), topCommand(), eventsCommand(), traceCommand(), reloadCommand(), upgradeCommand(),
		serviceCommand("stop", "Refuse the clients of services until start or a reload"), serviceCommand("start", "End stop, pause, drain and suspensions"),
		serviceCommand("pause", "Have the clients of services wait in the queue until start or a reload"),
		serviceCommand("drain", "Stop services, and wait until nobody is served"), kickCommand(), portsCommand(), httpdCommand()} {
		c.GroupID = "daemon"
		root.AddCommand(c)
	}
	for _, c := range []*cobra.Command{serveCommand(), whyCommand(), explainCommand(), enableCommand(false), enableCommand(true), checkCommand(), convertCommand()} {
		c.GroupID = "files"
		root.AddCommand(c)
	}
	root.AddCommand(&cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs, Run: func(cmd *cobra.Command, _ []string) {
		fmt.Fprintln(cmd.OutOrStdout(), "inetctl (goinetd) "+version)
	}})
	return root
}
