package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"

	"github.com/spf13/cobra"

	"goinetd/config"
	"goinetd/inetd"
	"goinetd/inetd/control"
	"goinetd/inetd/hosts"
	"goinetd/inetd/syslog"
)

func whyCommand() *cobra.Command {
	var dialect string
	c := &cobra.Command{
		Use:   "why address service [-f dialect] [--file file ...]",
		Short: "Say whether a client from an address would be let in now, and which rule decides",
		Long: `Asks the running inetd, which decides as it does about a client, with those who
are served already. With --file, or where none runs, a configuration is read
instead. The exit status is 1 where the client would be refused.`,
		Args: cobra.ExactArgs(2),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, start string) ([]string, cobra.ShellCompDirective) {
			if len(args) != 1 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return serviceNames(cmd, nil, start)
		},
	}
	socket := addSocket(c)
	addDialect(c, &dialect)
	asJSON := c.Flags().Bool("json", false, "print one JSON object")
	to := c.Flags().String("to", "", "the address of this host that the client comes to (default: the one that this host would send from)")
	files := c.Flags().StringArray("file", nil, "a configuration, instead of the running inetd")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := netip.ParseAddr(args[0])
		if err != nil {
			return fmt.Errorf("%q is no address", args[0])
		}
		q := question{service: args[1], client: client.Unmap()}
		if *to != "" {
			if q.to, err = netip.ParseAddr(*to); err != nil {
				return fmt.Errorf("--to: %q is no address", *to)
			}
		}
		v, err := q.ask(cmd.ErrOrStderr(), *socket, *files, dialect)
		if err != nil {
			return err
		}
		if *asJSON {
			printJSON(cmd.OutOrStdout(), v)
		} else {
			printVerdict(cmd.OutOrStdout(), v)
		}
		if !v.Admitted {
			return statusError(exitWarnings)
		}
		return nil
	}
	return c
}

// A question is what why is asked.
type question struct {
	service    string
	client, to netip.Addr // to may be invalid
}

// ask asks the running inetd, or a configuration.
func (q *question) ask(stderr io.Writer, socket string, files []string, dialect string) (*control.Verdict, error) {
	if len(files) == 0 && dialect == "" {
		r := control.Request{Verb: control.VerbWhy, Service: q.service, Target: q.client.String()}
		if q.to.IsValid() {
			r.To = q.to.String()
		}
		response, err := ask(socket, r)
		switch {
		case err == nil:
			return response.Verdict, nil
		case !errors.Is(err, control.ErrNoDaemon):
			return nil, err
		}
		fmt.Fprintln(stderr, "no inetd runs: by the configuration")
	}
	c, err := load(files, dialect, func(*config.Options) {})
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(c.services, func(s *config.Service) bool { return s.ID == q.service }) {
		return nil, fmt.Errorf("the configuration has no service %q (inetctl check prints what is wrong with it)", q.service)
	}
	o := inetd.Options{Log: syslog.New("inetctl"), Hosts: hosts.New(hostsAllow, hostsDeny)}
	defer o.Log.Flush()
	return inetd.WhyWithout(o, c.services, q.service, q.client, q.to)
}

// printVerdict prints what would happen in a sentence, and why.
func printVerdict(w io.Writer, v *control.Verdict) {
	what := "would be let in"
	if !v.Admitted {
		what = "would be refused: " + v.Reason
	}
	if v.Rule != "" {
		what += " (" + v.Rule + ")"
	}
	fmt.Fprintf(w, "%s to %s (%s): %s\n", v.Client, printable(v.Service), v.Position, printable(what))
	for _, note := range v.Notes {
		fmt.Fprintf(w, "\t%s\n", printable(note))
	}
}
