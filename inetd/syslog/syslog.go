// Package syslog writes logs: the daemon's to stderr in the foreground, to
// /dev/log else, and where xinetd.conf says so, those of services to files.
//
// Logging never waits. Lines go into a buffer of bounded size, and one
// goroutine carries them out; what does not fit is counted, and the count is
// logged when there is room again. While a syslog daemon is gone, lines wait,
// and it is looked for again after a second, two, four, at last sixteen.
package syslog

import (
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"goinetd/config/syslogname"
)

// A Priority is a severity of RFC 5424, section 6.2.1, with a facility above
// it where that is not the logger's own.
type Priority int

// PriorityOf returns the priority of a facility and a level by their names in
// syslog(3); an empty facility is the logger's.
func PriorityOf(facility, level string) Priority {
	l, _ := syslogname.Level(level)
	p := Priority(max(l, 0))
	if f, ok := syslogname.Facility(facility); ok {
		p |= Priority(f << 3)
	}
	return p
}

// level is the severity without the facility.
func (p Priority) level() Priority { return p & 7 }

// The severities that we use.
const (
	Crit    Priority = 2
	Err     Priority = 3
	Warning Priority = 4
	Notice  Priority = 5
	Info    Priority = 6
	Debug   Priority = 7
)

// maxQueue is how many bytes may be queued.
const maxQueue = 1 << 20

// maxLine is how many bytes of a message are logged: it can quote what
// somebody wrote. rsyslog cuts a line off at 8 kB.
const maxLine = 8000

// A Logger takes lines. Its methods may be called by any goroutine.
type Logger struct {
	ident string
	out   sink
	hurry chan struct{} // ends the pause before the next write

	mu      sync.Mutex
	wake    sync.Cond // lines wait, or Close was called
	idle    sync.Cond // nothing waits and nothing is being written, or a write failed
	failed  int       // writes that wrote nothing
	queue   []byte    // records: each ends with a newline
	writing bool
	closed  bool
	lost    int
	second  int64  // the time that prefix was made for
	prefix  []byte // of stderr lines: "Nov 23 15:04:05 inetd[812]: "
}

// A sink writes a batch of records. It returns what could not be written yet,
// to be tried again.
type sink interface {
	write(batch []byte) (remainder []byte)
	// header appends what stands before a line's text.
	header(l *Logger, b []byte, p Priority) []byte
	// fields appends what stands behind it.
	fields(b []byte, f Fields) []byte
}

// Fields are what a line is about, for a log that can be searched by it: the
// journal (systemd.journal-fields(7)).
type Fields struct {
	Service string
	Client  netip.Addr
	PID     int // of the service's program; 0: none
}

// New returns a logger to stderr.
func New(ident string) *Logger {
	if isJournal(os.Getenv("JOURNAL_STREAM"), 2) {
		if sink := newJournalSink(journalSocket); sink != nil {
			return start(ident, sink)
		}
		return start(ident, prioritySink{})
	}
	return start(ident, stderrSink{})
}

// ToDaemon returns a logger to the syslog daemon, with a facility by its name.
func ToDaemon(ident, facility string) *Logger {
	return start(ident, &socketSink{path: "/dev/log", fd: -1, facility: PriorityOf(facility, "emerg")})
}

func start(ident string, out sink) *Logger {
	l := &Logger{ident: ident, out: out, hurry: make(chan struct{}, 1)}
	l.wake.L, l.idle.L = &l.mu, &l.mu
	go l.run()
	return l
}

// Printf logs a line, cut off if it is very long.
func (l *Logger) Printf(p Priority, format string, args ...any) {
	text := fmt.Appendf(nil, format, args...)
	if n := len(text); n > maxLine {
		text = fmt.Appendf(text[:maxLine], "... (%d bytes)", n)
	}
	l.Write(p, text)
}

// Write logs a line. It does not keep text.
func (l *Logger) Write(p Priority, text []byte) { l.Log(p, text, Fields{}) }

// Log is Write with fields for the journal.
func (l *Logger) Log(p Priority, text []byte, f Fields) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if len(l.queue)+len(text) > maxQueue {
		l.lost++
		return
	}
	if l.lost > 0 {
		l.record(Warning, fmt.Appendf(nil, "%d log lines lost: they came faster than they could be written", l.lost), Fields{})
		l.lost = 0
	}
	l.record(p, text, f)
	if !l.writing {
		l.wake.Signal()
	}
}

// record appends one line.
func (l *Logger) record(p Priority, text []byte, f Fields) {
	l.queue = appendVisible(l.out.header(l, l.queue, p), text)
	l.queue = l.out.fields(append(l.queue, '\n'), f)
}

// appendVisible appends a text in which everything that is not printable is
// escaped, but for tabs: nobody can forge a second line, control a terminal
// that shows the log (U+009B does, as ESC [ does), or change the order of what
// it shows (U+202E).
func appendVisible[T string | []byte](b []byte, text T) []byte {
	from := 0
	for i := 0; i < len(text); {
		c, size := rune(text[i]), 1
		if c >= ' ' && c < 0x7f {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			c, size = utf8.DecodeRune([]byte(text[i:min(i+utf8.UTFMax, len(text))]))
		}
		invalid := c == utf8.RuneError && size == 1
		if c == '\t' || !invalid && unicode.IsPrint(c) {
			i += size
			continue
		}
		b = append(b, text[from:i]...)
		switch {
		case invalid:
			b = fmt.Appendf(b, `\x%02x`, text[i])
		case c < utf8.RuneSelf:
			b = fmt.Appendf(b, `\x%02x`, c)
		case c > 0xffff:
			b = fmt.Appendf(b, `\U%08x`, c)
		default:
			b = fmt.Appendf(b, `\u%04x`, c)
		}
		i += size
		from = i
	}
	return append(b, text[from:]...)
}

// Flush waits until everything is written, one more write has failed, or a
// second has passed: a log that does not answer must not keep the daemon from
// ending.
func (l *Logger) Flush() {
	done := make(chan struct{})
	l.mu.Lock()
	failed := l.failed
	l.mu.Unlock()
	go func() {
		l.mu.Lock()
		for (l.writing || len(l.queue) > 0) && l.failed == failed {
			l.idle.Wait()
		}
		l.mu.Unlock()
		close(done)
	}()
	select {
	case l.hurry <- struct{}{}:
	default:
	}
	select {
	case <-done:
	case <-time.After(time.Second):
	}
}

// Close ends the logger when the queue has been written. Later lines are
// dropped.
func (l *Logger) Close() {
	l.mu.Lock()
	l.closed = true
	l.wake.Signal()
	l.mu.Unlock()
}

// batchDelay is the minimum time between two writes. After an idle period a
// line is written at once; at ten thousand lines a second a write for each
// would cost a tenth of the host.
const batchDelay = 10 * time.Millisecond

// run writes what is queued, a batch at a time.
func (l *Logger) run() {
	var batch []byte
	pause := time.Second
	var last time.Time
	l.mu.Lock()
	for {
		for len(l.queue) == 0 {
			l.idle.Broadcast()
			if l.closed {
				l.mu.Unlock()
				l.out.write(nil)
				return
			}
			l.wake.Wait()
		}
		l.writing = true
		if gather := batchDelay - time.Since(last); gather > 0 {
			l.mu.Unlock()
			l.wait(gather)
			l.mu.Lock()
		}
		batch, l.queue = l.queue, batch[:0]
		l.mu.Unlock()
		remainder := l.out.write(batch)
		if len(remainder) == len(batch) {
			l.pause(pause)
			pause = min(2*pause, 16*time.Second)
		} else {
			pause = time.Second
		}
		last = time.Now()
		l.mu.Lock()
		l.writing = false
		if len(remainder) > 0 {
			l.queue = append(append([]byte{}, remainder...), l.queue...)
		}
		if cap(batch) > 1<<16 {
			batch = nil // a burst is over: give its memory back
		}
	}
}

// pause waits before a write that failed is tried again.
func (l *Logger) pause(d time.Duration) {
	l.mu.Lock()
	l.failed++
	l.idle.Broadcast()
	l.mu.Unlock()
	l.wait(d)
}

// wait waits until the time has passed, or somebody waits in Flush.
func (l *Logger) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-l.hurry:
	case <-timer.C:
	}
}
