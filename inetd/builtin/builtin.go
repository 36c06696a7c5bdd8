// Package builtin serves what inetd serves itself: echo (RFC 862), discard
// (863), qotd (865), chargen (864), daytime (867) and time (868) over TCP and
// UDP, and tcpmux (1078). The table of them is in table.go.
//
// A [Stream] serves one TCP connection and never blocks: the caller waits
// until the descriptor is ready, calls Ready, and does what the result asks
// for. No connection has a process or a goroutine. [Datagrams] serves a UDP
// socket, a batch of datagrams at a time.
//
// Descriptors stay blocking, because tcpmux hands them to programs;
// MSG_DONTWAIT does the rest.
package builtin

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/localtime"
)

// A Next is what a Stream asks of its caller.
type Next int

const (
	Read      Next = iota // call Ready when there is something to read
	Write                 // call Ready when there is room to write
	ReadWrite             // either
	Close                 // close the connection
	Linger                // everything is sent: continue with NewLinger
	Start                 // tcpmux has the name of a service
	Sent                  // NewText has sent everything
)

// A Stream serves one TCP connection. One that has a method Close wants it to
// be called at the end.
type Stream interface {
	// Ready does what can be done without waiting. The Stream may use buf
	// during the call.
	Ready(fd int, buf []byte) Next
}

// maxRounds is how many reads one call of Ready does, so that one busy
// connection does not delay the others.
const maxRounds = 8

func receive(fd int, buf []byte, flags int) (n int, next Next) {
	for {
		n, _, err := unix.Recvfrom(fd, buf, flags|unix.MSG_DONTWAIT)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return 0, Read
		case err != nil || n == 0:
			return 0, Close
		default:
			return n, Read
		}
	}
}

// send writes what fits. ok is false when the connection is gone.
func send(fd int, b []byte) (n int, ok bool) {
	for n < len(b) {
		k, err := unix.SendmsgN(fd, b[n:], nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		switch err {
		case nil:
			n += k
		case unix.EINTR:
		case unix.EAGAIN:
			return n, true
		default:
			return n, false
		}
	}
	return n, true
}

// echo sends back what it receives. What the client does not take is kept, and
// nothing more is received until it has been sent.
type echo struct {
	unsent []byte
}

// maxUnsent is how many bytes the clients of echo may leave unsent together.
// When there are more, echo peeks, which is slower, and receives only what its
// client has taken: the kernel's buffers have limits of their own.
const maxUnsent = 8 << 20

var totalUnsent atomic.Int64

func (e *echo) Ready(fd int, buf []byte) Next {
	for range maxRounds {
		if len(e.unsent) == 0 && totalUnsent.Load() >= maxUnsent {
			return peekAndEcho(fd, buf)
		}
		out := e.unsent
		if len(out) == 0 {
			n, next := receive(fd, buf, 0)
			if n == 0 {
				return next
			}
			out = buf[:n]
		}
		n, ok := send(fd, out)
		if !ok {
			return Close
		}
		e.keep(out[n:])
		if n < len(out) {
			return Write
		}
	}
	return Read
}

// keep keeps a copy of what has not been sent.
func (e *echo) keep(b []byte) {
	if len(b) == 0 && len(e.unsent) == 0 {
		return
	}
	totalUnsent.Add(int64(len(b) - len(e.unsent)))
	e.unsent = append([]byte(nil), b...)
}

// Close forgets what has not been sent.
func (e *echo) Close() { e.keep(nil) }

func peekAndEcho(fd int, buf []byte) Next {
	n, next := receive(fd, buf, unix.MSG_PEEK)
	if n == 0 {
		return next
	}
	sent, ok := send(fd, buf[:n])
	if !ok {
		return Close
	}
	if sent > 0 {
		receive(fd, buf[:sent], 0)
	}
	if sent < n {
		return Write
	}
	return Read
}

type discard struct{}

func (discard) Ready(fd int, buf []byte) Next {
	for range maxRounds {
		if n, next := receive(fd, buf, 0); n == 0 {
			return next
		}
	}
	return Read
}

// chargen sends lines of printing characters as long as the client takes
// them, and discards what it receives.
type chargen struct {
	at         int  // in pattern
	readClosed bool // the client has shut down its sending side
}

func (c *chargen) Ready(fd int, buf []byte) Next {
	next := ReadWrite
	if c.readClosed {
		next = Write
	} else if _, received := receive(fd, buf, 0); received == Close {
		c.readClosed, next = true, Write
	}
	for range maxRounds {
		n, ok := send(fd, pattern[c.at:])
		if !ok {
			return Close
		}
		if c.at += n; c.at < len(pattern) {
			return next
		}
		c.at = 0
	}
	return next
}

// A reply sends one text and closes.
type reply func(b []byte) []byte

func (r reply) Ready(fd int, buf []byte) Next {
	if _, ok := send(fd, r(buf[:0])); !ok {
		return Close
	}
	return Linger
}

// pattern is one period of chargen's lines: the 95 printing characters of
// ASCII, 72 in each line, each line shifted by one (RFC 864).
var pattern = func() []byte {
	const first, count, width = ' ', 95, 72
	var b []byte
	for line := range count {
		for i := range width {
			b = append(b, byte(first+(line+i)%count))
		}
		b = append(b, '\r', '\n')
	}
	return b
}()

// daytime appends the local time as ctime(3) prints it, which is what every
// inetd sends; RFC 867 leaves the format open.
func daytime(b []byte) []byte {
	return append(localtime.Now().AppendFormat(b, time.ANSIC), '\r', '\n')
}

// epoch1900 is 1970-01-01 in RFC 868's time: seconds since 1900-01-01, in 32
// bits.
const epoch1900 = 2208988800

func timeOfDay(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, uint32(time.Now().Unix()+epoch1900))
}

func echoDatagram(_ *config.BuiltinSettings, q question) []byte { return q.room[:q.size:q.size] }

func noReply(*config.BuiltinSettings, question) []byte { return nil }

// maxChargen is the longest chargen reply over UDP, in bytes (RFC 864).
const maxChargen = 512

func chargenDatagram(_ *config.BuiltinSettings, q question) []byte {
	return pattern[:min(q.limit, maxChargen)]
}
