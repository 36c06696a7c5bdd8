package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"goinetd/inetd/portowner"
)

// A pidfile is locked for as long as its daemon runs, so that a number left
// behind by one that died keeps nobody out.
type pidfile struct {
	f *os.File
}

// lockPidfile takes a pidfile and writes our pid into it. The error says who
// has it.
func lockPidfile(path string) (*pidfile, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o644)
		if err != nil {
			return nil, fmt.Errorf("pidfile: %w", err)
		}
		// A lock for writing: anybody who may read could take flock(2).
		lock := unix.Flock_t{Type: unix.F_WRLCK}
		if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
			defer f.Close()
			return nil, locked(path, f, err)
		}
		// The one before may have removed it between our open and our lock.
		opened, err1 := f.Stat()
		there, err2 := os.Lstat(path)
		if err1 != nil || err2 != nil || !os.SameFile(opened, there) {
			f.Close()
			continue
		}
		p := &pidfile{f}
		if err := p.write(); err != nil {
			f.Close()
			return nil, fmt.Errorf("pidfile: %w", err)
		}
		return p, nil
	}
}

// write is never in between: whoever reads meanwhile, as when we start anew,
// finds a pid.
func (p *pidfile) write() error {
	text := strconv.Itoa(os.Getpid()) + "\n"
	if _, err := p.f.WriteAt([]byte(text), 0); err != nil {
		return err
	}
	return p.f.Truncate(int64(len(text)))
}

// A heldError is why a pidfile cannot be ours: another daemon has it.
type heldError struct{ text string }

func (e *heldError) Error() string { return e.text }

// locked says who has a pidfile.
func locked(path string, f *os.File, err error) error {
	if err != unix.EAGAIN && err != unix.EACCES {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	text, _ := io.ReadAll(io.LimitReader(f, 32))
	who := portowner.Owner{Desc: "another process"}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
		who = portowner.Describe(pid)
	}
	return &heldError{fmt.Sprintf("an inetd runs already: %s holds %s (%s)", who.Desc, path,
		strings.TrimPrefix(who.Advice()+"; or have it reload with SIGHUP, or choose another pidfile with -p", "; or "))}
}

// remove removes the file; the lock goes with the process.
func (p *pidfile) remove() {
	if p == nil {
		return
	}
	opened, err1 := p.f.Stat()
	there, err2 := os.Lstat(p.f.Name())
	if err1 == nil && err2 == nil && os.SameFile(opened, there) {
		os.Remove(p.f.Name())
	}
}
