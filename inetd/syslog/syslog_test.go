package syslog

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"goinetd/inetd/reliability"
)

const patience = 30 * time.Second

func toSocket(path string) *Logger {
	return start("inetd", &socketSink{path: path, fd: -1, facility: PriorityOf("daemon", "emerg")})
}

func listen(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func next(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 1<<16)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

// Lines are RFC 3164's; a syslog daemon may come late, go away and come back,
// and nothing that it was there for is lost.
func TestSyslogComesAndGoes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := toSocket(path)
	l.Printf(Err, "early %d", 1)
	c := listen(t, path)
	line := regexp.MustCompile(`^<(\d+)>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d inetd\[` + fmt.Sprint(os.Getpid()) + `\]: (.*)$`)
	for i, want := range []string{"27 early 1", "30 then 2"} {
		if i == 1 {
			l.Printf(Info, "then %d", 2)
		}
		m := line.FindStringSubmatch(next(t, c))
		if m == nil || m[1]+" "+m[2] != want {
			t.Errorf("got %q, want %s", m, want)
		}
	}
	c.Close()
	os.Remove(path)
	l.Printf(Notice, "while away")
	c = listen(t, path)
	defer c.Close()
	if got := next(t, c); !strings.HasSuffix(got, "while away") {
		t.Errorf("got %q", got)
	}
	l.Flush()
	reliability.Survived(t, reliability.Fault{Theme: reliability.Hosts, Did: "a syslog daemon that comes late, goes, and comes back",
		Saw: "served", Lost: "nothing: lines wait for it"})
}

// A log that nobody reads keeps nobody waiting and takes a bounded amount of
// memory; how much was lost is logged.
func TestSyslogStuck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := toSocket(path)
	const lines, length = 30000, 100
	for range lines {
		l.Write(Info, []byte(strings.Repeat("x", length)))
	}
	l.mu.Lock()
	held, lost := len(l.queue), l.lost
	l.mu.Unlock()
	if held > maxQueue+200 || lost == 0 || lost == lines {
		t.Errorf("%d bytes held, %d lines lost", held, lost)
	}
	c := listen(t, path)
	defer c.Close()
	for range lines - lost {
		next(t, c)
	}
	l.Printf(Info, "after")
	if got, want := next(t, c), fmt.Sprintf("%d log lines lost", lost); !strings.Contains(got, want) {
		t.Errorf("got %q, want %s", got, want)
	}
	if got := next(t, c); !strings.HasSuffix(got, "after") {
		t.Errorf("got %q", got)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Hosts, Did: "a syslog daemon that does not read",
		Saw: "served: no log line is waited for", Lost: "lines over 1 MB, which are counted and said"})
}

// A line that is longer than any buffer is logged as far as people read it.
func TestLongLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	c := listen(t, path)
	defer c.Close()
	l := toSocket(path)
	text := strings.Repeat("x", 5_000_000)
	l.Printf(Info, "%s", text)
	l.Printf(Info, "%s", text[:maxLine])
	if got := next(t, c); !strings.HasSuffix(got, ": "+text[:maxLine]+"... (5000000 bytes)") {
		t.Errorf("%d bytes, %q", len(got), got[max(0, len(got)-100):])
	}
	if got := next(t, c); !strings.HasSuffix(got, ": "+text[:maxLine]) {
		t.Errorf("%d bytes, %q", len(got), got[max(0, len(got)-100):])
	}
	l.Close()
}

// What clients choose cannot forge a line.
func TestControlCharacters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	c := listen(t, path)
	defer c.Close()
	l := toSocket(path)
	l.Printf(Info, "name %s", "a\nFAIL: x\x1b[1m\r\x7f")
	if got := next(t, c); !strings.HasSuffix(got, `name a\x0aFAIL: x\x1b[1m\x0d\x7f`) {
		t.Errorf("got %q", got)
	}
}

// The journal gets a line and what it is about as fields, one record to a
// datagram, and nobody's text is a field.
func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	if newJournalSink(path) != nil {
		t.Error("a journal that is not there was found")
	}
	c := listen(t, path)
	l := start("inetd", newJournalSink(path))
	l.Log(Info, []byte("START: echo\nPRIORITY=0"), Fields{Service: "echo\nX=1", Client: netip.MustParseAddr("2001:db8::7"), PID: 812})
	l.Log(PriorityOf("auth", "notice"), []byte("plain"), Fields{})
	for _, want := range []string{
		"PRIORITY=6\nSYSLOG_IDENTIFIER=inetd\nMESSAGE=START: echo\\x0aPRIORITY=0\nSERVICE=echo\\x0aX=1\nCLIENT=2001:db8::7\nPID=812\n",
		"PRIORITY=5\nSYSLOG_FACILITY=4\nSYSLOG_IDENTIFIER=inetd\nMESSAGE=plain\n",
	} {
		if got := next(t, c); got != want {
			t.Errorf("got %q\nwant %q", got, want)
		}
	}
}

// Where there is no syslog daemon, the end of ours does not wait for one; but
// one that has just come gets every line.
func TestFlush(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := toSocket(path)
	l.Printf(Info, "first")
	began := time.Now()
	for range 4 { // in and out of the pause
		l.Flush()
		l.Printf(Info, "again")
	}
	if took := time.Since(began); took > 900*time.Millisecond {
		t.Errorf("four times took %v", took)
	}
	c := listen(t, path)
	defer c.Close()
	l.Flush()
	for _, want := range []string{"first", "again", "again", "again", "again"} {
		if got := next(t, c); !strings.HasSuffix(got, want) {
			t.Errorf("got %q, want %s", got, want)
		}
	}
}

// Nothing of a line controls a terminal or the order of what it shows.
func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"plain äöü 漢字 \U0001F600 e\u0301\t.": "plain äöü 漢字 \U0001F600 e\u0301\t.",
		"a\nb\rc\x00d\x1b[2J\x7f":            `a\x0ab\x0dc\x00d\x1b[2J\x7f`,
		"\u009b2J \u009d0;title\u009c":       `\u009b2J \u009d0;title\u009c`,
		"\u202ereverse\u2066 \u2028 \u200b":  `\u202ereverse\u2066 \u2028 \u200b`,
		"\xff \x9b2J \xc3":                   `\xff \x9b2J \xc3`,
		"\ufffd \U000e0041":                  "\ufffd " + `\U000e0041`,
	} {
		if got := string(appendVisible(nil, text)); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
		if got := string(appendVisible(nil, []byte(text))); got != want {
			t.Errorf("%q as bytes: got %q, want %q", text, got, want)
		}
	}
}

func BenchmarkVisible(b *testing.B) {
	line := []byte("START: echo pid=812 from=2001:db8::7 port=40112")
	var buf []byte
	for b.Loop() {
		buf = appendVisible(buf[:0], line)
	}
}
