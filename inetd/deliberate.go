package inetd

import (
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/admit"
	"goinetd/inetd/ident"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
	"goinetd/inetd/wrap"
)

// This file is the way of a client of whom something has to be found out: its
// name, its user, or what hosts.allow wants done. It has a goroutine of its
// own, and nobody waits for it.

// How many clients may be asked after at once, in all and for one address.
// More are refused: who makes name services slow must not use up what others
// need, and clients that need no asking do not notice.
const (
	maxAsking          = 2048
	maxAskingPerSource = 32
)

// reasonAsking is why more are refused.
const reasonAsking = "lookup_limit"

// ask counts one more client that is asked after, if there may be one.
func (s *Server) ask(from netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.askingAll >= maxAsking || s.asking[from] >= maxAskingPerSource {
		return false
	}
	s.askingAll++
	s.asking[from]++
	return true
}

// asked takes back what ask counted.
func (s *Server) asked(from netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.askingAll--
	if s.asking[from]--; s.asking[from] == 0 {
		delete(s.asking, from)
	}
}

// deliberate finds out what a client's judgement lacks, and goes on with it.
// The client's place is taken, unless it has been refused already.
func (s *Server) deliberate(c client, j judgement) {
	entered := j.entered
	if !s.ask(c.from.Addr()) {
		w := &worker{server: s}
		if entered {
			s.leave(&c)
			j.reason, j.rule = reasonAsking, ""
		}
		s.fail(w, &c, j.reason, j.rule)
		s.sendAway(w, &c)
		return
	}
	go func() {
		defer s.asked(c.from.Addr())
		w := &worker{server: s}
		j = s.findOut(w, &c, j)
		if j.reason == "" && c.def.asksUser() && !s.identify(w, &c) {
			s.leave(&c)
			s.sendAway(w, &c)
			return
		}
		if j.actions != nil {
			s.carryOut(&c, &j)
		}
		if j.reason == "" {
			s.admitted(w, &c, j.actions)
			return
		}
		if entered && j.twists() { // it has the place
			s.fail(w, &c, j.reason, j.rule)
			s.twist(w, &c, j.actions)
			return
		}
		if entered {
			s.leave(&c)
		}
		s.refuse(w, &c, j)
	}()
}

// asksUser tells whether the client's host is asked who the client is.
func (d *definition) asksUser() bool {
	return d.terms != nil && d.terms.idOnly || d.success&config.LogUserID != 0
}

// findOut asks for names and users until there is a judgement.
func (s *Server) findOut(w *worker, c *client, j judgement) judgement {
	var host *admit.Host
	var user *string
	if c.def.kind == config.Dgram {
		user = new(string) // RFC 1413 knows connections alone
	}
	for j.reason == "" && j.asks() {
		if j.needName {
			host = admit.LookUp(c.from.Addr())
		}
		if j.needUser {
			user = new(string)
			if reply, err := ident.Ask(c.from, w.localAddrPort(c), s.o.Ident); err == nil {
				*user = reply.User
			}
		}
		j = s.judge(w, c, host, user)
	}
	return j
}

// userLimit is how long an ident server may take where its answer is only to
// be logged.
const userLimit = 5 * time.Second

// identPort is where the question goes. Clients of a service there are not
// asked about.
const identPort = 113

// identify asks for the user of a client, and has the log tell it, before the
// program begins: the client's host can only tell of a connection that it
// has. It is false, and the NOID line is written, for a client who has to
// have one and has none.
func (s *Server) identify(w *worker, c *client) bool {
	only := c.def.terms != nil && c.def.terms.idOnly
	limit := s.o.Ident
	if !only {
		limit = min(limit, userLimit)
	}
	if !c.from.IsValid() {
		return !only
	}
	if c.to.Port() == identPort { // it would be asked by whom it asks, for ever
		return !only
	}
	reply, err := ident.Ask(c.from, w.localAddrPort(c), limit)
	switch {
	case err == nil:
		c.user = reply.String()
		if c.def.success&config.LogUserID != 0 {
			s.logUser(c)
		}
		return true
	case only && c.def.failure != 0:
		c.def.log.log.Printf(c.def.log.failure, "NOID: %s %v %v", c.def.name, c.from.Addr(), err)
	}
	return !only
}

// logUser writes a USERID line. The client's host chose what it says.
func (s *Server) logUser(c *client) {
	c.def.log.log.Printf(c.def.log.success, "USERID: %s %s", c.def.name, strings.ToValidUTF8(c.user, "?"))
}

// refuseKnown refuses a client after its user has been asked for, which the
// log is to tell.
func (s *Server) refuseKnown(c *client, j judgement) {
	known := *c
	go func() {
		defer s.asked(known.from.Addr())
		w := &worker{server: s}
		s.fail(w, &known, j.reason, j.rule)
		if reply, err := ident.Ask(known.from, w.localAddrPort(&known), min(s.o.Ident, userLimit)); err == nil {
			known.user = reply.String()
			known.def.log.log.Printf(known.def.log.failure, "USERID: %s %s", known.def.name, strings.ToValidUTF8(known.user, "?"))
		}
		s.sendAway(w, &known)
	}()
}

// leave gives a client's place back.
func (s *Server) leave(c *client) {
	s.mu.Lock()
	s.release(c.svc, c.from)
	s.refusals++
	s.mu.Unlock()
}

// carryOut does what hosts.allow or hosts.deny wants done either way
// (hosts_options(5)).
func (s *Server) carryOut(c *client, j *judgement) {
	a := j.actions
	if a.Severity != "" {
		facility, level, both := strings.Cut(a.Severity, ".")
		if !both {
			facility, level = "", a.Severity
		}
		c.severity = syslog.PriorityOf(facility, level)
	}
	if a.KeepAlive {
		unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	}
	if a.Linger != nil {
		unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: int32(a.Linger.Seconds())})
	}
	for _, command := range a.Spawn {
		if err := s.beside(c, command); err != nil {
			s.log.Printf(syslog.Err, "%s: %s: spawn: %v", c.def.name, j.rule, err)
		}
	}
	if a.Banner != "" {
		if _, err := os.Stat(a.Banner); err == nil {
			s.tell(c, s.appendBanner(nil, a.Banner))
		}
	}
}

// tell says something to a client, as far as it takes it at once.
func (s *Server) tell(c *client, text []byte) {
	unix.SendmsgN(c.fd, text, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
}

// shell gives the image of a command of hosts.allow. It runs as the
// service's user.
func (s *Server) shell(w *spawn.World, command string) (*spawn.Image, error) {
	return w.Copy().Prepare("/bin/sh", []string{"sh", "-c", command})
}

// beside runs a command that has nothing to do with the connection.
func (s *Server) beside(c *client, command string) error {
	image, err := s.shell(c.def.world, command)
	if err != nil {
		return err
	}
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(null)
	w := &worker{server: s}
	w.environment(c)
	p, err := image.Start(null, &w.scratch)
	if err == nil {
		s.children.Add(p, task{side: true, def: c.def})
	}
	return err
}

// twist has a command answer a client that was refused, in the service's
// place.
func (s *Server) twist(w *worker, c *client, a *wrap.Actions) {
	image, err := s.shell(c.def.world, a.Twist)
	if err == nil {
		w.environment(c)
		var p spawn.Process
		if p, err = image.Start(c.fd, &w.scratch); err == nil {
			s.children.Add(p, s.task(c))
			unix.Close(c.fd)
			return
		}
	}
	s.leave(c)
	s.log.Printf(syslog.Err, "%s: twist: %v", c.def.name, err)
	s.sendAway(w, c)
}

// admitted has a client served, with what hosts.allow changes.
func (s *Server) admitted(w *worker, c *client, a *wrap.Actions) {
	if a == nil || a.Twist == "" && a.Env == nil && a.User == "" && a.Group == "" && a.Nice == 0 && a.Umask == nil {
		s.begin(w, c, c.def.image)
		return
	}
	image, err := s.changed(c, a)
	if err != nil {
		s.leave(c)
		s.fail(w, c, reasonLibwrap+": "+err.Error(), "")
		s.sendAway(w, c)
		return
	}
	if image == nil { // a builtin or a redirect
		s.begin(w, c, c.def.image)
		return
	}
	c.env = a.Env
	s.begin(w, c, image)
}

// changed gives the program for a client: the service's in another world, or
// the shell.
func (s *Server) changed(c *client, a *wrap.Actions) (*spawn.Image, error) {
	world := c.def.world.Copy()
	world.Nice += a.Nice
	if a.Umask != nil {
		world.Umask = a.Umask
	}
	if (a.User != "" || a.Group != "") && s.root {
		user := a.User
		if user == "" {
			user = c.def.user
		}
		account, err := spawn.NewAccounts().Lookup(user, a.Group)
		if err != nil {
			return nil, err
		}
		world.User = account
	}
	switch {
	case a.Twist != "":
		return s.shell(world, a.Twist)
	case c.def.image == nil:
		return nil, nil
	}
	return c.def.image.In(world)
}

// refusesDatagram tells whether a datagram of a service of our own is not to
// be answered.
func (s *Server) refusesDatagram(w *worker, l *listener, def *definition) func(netip.AddrPort) bool {
	if def.terms == nil && s.bans.Load() == 0 {
		return s.refusesSource
	}
	return func(from netip.AddrPort) bool {
		if s.refusesSource(from) {
			return true
		}
		c := client{l: l, svc: l.svc, def: def, from: from, to: l.Addr}
		var j judgement
		if def.terms != nil {
			j = s.judge(w, &c, nil, nil)
		}
		if j.reason == "" && j.asks() {
			j.reason, j.rule = reasonAddress, nameUnasked
		}
		s.mu.Lock()
		if j.reason == "" && s.isBanned(from.Addr()) {
			j.reason, j.rule = reasonAddress, "sensor"
		}
		s.mu.Unlock()
		if j.reason == "" {
			return false
		}
		s.failQuietly(w, &c, j)
		return true
	}
}

// nameUnasked is why a datagram is refused that nobody can wait with.
const nameUnasked = "name_not_looked_up"
