package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"goinetd/inetd/control"
)

func statusCommand() *cobra.Command {
	c := &cobra.Command{Use: "status [--json] [service]", Short: "Print the state of inetd and its services", Args: cobra.MaximumNArgs(1), ValidArgsFunction: serviceNames}
	socket := addSocket(c)
	asJSON := c.Flags().Bool("json", false, "print one JSON object")
	c.RunE = func(cmd *cobra.Command, names []string) error {
		status, err := statusOf(*socket, names...)
		if err != nil {
			return err
		}
		switch w := cmd.OutOrStdout(); {
		case *asJSON:
			printJSON(w, status)
		case len(names) > 0:
			for i := range status.Services {
				printService(w, &status.Services[i])
			}
			if len(status.Programs) > 0 {
				fmt.Fprintln(w)
				printPrograms(w, status.Programs)
			}
		default:
			printStatus(w, status)
		}
		return nil
	}
	return c
}

// statusOf asks for the state: of one service where a name is given.
func statusOf(socket string, names ...string) (*control.Status, error) {
	request := control.Request{Verb: control.VerbStatus}
	if len(names) > 0 {
		request.Service = names[0]
	}
	r, err := ask(socket, request)
	if err != nil {
		return nil, err
	}
	return r.Status, nil
}

// printStatus prints a table of the services, and the problems.
func printStatus(w io.Writer, s *control.Status) {
	fmt.Fprintf(w, "%s, pid %d, since %s: %s, %s running, %s refused\n\n", s.Program, s.PID, s.Started.Local().Format(time.DateTime),
		count(len(s.Services), "service"), count(len(s.Programs), "program"), count(s.Refused, "client"))
	var rows [][]string
	for i := range s.Services {
		one := &s.Services[i]
		last := "-"
		if one.LastTime != nil {
			last = age(time.Since(*one.LastTime))
		}
		rows = append(rows, []string{one.Name, addressesOf(one), one.State, runningOf(one), fmt.Sprint(one.Starts), fmt.Sprint(sum(one.Refused)), last})
	}
	printTable(w, []column{{"SERVICE", 14}, {"ADDRESS", 22}, {"STATE", 10}, {"RUNNING", 8}, {"STARTS", 7}, {"REFUSED", 7}, {"LAST", 4}}, rows)
	if len(s.Problems) > 0 {
		fmt.Fprintln(w)
		report := reportOf(s.Problems)
		report.Services = len(s.Services)
		printReport(w, report)
	}
}

// addressesOf returns where a service is reached, in few characters: "tcp *:7".
func addressesOf(s *control.Service) string {
	var list []string
	for _, l := range s.Listeners {
		short := strings.NewReplacer("0.0.0.0:", "*:", "[::]:", "*:").Replace(l.Address)
		if !slices.Contains(list, short) { // IPv4 and IPv6
			list = append(list, short)
		}
	}
	if list == nil {
		return "-"
	}
	return strings.Join(list, ", ")
}

// runningOf returns how many clients are served, and how many may be.
func runningOf(s *control.Service) string {
	if n := s.Limits["instances"]; n > 0 {
		return fmt.Sprintf("%d/%d", s.Running, n)
	}
	return fmt.Sprint(s.Running)
}

func sum(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

// printService prints all that is known of a service.
func printService(w io.Writer, s *control.Service) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%10s  %s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	line("service", "%s (%s:%d)", s.Name, s.File, s.Line)
	line("state", "%s", s.State)
	for _, l := range s.Listeners {
		queue := ""
		if l.Queue != nil {
			queue = fmt.Sprintf(", %s in the queue", count(*l.Queue, "client"))
		}
		line("socket", "%s, %s%s", l.Address, l.State, queue)
	}
	wait := "nowait"
	if s.Wait {
		wait = "wait"
	}
	line("server", "%s, %s %s, user %s", s.Server, s.Type, wait, s.User)
	for _, name := range slices.Sorted(maps.Keys(s.Limits)) {
		line("limit", "%s = %d", name, s.Limits[name])
	}
	line("running", "%s", runningOf(s))
	line("starts", "%d, %d of them in the last minute", s.Starts, s.PerMinute)
	for _, reason := range slices.Sorted(maps.Keys(s.Refused)) {
		line("refused", "%s: %d", reason, s.Refused[reason])
	}
	if s.LastTime != nil {
		client := s.Last
		if client == "" {
			client = "no address"
		}
		line("last", "%s, %s ago", client, age(time.Since(*s.LastTime)))
	}
}
