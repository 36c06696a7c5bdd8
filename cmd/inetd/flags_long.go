package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"goinetd/config"
)

// The long options: those of the control socket, and GNU's. Those of other
// inetds are in scripts and rc files, as are FreeBSD's -w and -W, and -f and -e
// of busybox.

// A longOption is one of ours or of GNU's (inetutils), and the short one that
// does the same.
type longOption struct {
	name  string
	short byte // 0: none
	value bool // takes one; that of pidfile may be missing
}

var longOptions = []longOption{{"debug", 'd', false}, {"environment", 0, false}, {"pidfile", 'p', true}, {"rate", 'R', true},
	{"resolve", 0, false}, {"version", 'V', false}, {"help", '?', false}, {"usage", '?', false},
	{"control", 0, true}, {"control-group", 0, true}} // ours

// findLong returns the long option of a name, which may be shortened as far
// as it is the only one of that beginning.
func findLong(name string) (found *longOption, err error) {
	for i := range longOptions {
		switch o := &longOptions[i]; {
		case o.name == name:
			return o, nil
		case !strings.HasPrefix(o.name, name):
		case found != nil:
			return nil, fmt.Errorf("option --%s can be --%s or --%s", name, found.name, o.name)
		default:
			found = o
		}
	}
	if found == nil {
		return nil, fmt.Errorf("unknown option --%s", name)
	}
	return found, nil
}

// long reads a long option, without the hyphens. args are the words behind it;
// it returns those that are left.
func (o *options) long(text string, args []string) (remainder []string, _ error) {
	name, value, joined := strings.Cut(text, "=")
	option, err := findLong(name)
	switch {
	case err != nil:
		return nil, err
	case joined && !option.value:
		return nil, fmt.Errorf("option --%s takes no value", option.name)
	case !option.value && option.short != 0:
		o.flag(option.short)
	case option.name == "resolve":
		o.passedOver = append(o.passedOver, "option --resolve has no effect: programs get addresses and no names")
	case option.name == "environment": // programs get those variables anyway
	case option.name == "pidfile" && !joined:
		return args, o.value('p', "") // no pidfile, as in inetutils
	case !joined && len(args) == 0:
		return nil, fmt.Errorf("option --%s needs a value", option.name)
	default:
		if !joined {
			value, args = args[0], args[1:]
		}
		if option.short != 0 {
			return args, o.value(option.short, value)
		}
		return args, o.controlValue(option.name, value)
	}
	return args, nil
}

// controlValue sets an option of the control socket.
func (o *options) controlValue(name, value string) (err error) {
	if name == "control-group" {
		o.controlGroup = value
		return nil
	}
	if o.controlSet = true; value != "" {
		o.control, err = filepath.Abs(value)
	}
	return err
}

// isDialect reports whether a word is a value of -f. Where none follows, -f is
// that of busybox, which stays in the foreground and logs to syslog.
func isDialect(word string) bool {
	return dialectOf(word) != config.Any
}

// resolveForeground sets where a daemon with busybox's -f or -e logs.
func (o *options) resolveForeground() {
	switch {
	case o.foreground: // -i and -d log to stderr
	case o.busyboxForeground && o.busyboxStderr:
		o.foreground = true
	case o.busyboxForeground:
		o.foreground, o.facility = true, "daemon"
	case o.busyboxStderr:
		o.passedOver = append(o.passedOver, "option -e has no effect in the background: the log goes to syslog (-f stays in the foreground)")
	}
}
