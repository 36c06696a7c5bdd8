package config

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"goinetd/config/netdb"
)

// A Source is one word of only_from or no_access: addresses, or a name.
type Source struct {
	Text     string
	Pos      Pos
	Prefixes []netip.Prefix // none for a name
	Zone     string         // of a link-local address that is written with one
	Name     string         // of a host, or of a domain, with a dot before it
}

// readSource reads a word in the forms of xinetd.conf(5): an address, whose
// trailing octets of 0 stand for any; a network with the length of its
// prefix; octets with alternatives in braces, 192.0.2.{1,2}; a name of
// /etc/networks; the name of a host or, with a dot before it, of a domain.
//
// doubt is what is odd about a word that can be read.
func (e *etc) readSource(w word) (s Source, doubt string, _ *fault) {
	s = Source{Text: w.text, Pos: w.pos}
	text := w.text
	host, bits, isNet := strings.Cut(text, "/")
	switch {
	case strings.Contains(text, "{"):
		prefixes, ok := factored(text)
		if !ok {
			return s, "", faultf(addressHint, "%q is not an address", text).atWord(w)
		}
		s.Prefixes = prefixes
		return s, "", nil
	case strings.Contains(host, ":"):
		a, err := netip.ParseAddr(strings.Trim(host, "[]"))
		n := 128
		if isNet {
			n = prefixLength(bits, 128)
		}
		if err != nil || n < 0 {
			return s, "", faultf(addressHint, "%q is not an address", text).atWord(w)
		}
		if s.Zone = a.Zone(); s.Zone != "" {
			if !a.IsLinkLocalUnicast() || isNet {
				return s, "", faultf("write an address as fe80::5%eth0, or leave the zone out", "%q has a zone, and is no single link-local address", text).atWord(w)
			}
			a = a.WithZone("")
		}
		if a == netip.IPv6Unspecified() && !isNet {
			doubt = ":: is one address, which no client has; write ::/0 for all"
		}
		s.Prefixes = []netip.Prefix{netip.PrefixFrom(a, n).Masked()}
		return s, doubt, nil
	}
	if a, parts, ok := netdb.ParseAton(host); ok {
		if parts != 4 && a != netip.IPv4Unspecified() || strings.HasPrefix(host, "0") && len(host) > 1 && host[1] != '.' {
			doubt = host + " is " + a.String() + " (inet_aton(3)); write the address in full"
		}
		if !isNet {
			s.Prefixes = []netip.Prefix{netip.PrefixFrom(a, netdb.WildcardBits(a))}
			return s, doubt, nil
		}
		n := prefixLength(bits, 32)
		if n < 0 {
			return s, "", faultf("write a length from 0 to 32", "%q is not the length of a prefix", bits).atWord(w)
		}
		s.Prefixes = []netip.Prefix{netip.PrefixFrom(a, n).Masked()}
		return s, doubt, nil
	}
	if isNet || !hostName(text) {
		return s, "", faultf(addressHint, "%q is neither an address nor a name", text).atWord(w)
	}
	if network, ok := e.network(text); ok {
		s.Prefixes = []netip.Prefix{network}
		return s, "", nil
	}
	s.Name = strings.ToLower(text)
	return s, "", nil
}

func prefixLength(text string, most int) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > most {
		return -1
	}
	return n
}

// factored reads "192.0.{2,3}": the braces stand last, and what is not
// written is any.
func factored(text string) ([]netip.Prefix, bool) {
	head, list, _ := strings.Cut(text, "{")
	list, tail, closed := strings.Cut(list, "}")
	if !closed || tail != "" || list == "" {
		return nil, false
	}
	var octets [4]byte
	n := 0
	for _, part := range strings.Split(strings.TrimSuffix(head, "."), ".") {
		if head == "" {
			break
		}
		v, err := strconv.ParseUint(part, 10, 8)
		if err != nil || n == 3 || !strings.HasSuffix(head, ".") {
			return nil, false
		}
		octets[n] = byte(v)
		n++
	}
	var prefixes []netip.Prefix
	for _, one := range strings.Split(list, ",") {
		v, err := strconv.ParseUint(strings.TrimSpace(one), 10, 8)
		if err != nil {
			return nil, false
		}
		octets[n] = byte(v)
		prefixes = append(prefixes, netip.PrefixFrom(netip.AddrFrom4(octets), 8*(n+1)))
	}
	return prefixes, true
}

// hostName reports whether a word can be the name of a host or a domain. One
// without a letter in its last part is an address that went wrong.
func hostName(text string) bool {
	last := strings.TrimSuffix(text, ".")
	last = last[strings.LastIndexByte(last, '.')+1:]
	return strings.ContainsFunc(last, isLetter) && len(text) <= 254 && strings.Trim(text, ".") != "" && !strings.Contains(text, "..") &&
		!strings.ContainsFunc(text, func(c rune) bool {
			return !isLetter(c) && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.'
		})
}

// setSources reads an address list.
func setSources(field func(*Service) *[]Source) func(*builder, []word) *fault {
	return func(b *builder, v []word) *fault {
		sources := make([]Source, len(v))
		for i, w := range v {
			s, doubt, invalid := b.etc.readSource(w)
			if invalid != nil {
				return invalid
			}
			if doubt != "" {
				b.warn(w.pos, "correct it if something else is meant", "%s", doubt)
			}
			sources[i] = s
		}
		*field(b.s) = sources
		return nil
	}
}

func getSources(field func(*Service) []Source) func(*Service) []string {
	return func(s *Service) []string {
		sources := field(s)
		if sources == nil {
			return nil
		}
		list := make([]string, len(sources))
		for i := range sources {
			list[i] = sources[i].Text
		}
		return list
	}
}

// matchesAll reports whether a list contains every address of a family.
func matchesAll(sources []Source) bool {
	return slices.ContainsFunc(sources, func(s Source) bool {
		return slices.ContainsFunc(s.Prefixes, func(p netip.Prefix) bool { return p.Bits() == 0 })
	})
}

// warnShadowed warns of addresses that only_from admits and no_access refuses:
// no_access wins, whatever xinetd's manual says of the better match.
func (b *builder) warnShadowed() {
	byBits := map[int]map[netip.Addr]*Source{}
	for i, n := range b.s.NoAccess {
		for _, p := range n.Prefixes {
			if byBits[p.Bits()] == nil {
				byBits[p.Bits()] = map[netip.Addr]*Source{}
			}
			byBits[p.Bits()][p.Addr()] = &b.s.NoAccess[i]
		}
	}
	for _, o := range b.s.OnlyFrom {
		for _, n := range b.s.NoAccess {
			if o.Name != "" && (o.Name == n.Name || strings.HasPrefix(n.Name, ".") && strings.HasSuffix(o.Name, n.Name)) {
				b.warn(o.Pos, "correct one of them", "only_from %s lies inside no_access %s, which wins", o.Text, n.Text)
			}
		}
		for _, p := range o.Prefixes {
			for bits, nets := range byBits {
				if bits > p.Bits() {
					continue
				}
				if whole, err := p.Addr().Prefix(bits); err == nil && nets[whole.Addr()] != nil {
					b.warn(o.Pos, "correct one of them", "only_from %s lies inside no_access %s, which wins", o.Text, nets[whole.Addr()].Text)
				}
			}
		}
	}
}
