package inetd

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"goinetd/inetd/admit"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// A client is a connection that was accepted, with a place reserved for it.
type client struct {
	fd   int
	from netip.AddrPort // zero for a Unix socket
	to   netip.AddrPort // what its listener is bound to
	l    *listener      // for s.mu's holder: a reload changes it
	svc  *service
	def  *definition

	local    netip.AddrPort  // the address that it came to; zero: not asked for yet
	severity syslog.Priority // of its lines, by hosts.allow; 0: the service's
	user     string          // by its ident server; empty: unknown
	env      []string        // for its program, by hosts.allow
}

// accept takes one connection from a listener. It is entered with s.mu held
// and leaves it unlocked.
func (s *Server) accept(w *worker, l *listener) {
	c := client{l: l, svc: l.svc, def: l.svc.def, to: l.Addr}
	listening, dual := l.fd, l.dualInherited()
	if verdict := c.svc.gate.Reserve(c.def.limits, s.now()); verdict != admit.Yes {
		s.refrain(l, verdict)
		s.mu.Unlock()
		return
	}
	l.busy++
	s.mu.Unlock()

	fd, errno := accept4(listening, &w.peer)
	c.fd, c.from = fd, rawAddrPort(&w.peer)
	var j judgement
	if errno == 0 && c.def.terms != nil {
		j = s.judge(w, &c, nil, nil)
	}

	s.mu.Lock()
	l.busy--
	if l.state == watching && !shortage(errno) {
		s.watch(l) // the next client is another worker's, while this one forks
	}
	s.closeIdle(l)
	if errno != 0 {
		c.svc.gate.Cancel()
		s.resume(c.svc)
		s.acceptError(l, errno)
		s.mu.Unlock()
		return
	}
	l.reported = false
	s.enter(&c, &j, c.from.Addr())
	s.mu.Unlock()

	if dual {
		// The program is to see an IPv4 client as one (ipv6(7); EADDRNOTAVAIL
		// for a client that is not).
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_ADDRFORM, unix.AF_INET)
	}
	s.decided(w, &c, j)
}

// accept4 is accept4(2) without a trip through Go's scheduler: the socket
// does not block.
func accept4(fd int, peer *unix.RawSockaddrAny) (int, unix.Errno) {
	size := uint32(unix.SizeofSockaddrAny)
	peer.Addr.Family = unix.AF_UNSPEC
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(peer)), uintptr(unsafe.Pointer(&size)), unix.SOCK_CLOEXEC, 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

// rawAddrPort reads what the kernel filled in. IPv4 comes out as IPv4.
func rawAddrPort(raw *unix.RawSockaddrAny) netip.AddrPort {
	switch raw.Addr.Family {
	case unix.AF_INET:
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(raw))
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), netOrder(&sa.Port))
	case unix.AF_INET6:
		sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(raw))
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), netOrder(&sa.Port))
	}
	return netip.AddrPort{}
}

func netOrder(port *uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(port))[:])
}

// localAddrPort gives the address that a client came to.
func (w *worker) localAddrPort(c *client) netip.AddrPort {
	if !c.local.IsValid() {
		c.local = w.ask(c)
	}
	return c.local
}

func (w *worker) ask(c *client) netip.AddrPort {
	if !c.to.Addr().IsUnspecified() {
		return c.to
	}
	var raw unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	if _, _, errno := unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(c.fd), uintptr(unsafe.Pointer(&raw)), uintptr(unsafe.Pointer(&size))); errno != 0 {
		return c.to
	}
	return rawAddrPort(&raw)
}

// shortage tells of an error that is ours and not the client's.
func shortage(errno unix.Errno) bool {
	return errno == unix.EMFILE || errno == unix.ENFILE || errno == unix.ENOBUFS || errno == unix.ENOMEM
}

// acceptError deals with a connection that could not be accepted. s.mu is
// held.
func (s *Server) acceptError(l *listener, errno unix.Errno) {
	switch {
	case shortage(errno):
		// The client stays in the queue and the listener stays ready: to
		// wait for it now would be to spin.
		if !l.reported {
			l.reported = true
			s.log.Printf(syslog.Err, "%s: accept: %v; clients wait, tried again every second", l.svc.def.name, errno)
		}
		s.pause(l, time.Second)
	case errno == unix.EAGAIN || errno == unix.ECONNABORTED: // the client has gone
	default:
		// accept(2): errors of the network that came with the connection.
		s.debugf("%s: accept: %v", l.svc.def.name, errno)
	}
}

// refrain does what a verdict asks for before a client is accepted. A client
// can have gone again: a service loops only if somebody is there. s.mu is
// held.
func (s *Server) refrain(l *listener, verdict admit.Verdict) {
	switch verdict {
	case admit.Full:
		s.fill(l.svc)
	case admit.Looping:
		poll := []unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(poll, 0); n > 0 || err != nil {
			s.loop(l.svc)
			return
		}
	}
	if l.state == watching && l.events()&unix.EPOLLONESHOT != 0 {
		s.watch(l)
	}
}

// pause leaves a listener that is watched alone for a while. s.mu is held.
func (s *Server) pause(l *listener, d time.Duration) {
	if l.state != watching {
		return // another worker has given it something else to do
	}
	s.turn(l, paused)
	time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if l.state == paused {
			s.turn(l, watching)
		}
	})
}

// fill stops accepting for a service whose instances are all running; its
// clients wait in the accept queue. s.mu is held.
func (s *Server) fill(svc *service) {
	svc.full = true
	for _, l := range svc.listeners {
		if l.state == watching {
			s.turn(l, full)
		}
	}
}

// spawn runs a program for a client: the service's, but for hosts.allow.
func (s *Server) spawn(w *worker, c *client, image *spawn.Image) {
	w.environment(c)
	if err := s.start(w, c.def, c.fd, image, s.task(c)); err != nil {
		if e, ok := err.(*spawn.StepError); ok && e.Temporary() && (c.def.terms == nil || !c.def.terms.noRetry) {
			s.hold(c, image, e)
			return
		}
		s.spawnFailed(w, c, err)
		return
	}
	unix.Close(c.fd)
}

// spawnFailed ends a client whose program cannot be run.
func (s *Server) spawnFailed(w *worker, c *client, err error) {
	s.mu.Lock()
	s.release(c.svc, c.from)
	s.mu.Unlock()
	s.fail(w, c, err.Error(), "")
	s.farewell(w, c.fd, nil)
}

func (s *Server) task(c *client) task {
	return task{svc: c.svc, def: c.def, from: c.from, since: s.now(), severity: c.severity}
}

// start forks and execs, and writes the START line.
func (s *Server) start(w *worker, def *definition, fd int, image *spawn.Image, t task) error {
	p, err := image.Start(fd, &w.scratch)
	if err != nil {
		return err
	}
	if def.success&startParts != 0 {
		w.startLine(def, p.PID, t.from)
		def.log.log.Tell(cmp.Or(t.severity, def.log.success), w.line, t.fields(p.PID))
	}
	s.limitTime(p.PID, &t)
	s.children.Add(p, t)
	return nil
}

// How often a client's program is tried to be started while the host is
// short of processes or memory, and how long apart.
const (
	holdTries = 5
	holdPause = time.Second
)

// hold keeps a client whose program could not be started for want of
// processes or memory, and tries again. Its listener rests so long, so that
// the clients behind it wait in the queue.
func (s *Server) hold(c *client, image *spawn.Image, why *spawn.StepError) {
	s.log.Printf(syslog.Warning, "%s: %v; the client waits, tried again every second", c.def.name, why)
	s.mu.Lock()
	s.pause(c.l, holdPause)
	s.mu.Unlock()
	held := *c
	tries := 1
	var retry func()
	retry = func() {
		w := &worker{server: s}
		w.environment(&held)
		err := s.start(w, held.def, held.fd, image, s.task(&held))
		e, ok := err.(*spawn.StepError)
		switch {
		case err == nil:
			unix.Close(held.fd)
		case ok && e.Temporary() && tries < holdTries:
			tries++
			time.AfterFunc(holdPause, retry)
		default:
			s.spawnFailed(w, &held, err)
		}
	}
	time.AfterFunc(holdPause, retry)
}

// environment writes the variables that tell a program of its client: those
// of xinetd (REMOTE_HOST), systemd (REMOTE_ADDR, REMOTE_PORT) and
// tcpserver(1) (PROTO, TCP...).
func (w *worker) environment(c *client) {
	e := &w.scratch
	e.Reset()
	for _, v := range c.env {
		name, value, _ := strings.Cut(v, "=")
		e.Done(append(e.Var(name), value...))
	}
	if !c.from.IsValid() {
		return
	}
	local := w.localAddrPort(c)
	address := func(name string, a netip.Addr) { e.Done(a.AppendTo(e.Var(name))) }
	port := func(name string, p uint16) { e.Done(appendInt(e.Var(name), int(p))) }
	address("REMOTE_HOST", c.from.Addr())
	address("REMOTE_ADDR", c.from.Addr())
	port("REMOTE_PORT", c.from.Port())
	e.Done(append(e.Var("PROTO"), "TCP"...))
	address("TCPREMOTEIP", c.from.Addr())
	port("TCPREMOTEPORT", c.from.Port())
	address("TCPLOCALIP", local.Addr())
	port("TCPLOCALPORT", local.Port())
}
