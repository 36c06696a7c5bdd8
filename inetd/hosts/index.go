package hosts

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// An index finds which of many patterns for hosts can match one, so that a
// file of 10,000 addresses costs no more than one of ten. What it finds is
// still to be matched; what it does not find does not match.
type index struct {
	always   []int32                  // patterns of other kinds, in order
	networks map[netip.Prefix][]int32 // addresses and networks
	lengths  []int                    // of networks, each once
	names    map[string][]int32       // names, and domains with their dot, in lower case
	named    map[string]int32         // the first of the patterns that are names, for each group
}

// add adds a pattern, which belongs to number n. Numbers do not fall. group
// is what a match depends on besides.
func (x *index) add(word, group string, n int32) {
	switch p, isNetwork := network(word); {
	case isNetwork:
		if x.networks == nil {
			x.networks = map[netip.Prefix][]int32{}
		}
		x.networks[p] = append(x.networks[p], n)
		if !slices.Contains(x.lengths, p.Bits()) {
			x.lengths = append(x.lengths, p.Bits())
		}
	case isName(word):
		if x.names == nil {
			x.names, x.named = map[string][]int32{}, map[string]int32{}
		}
		name := strings.ToLower(word)
		x.names[name] = append(x.names[name], n)
		if _, known := x.named[group]; !known {
			x.named[group] = n
		}
	default:
		x.always = append(x.always, n)
	}
}

// find calls match with each number that may match, in order, until it
// returns true.
func (x *index) find(e *endpoint, match func(n int32) bool) bool {
	var room [32]int32
	hits := x.hits(e, room[:0])
	always := x.always
	last := int32(-1)
	for len(hits)+len(always) > 0 {
		var n int32
		if len(always) == 0 || len(hits) > 0 && hits[0] < always[0] {
			n, hits = hits[0], hits[1:]
		} else {
			n, always = always[0], always[1:]
		}
		if n != last && match(n) {
			return true
		}
		last = n
	}
	return false
}

// hits returns the numbers of networks and names that may match, in order.
// Where the name of the host is not known, they include the first of each
// group that wants it.
func (x *index) hits(e *endpoint, hits []int32) []int32 {
	if x.networks != nil && e.addr.IsValid() {
		for _, bits := range x.lengths {
			if p, err := e.addr.Prefix(bits); err == nil {
				hits = append(hits, x.networks[p]...)
			}
		}
	}
	if x.names != nil && (!e.known || e.failed) {
		for _, n := range x.named {
			hits = append(hits, n)
		}
	}
	if x.names != nil && e.known {
		hits = x.byName(e.name, hits)
	}
	if x.names != nil && e.addr.Zone() != "" { // an interface's name may have a dot
		hits = x.byName(e.text, hits)
	}
	slices.SortFunc(hits, cmp.Compare[int32])
	return hits
}

// byName adds the numbers of a name and of its domains.
func (x *index) byName(name string, hits []int32) []int32 {
	name = strings.ToLower(name)
	hits = append(hits, x.names[name]...)
	for i := 0; i < len(name); i++ {
		if name[i] == '.' {
			hits = append(hits, x.names[name[i:]]...)
		}
	}
	return hits
}

// network returns the addresses that a pattern matches, where they are one
// network and the pattern matches nothing else.
func network(word string) (netip.Prefix, bool) {
	net, mask, masked := strings.Cut(word, "/")
	switch {
	case masked:
		p, err := parseNetwork(net, mask)
		return p, err == nil && p.Bits() > 0
	case strings.HasPrefix(word, "["):
		a, err := netip.ParseAddr(strings.TrimSuffix(word[1:], "]"))
		if err != nil {
			return netip.Prefix{}, false
		}
		a = a.WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), true
	case strings.HasSuffix(word, "."):
		octets := strings.Split(strings.TrimSuffix(word, "."), ".")
		if len(octets) > 3 {
			return netip.Prefix{}, false
		}
		a, err := netip.ParseAddr(strings.Join(append(octets, []string{"0", "0", "0"}[:4-len(octets)]...), "."))
		return netip.PrefixFrom(a, 8*len(octets)), err == nil
	}
	a, err := netip.ParseAddr(word)
	if err != nil {
		return netip.Prefix{}, false
	}
	a = a.WithZone("")
	return netip.PrefixFrom(a, a.BitLen()), true
}

// isName reports whether a pattern is a host name, or a domain with a dot
// before it, and nothing else.
func isName(word string) bool {
	if isWildcard(word) || byAddress(word) || strings.HasSuffix(word, ".") {
		return false
	}
	letters := false // without one it may match the end of an address
	for _, c := range []byte(word) {
		switch {
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
			letters = true
		case '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_':
		default:
			return false
		}
	}
	return letters
}

// wildcards are the words that stand for more than themselves.
var wildcards = []string{"ALL", "LOCAL", "KNOWN", "UNKNOWN", "PARANOID", "EXCEPT"}

func isWildcard(word string) bool {
	return slices.ContainsFunc(wildcards, func(w string) bool { return strings.EqualFold(w, word) })
}
