package builtin

import "golang.org/x/sys/unix"

// NewText returns a Stream that sends a text. It returns Sent once the kernel
// has taken all of it.
func NewText(b []byte) Stream { return &text{b} }

type text struct{ unsent []byte }

func (t *text) Ready(fd int, _ []byte) Next {
	n, ok := send(fd, t.unsent)
	if !ok {
		return Close
	}
	if t.unsent = t.unsent[n:]; len(t.unsent) > 0 {
		return Write
	}
	return Sent
}

// maxLinger is how much a lingering close reads, in bytes.
const maxLinger = 1 << 20

// NewLinger returns a Stream that closes a connection whose client may still
// be sending: the sending side is shut down, and the client is read from
// until it has closed its own. close(2) with unread data would send a reset,
// which can destroy what was sent last.
func NewLinger(fd int) Stream {
	unix.Shutdown(fd, unix.SHUT_WR)
	return &linger{budget: maxLinger}
}

type linger struct {
	budget int // bytes that may still be read
}

func (l *linger) Ready(fd int, buf []byte) Next {
	for range maxRounds {
		n, next := receive(fd, buf, 0)
		if n == 0 {
			return next
		}
		if l.budget -= n; l.budget <= 0 {
			return Close
		}
	}
	return Read
}
