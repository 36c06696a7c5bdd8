package inetd

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// This file has what builtins, redirects and banners have in common: the
// connections that inetd serves itself. It bounds the descriptors that they
// use, closes builtin connections that are idle, and writes their EXIT lines
// when the daemon ends before they do.

// How many descriptors one of them uses.
const (
	connFDs     = 1
	redirectFDs = 2 // both connections
	pipeFDs     = 2
	lookupFDs   = 3 // the client, and two questions
)

// builtinIdle is how long a connection of a builtin may be idle where its
// service does not say.
const builtinIdle = 10 * time.Minute

// reasonDescriptors is why a client is refused when inetd itself uses as many
// descriptors as it may.
const reasonDescriptors = "descriptor_limit"

// An internal is a connection that inetd serves itself.
type internal interface {
	// shutdownIdle ends the connection if it has been idle for longer, and
	// its service leaves that to the server.
	shutdownIdle(limit time.Duration)
	// logEnd writes the EXIT line, unless that has been written.
	logEnd()
	// served returns the service and the client.
	served() (service string, from netip.AddrPort)
	// shutdown ends the connection.
	shutdown()
}

// A connTable has the connections that inetd serves itself.
type connTable struct {
	limit int           // descriptors that they and look-ups may use: three quarters of RLIMIT_NOFILE
	idle  time.Duration // that a builtin's connection may be

	mu      sync.Mutex
	used    int // descriptors
	open    map[internal]struct{}
	sweeper *time.Timer // nil: none is open
}

func newConnTable(idle time.Duration) *connTable {
	t := &connTable{limit: 1 << 30, idle: idle, open: map[internal]struct{}{}}
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) == nil && r.Cur < uint64(t.limit) {
		t.limit = int(r.Cur) / 4 * 3
	}
	return t
}

// take reserves descriptors, if there are so many left. Every true wants a
// give.
func (t *connTable) take(fds int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.used+fds > t.limit {
		return false
	}
	t.used += fds
	return true
}

func (t *connTable) give(fds int) {
	t.mu.Lock()
	t.used -= fds
	t.mu.Unlock()
}

// add adds a connection. While there are any, a timer looks for idle ones.
func (t *connTable) add(c internal) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open[c] = struct{}{}
	if t.sweeper == nil {
		t.sweeper = time.AfterFunc(t.idle/10, t.sweep)
	}
}

func (t *connTable) remove(c internal) {
	t.mu.Lock()
	delete(t.open, c)
	t.mu.Unlock()
}

func (t *connTable) all() []internal {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]internal, 0, len(t.open))
	for c := range t.open {
		list = append(list, c)
	}
	return list
}

// sweep ends connections that are idle.
func (t *connTable) sweep() {
	for _, c := range t.all() {
		c.shutdownIdle(t.idle)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.open) == 0 {
		t.sweeper = nil
		return
	}
	t.sweeper.Reset(t.idle / 10)
}

// EndConnections writes the EXIT lines of the clients that inetd serves
// itself, before their connections end with the process.
func (s *Server) EndConnections() {
	for _, c := range s.conns.all() {
		c.logEnd()
	}
}

// refuseForDescriptors refuses an admitted client for whom there are no
// descriptors.
func (s *Server) refuseForDescriptors(sc *scratch, c *client) {
	s.releaseRefused(c, reasonDescriptors)
	s.logFail(sc, c, reasonDescriptors, "")
	s.closeRejected(sc, c)
}
