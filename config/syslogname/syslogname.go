// Package syslogname has the names of syslog(3)'s facilities and levels.
package syslogname

import "slices"

// Levels are the severities of RFC 5424, section 6.2.1, by their number.
var Levels = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}

// facilities are those of RFC 5424 by their number; numbers 12 to 15 have no
// name in syslog(3).
var facilities = []string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
	"", "", "", "", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}

// Level returns the number of a level, and false for a name that is none.
func Level(name string) (int, bool) {
	i := slices.Index(Levels, name)
	return i, i >= 0
}

// Facility returns the number of a facility, and false for a name that is
// none.
func Facility(name string) (int, bool) {
	if name == "" {
		return -1, false
	}
	i := slices.Index(facilities, name)
	return i, i >= 0
}

// Facilities returns the names of the facilities.
func Facilities() []string {
	return slices.DeleteFunc(slices.Clone(facilities), func(name string) bool { return name == "" })
}
