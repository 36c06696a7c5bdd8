package inetd

import (
	"cmp"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/inetd/admit"
	"goinetd/inetd/builtin"
	"goinetd/inetd/descriptor"
	"goinetd/inetd/logline"
	"goinetd/inetd/service"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// How long a client may take.
const (
	muxTimeout    = 30 * time.Second // to name a tcpmux service
	lingerTimeout = 2 * time.Second  // to close its side
	bannerTimeout = 30 * time.Second // to read a banner
)

// A conn is a connection that inetd serves itself, or sends something on. It
// is in the epoll set for one event at a time, so that only one worker has
// it.
type conn struct {
	serial sync.Mutex // serializes ready: EPOLLONESHOT does, but is no happens-before edge
	s      *Server
	fd     int
	stream builtin.Stream
	polled bool // fd is in the epoll set

	next  *client      // is served once the banner is sent; nil: the connection is closed then
	image *spawn.Image // of its program

	rejected bool           // counted in Server.closing, else in Server.conns
	logged   bool           // there is a START line, and there is to be an EXIT line
	sweeps   bool           // the server ends it when it is idle
	svc      *activeService // nil: the slot is free again, or there never was one
	def      *service.Definition
	l        *listener
	from, to netip.AddrPort
	severity syslog.Priority
	start    time.Duration
	trace    *trace

	mu       sync.Mutex // guards what timers use
	timer    *time.Timer
	idle     *time.Timer
	detached bool // fd is no longer ours
}

func newConn(s *Server, c *client, fd int, stream builtin.Stream) *conn {
	return &conn{s: s, fd: fd, stream: stream, svc: c.svc, def: c.def, l: c.l, from: c.from, to: c.to, severity: c.severity, start: s.now(), trace: c.trace}
}

// serveBuiltin serves a client that needs no program.
func (s *Server) serveBuiltin(sc *scratch, c *client) {
	if !s.conns.take(connFDs) {
		s.refuseForDescriptors(sc, c)
		return
	}
	s.logStart(sc, c.def, 0, c.from, c.severity)
	k := newConn(s, c, descriptor.Raise(c.fd), c.def.Builtin.Stream())
	k.logged = true
	c.trace.internal("internal", c.def.Builtin.Name())
	p := c.def.Policy
	if p != nil {
		k.limitTime(p)
	}
	k.sweeps = p == nil || p.IdleTimeout == 0
	s.conns.add(k)
	if _, mux := k.stream.(*builtin.Mux); mux {
		k.setTimeout(muxTimeout)
	}
	k.begin(sc)
}

// sendBanner sends a text and goes on with the client. One that does not read
// waits in the epoll set.
func (s *Server) sendBanner(sc *scratch, c *client, text []byte, image *spawn.Image) {
	n, err := sendNow(c.fd, text)
	text = text[max(n, 0):]
	if err != nil && err != unix.EAGAIN && err != unix.EINTR { // it has disconnected: the program sees that
		text = nil
	}
	if len(text) == 0 {
		s.serveAfterBanner(sc, c, image)
		return
	}
	if !s.conns.take(connFDs) {
		s.refuseForDescriptors(sc, c)
		return
	}
	c.fd = descriptor.Raise(c.fd)
	k := newConn(s, c, c.fd, builtin.NewText(text))
	k.next, k.image = c, image
	k.setTimeout(bannerTimeout)
	k.begin(sc)
}

// maxClosing is how many refused clients may be in a lingering close. More
// are closed at once: refusing many must not use up the descriptors.
const maxClosing = 256

// closeGracefully sends a text to a client that is not served, shuts down the
// sending side and reads until the client closes, so that unread input does
// not become a reset. It does not wait.
func (s *Server) closeGracefully(sc *scratch, fd int, text []byte) {
	if s.closing.Add(1) > maxClosing {
		s.closing.Add(-1)
		unix.Close(fd)
		return
	}
	k := &conn{s: s, fd: descriptor.Raise(fd), rejected: true}
	if len(text) > 0 {
		k.stream = builtin.NewText(text)
		k.setTimeout(bannerTimeout)
	} else {
		k.stream = builtin.NewLinger(k.fd)
		k.setTimeout(lingerTimeout)
	}
	k.begin(sc)
}

// sendNow sends as much as the kernel takes at once.
func sendNow(fd int, b []byte) (int, error) {
	return unix.SendmsgN(fd, b, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
}

func (k *conn) ready(w *worker) { k.begin(&w.scratch) }

// begin begins or continues: it does what can be done without waiting.
func (k *conn) begin(sc *scratch) {
	k.serial.Lock()
	defer k.serial.Unlock()
	k.step(sc)
}

// step does what can be done. After a call of wait, another worker may have
// the connection.
func (k *conn) step(sc *scratch) {
	switch k.stream.Ready(k.fd, sc.buffer()) {
	case builtin.Read:
		k.wait(unix.EPOLLIN)
	case builtin.Write:
		k.wait(unix.EPOLLOUT)
	case builtin.ReadWrite:
		k.wait(unix.EPOLLIN | unix.EPOLLOUT)
	case builtin.Close:
		k.close()
	case builtin.Linger:
		k.linger(sc)
	case builtin.Start:
		k.startMuxService(sc)
	case builtin.Sent:
		if k.next == nil {
			k.linger(sc)
			return
		}
		k.detach()
		k.s.serveAfterBanner(sc, k.next, k.image)
	}
}

func (k *conn) wait(events uint32) {
	var err error
	if k.polled {
		err = k.s.poll.Modify(k.fd, events|unix.EPOLLONESHOT)
	} else {
		k.polled = true
		err = k.s.poll.Add(k.fd, k, events|unix.EPOLLONESHOT)
	}
	if err != nil {
		k.close()
	}
}

// setTimeout shuts the connection down after a while: what it waits for then
// happens, and the stream sees the end.
func (k *conn) setTimeout(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.timer != nil {
		k.timer.Stop()
	}
	k.timer = time.AfterFunc(d, k.shutdown)
}

func (k *conn) shutdown() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.detached {
		unix.Shutdown(k.fd, unix.SHUT_RDWR)
	}
}

// limitTime starts the timers of a service's time limits.
func (k *conn) limitTime(p *service.Policy) {
	if p.SessionTimeout > 0 {
		k.setTimeout(p.SessionTimeout)
	}
	if p.IdleTimeout > 0 {
		k.idle = afterIdle(p.IdleTimeout, func() (time.Duration, bool) {
			k.mu.Lock()
			defer k.mu.Unlock()
			if k.detached {
				return 0, false
			}
			return spawn.IdleTime(k.fd)
		}, k.shutdown)
	}
}

// linger frees the slot, sends no more and reads until the client closes.
func (k *conn) linger(sc *scratch) {
	k.release()
	k.stream = builtin.NewLinger(k.fd)
	k.setTimeout(lingerTimeout)
	k.step(sc)
}

// detach takes the connection out of the set; fd is the caller's.
func (k *conn) detach() {
	k.mu.Lock()
	k.detached = true
	if k.timer != nil {
		k.timer.Stop()
	}
	if k.idle != nil {
		k.idle.Stop()
	}
	k.mu.Unlock()
	if k.polled {
		k.s.poll.Remove(k.fd)
	}
	if k.rejected {
		k.s.closing.Add(-1)
		return
	}
	k.s.conns.give(connFDs)
	k.s.conns.remove(k)
}

func (k *conn) close() {
	k.detach()
	if stream, ok := k.stream.(interface{ Close() }); ok {
		stream.Close()
	}
	unix.Close(k.fd)
	k.release()
}

func (k *conn) shutdownIdle(limit time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.sweeps || k.detached {
		return
	}
	if d, known := spawn.IdleTime(k.fd); known && d >= limit {
		unix.Shutdown(k.fd, unix.SHUT_RDWR)
	}
}

func (k *conn) served() (string, netip.AddrPort) { return k.def.Name, k.from }

func (k *conn) logEnd() {
	k.serial.Lock()
	defer k.serial.Unlock()
	k.release()
}

// release frees the connection's slot and writes its EXIT line.
func (k *conn) release() {
	if k.svc == nil {
		return
	}
	k.s.release(k.svc, k.def, k.from)
	k.svc = nil
	k.trace.end("closed", "the connection is closed")
	if !k.logged {
		return
	}
	k.s.publishEnd(k.def, k.from, k.start)
	if logline.HasExit(k.def.OnSuccess) {
		line := logline.Exit(nil, k.def.Name, k.def.OnSuccess, 0, 0, k.s.now()-k.start)
		k.def.Log.Logger.Log(cmp.Or(k.severity, k.def.Log.Success), line, syslog.Fields{Service: k.def.Name, Client: k.from.Addr()})
	}
}

// startMuxService starts the service that a tcpmux client named.
func (k *conn) startMuxService(sc *scratch) {
	s, name := k.s, k.stream.(*builtin.Mux).Name()
	if strings.EqualFold(name, "help") {
		sendNow(k.fd, builtin.Help(s.muxNames()))
		k.linger(sc)
		return
	}
	c := client{fd: k.fd, from: k.from, to: k.to, l: k.l}
	s.mu.Lock()
	if c.svc = s.services.byMux[strings.ToLower(name)]; c.svc != nil {
		c.def = c.svc.def
	}
	s.mu.Unlock()
	if c.svc == nil {
		s.log.Printf(syslog.Notice, "FAIL: %s unknown service %q%s", k.def.Name, name, logline.From(nil, k.from, k.def.OnFailure))
		sendNow(k.fd, []byte(builtin.Unknown))
		k.linger(sc)
		return
	}
	var d decision
	if c.def.Policy != nil {
		d = s.check(sc, &c, lookups{})
	}
	s.admitMux(&c, &d)
	c.trace, k.trace = k.trace, nil // goes on
	c.trace.muxed(name)
	c.trace.checked(&c, &d)
	k.detach()
	k.release()
	s.dispatch(sc, &c, d)
}

// admitMux admits a client to a service behind tcpmux. Nobody can queue
// there, so a service that is full refuses.
func (s *Server) admitMux(c *client, d *decision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	verdict := admit.Looping
	if c.svc.holds > maxHeldClients {
		verdict = admit.Full
	} else if c.svc.suspended == nil {
		verdict = c.svc.gate.Reserve(c.def.Limits, s.now())
	}
	switch verdict {
	case admit.Granted:
		s.admitLocked(c, d, c.from.Addr())
		return
	case admit.Looping:
		s.suspendLoopingLocked(c.svc)
		*d = decision{Decision: service.Decision{Reason: reasonLooping}} // nothing else is done for it
	default: // Full, or too many wait for their programs
		*d = decision{Decision: service.Decision{Reason: string(admit.ServiceLimit)}}
	}
	s.countRefusalLocked(c, d.Reason)
}

func (s *Server) muxNames() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.services.muxNames()
}
