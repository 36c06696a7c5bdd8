package syslog

import (
	"bytes"
	"cmp"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/inetd/localtime"
)

// stderrSink writes lines as syslog files have them, so that the tools that
// read those read these.
type stderrSink struct{}

func (stderrSink) header(l *Logger, b []byte, _ Priority) []byte {
	now := localtime.Now()
	if now.Unix() != l.second || l.prefix == nil {
		l.second = now.Unix()
		l.prefix = now.AppendFormat(l.prefix[:0], time.Stamp)
		l.prefix = append(append(l.prefix, ' '), l.ident...)
		l.prefix = append(strconv.AppendInt(append(l.prefix, '['), int64(unix.Getpid()), 10), "]: "...)
	}
	return append(b, l.prefix...)
}

func (stderrSink) fields(b []byte, _ Fields) []byte { return b }

// write drops what stderr does not take: a terminal that is gone stays
// gone.
func (stderrSink) write(batch []byte) []byte {
	for len(batch) > 0 {
		n, err := unix.Write(2, batch)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN: // somebody made it non-blocking
			return batch
		case err != nil:
			return nil
		}
		batch = batch[n:]
	}
	return nil
}

// socketSink sends each line as a datagram to the syslog daemon (RFC 3164's
// form, as syslog(3) writes it).
type socketSink struct {
	path     string
	fd       int
	facility Priority
	end      string // of a record; empty: a newline
}

func (s *socketSink) header(l *Logger, b []byte, p Priority) []byte {
	if p>>3 == 0 {
		p |= s.facility
	}
	b = append(strconv.AppendInt(append(b, '<'), int64(p), 10), '>')
	return stderrSink{}.header(l, b, p)
}

func (*socketSink) fields(b []byte, _ Fields) []byte { return b }

func (s *socketSink) write(batch []byte) []byte {
	for len(batch) > 0 {
		if s.fd < 0 && !s.connect() {
			return batch
		}
		end := cmp.Or(s.end, "\n")
		n := bytes.Index(batch, []byte(end)) + len(end)
		err := unix.Sendto(s.fd, batch[:n-1], unix.MSG_NOSIGNAL, nil)
		switch err {
		case nil, unix.EMSGSIZE:
		case unix.EINTR:
			continue
		case unix.EAGAIN: // the daemon reads too slowly: SO_SNDTIMEO is over
			return batch
		default: // it is gone; perhaps another has come
			unix.Close(s.fd)
			s.fd = -1
			if !s.connect() {
				return batch
			}
			continue
		}
		batch = batch[n:]
	}
	return nil
}

func (s *socketSink) connect() bool {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	wait := unix.NsecToTimeval(int64(time.Second))
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait)
	if unix.Connect(fd, &unix.SockaddrUnix{Name: s.path}) != nil {
		unix.Close(fd)
		return false
	}
	s.fd = fd
	return true
}
