package inetd

import (
	"golang.org/x/sys/unix"

	"goinetd/inetd/builtin"
	"goinetd/inetd/spawn"
	"goinetd/inetd/wrap"
)

// A worker waits for what is ready and deals with it. It owns the buffers
// that this takes, so that a connection allocates none.
type worker struct {
	server    *Server
	scratch   spawn.Scratch
	buf       []byte // for builtin streams; made when first needed
	datagrams builtin.Datagrams
	line      []byte // a log line in the making
	peer      unix.RawSockaddrAny
	question  wrap.Request // to hosts.allow
}

// streamBuffer is what a builtin stream reads at once, in bytes.
const streamBuffer = 64 << 10

func (w *worker) run() {
	p := w.server.poll
	// Few at a time: an event that this worker holds waits for it, and
	// another worker might be free.
	events := make([]unix.EpollEvent, 4)
	for {
		n, err := unix.EpollWait(p.fd, events, -1)
		if err != nil {
			continue // EINTR
		}
		for i := range events[:n] {
			if int(events[i].Fd) == p.stop {
				return
			}
			if who := p.find(&events[i]); who != nil {
				who.ready(w)
			}
		}
	}
}

func (w *worker) buffer() []byte {
	if w.buf == nil {
		w.buf = make([]byte, streamBuffer)
	}
	return w.buf
}
