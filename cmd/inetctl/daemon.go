package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"goinetd/inetd/control"
)

// This file has the verbs that ask a running inetd.

// addSocket adds the option --socket.
func addSocket(c *cobra.Command) *string {
	return c.Flags().String("socket", "", "control socket of the inetd (default /run/inetd/control; of a user: inetd/control in $XDG_RUNTIME_DIR)")
}

// socketPath returns the control socket that is meant.
func socketPath(option string) string {
	if option != "" {
		return option
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" && os.Geteuid() != 0 {
		own := filepath.Join(dir, "inetd", "control")
		if _, err := os.Stat(own); err == nil {
			return own
		}
	}
	return control.Path
}

// ask sends one request, and returns the response.
func ask(socket string, r control.Request) (*control.Response, error) {
	c, err := control.Dial(socketPath(socket))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Call(r)
}

// serviceNames completes the names of services.
func serviceNames(cmd *cobra.Command, before []string, _ string) ([]string, cobra.ShellCompDirective) {
	socket, _ := cmd.Flags().GetString("socket")
	status, err := statusOf(socket)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, s := range status.Services {
		if !slices.Contains(before, s.Name) && !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// serviceCommand is a verb that does something to services, one after another.
func serviceCommand(verb, short string) *cobra.Command {
	c := &cobra.Command{Use: verb + " service ...", Short: short, Args: cobra.MinimumNArgs(1), ValidArgsFunction: serviceNames}
	socket := addSocket(c)
	c.RunE = func(_ *cobra.Command, services []string) error {
		for _, name := range services {
			if _, err := ask(*socket, control.Request{Verb: verb, Service: name}); err != nil {
				return err
			}
		}
		return nil
	}
	return c
}

func kickCommand() *cobra.Command {
	c := &cobra.Command{Use: "kick pid|address|network|service ...", Short: "End what serves clients: programs by SIGTERM, then SIGKILL",
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: serviceNames}
	socket := addSocket(c)
	c.RunE = func(cmd *cobra.Command, targets []string) error {
		for _, target := range targets {
			r, err := ask(*socket, control.Request{Verb: control.VerbKick, Target: target})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s ended\n", target, count(r.Ended, "client"))
		}
		return nil
	}
	return c
}

func reloadCommand() *cobra.Command {
	c := &cobra.Command{Use: "reload [--json]", Short: "Have inetd read its configuration, and print what is wrong with it", Args: cobra.NoArgs,
		Long: "Has inetd read its configuration, waits until that is served, and prints its\nproblems.\n\nThe exit status is 0 where there is none, 1 for warnings and 2 for errors."}
	socket := addSocket(c)
	asJSON := c.Flags().Bool("json", false, "print one JSON object")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		r, err := ask(*socket, control.Request{Verb: control.VerbReload})
		if err != nil {
			return err
		}
		status, err := statusOf(*socket)
		if err != nil {
			return err
		}
		report := reportOf(r.Problems)
		report.Services = len(status.Services)
		if *asJSON {
			printJSON(cmd.OutOrStdout(), report)
		} else {
			printReport(cmd.OutOrStdout(), report)
		}
		return report.status()
	}
	return c
}

func upgradeCommand() *cobra.Command {
	c := &cobra.Command{Use: "upgrade", Short: "Have inetd execute its program's file again, with its sockets and clients", Args: cobra.NoArgs,
		Long: "Has inetd execute its program's file again, as after the installation of a new\nversion. Sockets and clients stay. The new program is tried first: if it fails,\nnothing is changed."}
	socket := addSocket(c)
	c.RunE = func(*cobra.Command, []string) error {
		_, err := ask(*socket, control.Request{Verb: control.VerbUpgrade})
		return err
	}
	return c
}
