package inetd

import (
	"cmp"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/admit"
	"goinetd/inetd/builtin"
	"goinetd/inetd/hosts"
	"goinetd/inetd/localtime"
	"goinetd/inetd/logline"
	"goinetd/inetd/service"
	"goinetd/inetd/sockaddr"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// A client is a connection that was accepted, or a socket that a program is
// to be started for.
type client struct {
	fd   int
	from netip.AddrPort // zero for a Unix socket
	to   netip.AddrPort // what its listener is bound to
	l    *listener
	svc  *activeService
	def  *service.Definition

	local    netip.AddrPort  // the address that it connected to; zero: not known yet
	severity syslog.Priority // of its log lines, by hosts_options(5); 0: the service's
	user     string          // by its ident server; empty: unknown
	env      []string        // for its program, by hosts_options(5)
	tries    int             // starts of its program that are to be tried again
	trace    *trace          // nil: nobody wants to see its steps
}

// A decision is whether a client is admitted. There is a reason where it is
// not; it is pending where a name or a user has to be looked up first.
type decision struct {
	service.Decision
	needServer  bool           // ask again with the name of the address that the client came to
	needUser    bool           // ask again with the client's ident user
	userTimeout time.Duration  // of that question; 0: the usual
	actions     *hosts.Actions // what hosts_options(5) wants done
	admitted    bool           // the client has a slot
}

func (d *decision) pending() bool { return d.NeedName || d.needServer || d.needUser }

// twists reports whether a command of hosts.deny takes the place of the
// service for a client that is refused.
func (d *decision) twists() bool {
	return d.Reason == logline.ReasonLibwrap && d.actions != nil && d.actions.Twist != ""
}

// Reasons of refusal that no other package has, in xinetd's words where it
// has any.
const (
	reasonProcessLimit = "process_limit"
	reasonLookupLimit  = "lookup_limit"
	reasonLooping      = "looping"
	reasonNoUser       = "no ident user" // IDONLY: there is no FAIL line
)

// accept accepts one connection, and reports whether there was one. A slot is
// reserved for it.
func (s *Server) accept(w *worker, t ticket) bool {
	wanted, ready := s.tracers.wanted.Load(), time.Duration(0)
	if wanted {
		ready = clockMonotonic()
	}
	fd, errno := accept4(t.fd, &w.peer)
	c := client{fd: fd, from: sockaddr.FromRaw(&w.peer), to: t.address.Addr, l: t.l, svc: t.svc, def: t.def}
	if wanted && errno == 0 {
		if c.trace = s.beginTrace(&c, ready); c.trace != nil {
			c.trace.accepted(&c)
		}
	}
	var d decision
	if errno == 0 && c.def.Policy != nil {
		d = s.check(&w.scratch, &c, lookups{})
	}

	again := false
	s.mu.Lock()
	s.endAcceptLocked(t, errno)
	if errno == 0 {
		if again = s.beginRecheckLocked(&c, &d); !again {
			s.admitLocked(&c, &d, c.from.Addr())
		}
	}
	s.mu.Unlock()

	if errno != 0 {
		return false
	}
	if t.mapsIPv4 {
		// The program is to see an IPv4 client as one (ipv6(7); EADDRNOTAVAIL
		// for a client that is not).
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_ADDRFORM, unix.AF_INET)
	}
	c.trace.checked(&c, &d)
	if again {
		c.trace.waits("as many run as may, but one may be about to end")
		s.recheckLater(c, d, 0)
		return true
	}
	s.dispatch(&w.scratch, &c, d)
	return true
}

// accept4 is accept4(2) on a non-blocking socket, without telling the Go
// scheduler of a call that cannot block.
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

// endAcceptLocked arms the listener again: the next client is another
// worker's, while this one forks. Where nobody was accepted, the reservation
// is cancelled.
func (s *Server) endAcceptLocked(t ticket, errno unix.Errno) {
	l := t.l
	if l.state == stateListening && !staysReady(errno) && !t.polled {
		s.pollLocked(l)
	}
	s.endUseLocked(l)
	switch {
	case errno == 0:
		l.reported = false
		return
	case staysReady(errno):
		if !l.reported {
			l.reported = true
			s.log.Printf(syslog.Err, "%s: accept: %v; clients wait, retrying every second", t.def.Name, errno)
		}
		s.pauseLocked(l, pauseTime)
	case errno != unix.EAGAIN && errno != unix.ECONNABORTED: // these: the client has disconnected
		s.debugf("%s: accept: %v", t.def.Name, errno)
	}
	t.svc.gate.Cancel()
	s.unsaturateLocked(t.svc)
}

// staysReady reports whether an error of accept(2) leaves the client in the
// queue, because the host is short of something or forbids it. The listener
// stays ready then: polling it at once would be a busy loop. The others are
// network errors that were pending on the new connection.
func staysReady(errno unix.Errno) bool {
	switch errno {
	case 0, unix.EAGAIN, unix.ECONNABORTED, unix.ENETDOWN, unix.EPROTO, unix.ENOPROTOOPT, unix.EHOSTDOWN, unix.ENONET, unix.EHOSTUNREACH,
		unix.EOPNOTSUPP, unix.ENETUNREACH:
		return false
	}
	return true
}

// check decides about a client by its service's policy and hosts_access(5).
// It waits for no network, but may read hosts.allow and hosts.deny.
func (s *Server) check(sc *scratch, c *client, known lookups) decision {
	p := c.def.Policy
	d := decision{Decision: p.Check(c.def.Name, c.from.Addr(), known.host, &s.load, localtime.Now(), s.now())}
	if d.Reason == "" && !c.from.IsValid() && !p.Access.AdmitsAll() && !c.def.NamesUnixSocket() {
		d.Reason, d.Rule = logline.ReasonAddress, "no_address"
	}
	if d.Reason != "" || d.NeedName || p.Libwrap == "" || s.o.Hosts.Empty() {
		return d
	}
	switch {
	case c.from.IsValid():
		s.checkHosts(sc, c, &d, known)
	case s.o.Hosts.MayRefuse(p.Libwrap): // a client of a socket whose clients we cannot tell apart
		d.Reason, d.Rule = logline.ReasonLibwrap, "no_address"
	}
	return d
}

// admitLocked turns a client's reservation into a slot, or cancels it and
// sets the reason. source is the address whose limits count; it may be
// invalid.
func (s *Server) admitLocked(c *client, d *decision, source netip.Addr) {
	s.banLocked(c, d)
	if d.Reason == "" || d.twists() { // a twist command runs in the service's place, and needs a slot as well
		if reason, rule := s.enterLocked(c, source); reason != "" {
			*d = decision{Decision: service.Decision{Reason: reason, Rule: rule}}
		} else {
			d.admitted = true
			s.countStartLocked(c)
			s.running++
			c.trace.counted(c.svc.gate.Running())
			s.statusChangedLocked()
			if c.svc.busy {
				s.unsaturateLocked(c.svc)
			}
			return
		}
	}
	c.svc.gate.Cancel()
	s.unsaturateLocked(c.svc)
	s.countRefusalLocked(c, d.Reason)
	s.statusChangedLocked()
	if d.Reason == string(admit.CPS) {
		s.suspendOverCPSLocked(c.svc)
	}
}

// enterLocked returns why a client gets no slot, or "" where it has one now.
func (s *Server) enterLocked(c *client, source netip.Addr) (reason, rule string) {
	switch {
	case s.bans.Banned(c.from.Addr(), s.now()):
		return logline.ReasonAddress, "sensor"
	case s.o.MaxPrograms > 0 && s.running >= s.o.MaxPrograms:
		return reasonProcessLimit, ""
	}
	return string(c.svc.gate.Enter(c.def.Limits, s.now(), source)), ""
}

// banLocked bans a client that came to a sensor.
func (s *Server) banLocked(c *client, d *decision) {
	p := c.def.Policy
	if d.Reason == "" || !p.Sensor || p.DenyTime == 0 || !c.from.IsValid() || c.def.Type != config.Stream {
		return
	}
	known := s.bans.Banned(c.from.Addr(), s.now())
	source := c.def.Limits.Network(c.from.Addr())
	switch added := s.bans.Add(source, p.DenyTime, s.now()); {
	case known:
		return
	case !added:
		if s.refusalLog.Allow(c.def.Name+" bans", s.now()) {
			s.log.Printf(syslog.Crit, "%s: sensor: %v is not banned, and others may not be: as many are as can be", c.def.Name, c.from.Addr())
		}
		return
	}
	s.bansMade.Add(1)
	who := c.from.Addr().String()
	if !source.IsSingleIP() {
		who += " (" + source.String() + ")"
	}
	duration := ""
	if p.DenyTime != config.Forever {
		duration = " for " + p.DenyTime.String()
	}
	s.log.Printf(syslog.Crit, "%s: sensor: %s is banned from every service%s", c.def.Name, who, duration)
}

// dispatch does what a decision says.
func (s *Server) dispatch(sc *scratch, c *client, d decision) {
	c.trace.admitted(c, &d)
	switch {
	case d.pending() || d.actions != nil || d.Reason == "" && c.def.AsksUser():
		s.startLookup(sc, *c, d)
	case d.Reason != "":
		s.reject(sc, c, d)
	default:
		s.serve(sc, c, c.def.Image)
	}
}

// serve sends the banners and has the client served: by an image of a
// program, which is the service's but for hosts_options(5), or without one.
func (s *Server) serve(sc *scratch, c *client, image *spawn.Image) {
	var text []byte
	plus := ""
	if c.def.MuxPlus {
		plus = builtin.Accepted
	}
	if p := c.def.Policy; p != nil {
		text = s.bannerText(plus, p.Banner, p.BannerSuccess)
	} else if plus != "" {
		text = []byte(plus)
	}
	if len(text) > 0 {
		if c.trace != nil {
			c.trace.add("banner", "%d bytes", len(text))
		}
		waiting := *c // a copy, lest every client be allocated
		s.sendBanner(sc, &waiting, text, image)
		return
	}
	s.serveAfterBanner(sc, c, image)
}

func (s *Server) serveAfterBanner(sc *scratch, c *client, image *spawn.Image) {
	switch {
	case c.def.Redirects():
		s.startRedirect(sc, c)
	case image == nil:
		s.serveBuiltin(sc, c)
	default:
		s.serveProgram(sc, c, image)
	}
}

// reject logs why a client is refused, and ends its connection.
func (s *Server) reject(sc *scratch, c *client, d decision) {
	if d.Reason == string(admit.Paused) { // logged when the pause began
		unix.Close(c.fd)
		c.trace.refused(d.Reason, d.Rule)
		c.trace.end("closed", "the connection is closed")
		return
	}
	if s.wantsRejectedUser(c) {
		s.startRejectedLookup(c, d)
		return
	}
	s.logFail(sc, c, d.Reason, d.Rule)
	s.closeRejected(sc, c)
}

// closeRejected sends the banner for refused clients and ends the connection.
func (s *Server) closeRejected(sc *scratch, c *client) {
	unknown := ""
	if c.def.Mux != "" {
		unknown = builtin.Unknown
	}
	text := []byte(unknown)
	if p := c.def.Policy; p != nil {
		text = s.bannerText(unknown, p.Banner, p.BannerFail)
	}
	s.refuse(sc, c, text)
}

// refuse sends a text to a client that is not served, and ends its connection.
func (s *Server) refuse(sc *scratch, c *client, text []byte) {
	c.trace.end("closed", "the connection is shut down, and closed once the client has closed it")
	s.closeGracefully(sc, c.fd, text)
}

// logFail writes a FAIL line.
func (s *Server) logFail(sc *scratch, c *client, reason, rule string) {
	s.publishRefusal(c.def, c.from, reason, rule)
	c.trace.refused(reason, rule)
	if c.def.OnFailure == 0 {
		return
	}
	sc.line = logline.Fail(sc.line[:0], c.def.Name, c.def.OnFailure, reason, rule, c.from)
	c.def.Log.Logger.Log(cmp.Or(c.severity, c.def.Log.Failure), sc.line, c.fields())
}

// logStart writes a START line; a client without a program has pid 0.
func (s *Server) logStart(sc *scratch, def *service.Definition, pid int, from netip.AddrPort, severity syslog.Priority) {
	s.publishStart(def, pid, from)
	if !logline.HasStart(def.OnSuccess) {
		return
	}
	sc.line = logline.Start(sc.line[:0], def.Name, def.OnSuccess, pid, from)
	def.Log.Logger.Log(cmp.Or(severity, def.Log.Success), sc.line, syslog.Fields{Service: def.Name, Client: from.Addr(), PID: pid})
}

func (c *client) fields() syslog.Fields {
	return syslog.Fields{Service: c.def.Name, Client: c.from.Addr()}
}

// localAddr returns the address that the client connected to.
func (c *client) localAddr() netip.AddrPort {
	if c.local.IsValid() {
		return c.local
	}
	c.local = c.to
	if c.to.Addr().IsUnspecified() || c.to.Port() == 0 {
		var raw unix.RawSockaddrAny
		size := uint32(unix.SizeofSockaddrAny)
		if _, _, errno := unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(c.fd), uintptr(unsafe.Pointer(&raw)), uintptr(unsafe.Pointer(&size))); errno == 0 {
			c.local = sockaddr.FromRaw(&raw)
		}
	}
	return c.local
}
