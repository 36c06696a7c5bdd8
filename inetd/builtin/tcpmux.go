package builtin

import (
	"bytes"

	"golang.org/x/sys/unix"
)

// maxName is how long the name of a tcpmux service may be.
const maxName = 256

// A Mux reads the name of a service from a tcpmux client (RFC 1078): up to
// its CRLF and not a byte further, because what follows is the service's. A
// bare LF ends it too, for people who type.
type Mux struct {
	name []byte
}

// Name returns what the client asked for, once Ready has returned Start.
func (m *Mux) Name() string { return string(m.name) }

// Ready peeks at what has arrived, finds the end of the name, and reads that
// much.
func (m *Mux) Ready(fd int, buf []byte) Next {
	for {
		n, _, err := unix.Recvfrom(fd, buf[:maxName+2], unix.MSG_DONTWAIT|unix.MSG_PEEK)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return Read
		case err != nil || n == 0:
			return Close
		}
		take, next := m.feed(buf[:n])
		for take > 0 {
			n, _, err := unix.Recvfrom(fd, buf[:take], unix.MSG_DONTWAIT)
			if err == unix.EINTR {
				continue
			}
			if err != nil || n == 0 {
				return Close
			}
			take -= n
		}
		if next != Read {
			return next
		}
	}
}

// feed adds what was peeked at to the name and returns how much of it to
// read.
func (m *Mux) feed(seen []byte) (take int, next Next) {
	end := bytes.IndexByte(seen, '\n')
	if end < 0 {
		m.name = append(m.name, seen...)
		if len(m.name) > maxName+1 {
			return len(seen), Linger
		}
		return len(seen), Read
	}
	m.name = bytes.TrimSuffix(append(m.name, seen[:end]...), []byte("\r"))
	if len(m.name) > maxName {
		return end + 1, Linger
	}
	return end + 1, Start
}

// Accepted is the positive reply for a tcpmux service that does not send it
// itself ("+name" in inetd.conf), Unknown the negative one.
const (
	Accepted = "+Go\r\n"
	Unknown  = "-Service not available\r\n"
)

// Help returns the reply to the name HELP: the services, one on a line.
func Help(names []string) []byte {
	var b []byte
	for _, n := range names {
		b = append(append(b, n...), '\r', '\n')
	}
	return b
}
