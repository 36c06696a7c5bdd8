package config

import (
	"slices"
	"strconv"
	"strings"
)

// A Builtin is a service that inetd serves itself, as the readers have to
// know it. The table is package builtin's; whoever calls a reader passes it
// in [Options].
type Builtin struct {
	Name     string
	Aliases  []string // its other names in services(5)
	Port     int      // used where /etc/services does not have the name
	Stream   bool     // served over TCP
	Datagram bool     // served over UDP
}

// BuiltinSettings are the settings of services that inetd serves itself.
type BuiltinSettings struct {
	QuoteFile string // qotd: path of the file of quotes; empty: /etc/qotd
}

var builtinAttributes = table{
	{name: "quote_file", perService: true, extension: true, min: 1, max: 1, hint: "write the absolute path of a file", set: setPath(func(s *Service) *string { return &s.QuoteFile }),
		get: getText(func(s *Service) string { return s.QuoteFile })},
}

// A builtins is the table that a reader was given.
type builtins []Builtin

// find returns the builtin that a service name, alias or port stands for,
// nil for none.
func (t builtins) find(service string) *Builtin {
	name := strings.ToLower(service)
	for i := range t {
		if b := &t[i]; name == b.Name || slices.Contains(b.Aliases, name) || service == strconv.Itoa(b.Port) {
			return b
		}
	}
	return nil
}

// nameOf returns the builtin's name that a service name stands for, or "".
func (t builtins) nameOf(service string) string {
	if b := t.find(service); b != nil {
		return b.Name
	}
	return ""
}

// hint lists the names, for problems.
func (t builtins) hint() string {
	names := make([]string, len(t))
	for i := range t {
		names[i] = t[i].Name
	}
	slices.Sort(names)
	return "known: " + strings.Join(names, ", ")
}
