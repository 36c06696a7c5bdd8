package inetd

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/admit"
	"goinetd/inetd/builtin"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// This file is where a client is let in or sent away.

// decided does what a judgement says.
func (s *Server) decided(w *worker, c *client, j judgement) {
	switch {
	case j.asks() || j.actions != nil || j.reason == "" && c.def.asksUser():
		s.deliberate(*c, j)
	case j.reason != "":
		s.refuse(w, c, j)
	default:
		s.begin(w, c, c.def.image)
	}
}

// enter counts a client in for whom a place was reserved, or has the
// judgement say why not, and gives the place back. source is the address to
// be counted, if any. s.mu is held.
func (s *Server) enter(c *client, j *judgement, source netip.Addr) {
	if t := c.def.terms; j.reason != "" && t.sensor && t.denyTime != 0 && c.from.IsValid() && c.def.kind == config.Stream {
		s.ban(c.from.Addr(), t.denyTime)
		s.log.Printf(syslog.Crit, "%s: sensor: %v is kept out of every service%s", c.def.name, c.from.Addr(), forHowLong(t.denyTime))
	}
	if j.reason == "" || j.twists() { // what answers in the service's place takes one
		if refusal, rule := s.count(c, source); refusal == "" {
			j.entered = true
			s.running++
			s.tellManager()
			return
		} else {
			*j = judgement{reason: refusal, rule: rule} // nothing else is done for it
		}
	}
	c.svc.gate.Cancel()
	s.resume(c.svc)
	s.refusals++
	s.tellManager()
	if j.reason == string(admit.CPS) {
		s.deactivate(c.svc)
	}
}

// count asks what counts clients whether there may be one more. s.mu is held.
func (s *Server) count(c *client, source netip.Addr) (reason, rule string) {
	switch {
	case s.isBanned(c.from.Addr()):
		return reasonAddress, "sensor"
	case s.o.Limit > 0 && s.running >= s.o.Limit:
		return reasonProcess, ""
	}
	return string(c.svc.gate.Enter(c.def.limits, s.now(), source)), ""
}

func forHowLong(d time.Duration) string {
	if d == config.Forever {
		return ""
	}
	return " for " + d.String()
}

// refuse tells a client that it may not come in, and the log why.
func (s *Server) refuse(w *worker, c *client, j judgement) {
	if j.reason == string(admit.Paused) { // logged when the pause began
		unix.Close(c.fd)
		return
	}
	if c.def.failure&config.LogUserID != 0 && c.from.IsValid() && c.to.Port() != identPort && s.ask(c.from.Addr()) {
		s.refuseKnown(c, j)
		return
	}
	s.fail(w, c, j.reason, j.rule)
	s.sendAway(w, c)
}

// sendAway says the banner for those who are refused, and ends the
// connection.
func (s *Server) sendAway(w *worker, c *client) {
	var text []byte
	if c.def.mux != "" {
		text = append(text, builtin.Unknown...)
	}
	if t := c.def.terms; t != nil {
		text = s.appendBanner(s.appendBanner(text, t.banner), t.bannerFail)
	}
	s.farewell(w, c.fd, text)
}

// begin greets a client that may come in, and has it served: by the image of
// a program, the service's but for hosts.allow, or by us where there is none.
func (s *Server) begin(w *worker, c *client, image *spawn.Image) {
	var text []byte
	if c.def.muxPlus {
		text = append(text, builtin.Accepted...)
	}
	if t := c.def.terms; t != nil {
		text = s.appendBanner(s.appendBanner(text, t.banner), t.bannerSuccess)
	}
	if len(text) > 0 {
		waiting := *c // the others need not be where the garbage collector looks
		s.greet(w, &waiting, text, image)
		return
	}
	s.handOver(w, c, image)
}

// handOver gives a client to what serves it.
func (s *Server) handOver(w *worker, c *client, image *spawn.Image) {
	switch {
	case c.def.redirects():
		s.relay(c)
	case image == nil:
		s.serve(w, c)
	default:
		s.spawn(w, c, image)
	}
}
