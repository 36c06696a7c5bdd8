package inetd

import (
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/syslog"
)

// The lines that log tools know are xinetd's (xinetd.log(5)), with the
// client's port added:
//
//	START: echo pid=812 from=192.0.2.7 port=40112
//	EXIT: echo status=0 pid=812 duration=3(sec)
//	FAIL: echo per_source_limit from=192.0.2.7 port=40113

// exitParts are what an EXIT line is written for.
const exitParts = config.LogExit | config.LogDuration

func appendInt(b []byte, n int) []byte { return strconv.AppendInt(b, int64(n), 10) }

// startLine makes a START line in w.line. A builtin has pid 0.
func (w *worker) startLine(def *definition, pid int, from netip.AddrPort) {
	b := append(append(w.line[:0], "START: "...), def.name...)
	if def.success&config.LogPID != 0 {
		b = appendInt(append(b, " pid="...), pid)
	}
	if def.success&config.LogHost != 0 {
		b = appendFrom(b, from)
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

func appendFrom(b []byte, from netip.AddrPort) []byte {
	if !from.IsValid() {
		return append(b, " from=<no address>"...)
	}
	b = from.Addr().AppendTo(append(b, " from="...))
	return appendInt(append(b, " port="...), int(from.Port()))
}

// fail writes a FAIL line.
func (s *Server) fail(w *worker, c *client, reason string) {
	if c.def.failure == 0 {
		return
	}
	b := append(append(w.line[:0], "FAIL: "...), c.def.name...)
	b = append(append(b, ' '), reason...)
	if c.def.failure&config.LogHost != 0 {
		b = appendFrom(b, c.from)
	}
	w.line = b
	s.log.Write(syslog.Notice, b)
}
