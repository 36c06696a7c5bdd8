package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A configuration can come from standard input or a FIFO, as in "inetd <(...)".
// That can be read once. It is read by the process that the user started,
// before it goes into the background; what it said goes in a file in memory to
// the daemon, and from there over an upgrade to the next one.

// streamsVariable is the environment variable that has the descriptor of that
// file.
const streamsVariable = "GOINETD_STREAMS_FD"

// maxStream is the longest configuration that is read so, in bytes.
const maxStream = 64 << 20

// streamPatience is how long nothing may come before that is said.
const streamPatience = 3 * time.Second

// streams are the texts of files that were read once.
type streams struct {
	texts map[string]string // by path
	file  *os.File          // has them; nil: there are none
}

// readStreams reads those of the files that cannot be read again, or takes
// what a process before this one has read.
func readStreams(files []string) (s streams, err error) {
	fd, err := strconv.Atoi(os.Getenv(streamsVariable))
	os.Unsetenv(streamsVariable)
	if err == nil && fd > 2 {
		unix.CloseOnExec(fd)
		s.file = os.NewFile(uintptr(fd), "streams")
		text, err := io.ReadAll(io.NewSectionReader(s.file, 0, 1<<40))
		if err == nil {
			s.texts, err = parseStreams(string(text))
		}
		if err != nil {
			return s, fmt.Errorf("%s: %w", streamsVariable, err)
		}
		return s, nil
	}
	for _, path := range files {
		if _, again := s.texts[path]; again || !isStream(path) {
			continue
		}
		text, err := readStream(path)
		if err != nil {
			return s, err
		}
		if s.texts == nil {
			s.texts = map[string]string{}
		}
		s.texts[path] = text
	}
	return s, s.save()
}

// isStream reports whether a file can be read once only. What /dev/fd has is
// another file in the daemon.
func isStream(path string) bool {
	if path == "/dev/stdin" || strings.HasPrefix(path, "/dev/fd/") || strings.HasPrefix(path, "/proc/self/fd/") {
		info, err := os.Stat(path)
		return err == nil && !info.IsDir()
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode()&os.ModeNamedPipe != 0
}

// readStream reads a file to its end. Where nobody writes to it, it says so.
func readStream(path string) (string, error) {
	waiting := time.AfterFunc(streamPatience, func() {
		fatalf("%s: still waiting for its end (is there a program that writes the configuration to it?)", path)
	})
	defer waiting.Stop()
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxStream+1))
	if err == nil && len(text) > maxStream {
		err = fmt.Errorf("%s has more than %d bytes, which is no configuration", path, maxStream)
	}
	return string(text), err
}

// save writes the texts to a file in memory, if there are any.
func (s *streams) save() error {
	if s.texts == nil {
		return nil
	}
	var text []byte
	for path, one := range s.texts {
		text = append(strconv.AppendQuote(append(strconv.AppendQuote(text, path), ' '), one), '\n')
	}
	fd, err := unix.MemfdCreate("inetd configuration", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("memfd_create: %w", err)
	}
	// Not among the descriptors that a super-server or service manager passes.
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 200)
	if err == nil {
		unix.Close(fd)
		fd = high
	}
	s.file = os.NewFile(uintptr(fd), "streams")
	_, err = s.file.Write(text)
	return err
}

// parseStreams reads what save has written: a path and a text on each line,
// in quotes.
func parseStreams(text string) (map[string]string, error) {
	texts := map[string]string{}
	for line := range strings.Lines(text) {
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			return nil, err
		}
		path, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, err
		}
		if texts[path], err = strconv.Unquote(strings.TrimSpace(line[len(quoted):])); err != nil {
			return nil, err
		}
	}
	return texts, nil
}

// environ returns the variable for a process that has the file as descriptor
// fd, to be added to an environment.
func (s *streams) environ(fd int) []string {
	if s.file == nil {
		return nil
	}
	return []string{streamsVariable + "=" + strconv.Itoa(fd)}
}

// keepOverExec leaves the file open over the exec of an upgrade, and returns
// the environment for it.
func (s *streams) keepOverExec(environ []string) []string {
	if s.file == nil {
		return environ
	}
	fd := int(s.file.Fd())
	unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
	return append(environ, s.environ(fd)...)
}

// notes returns what a reload says of files that are not read again.
func (s *streams) notes(files []string) (notes []string) {
	for _, path := range files {
		if _, once := s.texts[path]; once {
			notes = append(notes, path+" was read at the start and cannot be read again; its services go on")
		}
	}
	return notes
}
