package admit

import "net/netip"

// Limits on concurrent look-ups of names and ident users, in all and for one
// client's network. Clients beyond them are refused, so that a slow name server
// cannot use up descriptors, and one client cannot use up the others' share.
const (
	MaxLookups          = 2048
	MaxLookupsPerSource = 32
)

// Lookups counts the clients that are being looked up. The zero value has
// counted none. It is not safe for concurrent use: whoever owns it locks.
type Lookups struct {
	running   int
	bySource  map[netip.Addr]int
	byService map[string]int
}

// Begin counts one more look-up for a service's client, unless that is over a
// limit. A service gets no more than half of what the others leave, so that
// there is always something left for one more. Every true wants an End.
func (l *Lookups) Begin(service string, source netip.Addr) bool {
	mine := l.byService[service]
	if mine >= (MaxLookups-(l.running-mine))/2 || l.bySource[source] >= MaxLookupsPerSource {
		return false
	}
	if l.bySource == nil {
		l.bySource, l.byService = map[netip.Addr]int{}, map[string]int{}
	}
	l.running++
	l.bySource[source]++
	l.byService[service]++
	return true
}

// End takes back what Begin counted.
func (l *Lookups) End(service string, source netip.Addr) {
	l.running--
	if l.bySource[source]--; l.bySource[source] == 0 {
		delete(l.bySource, source)
	}
	if l.byService[service]--; l.byService[service] == 0 {
		delete(l.byService, service)
	}
}

// Running returns the number of look-ups that have begun and not ended.
func (l *Lookups) Running() int { return l.running }
