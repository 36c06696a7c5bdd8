package syslog

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
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
