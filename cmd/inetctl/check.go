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
	"goinetd/inetd/syslog"
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
	found, broken := checkHost(c)
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
