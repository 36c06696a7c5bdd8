package config

import (
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// A Source is one word of only_from or no_access: addresses, or a name.
type Source struct {
	Text     string
	At       Place
	Prefixes []netip.Prefix // none for a name
	Name     string         // of a host, or of a domain, with a dot before it
}

// readSource reads a word in the forms of xinetd.conf(5): an address, whose
// trailing octets of 0 stand for any; a network with the length of its
// prefix; octets with alternatives in braces, 192.0.2.{1,2}; a name of
// /etc/networks; the name of a host or, with a dot before it, of a domain.
//
// doubt is what is odd about a word that can be read.
func (e *etc) readSource(w word) (s Source, doubt string, _ *bad) {
	s = Source{Text: w.text, At: w.at}
	text := w.text
	host, bits, isNet := strings.Cut(text, "/")
	switch {
	case strings.Contains(text, "{"):
		prefixes, ok := factored(text)
		if !ok {
			return s, "", badf(addressHint, "%q is not an address", text).about(w)
		}
		s.Prefixes = prefixes
		return s, "", nil
	case strings.Contains(host, ":"):
		a, err := netip.ParseAddr(strings.Trim(host, "[]"))
		n := 128
		if isNet {
			n = prefixLength(bits, 128)
		}
		if err != nil || n < 0 || a.Zone() != "" {
			return s, "", badf(addressHint, "%q is not an address", text).about(w)
		}
		if a == netip.IPv6Unspecified() && !isNet {
			doubt = ":: is one address, which no client has; write ::/0 for all"
		}
		s.Prefixes = []netip.Prefix{netip.PrefixFrom(a, n).Masked()}
		return s, doubt, nil
	}
	if a, parts, ok := inetAton(host); ok {
		if parts != 4 && a != netip.IPv4Unspecified() || strings.HasPrefix(host, "0") && len(host) > 1 && host[1] != '.' {
			doubt = host + " is " + a.String() + " (inet_aton(3)); write the address in full"
		}
		if !isNet {
			s.Prefixes = []netip.Prefix{netip.PrefixFrom(a, wildcardBits(a))}
			return s, doubt, nil
		}
		n := prefixLength(bits, 32)
		if n < 0 {
			return s, "", badf("write a length from 0 to 32", "%q is not the length of a prefix", bits).about(w)
		}
		s.Prefixes = []netip.Prefix{netip.PrefixFrom(a, n).Masked()}
		return s, doubt, nil
	}
	if isNet || !hostName(text) {
		return s, "", badf(addressHint, "%q is neither an address nor a name", text).about(w)
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

// wildcardBits is how much of an address counts: its octets up to the last
// that is not 0.
func wildcardBits(a netip.Addr) int {
	octets := a.As4()
	n := 4
	for n > 0 && octets[n-1] == 0 {
		n--
	}
	return 8 * n
}

// inetAton reads an IPv4 address in the forms of inet_aton(3): fewer than
// four parts, the last of which fills the rest, in decimal, octal or
// hexadecimal.
func inetAton(text string) (_ netip.Addr, parts int, ok bool) {
	words := strings.Split(text, ".")
	if len(words) > 4 {
		return netip.Addr{}, 0, false
	}
	var n uint64
	for i, w := range words {
		if w == "" || w[0] < '0' || w[0] > '9' || strings.Contains(w, "_") {
			return netip.Addr{}, 0, false
		}
		base := 10
		if len(w) > 1 && w[0] == '0' {
			base, w = 8, w[1:]
			if w[0]|0x20 == 'x' {
				base, w = 16, w[1:]
			}
		}
		v, err := strconv.ParseUint(w, base, 32)
		width := 8
		if i == len(words)-1 {
			width = 8 * (5 - len(words))
		}
		if err != nil || v >= 1<<width {
			return netip.Addr{}, 0, false
		}
		n = n<<width | v
	}
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), len(words), true
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

// hostName tells whether a word can be the name of a host or a domain. One
// without a letter in its last part is an address that went wrong.
func hostName(text string) bool {
	last := strings.TrimSuffix(text, ".")
	last = last[strings.LastIndexByte(last, '.')+1:]
	return strings.ContainsFunc(last, isLetter) && len(text) <= 254 && strings.Trim(text, ".") != "" && !strings.Contains(text, "..") &&
		!strings.ContainsFunc(text, func(c rune) bool {
			return !isLetter(c) && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.'
		})
}

// network looks a name up in /etc/networks. A host of the same name comes
// first, as in xinetd.
func (e *etc) network(name string) (netip.Prefix, bool) {
	if e.networks == nil {
		e.readNetworks()
	}
	network, ok := e.networks[strings.ToLower(name)]
	return network, ok
}

// readNetworks reads networks(5). A network is as long as its class makes it,
// or as its octets do.
func (e *etc) readNetworks() {
	e.networks = map[string]netip.Prefix{}
	database(e.networksFile, func(name string, fields []string) {
		a, parts, ok := inetAton(fields[1])
		if !ok {
			return
		}
		if parts < 4 { // 127 is 127.0.0.0 here
			octets := [4]byte{}
			for i, part := range strings.Split(fields[1], ".") {
				v, err := strconv.ParseUint(part, 10, 8)
				if err != nil {
					return
				}
				octets[i] = byte(v)
			}
			a = netip.AddrFrom4(octets)
		}
		e.networks[strings.ToLower(name)] = netip.PrefixFrom(a, wildcardBits(a))
	})
	hosts, err := os.ReadFile(e.hostsFile)
	if err != nil {
		return
	}
	for line := range strings.Lines(string(hosts)) {
		line, _, _ = strings.Cut(line, "#")
		for _, name := range strings.Fields(line) {
			delete(e.networks, strings.ToLower(name))
		}
	}
}

// setSources reads an address list.
func setSources(field func(*Service) *[]Source) func(*builder, []word) *bad {
	return func(b *builder, v []word) *bad {
		sources := make([]Source, len(v))
		for i, w := range v {
			s, doubt, bad := b.etc.readSource(w)
			if bad != nil {
				return bad
			}
			if doubt != "" {
				b.warn(w.at, "correct it if that is not what was meant", "%s", doubt)
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

// everybody tells whether a list leaves nobody out.
func everybody(sources []Source) bool {
	return slices.ContainsFunc(sources, func(s Source) bool {
		return slices.ContainsFunc(s.Prefixes, func(p netip.Prefix) bool { return p.Bits() == 0 })
	})
}

// shadowed warns of what only_from lets in and no_access keeps out: no_access
// wins, whatever xinetd's manual says of the better match.
func (b *builder) shadowed() {
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
				b.warn(o.At, "remove one of them", "only_from %s lies inside no_access %s, which wins", o.Text, n.Text)
			}
		}
		for _, p := range o.Prefixes {
			for bits, nets := range byBits {
				if bits > p.Bits() {
					continue
				}
				if whole, err := p.Addr().Prefix(bits); err == nil && nets[whole.Addr()] != nil {
					b.warn(o.At, "remove one of them", "only_from %s lies inside no_access %s, which wins", o.Text, nets[whole.Addr()].Text)
				}
			}
		}
	}
}
