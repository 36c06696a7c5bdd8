package syslog

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"goinetd/inetd/reliability"
)

// A full disk is reported once, and not for each line.
func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("/dev/full is missing")
	}
	var noted atomic.Int32
	f := NewFile("", "/dev/full", Limits{Warn: func(string) { noted.Add(1) }})
	for range 50 {
		f.Printf(Info, "line")
		f.Flush()
	}
	f.Close()
	if n := noted.Load(); n != 1 {
		t.Errorf("told %d times", n)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Shortages, Did: "a log file on a full disk",
		Saw: "served", Lost: "the lines of that time, which is said once"})
}

// The daemon's own log in a file says who and how grave.
func TestDaemonFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f := NewFile("xinetd", path, Limits{})
	f.Printf(Warning, "a\nb")
	f.Flush()
	os.Rename(path, path+".1")
	f.Reopen()
	f.Printf(Notice, "c")
	f.Flush()
	f.Close()
	old, _ := os.ReadFile(path + ".1")
	now, _ := os.ReadFile(path)
	if !strings.HasSuffix(string(old), `]: WARNING: a\x0ab`+"\n") || !strings.HasSuffix(string(now), "]: NOTICE: c\n") || strings.Count(string(now), "\n") != 1 {
		t.Errorf("%q %q", old, now)
	}
}

// Behind a line that could be written in part only, the next one begins on a
// line of its own.
func TestPartialWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var noted atomic.Int32
	f := NewFile("", path, Limits{Warn: func(string) { noted.Add(1) }})
	defer f.Close()
	f.Write(Info, bytes.Repeat([]byte("x"), 200000)) // a pipe holds less
	f.Flush()
	buf := make([]byte, 1<<20)
	n, _ := io.ReadAtLeast(r, buf, 1<<16)
	if n == 0 || bytes.Contains(buf[:n], []byte("\n")) || noted.Load() != 1 {
		t.Fatalf("%d bytes, %d warnings", n, noted.Load())
	}
	f.Printf(Info, "next")
	f.Printf(Info, "after")
	f.Flush()
	n, _ = r.Read(buf)
	if got := string(buf[:n]); !regexp.MustCompile(`^\n\S+: next\n\S+: after\n$`).MatchString(got) {
		t.Errorf("got %q", got)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Shortages, Did: "a log line that fits into the disk only in part",
		Saw: "served", Lost: "the rest of that line: the next begins on a line of its own"})
}

// A log is not written through a link of another user's. An administrator's
// links are followed.
func TestLogThroughLink(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	target, log := filepath.Join(dir, "target"), filepath.Join(dir, "log")
	for _, c := range []struct{ link, user, want string }{
		{"target", "root", ""},
		{target, "root", ""},
		{target, "other", "log " + log + ": it is a symbolic link of uid 47110, which is not followed; its lines are lost"},
		{"log", "root", "log " + log + ": too many levels of symbolic links; its lines are lost"},
	} {
		os.Remove(target)
		os.Remove(log)
		if err := os.Symlink(c.link, log); err != nil {
			t.Fatal(err)
		}
		if c.user == "other" {
			if err := os.Lchown(log, 47110, 47110); err != nil {
				t.Fatal(err)
			}
		}
		warned := make(chan string, 10)
		f := NewFile("", log, Limits{Warn: func(text string) { warned <- text }})
		f.Printf(Info, "line")
		f.Flush()
		f.Close()
		close(warned)
		if got := <-warned; got != c.want {
			t.Errorf("%s of %s: warned %q, want %q", c.link, c.user, got, c.want)
		}
		if _, err := os.Stat(target); (err == nil) != (c.want == "") {
			t.Errorf("%s of %s: %v", c.link, c.user, err)
		}
	}
}

// One batch of lines that exceeds both limits warns of the soft limit, then of
// the hard one.
func TestBothLimitsAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	var mu sync.Mutex
	var warned []string
	f := NewFile("", path, Limits{Soft: 300, Hard: 600, Warn: func(text string) {
		mu.Lock()
		defer mu.Unlock()
		warned = append(warned, text)
	}})
	for range 100 {
		f.Printf(Info, "%s", strings.Repeat("x", 50))
	}
	f.Flush()
	f.Close()
	mu.Lock()
	defer mu.Unlock()
	if len(warned) != 2 || !strings.Contains(warned[0], "soft limit, 300") || !strings.Contains(warned[1], "hard limit, 600") {
		t.Errorf("%q", warned)
	}
}
