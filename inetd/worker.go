package inetd

import (
	"golang.org/x/sys/unix"

	"goinetd/inetd/builtin"
	"goinetd/inetd/hosts"
	"goinetd/inetd/spawn"
)

// A handler is what a descriptor of the epoll set belongs to.
type handler interface {
	// ready deals with an event. Only one worker calls it at a time where
	// the descriptor is armed with EPOLLONESHOT.
	ready(w *worker)
}

// A worker waits for events and deals with them. There are as many as cores.
// It owns the buffers that this takes, so that a connection allocates none.
type worker struct {
	server *Server
	scratch
	datagrams builtin.Datagrams
	peer      unix.RawSockaddrAny
}

// A scratch has the buffers for one client at a time: a worker's, or those of
// the goroutine that looks a client up.
type scratch struct {
	spawn   spawn.Scratch
	line    []byte        // a log line
	request hosts.Request // to hosts.allow
	buf     []byte        // of builtin streams; nil until it is needed
}

// streamBuffer is how much a builtin stream reads at once, in bytes.
const streamBuffer = 64 << 10

func (sc *scratch) buffer() []byte {
	if sc.buf == nil {
		sc.buf = make([]byte, streamBuffer)
	}
	return sc.buf
}

// eventBatch is how many events a worker takes at once. Few: an event that it
// has taken waits for it, and another worker might be free.
const eventBatch = 4

func (w *worker) run() {
	poll := w.server.poll
	events := make([]unix.EpollEvent, eventBatch)
	for {
		n, ok := poll.Wait(events)
		if !ok {
			return
		}
		for i := range events[:n] {
			if h, ok := poll.Owner(&events[i]); ok {
				h.ready(w)
			}
		}
	}
}
