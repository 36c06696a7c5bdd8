package inetd

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/inetd/admit"
	"goinetd/inetd/builtin"
	"goinetd/inetd/socket"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// How long a client may take.
const (
	muxLimit   = 30 * time.Second // to name a tcpmux service
	drainLimit = 2 * time.Second  // to notice that all is said
	tellLimit  = 30 * time.Second // to take a banner
)

// A conn is a connection that we serve ourselves. It is in the epoll set for
// one event at a time, so that only one worker has it.
type conn struct {
	turn    sync.Mutex // what epoll promises, in terms of Go's memory model
	s       *Server
	fd      int
	stream  builtin.Stream
	entered bool // into the epoll set
	refused bool // counted in drains
	started bool // there is a START line

	greeted *client      // who is served when all is said; nil: nobody
	image   *spawn.Image // of its program

	svc   *service // nil once its place is released
	def   *definition
	l     *listener
	from  netip.AddrPort
	to    netip.AddrPort
	since time.Duration

	mu    sync.Mutex
	timer *time.Timer
	idle  *time.Timer
	over  bool // fd is not ours any more
}

// serve begins a builtin's connection.
func (s *Server) serve(w *worker, c *client) {
	if c.def.success&startParts != 0 {
		w.startLine(c.def, 0, c.from)
		c.def.log.log.Tell(cmp.Or(c.severity, c.def.log.success), w.line, c.fields())
	}
	k := &conn{s: s, fd: socket.Raise(c.fd), stream: builtin.NewStream(c.def.internal), started: true,
		svc: c.svc, def: c.def, l: c.l, from: c.from, to: c.to, since: s.now()}
	if t := c.def.terms; t != nil {
		k.timeOut(t)
	}
	if _, mux := k.stream.(*builtin.Mux); mux {
		k.limit(muxLimit)
	}
	k.ready(w)
}

// maxDrains is how many refused clients may be on their way out; more are
// cut off, because who refuses many must not run out of descriptors by it.
const maxDrains = 256

// farewell ends a client that has been refused, after a last word to it,
// without holding anybody up.
func (s *Server) farewell(w *worker, fd int, text []byte) {
	if s.drains.Add(1) > maxDrains {
		s.drains.Add(-1)
		unix.Close(fd)
		return
	}
	fd = socket.Raise(fd)
	k := &conn{s: s, fd: fd, refused: true}
	if len(text) > 0 {
		k.stream = builtin.NewTell(text)
		k.limit(tellLimit)
	} else {
		k.stream = builtin.NewDrain(fd)
		k.limit(drainLimit)
	}
	k.ready(w)
}

// greet tells a client something and goes on with it. One that does not
// read is waited for in the epoll set, and nobody waits with it.
func (s *Server) greet(w *worker, c *client, text []byte, image *spawn.Image) {
	n, err := unix.SendmsgN(c.fd, text, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	text = text[max(n, 0):]
	if err != nil && err != unix.EAGAIN && err != unix.EINTR { // it has gone
		text = nil
	}
	if len(text) == 0 {
		s.handOver(w, c, image)
		return
	}
	c.fd = socket.Raise(c.fd)
	k := &conn{s: s, fd: c.fd, stream: builtin.NewTell(text), greeted: c, image: image,
		svc: c.svc, def: c.def, l: c.l, from: c.from, to: c.to, since: s.now()}
	k.limit(tellLimit)
	k.ready(w)
}

// ready is told of an event, or begins.
func (k *conn) ready(w *worker) {
	k.turn.Lock()
	defer k.turn.Unlock()
	k.step(w)
}

// step does what can be done and sees to it that the rest comes later.
// Behind wait, another worker may have the connection next.
func (k *conn) step(w *worker) {
	switch k.stream.Ready(k.fd, w.buffer()) {
	case builtin.Read:
		k.wait(unix.EPOLLIN)
	case builtin.Write:
		k.wait(unix.EPOLLOUT)
	case builtin.ReadWrite:
		k.wait(unix.EPOLLIN | unix.EPOLLOUT)
	case builtin.Close:
		k.end()
	case builtin.Drain:
		k.drain(w)
	case builtin.Start:
		k.mux(w)
	case builtin.Told:
		if k.greeted == nil {
			k.drain(w)
			return
		}
		k.letGo()
		k.s.handOver(w, k.greeted, k.image)
	}
}

func (k *conn) wait(events uint32) {
	var err error
	if k.entered {
		err = k.s.poll.arm(k.fd, events|unix.EPOLLONESHOT)
	} else {
		k.entered = true
		err = k.s.poll.enter(k.fd, k, events|unix.EPOLLONESHOT)
	}
	if err != nil {
		k.end()
	}
}

// limit ends the connection's reading after a while: what it waits for then
// happens, and the stream sees the end.
func (k *conn) limit(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.timer != nil {
		k.timer.Stop()
	}
	k.timer = time.AfterFunc(d, k.shutDown)
}

// shutDown has the connection end: epoll tells whoever serves it.
func (k *conn) shutDown() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.over {
		unix.Shutdown(k.fd, unix.SHUT_RDWR)
	}
}

// drain says no more and reads until the client knows.
func (k *conn) drain(w *worker) {
	k.release()
	k.stream = builtin.NewDrain(k.fd)
	k.limit(drainLimit)
	k.step(w)
}

// letGo takes the connection out of the set; fd is the caller's.
func (k *conn) letGo() {
	k.mu.Lock()
	k.over = true
	if k.timer != nil {
		k.timer.Stop()
	}
	if k.idle != nil {
		k.idle.Stop()
	}
	k.mu.Unlock()
	if k.entered {
		k.s.poll.leave(k.fd)
	}
}

func (k *conn) end() {
	k.letGo()
	unix.Close(k.fd)
	if k.refused {
		k.s.drains.Add(-1)
	}
	k.release()
}

// release frees the connection's place and writes its EXIT line.
func (k *conn) release() {
	if k.svc == nil {
		return
	}
	k.s.mu.Lock()
	k.s.release(k.svc, k.from)
	k.s.mu.Unlock()
	k.svc = nil
	if k.started && k.def.success&exitParts != 0 {
		k.def.log.log.Tell(k.def.log.success, exitLine(nil, k.def, 0, 0, k.s.now()-k.since), syslog.Fields{Service: k.def.name, Client: k.from.Addr()})
	}
}

// mux starts the service that a tcpmux client named.
func (k *conn) mux(w *worker) {
	s, name := k.s, k.stream.(*builtin.Mux).Name()
	if strings.EqualFold(name, "help") {
		send(k.fd, builtin.Help(s.muxNames()))
		k.drain(w)
		return
	}
	c := client{fd: k.fd, from: k.from, to: k.to, l: k.l}
	s.mu.Lock()
	if c.svc = s.mux[strings.ToLower(name)]; c.svc != nil {
		c.def = c.svc.def
	}
	s.mu.Unlock()
	if c.svc == nil {
		s.log.Printf(syslog.Notice, "FAIL: %s unknown service %q%s", k.def.name, name, appendFrom(nil, k.from, k.def.failure))
		send(k.fd, []byte(builtin.Unknown))
		k.drain(w)
		return
	}
	var j judgement
	if c.def.terms != nil {
		j = s.judge(w, &c, nil, nil)
	}
	s.admitMux(&c, &j)
	k.letGo()
	k.release()
	s.decided(w, &c, j)
}

// admitMux reserves a place in the service behind tcpmux, and enters it.
// Nobody can queue there: a service that is full refuses.
func (s *Server) admitMux(c *client, j *judgement) {
	s.mu.Lock()
	defer s.mu.Unlock()
	verdict := admit.Looping
	if c.svc.rest == nil {
		verdict = c.svc.gate.Reserve(c.def.limits, s.now())
	}
	switch verdict {
	case admit.Yes:
		s.enter(c, j, c.from.Addr())
		return
	case admit.Looping:
		s.loop(c.svc)
		j.reason = "looping"
	default:
		j.reason = string(admit.ServiceLimit)
	}
	s.refusals++
}

func (s *Server) muxNames() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, svc := range s.mux {
		names = append(names, svc.def.mux)
	}
	slices.Sort(names)
	return names
}

// send says something short on a connection whose buffer is empty.
func send(fd int, b []byte) {
	unix.SendmsgN(fd, b, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
}
