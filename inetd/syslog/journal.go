package syslog

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// journalSocket is where the journal takes entries with fields of their own
// (systemd's "Native Journal Protocol").
const journalSocket = "/run/systemd/journal/socket"

// A journalSink sends each line with its fields to the journal. A field is a
// line of NAME=value, which ours all fit into; an empty line ends a record.
type journalSink struct{ socketSink }

// newJournalSink connects to the journal; nil means that there is none.
func newJournalSink(path string) *journalSink {
	s := &journalSink{socketSink{path: path, fd: -1, end: "\n\n"}}
	if !s.connect() {
		return nil
	}
	return s
}

func (s *journalSink) header(l *Logger, b []byte, p Priority) []byte {
	b = strconv.AppendInt(append(b, "PRIORITY="...), int64(p.level()), 10)
	if facility := p >> 3; facility != 0 {
		b = strconv.AppendInt(append(b, "\nSYSLOG_FACILITY="...), int64(facility), 10)
	}
	b = append(append(b, "\nSYSLOG_IDENTIFIER="...), l.ident...)
	return append(b, "\nMESSAGE="...)
}

func (*journalSink) fields(b []byte, f Fields) []byte {
	if f.Service != "" {
		b = append(appendVisible(append(b, "SERVICE="...), f.Service), '\n')
	}
	if f.Client.IsValid() {
		b = append(f.Client.AppendTo(append(b, "CLIENT="...)), '\n')
	}
	if f.PID != 0 {
		b = append(strconv.AppendInt(append(b, "PID="...), int64(f.PID), 10), '\n')
	}
	return append(b, '\n')
}

// A prioritySink writes to a stderr that is read by a service manager: that
// has the time and the name already, and takes the priority from a prefix
// (sd-daemon(3)).
type prioritySink struct{ stderrSink }

func (prioritySink) header(_ *Logger, b []byte, p Priority) []byte {
	return append(strconv.AppendInt(append(b, '<'), int64(p.level()), 10), '>')
}

// isJournal reports whether a descriptor is the journal's stream, as
// JOURNAL_STREAM names it (systemd.exec(5)).
func isJournal(stream string, fd int) bool {
	var st unix.Stat_t
	return stream != "" && unix.Fstat(fd, &st) == nil &&
		stream == strconv.FormatUint(st.Dev, 10)+":"+strconv.FormatUint(st.Ino, 10)
}
