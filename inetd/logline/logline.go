// Package logline makes the lines that log tools know from xinetd
// (xinetd.log(5)): START, EXIT, FAIL, USERID, NOID and TRAFFIC. Its functions
// append to a buffer and allocate nothing.
//
// Two things are added to xinetd's lines: the client's port where PORT is
// among the values of log_on_success or log_on_failure, and the rule that
// refused an address. Both stand where the usual filters do not stumble over
// them: those want the service's name to be one word and the address to end
// the line.
//
//	START: echo pid=812 from=192.0.2.7 port=40112
//	EXIT: echo status=0 pid=812 duration=3(sec)
//	FAIL: echo per_source_limit from=192.0.2.7 port=40113
//	FAIL: echo(no_access=192.0.2.0/24,xinetd.d/echo:9) address from=192.0.2.7
package logline

import (
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
)

// startSet has the values of log_on_success that a START line is written
// for, exitSet those for an EXIT line.
const (
	startSet = config.LogPID | config.LogHost | config.LogPort | config.LogExit | config.LogDuration
	exitSet  = config.LogExit | config.LogDuration | config.LogRUsage
)

// HasStart reports whether START lines are written.
func HasStart(set config.LogSet) bool { return set&startSet != 0 }

// HasExit reports whether EXIT lines are written.
func HasExit(set config.LogSet) bool { return set&exitSet != 0 }

// Start appends a START line. A service without a program has pid 0.
func Start(b []byte, service string, set config.LogSet, pid int, from netip.AddrPort) []byte {
	b = append(append(b, "START: "...), service...)
	if set&config.LogPID != 0 {
		b = appendInt(append(b, " pid="...), pid)
	}
	if set&config.LogHost != 0 {
		b = From(b, from, set)
	}
	return b
}

// Exit appends an EXIT line.
func Exit(b []byte, service string, set config.LogSet, status unix.WaitStatus, pid int, duration time.Duration) []byte {
	b = append(append(b, "EXIT: "...), service...)
	if set&config.LogExit != 0 {
		if status.Signaled() {
			b = appendInt(append(b, " signal="...), int(status.Signal()))
		} else {
			b = appendInt(append(b, " status="...), status.ExitStatus())
		}
	}
	if set&config.LogPID != 0 {
		b = appendInt(append(b, " pid="...), pid)
	}
	if set&config.LogDuration != 0 {
		b = appendInt(append(b, " duration="...), int(duration/time.Second))
		b = append(b, "(sec)"...)
	}
	return b
}

// Usage appends what a program has used to its EXIT line: CPU time, and the most
// memory that was resident, in kB.
func Usage(b []byte, cpu time.Duration, maxRSS int64) []byte {
	b = strconv.AppendFloat(append(b, " cpu="...), cpu.Seconds(), 'f', 3, 64)
	b = strconv.AppendInt(append(b, "(sec) maxrss="...), maxRSS, 10)
	return append(b, "(kB)"...)
}

// The reasons of FAIL lines that are decided by the client's address, in
// xinetd's words. fail2ban's filter wants their lines to end with the
// address, so they have no port.
const (
	ReasonAddress = "address"
	ReasonLibwrap = "libwrap"
)

// Fail appends a FAIL line. The rule is the one that decided, as
// "no_access 192.0.2.0/24, xinetd.d/tftp:9", or empty.
func Fail(b []byte, service string, set config.LogSet, reason, rule string, from netip.AddrPort) []byte {
	b = append(append(b, "FAIL: "...), service...)
	if rule != "" {
		b = append(appendOneWord(append(b, '('), rule), ')')
	}
	if reason == ReasonAddress || reason == ReasonLibwrap {
		set &^= config.LogPort
	}
	b = append(append(b, ' '), reason...)
	if set&config.LogHost != 0 {
		b = From(b, from, set)
	}
	return b
}

// Traffic appends a TRAFFIC line: the bytes of a redirect, from the client
// and to it.
func Traffic(b []byte, service string, in, out int64) []byte {
	b = append(append(append(b, "TRAFFIC: "...), service...), " in="...)
	b = append(strconv.AppendInt(b, in, 10), "(bytes) out="...)
	return append(strconv.AppendInt(b, out, 10), "(bytes)"...)
}

// UserID appends a USERID line. The client's host chose what user says, and
// the log makes it visible.
func UserID(b []byte, service, user string) []byte {
	b = append(append(append(b, "USERID: "...), service...), ' ')
	return append(b, user...)
}

// NoID appends a NOID line: a client that has to be known by ident, and why
// it is not.
func NoID(b []byte, service string, from netip.Addr, err error) []byte {
	b = append(append(append(b, "NOID: "...), service...), ' ')
	return append(append(from.AppendTo(b), ' '), err.Error()...)
}

// From appends where a client comes from: " from=192.0.2.7 port=40112".
func From(b []byte, from netip.AddrPort, set config.LogSet) []byte {
	if !from.IsValid() {
		return append(b, " from=<no address>"...)
	}
	b = from.Addr().AppendTo(append(b, " from="...))
	if set&config.LogPort == 0 {
		return b
	}
	return appendInt(append(b, " port="...), int(from.Port()))
}

func appendInt(b []byte, n int) []byte { return strconv.AppendInt(b, int64(n), 10) }

// appendOneWord appends a rule without blanks: "no_access 192.0.2.0/24,
// xinetd.d/tftp:9" as "no_access=192.0.2.0/24,xinetd.d/tftp:9".
func appendOneWord(b []byte, rule string) []byte {
	for i := range len(rule) {
		switch {
		case rule[i] != ' ':
			b = append(b, rule[i])
		case i > 0 && rule[i-1] != ',':
			b = append(b, '=')
		}
	}
	return b
}
