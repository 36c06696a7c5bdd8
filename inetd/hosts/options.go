package hosts

import (
	"fmt"
	"os"
	"path/filepath"
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
	Banner    string   // file for the client; "": none
	User      string   // who the program runs as: "user" or "user.group"
	Group     string
	Nice      int
	Umask     *uint16        // nil: as it is
	Linger    *time.Duration // nil: as it is
	KeepAlive bool
}

// Any reports whether there is anything to do.
func (a *Actions) Any() bool {
	return a.Severity != "" || a.Spawn != nil || a.Twist != "" || a.Env != nil || a.Banner != "" || a.User != "" || a.Group != "" ||
		a.Nice != 0 || a.Umask != nil || a.Linger != nil || a.KeepAlive
}

// decide carries out the options of a rule that matched. An option that
// cannot be read refuses, as in the library.
func (m *matcher) decide(r *rule, deny bool, where string) Verdict {
	v := Verdict{Refused: deny, Rule: where}
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
	if actions.Banner != "" { // a directory, with a file for each daemon
		actions.Banner = filepath.Join(actions.Banner, filepath.Base(m.r.Daemon))
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
		a.Banner = value
	case "setenv":
		variable, text := split(value)
		if variable == "" || strings.ContainsRune(value, 0) {
			return fmt.Errorf("setenv %q names no variable", value)
		}
		a.Env = append(a.Env, variable+"="+x.expand(text))
	case "keepalive":
		a.KeepAlive = true
	case "rfc931":
		x.needUser()
	case "user":
		a.User, a.Group, _ = strings.Cut(value, ".")
	case "group":
		a.Group = value
	default:
		return a.number(name, value)
	}
	return nil
}

func (a *Actions) number(name, value string) error {
	switch name {
	case "severity":
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
		if err != nil || n < -39 || n > 39 {
			return fmt.Errorf("nice %q is not a number from -20 to 19", value)
		}
		a.Nice = n
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

// An expansion replaces %a and its kind by what is known of a request.
type expansion struct {
	m       *matcher
	verdict *bool
}

func (x *expansion) decide(allow bool) {
	if x != nil {
		x.verdict = &allow
	}
}

// needUser notes that the client's user is needed.
func (x *expansion) needUser() {
	if x != nil && x.m.r.User == nil {
		x.m.verdict.NeedUser = true
	}
}

// shellSafe are the characters that have no meaning to a shell. Others are
// replaced by underscores.
const shellSafe = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

func (x *expansion) expand(text string) string {
	if x == nil {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		i++
		if text[i] == '%' {
			b.WriteByte('%')
			continue
		}
		for _, c := range []byte(x.value(text[i])) {
			if strings.IndexByte(shellSafe, c) < 0 {
				c = '_'
			}
			b.WriteByte(c)
		}
	}
	return b.String()
}

func (x *expansion) value(letter byte) string {
	r, peer := x.m.r, x.m.peer()
	server := &endpoint{addr: r.Server.Addr(), name: unknown, known: true}
	switch letter {
	case 'a':
		return peer.address()
	case 'A':
		return server.address()
	case 'c':
		host := x.best(peer)
		if r.User != nil && *r.User != "" {
			return *r.User + "@" + host
		}
		return host
	case 'd':
		return r.Daemon
	case 'h':
		return x.best(peer)
	case 'H':
		return server.address()
	case 'n':
		name, _ := x.m.name(peer)
		return name
	case 'N':
		return server.name
	case 'p':
		return strconv.Itoa(os.Getpid())
	case 'r':
		return strconv.Itoa(int(r.Client.Port()))
	case 'R':
		return strconv.Itoa(int(r.Server.Port()))
	case 's':
		return r.Daemon + "@" + server.address()
	case 'u':
		x.needUser()
		if r.User == nil || *r.User == "" {
			return unknown
		}
		return *r.User
	}
	return ""
}

// best returns the name of an end, or its address where it has none.
func (x *expansion) best(e *endpoint) string {
	name, ok := x.m.name(e)
	if !ok || name == unknown || name == paranoid {
		return e.address()
	}
	return name
}
