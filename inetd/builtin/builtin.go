// Package builtin is the small services that inetd answers itself: echo (RFC
// 862), discard (863), chargen (864), daytime (867) and time (868) over TCP
// and UDP, and tcpmux (1078).
//
// A Stream serves one TCP connection without ever blocking: the caller waits
// until its descriptor is ready, calls Ready, and does what that asks for.
// No connection has a process or a goroutine. Datagrams serves a UDP socket,
// a batch of questions at a time.
//
// Descriptors stay blocking, because tcpmux gives them to programs;
// MSG_DONTWAIT does the rest.
package builtin

import (
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"
)

// A Next is what a Stream asks of its caller.
type Next int

const (
	Read      Next = iota // call Ready when there is something to read
	Write                 // call Ready when there is room to write
	ReadWrite             // either
	Close                 // close the connection
	Drain                 // all is said: carry on with NewDrain
	Start                 // tcpmux has the name of a service
	Told                  // NewTell has said all
)

// A Stream serves one TCP connection.
type Stream interface {
	// Ready does what can be done without waiting. buf is room that the
	// Stream may use during the call.
	Ready(fd int, buf []byte) Next
}

// NewStream gives a connection's server. The name is one that Streams lists.
func NewStream(name string) Stream {
	switch name {
	case "echo":
		return &echo{}
	case "discard":
		return discard{}
	case "chargen":
		return &chargen{}
	case "daytime":
		return say(daytime)
	case "time":
		return say(timeOfDay)
	case "tcpmux":
		return &Mux{}
	}
	return nil
}

// NewTell gives a server that says something, and is done when the kernel
// has all of it.
func NewTell(text []byte) Stream { return &tell{text} }

type tell struct{ left []byte }

func (t *tell) Ready(fd int, _ []byte) Next {
	n, ok := send(fd, t.left)
	if !ok {
		return Close
	}
	if t.left = t.left[n:]; len(t.left) > 0 {
		return Write
	}
	return Told
}

// NewDrain gives a server that ends a connection whose client may still be
// sending: it has shut down its own side, and reads until the client has
// seen that. A close with unread data would send a reset, which can destroy
// what was said last.
func NewDrain(fd int) Stream {
	unix.Shutdown(fd, unix.SHUT_WR)
	return &drain{left: 1 << 20}
}

// rounds bounds what one call of Ready does, so that one busy connection
// does not hold up the others.
const rounds = 8

func receive(fd int, buf []byte) (n int, next Next) {
	for {
		n, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
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

// echo sends back what it reads. What the client does not take yet is kept,
// and nothing more is read until it has gone.
type echo struct {
	pending []byte
}

func (e *echo) Ready(fd int, buf []byte) Next {
	for range rounds {
		out := e.pending
		if len(out) == 0 {
			n, next := receive(fd, buf)
			if n == 0 {
				return next
			}
			out = buf[:n]
		}
		n, ok := send(fd, out)
		if !ok {
			return Close
		}
		if n < len(out) {
			e.pending = append([]byte(nil), out[n:]...)
			return Write
		}
		e.pending = nil
	}
	return Read
}

type discard struct{}

func (discard) Ready(fd int, buf []byte) Next {
	for range rounds {
		if n, next := receive(fd, buf); n == 0 {
			return next
		}
	}
	return Read
}

// chargen sends lines of the printing characters for as long as the client
// takes them, and throws away what it is sent.
type chargen struct {
	at   int  // in pattern
	deaf bool // the client will send no more; it may go on to listen
}

func (c *chargen) Ready(fd int, buf []byte) Next {
	next := ReadWrite
	if c.deaf {
		next = Write
	} else if _, heard := receive(fd, buf); heard == Close {
		c.deaf, next = true, Write
	}
	for range rounds {
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

// say answers and is done.
type say func(b []byte) []byte

func (s say) Ready(fd int, buf []byte) Next {
	if _, ok := send(fd, s(buf[:0])); !ok {
		return Close
	}
	return Drain
}

type drain struct {
	left int // bytes that we are willing to read
}

func (d *drain) Ready(fd int, buf []byte) Next {
	for range rounds {
		n, next := receive(fd, buf)
		if n == 0 {
			return next
		}
		if d.left -= n; d.left <= 0 {
			return Close
		}
	}
	return Read
}

// pattern is a whole turn of chargen's lines: the 95 printing characters of
// ASCII, 72 of them in each line, one further on in the next (RFC 864).
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

// daytime is the local time as ctime(3) has it, which is what every inetd
// answers; RFC 867 asks for no special form.
func daytime(b []byte) []byte {
	return append(time.Now().AppendFormat(b, time.ANSIC), '\r', '\n')
}

// epoch1900 is 1970-01-01 in the time of RFC 868, which counts seconds since
// 1900-01-01 in 32 bits.
const epoch1900 = 2208988800

func timeOfDay(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, uint32(time.Now().Unix()+epoch1900))
}
