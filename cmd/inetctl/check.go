package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"goinetd/config"
	"goinetd/inetd/hosts"
	"goinetd/inetd/service"
	"goinetd/inetd/spawn"
)

// A finding is a problem as --json has it.
type finding struct {
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	Severity string `json:"severity"`
	Service  string `json:"service,omitempty"`
	Text     string `json:"text"`
	Hint     string `json:"hint,omitempty"`
}

// A report is what --json prints.
type report struct {
	Notes    []string  `json:"notes,omitempty"` // which files are read
	Services int       `json:"services"`
	Errors   int       `json:"errors"`
	Warnings int       `json:"warnings"`
	Problems []finding `json:"problems"`
}

// check prints every problem of a configuration. The exit status is 0 where there is
// none, 1 where there are warnings, 2 where there are errors.
func check(args []string, stdout, stderr io.Writer) int {
	f, dialect := flags("check", stderr)
	asJSON := f.Bool("json", false, "print one JSON object")
	c, err := load(f, args, dialect)
	if err != nil {
		return fatal("check", err, stderr)
	}
	found, broken := checkHost(c.services)
	problems := append(c.problems, found...)
	slices.SortStableFunc(problems, func(a, b config.Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	r := report{Notes: c.notes, Services: len(c.services) - broken, Problems: []finding{}}
	for _, p := range problems {
		if p.Severity == config.Error {
			r.Errors++
		} else {
			r.Warnings++
		}
		r.Problems = append(r.Problems, finding{p.File, p.Line, p.Column, p.Severity.String(), p.Service, p.Text, p.Hint})
	}
	if *asJSON {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		e.Encode(r)
	} else {
		printReport(stdout, r)
	}
	switch {
	case r.Errors > 0:
		return exitErrors
	case r.Warnings > 0:
		return exitWarnings
	}
	return exitOK
}

// printReport writes problems as compilers do, so that editors find them.
func printReport(w io.Writer, r report) {
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

// checkHost returns what is wrong with services on this host: users,
// programs and files that do not exist, and the lines of hosts.allow and
// hosts.deny. broken is the number of services that cannot run.
func checkHost(services []*config.Service) (problems []config.Problem, broken int) {
	accounts, files := spawn.NewAccounts(), service.CheckFiles(services)
	wrapped := false
	for _, s := range services {
		wrapped = wrapped || s.Libwrap != ""
		found := service.Check(s, accounts, files)
		if config.Errors(found) {
			broken++
		}
		problems = append(problems, found...)
	}
	if !wrapped {
		return problems, broken
	}
	return append(problems, hosts.FileProblems("/etc/hosts.allow", "/etc/hosts.deny")...), broken
}
