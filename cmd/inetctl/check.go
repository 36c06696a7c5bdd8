package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"goinetd/config"
	"goinetd/inetd/control"
	"goinetd/inetd/hosts"
	"goinetd/inetd/service"
	"goinetd/inetd/syslog"
)

// A report is what --json prints.
type report struct {
	Notes    []string          `json:"notes,omitempty"` // which files are read
	Services int               `json:"services"`
	Errors   int               `json:"errors"`
	Warnings int               `json:"warnings"`
	Problems []control.Problem `json:"problems"`
}

func checkCommand() *cobra.Command {
	var dialect string
	var asJSON bool
	c := &cobra.Command{
		Use:   "check [--json] [-f dialect] [file ...]",
		Short: "Print what is wrong with a configuration",
		Long:  "Prints every mistake of a configuration, and what to do about it.\n" + filesHelp + "\n\nThe exit status is 0 where there is none, 1 for warnings and 2 for errors.",
		RunE: func(cmd *cobra.Command, files []string) error {
			return check(cmd.OutOrStdout(), files, dialect, asJSON)
		},
	}
	addDialect(c, &dialect)
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// addDialect adds the option -f.
func addDialect(c *cobra.Command, dialect *string) {
	c.Flags().StringVarP(dialect, "format", "f", "", "read the files as inetd, xinetd or toml, instead of detecting it")
	c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"inetd", "xinetd", "toml"}, cobra.ShellCompDirectiveNoFileComp))
}

// check prints every problem of a configuration. The exit status is 0 where there is
// none, 1 where there are warnings, 2 where there are errors.
func check(stdout io.Writer, files []string, dialect string, asJSON bool) error {
	c, err := load(files, dialect, func(o *config.Options) { o.WarnWritable = true })
	if err != nil {
		return err
	}
	found, broken := checkHost(c)
	problems := append(c.problems, found...)
	slices.SortStableFunc(problems, func(a, b config.Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	list := make([]control.Problem, 0, len(problems))
	for _, p := range problems {
		list = append(list, control.Problem{File: p.File, Line: p.Line, Column: p.Column, Severity: p.Severity.String(), Service: p.Service, Text: p.Text, Hint: p.Hint})
	}
	r := reportOf(list)
	r.Notes, r.Services = c.notes, len(c.services)-broken
	if asJSON {
		printJSON(stdout, r)
	} else {
		printReport(stdout, r)
	}
	return r.status()
}

// reportOf returns the report of some problems.
func reportOf(problems []control.Problem) *report {
	r := &report{Problems: problems}
	if problems == nil {
		r.Problems = []control.Problem{}
	}
	for _, p := range problems {
		if p.Severity == config.Error.String() {
			r.Errors++
		} else {
			r.Warnings++
		}
	}
	return r
}

// status returns the exit status of a report.
func (r *report) status() error {
	switch {
	case r.Errors > 0:
		return statusError(exitErrors)
	case r.Warnings > 0:
		return statusError(exitWarnings)
	}
	return nil
}

// printJSONLine prints a value as one line of JSON.
func printJSONLine(w io.Writer, value any) { json.NewEncoder(w).Encode(value) }

// printJSON prints a value as one JSON object.
func printJSON(w io.Writer, value any) {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	e.Encode(value)
}

// printReport writes problems as compilers do, so that editors find them.
func printReport(w io.Writer, r *report) {
	for _, note := range r.Notes {
		fmt.Fprintln(w, note)
	}
	for _, p := range r.Problems {
		at := ""
		if p.File != "" {
			at = p.File
			for _, n := range []int{p.Line, p.Column} {
				if n > 0 {
					at += fmt.Sprintf(":%d", n)
				}
			}
			at += ": "
		}
		service := ""
		if p.Service != "" {
			service = p.Service + ": "
		}
		fmt.Fprintf(w, "%s%s: %s%s\n", at, p.Severity, service, p.Text)
		if p.Hint != "" {
			fmt.Fprintf(w, "\t%s\n", p.Hint)
		}
	}
	fmt.Fprintf(w, "%s, %s, %s\n", count(r.Services, "service"), count(r.Errors, "error"), count(r.Warnings, "warning"))
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// The files of hosts_access(5).
const (
	hostsAllow = "/etc/hosts.allow"
	hostsDeny  = "/etc/hosts.deny"
)

// checkHost returns what the daemon would say of the services on this host,
// and of the lines of hosts.allow and hosts.deny. broken is the number of
// services that cannot run.
func checkHost(c configuration) (problems []config.Problem, broken int) {
	o := service.Options{Root: !c.own, MayRefuse: hosts.New(hostsAllow, hostsDeny).MayRefuse,
		LogFile: func(config.LogType) *syslog.Logger { return nil }}
	defs, problems := service.NewBuilder(o, c.services).BuildAll(c.services, nil)
	wrapped := slices.ContainsFunc(c.services, func(s *config.Service) bool { return s.Libwrap != "" })
	if wrapped {
		problems = append(problems, hosts.FileProblems(hostsAllow, hostsDeny)...)
	}
	return problems, len(c.services) - len(defs)
}
