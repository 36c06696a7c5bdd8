package inetd

import (
	"cmp"
	"time"

	"goinetd/config"
	"goinetd/inetd/admit"
	"goinetd/inetd/hosts"
	"goinetd/inetd/ident"
	"goinetd/inetd/logline"
	"goinetd/inetd/spawn"
)

// This file is the slow path: clients whose host name, ident user or actions
// of hosts_options(5) are needed. Each has a goroutine, so that no worker
// waits; admit.Lookups bounds their number.

// identTimeout is how long an ident server may take where its reply is only
// logged.
const identTimeout = 5 * time.Second

// maxIdentTimeout is how long one may take that hosts.allow waits for.
const maxIdentTimeout = time.Minute

// identPort is where the ident question goes. Clients of a service there are
// not asked about: two hosts would ask each other for ever.
const identPort = 113

// beginLookup counts one more look-up, if there may be one.
func (s *Server) beginLookup(c *client) bool {
	if !s.conns.take(lookupFDs) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.lookups.Begin(c.def.Key, c.def.Limits.Source(c.from.Addr())) {
		s.conns.give(lookupFDs)
		return false
	}
	return true
}

func (s *Server) endLookup(c *client) {
	s.conns.give(lookupFDs)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lookups.End(c.def.Key, c.def.Limits.Source(c.from.Addr()))
}

// startLookup looks up what a decision needs, and goes on with the client. It
// has its slot already, unless it has been refused.
func (s *Server) startLookup(sc *scratch, c client, d decision) {
	if !s.beginLookup(&c) {
		if d.Reason == "" && !d.pending() && d.actions == nil && !c.def.Policy.RequiresUser() { // the user is only to be logged
			s.serve(sc, &c, c.def.Image)
			return
		}
		if d.admitted {
			s.releaseRefused(&c, reasonLookupLimit)
			d.Reason, d.Rule = reasonLookupLimit, ""
		}
		s.logFail(sc, &c, d.Reason, d.Rule)
		s.closeRejected(sc, &c)
		return
	}
	go s.lookUp(&c, d)
}

func (s *Server) lookUp(c *client, d decision) {
	sc := new(scratch)
	admitted := d.admitted
	d = s.resolve(sc, c, d)
	if d.Reason == "" && c.def.AsksUser() && !s.identify(c) {
		s.endLookup(c)
		s.releaseRefused(c, reasonNoUser)
		s.closeRejected(sc, c)
		return
	}
	image, err := s.imageFor(c, d.actions)
	s.addJob(func(sc *scratch) {
		var commands []string
		if d.actions != nil {
			s.runActions(sc, c, &d)
			commands = d.actions.Spawn
		}
		s.runCommands(sc, c, commands, func(sc *scratch) {
			s.endLookup(c)
			s.endLookUp(sc, c, d, admitted, image, err)
		})
	})
}

// endLookUp goes on with a client that has been looked up.
func (s *Server) endLookUp(sc *scratch, c *client, d decision, admitted bool, image *spawn.Image, err error) {
	switch {
	case d.Reason == "" && err != nil:
		s.releaseRefused(c, logline.ReasonLibwrap)
		s.logFail(sc, c, logline.ReasonLibwrap+": "+err.Error(), "")
		s.closeRejected(sc, c)
	case d.Reason == "":
		if image != nil && d.actions != nil {
			c.env = d.actions.Env
		}
		s.serve(sc, c, image)
	case admitted && d.twists(): // in the service's slot
		s.logFail(sc, c, d.Reason, d.Rule)
		s.twist(sc, c, d.actions)
	default:
		if admitted {
			s.releaseRefused(c, d.Reason)
		}
		s.reject(sc, c, d)
	}
}

// lookups are what is known of a client by asking others; nil where nobody
// has been asked.
type lookups struct {
	host, server *admit.Host // of the client, and of the address that it came to
	user         *string     // by ident; empty: unknown
}

// resolve looks up names and users until the decision is not pending.
func (s *Server) resolve(sc *scratch, c *client, d decision) decision {
	var known lookups
	if c.def.Type == config.Dgram {
		known.user = new(string) // RFC 1413 is about connections
	}
	for d.Reason == "" && d.pending() {
		if d.NeedName {
			known.host = admit.LookupHost(c.from.Addr())
			c.trace.lookedUp(known.host)
		}
		if d.needServer {
			known.server = admit.LookupHost(c.localAddr().Addr())
		}
		if d.needUser {
			known.user = new(string)
			timeout := cmp.Or(d.userTimeout, s.o.IdentTimeout)
			if reply, err := ident.Query(c.from, c.localAddr(), min(timeout, maxIdentTimeout)); err == nil {
				*known.user = reply.User
			}
			if c.trace != nil {
				c.trace.add("ident", "user %q", *known.user)
			}
		}
		d = s.check(sc, c, known)
		c.trace.checked(c, &d)
	}
	return d
}

// identify asks the client's ident server for the user, and logs it before
// the program starts: the server knows a connection only while the client has
// it. It returns false, after the NOID line, where the service wants a user
// and there is none.
func (s *Server) identify(c *client) bool {
	required := c.def.Policy.RequiresUser()
	timeout := s.o.IdentTimeout
	if !required {
		timeout = min(timeout, identTimeout)
	}
	if !c.from.IsValid() || c.to.Port() == identPort {
		return !required
	}
	reply, err := ident.Query(c.from, c.localAddr(), timeout)
	c.trace.identified(reply, err)
	switch {
	case err == nil:
		c.user = reply.String()
		if c.def.OnSuccess&config.LogUserID != 0 {
			c.def.Log.Logger.Write(c.def.Log.Success, logline.UserID(nil, c.def.Name, c.user))
		}
		return true
	case required && c.def.OnFailure != 0:
		c.def.Log.Logger.Write(c.def.Log.Failure, logline.NoID(nil, c.def.Name, c.from.Addr(), err))
	}
	return !required
}

// wantsRejectedUser reports whether a refused client is looked up for the
// log, and counts that look-up.
func (s *Server) wantsRejectedUser(c *client) bool {
	return c.def.OnFailure&config.LogUserID != 0 && c.from.IsValid() && c.to.Port() != identPort && s.beginLookup(c)
}

// startRejectedLookup rejects a client after logging its ident user.
func (s *Server) startRejectedLookup(c *client, d decision) {
	rejected := *c
	go func() {
		defer s.endLookup(&rejected)
		sc := new(scratch)
		s.logFail(sc, &rejected, d.Reason, d.Rule)
		if reply, err := ident.Query(rejected.from, rejected.localAddr(), min(s.o.IdentTimeout, identTimeout)); err == nil {
			log := rejected.def.Log
			log.Logger.Write(log.Failure, logline.UserID(nil, rejected.def.Name, reply.String()))
		}
		s.closeRejected(sc, &rejected)
	}()
}

// releaseRefused frees the slot of a client that is refused after all.
func (s *Server) releaseRefused(c *client, reason string) {
	s.mu.Lock()
	s.releaseLocked(c.svc, c.def, c.from)
	s.countRefusalLocked(c, reason)
	s.mu.Unlock()
}

// hostname returns the name of a host as hosts_access(5) understands it.
// It returns nil for one that has not been looked up.
func hostname(h *admit.Host) *hosts.Hostname {
	switch {
	case h == nil:
		return nil
	case len(h.Confirmed) > 0:
		return &hosts.Hostname{Host: h.Confirmed[0]}
	case len(h.Claimed) > 0:
		return &hosts.Hostname{Host: h.Claimed[0], Paranoid: true, Failed: h.Failed}
	}
	return &hosts.Hostname{Failed: h.Failed}
}
