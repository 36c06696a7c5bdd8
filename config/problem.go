package config

import (
	"strconv"
	"strings"
)

// Severity reports whether a problem costs a service.
type Severity int

const (
	Warning Severity = iota // the service runs, perhaps not as was meant
	Error                   // the service, or the file, is skipped
)

// String returns the word for it.
func (s Severity) String() string {
	if s == Error {
		return "error"
	}
	return "warning"
}

// A Problem is something wrong in a configuration: where, what, and what to
// do about it. It is a value, not a log line: the daemon logs it and runs
// the rest.
type Problem struct {
	Pos      // File is empty where no file is at fault, Line 0 for a whole file
	Severity Severity
	Service  string // the service concerned; empty where none could be made out
	Text     string // what is wrong
	Hint     string // what to do; may be empty
}

// String returns it in one line: `inetd.conf:12: unknown user "alice"
// (service echo skipped; add the user, or correct field 5)`.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.Pos.String())
		if p.Column > 0 {
			b.WriteString(":" + strconv.Itoa(p.Column))
		}
		b.WriteString(": ")
	}
	b.WriteString(p.Text)
	var tail []string
	if p.Severity == Error && p.Service != "" {
		tail = append(tail, "service "+p.Service+" skipped")
	}
	if p.Hint != "" {
		tail = append(tail, p.Hint)
	}
	if len(tail) > 0 {
		b.WriteString(" (" + strings.Join(tail, "; ") + ")")
	}
	return b.String()
}

// Errors reports whether any of the problems cost a service or a file.
func Errors(problems []Problem) bool {
	for _, p := range problems {
		if p.Severity == Error {
			return true
		}
	}
	return false
}
