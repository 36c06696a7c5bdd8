package inetd

import (
	"maps"
	"net/netip"
	"strings"
	"time"
)

// A tally counts the clients of a service since the daemon was started. It is
// guarded by Server.mu.
type tally struct {
	starts  uint64
	refused map[string]int // by reason
	last    netip.AddrPort // client, served or refused
	at      time.Duration  // when it came
}

// maxReasons bounds the table of reasons: some have the text of an error.
const maxReasons = 64

func (svc *activeService) tallyLocked() *tally {
	if svc.tally == nil {
		svc.tally = new(tally)
	}
	return svc.tally
}

// countStartLocked counts a client that is served.
func (s *Server) countStartLocked(c *client) {
	t := c.svc.tallyLocked()
	t.starts++
	t.last, t.at = c.from, s.now()
}

// countRefusalLocked counts a client that is refused.
func (s *Server) countRefusalLocked(c *client, reason string) {
	s.refusals++
	t := c.svc.tallyLocked()
	t.last, t.at = c.from, s.now()
	if t.refused == nil {
		t.refused = map[string]int{}
	}
	reason, _, _ = strings.Cut(reason, ":") // "libwrap: exec ..."
	if _, known := t.refused[reason]; known || len(t.refused) < maxReasons {
		t.refused[strings.Clone(reason)]++
	}
}

// reasons returns how many clients were refused for which reason.
func (t *tally) reasons() map[string]int { return maps.Clone(t.refused) }
