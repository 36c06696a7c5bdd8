package syslog

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"goinetd/inetd/descriptor"
	"goinetd/inetd/localtime"
)

// A File is a log in a file, as xinetd writes it: for the whole daemon
// (-filelog) or for services (log_type = FILE).
type File struct {
	*Logger
	sink *fileSink
}

// Limits of a File in bytes; 0 is none. Warn is called once when the file
// exceeds Soft. Above Hard nothing more is written until Reopen.
type Limits struct {
	Soft, Hard int64
	Warn       func(text string)
}

// NewFile returns a log that is appended to a file. With an ident, lines have
// the name and the severity; without one they do not, as those of a service.
func NewFile(ident, path string, l Limits) *File {
	s := &fileSink{path: path, limits: l, fd: -1, daemon: ident != ""}
	return &File{start(ident, s), s}
}

// Reopen has the file opened again for the next line, as after a rotation.
func (f *File) Reopen() { f.sink.reopen.Store(true) }

type fileSink struct {
	path   string
	limits Limits
	daemon bool
	fd     int
	size   int64
	warned bool // about Soft
	full   bool // so was Hard
	inLine bool // what was written last does not end a line
	failed bool // that it cannot be opened has been logged
	reopen atomic.Bool
}

// header writes the time as xinetd does: 26/11/3@9:05:07.
func (s *fileSink) header(l *Logger, b []byte, p Priority) []byte {
	now := localtime.Now()
	if now.Unix() != l.second || l.prefix == nil {
		l.second = now.Unix()
		l.prefix = now.AppendFormat(l.prefix[:0], "06/1/2@15:04:05")
		if s.daemon {
			l.prefix = fmt.Appendf(l.prefix, " %s[%d]", l.ident, unix.Getpid())
		}
		l.prefix = append(l.prefix, ": "...)
	}
	b = append(b, l.prefix...)
	if s.daemon {
		b = append(append(b, strings.ToUpper(fileLevels[p.level()])...), ": "...)
	}
	return b
}

func (*fileSink) fields(b []byte, _ Fields) []byte { return b }

// fileLevels are xinetd's words.
var fileLevels = [...]string{"emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"}

func (s *fileSink) write(batch []byte) []byte {
	if batch == nil || s.reopen.Swap(false) {
		s.close()
	}
	for fresh := true; len(batch) > 0 && !s.full; {
		if s.fd < 0 && !s.open() {
			return nil // there is no better time to wait for
		}
		if s.inLine && fresh {
			batch = append([]byte{'\n'}, batch...)
		}
		fresh = false
		if s.limits.Hard > 0 && s.size+int64(len(batch)) > s.limits.Hard {
			batch = s.writeUpToLimit(batch)
			if len(batch) == 0 {
				break
			}
		}
		n, err := unix.Write(s.fd, batch)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			s.warnOnce(fmt.Sprintf("log %s: %v; its lines are lost", s.path, err))
			s.close()
			return nil
		}
		s.size += int64(n)
		s.failed = false
		s.inLine = n > 0 && batch[n-1] != '\n'
		batch = batch[n:]
		s.warnSoft()
	}
	return nil
}

// warnSoft says once that the file is larger than its soft limit.
func (s *fileSink) warnSoft() {
	if s.limits.Soft > 0 && s.size > s.limits.Soft && !s.warned {
		s.warned = true
		s.limits.Warn("log " + s.path + " is larger than its soft limit, " + strconv.FormatInt(s.limits.Soft, 10) + " bytes")
	}
}

// writeUpToLimit writes the lines that the hard limit has room for.
func (s *fileSink) writeUpToLimit(batch []byte) []byte {
	room := max(s.limits.Hard-s.size, 0)
	end := strings.LastIndexByte(string(batch[:min(int64(len(batch)), room)]), '\n') + 1
	s.full = true
	if end > 0 {
		if n, err := unix.Write(s.fd, batch[:end]); err == nil {
			s.size += int64(n)
		}
	}
	s.warnSoft()
	s.limits.Warn("log " + s.path + " has reached its hard limit, " + strconv.FormatInt(s.limits.Hard, 10) + " bytes: nothing more is written until a reload")
	return nil
}

func (s *fileSink) warnOnce(text string) {
	if !s.failed && s.limits.Warn != nil {
		s.failed = true
		s.limits.Warn(text)
	}
}

func (s *fileSink) open() bool {
	fd, err := openLog(s.path)
	var st unix.Stat_t
	if err == nil {
		err = unix.Fstat(fd, &st)
	}
	if err != nil {
		s.warnOnce(fmt.Sprintf("log %s: %v; its lines are lost", s.path, err))
		if fd >= 0 {
			unix.Close(fd)
		}
		return false
	}
	s.fd, s.size = descriptor.Raise(fd), st.Size
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		s.inLine = s.inLine && st.Size > 0
	} else {
		s.limits.Soft, s.limits.Hard = 0, 0 // /dev/null and its kind have no size
	}
	return true
}

// openLog opens a log file. A name of one of our own descriptors is that
// descriptor: open(2) would fail for a socket, and for a pipe of another user.
func openLog(path string) (fd int, err error) {
	if own, ok := ownDescriptor(path); ok {
		return unix.FcntlInt(uintptr(own), unix.F_DUPFD_CLOEXEC, 3)
	}
	for range maxLinks {
		fd, err := unix.Open(path, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0o640)
		if err != unix.ELOOP {
			return fd, err
		}
		if path, err = readTrustedLink(path); err != nil {
			return -1, err
		}
	}
	return -1, unix.ELOOP
}

// maxLinks is how many links a log file may be behind.
const maxLinks = 8

// readTrustedLink returns what a symbolic link names. A link of anybody but root
// and our own user is an error: in a directory of theirs, it would have us write
// what clients say to any file of ours.
func readTrustedLink(path string) (target string, err error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", err
	}
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return "", fmt.Errorf("it is a symbolic link of uid %d, which is not followed", st.Uid)
	}
	var text [unix.PathMax]byte
	n, err := unix.Readlinkat(fd, "", text[:])
	if err != nil {
		return "", err
	}
	if target = string(text[:n]); !filepath.IsAbs(target) {
		target = filepath.Dir(path) + "/" + target // not cleaned: "a/.." is a's parent only if a is no link
	}
	return target, nil
}

// ownDescriptor returns the descriptor that a path of proc(5) names, if it is 0,
// 1 or 2, or one that the program was started with. Any other may be a
// client's by now.
func ownDescriptor(path string) (fd int, ok bool) {
	switch path {
	case "/dev/stdin":
		return 0, true
	case "/dev/stdout":
		return 1, true
	case "/dev/stderr":
		return 2, true
	}
	for _, dir := range []string{"/dev/fd/", "/proc/self/fd/"} {
		if name, isOwn := strings.CutPrefix(path, dir); isOwn {
			fd, err := strconv.Atoi(name)
			if err == nil && fd >= 0 && (fd < 3 || fd < len(inherited) && inherited[fd]) {
				return fd, true
			}
			return -1, true
		}
	}
	return 0, false
}

// inherited are the descriptors that the program was started with.
var inherited = func() (open [64]bool) {
	for fd := range open {
		open[fd] = descriptor.Inherited(fd)
	}
	return open
}()

func (s *fileSink) close() {
	if s.fd >= 0 {
		unix.Close(s.fd)
	}
	s.fd, s.warned, s.full = -1, false, false
}
