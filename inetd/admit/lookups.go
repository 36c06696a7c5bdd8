package admit

import "net/netip"

// Limits on concurrent look-ups of names and ident users, in all and for one
// source address. Clients beyond them are refused, so that a slow name server
// cannot use up descriptors, and one client cannot use up the others' share.
const (
	MaxLookups          = 2048
	MaxLookupsPerSource = 32
)

// Lookups counts the clients that are being looked up. The zero value has
// counted none. It is not safe for concurrent use: whoever owns it locks.
type Lookups struct {
	running  int
	bySource map[netip.Addr]int
}

// Begin counts one more look-up, unless that is over a limit. Every true
// wants an End.
func (l *Lookups) Begin(source netip.Addr) bool {
	if l.running >= MaxLookups || l.bySource[source] >= MaxLookupsPerSource {
		return false
	}
	if l.bySource == nil {
		l.bySource = map[netip.Addr]int{}
	}
	l.running++
	l.bySource[source]++
	return true
}

// End takes back what Begin counted.
func (l *Lookups) End(source netip.Addr) {
	l.running--
	if l.bySource[source]--; l.bySource[source] == 0 {
		delete(l.bySource, source)
	}
}

// Running returns the number of look-ups that have begun and not ended.
func (l *Lookups) Running() int { return l.running }
