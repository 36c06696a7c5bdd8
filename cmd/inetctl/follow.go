package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"goinetd/inetd/control"
)

// This file has the verbs that follow a running inetd.

func eventsCommand() *cobra.Command {
	c := &cobra.Command{Use: "events [-n count] [--json] [service]", Short: "Print the starts, exits and refusals of clients as they come",
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: serviceNames}
	socket := addSocket(c)
	n := c.Flags().IntP("count", "n", 0, "end after so many events (0: never)")
	asJSON := c.Flags().Bool("json", false, "print a JSON object for each event")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := control.Dial(socketPath(*socket))
		if err != nil {
			return err
		}
		defer client.Close()
		request := control.Request{Verb: control.VerbEvents}
		if len(args) > 0 {
			request.Service = args[0]
		}
		seen := 0
		return client.Follow(request, func(r *control.Response) bool {
			e := r.Event
			if e == nil {
				fmt.Fprintln(cmd.ErrOrStderr(), "following (^C ends it)")
				return true
			}
			if *asJSON {
				printJSONLine(cmd.OutOrStdout(), e)
			} else {
				fmt.Fprintln(cmd.OutOrStdout(), e.Time.Local().Format("15:04:05.000"), e.Text)
			}
			seen++
			return *n == 0 || seen < *n
		})
	}
	return c
}

func traceCommand() *cobra.Command {
	c := &cobra.Command{Use: "trace [-n count] [--json] [service]", Short: "Print the next connections step by step, with times",
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: serviceNames,
		Long: `Prints what happens to the next connections: when they are accepted, which
settings let them in or refuse them, each system call between the fork and the
exec of their program, the first bytes, and how the program ends.

Each line has the number of the connection, milliseconds since inetd saw it, the
name of the step, and what it was done to.`}
	socket := addSocket(c)
	n := c.Flags().IntP("count", "n", 0, "end after so many connections (0: never)")
	asJSON := c.Flags().Bool("json", false, "print a JSON object for each step")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := control.Dial(socketPath(*socket))
		if err != nil {
			return err
		}
		defer client.Close()
		request := control.Request{Verb: control.VerbTrace, N: *n}
		if len(args) > 0 {
			request.Service = args[0]
		}
		ended := 0
		return client.Follow(request, func(r *control.Response) bool {
			step := r.Step
			switch {
			case step == nil:
				fmt.Fprintln(cmd.ErrOrStderr(), "waiting for connections (^C ends it)")
				return true
			case *asJSON:
				printJSONLine(cmd.OutOrStdout(), step)
			default:
				printStep(cmd.OutOrStdout(), step)
			}
			if step.Last {
				ended++
			}
			return *n == 0 || ended < *n
		})
	}
	return c
}

// printStep prints a step as one line. The first one of a connection says whose
// it is.
func printStep(w io.Writer, s *control.Step) {
	if s.After == 0 {
		if s.Missed > 0 {
			fmt.Fprintf(w, "%s not traced: too many at once\n", count(s.Missed, "connection"))
		}
		fmt.Fprintf(w, "#%d %s, %s\n", s.Connection, printable(s.Service), s.Time.Local().Format("2006-01-02 15:04:05.000"))
	}
	line := fmt.Sprintf("#%d %9.3f  %-14s  %s", s.Connection, float64(s.After)/float64(time.Millisecond), s.Name, printable(s.Text))
	fmt.Fprintln(w, strings.TrimRight(line, " "))
}
