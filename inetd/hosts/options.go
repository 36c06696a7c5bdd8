package hosts

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"goinetd/config/syslogname"
)

// Actions are what the options of a rule ask for, besides the verdict.
type Actions struct {
	Severity  string   // "facility.level" or "level" for the log; empty: as it is
	Spawn     []string // commands for /bin/sh, to run beside
	Twist     string   // command for /bin/sh, to run in the service's place
	Env       []string // "NAME=value"
	Banner    []byte   // text for the client
	User      string   // who the program runs as: "user" or "user.group"
	Group     string
	Nice      int
	Umask     *uint16        // nil: as it is
	Linger    *time.Duration // nil: as it is; 0: none
	KeepAlive bool
}

// Any reports whether there is anything to do.
func (a *Actions) Any() bool {
	return a.Severity != "" || a.Spawn != nil || a.Twist != "" || a.Env != nil || a.Banner != nil || a.User != "" || a.Group != "" ||
		a.Nice != 0 || a.Umask != nil || a.Linger != nil || a.KeepAlive
}

// decide carries out the options of a rule that matched. An option that
// cannot be read refuses, as in the library.
func (m *matcher) decide(r *rule, where string) Verdict {
	v := Verdict{Refused: m.deny, Rule: where}
	x := &expansion{m: m}
	actions, err := r.actions(x)
	if m.verdict.incomplete() {
		return m.verdict
	}
	if err != nil {
		return Verdict{Refused: true, Rule: where, Problem: err.Error()}
	}
	if x.verdict != nil {
		v.Refused = !*x.verdict
	}
	v.Actions = actions
	return v
}

// optionNames are what hosts_options(5) has, with how many values each takes:
// none, one, or either.
var optionNames = map[string]struct{ least, most int }{
	"allow": {0, 0}, "deny": {0, 0}, "spawn": {1, 1}, "twist": {1, 1}, "severity": {1, 1}, "setenv": {1, 1}, "banners": {1, 1},
	"keepalive": {0, 0}, "linger": {1, 1}, "rfc931": {0, 1}, "nice": {0, 1}, "umask": {1, 1}, "user": {1, 1}, "group": {1, 1},
}

// actions reads the options. Without an expansion it only checks them.
func (r *rule) actions(x *expansion) (Actions, error) {
	a := Actions{}
	for i, option := range r.options {
		name, value := split(option)
		takes, known := optionNames[strings.ToLower(name)]
		switch {
		case name == "":
			return a, fmt.Errorf("an option without a name")
		case !known:
			return a, fmt.Errorf("unknown option %q", name)
		case value == "" && takes.least > 0:
			return a, fmt.Errorf("option %s has no value", name)
		case value != "" && takes.most == 0:
			return a, fmt.Errorf("option %s takes no value", name)
		}
		last := i == len(r.options)-1
		if err := a.option(x, strings.ToLower(name), value, last); err != nil {
			return a, err
		}
	}
	return a, nil
}

// split parts an option's name from its value: by blanks, one =, or both.
func split(option string) (name, value string) {
	end := strings.IndexAny(option, "= \t\r\n")
	if end < 0 {
		return option, ""
	}
	value = strings.TrimLeft(option[end:], " \t\r\n")
	value, _ = strings.CutPrefix(value, "=")
	return option[:end], strings.TrimLeft(value, " \t\r\n")
}

func (a *Actions) option(x *expansion, name, value string, last bool) error {
	switch name {
	case "allow", "deny", "twist":
		if !last {
			return fmt.Errorf("option %s has to be the last", name)
		}
	}
	switch name {
	case "allow", "deny":
		x.decide(name == "allow")
	case "twist":
		a.Twist = x.expand(value)
	case "spawn":
		a.Spawn = append(a.Spawn, x.expand(value))
	case "banners":
		a.Banner = append(a.Banner, x.banner(value)...)
	case "setenv":
		variable, text := value, ""
		if i := strings.IndexAny(value, " \t\r\n"); i >= 0 {
			variable, text = value[:i], strings.TrimSpace(value[i:])
		}
		if variable == "" || strings.ContainsAny(value, "\x00") || strings.Contains(variable, "=") {
			return fmt.Errorf("setenv %q names no variable", value)
		}
		a.Env = slices.DeleteFunc(a.Env, func(s string) bool { return strings.HasPrefix(s, variable+"=") })
		a.Env = append(a.Env, variable+"="+x.expand(text))
	case "keepalive":
		a.KeepAlive = true
	case "rfc931":
		seconds := 0
		if value != "" {
			n, err := strconv.ParseUint(value, 10, 16)
			if err != nil || n == 0 {
				return fmt.Errorf("rfc931 %q is not a number of seconds", value)
			}
			seconds = int(n)
		}
		x.needUser(time.Duration(seconds) * time.Second)
	case "user":
		a.User, a.Group, _ = strings.Cut(value, ".")
	case "group":
		a.Group = value
	default:
		return a.number(name, value)
	}
	return nil
}

// maxNice bounds the sum of nice options. The kernel goes from -20 to 19,
// whatever is asked (nice(2)).
const maxNice = 1000

func (a *Actions) number(name, value string) error {
	switch name {
	case "severity":
		value = strings.ToLower(value)
		facility, level, both := strings.Cut(value, ".")
		if !both {
			facility, level = "daemon", value
		}
		_, knownLevel := syslogname.Level(level)
		_, knownFacility := syslogname.Facility(facility)
		if !knownLevel || !knownFacility {
			return fmt.Errorf("severity %q is none of syslog(3)'s", value)
		}
		a.Severity = value
	case "umask":
		n, err := strconv.ParseUint(value, 8, 32)
		if err != nil || n > 0o777 {
			return fmt.Errorf("umask %q is not octal", value)
		}
		mask := uint16(n)
		a.Umask = &mask
	case "nice":
		n, err := 10, error(nil)
		if value != "" {
			n, err = strconv.Atoi(value)
		}
		if err != nil {
			return fmt.Errorf("nice %q is not a number", value)
		}
		a.Nice = min(max(a.Nice+n, -maxNice), maxNice)
	case "linger":
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return fmt.Errorf("linger %q is not a number of seconds", value)
		}
		d := time.Duration(n) * time.Second
		a.Linger = &d
	}
	return nil
}
