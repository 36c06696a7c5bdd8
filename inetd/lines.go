package inetd

import (
	"cmp"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/syslog"
)

// The lines that log tools know are xinetd's (xinetd.log(5)), with the
// client's port added for those who asked for it (PORT), and the rule that
// refused an address where the tools do not stumble over it: they want the
// name of the service to be one word, and the address at the end.
//
//	START: echo pid=812 from=192.0.2.7 port=40112
//	EXIT: echo status=0 pid=812 duration=3(sec)
//	FAIL: echo per_source_limit from=192.0.2.7 port=40113
//	FAIL: echo(no_access=192.0.2.0/24,xinetd.d/echo:9) address from=192.0.2.7

// startParts are what a START line is written for, exitParts an EXIT line.
const (
	startParts = config.LogPID | config.LogHost | config.LogPort | config.LogExit | config.LogDuration
	exitParts  = config.LogExit | config.LogDuration
)

func appendInt(b []byte, n int) []byte { return strconv.AppendInt(b, int64(n), 10) }

// fields are what the lines of a client without a program are about.
func (c *client) fields() syslog.Fields {
	return syslog.Fields{Service: c.def.name, Client: c.from.Addr()}
}

// startLine makes a START line in w.line. A builtin has pid 0.
func (w *worker) startLine(def *definition, pid int, from netip.AddrPort) {
	b := append(append(w.line[:0], "START: "...), def.name...)
	if def.success&config.LogPID != 0 {
		b = appendInt(append(b, " pid="...), pid)
	}
	if def.success&config.LogHost != 0 {
		b = appendFrom(b, from, def.success)
	}
	w.line = b
}

// exitLine makes an EXIT line.
func exitLine(b []byte, def *definition, status unix.WaitStatus, pid int, took time.Duration) []byte {
	b = append(append(b[:0], "EXIT: "...), def.name...)
	if def.success&config.LogExit != 0 {
		if status.Signaled() {
			b = appendInt(append(b, " signal="...), int(status.Signal()))
		} else {
			b = appendInt(append(b, " status="...), status.ExitStatus())
		}
	}
	if def.success&config.LogPID != 0 {
		b = appendInt(append(b, " pid="...), pid)
	}
	if def.success&config.LogDuration != 0 {
		b = appendInt(append(b, " duration="...), int(took/time.Second))
		b = append(b, "(sec)"...)
	}
	return b
}

func appendFrom(b []byte, from netip.AddrPort, parts config.LogSet) []byte {
	if !from.IsValid() {
		return append(b, " from=<no address>"...)
	}
	b = from.Addr().AppendTo(append(b, " from="...))
	if parts&config.LogPort == 0 {
		return b
	}
	return appendInt(append(b, " port="...), int(from.Port()))
}

// fail writes a FAIL line. The rule is one of those by address, or empty.
func (s *Server) fail(w *worker, c *client, reason, rule string) {
	if c.def.failure == 0 {
		return
	}
	b := append(append(w.line[:0], "FAIL: "...), c.def.name...)
	parts := c.def.failure
	if rule != "" {
		b = append(appendOneWord(append(b, '('), rule), ')')
	}
	if reason == reasonAddress || reason == reasonLibwrap { // fail2ban's filter wants the line to end with the address
		parts &^= config.LogPort
	}
	b = append(append(b, ' '), reason...)
	if parts&config.LogHost != 0 {
		b = appendFrom(b, c.from, parts)
	}
	w.line = b
	c.def.log.log.Tell(cmp.Or(c.severity, c.def.log.failure), b, c.fields())
}

// appendOneWord adds a rule without blanks: "no_access 192.0.2.0/24,
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
