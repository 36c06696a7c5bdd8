package admit

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"goinetd/config"
)

// A List is an address list prepared for look-ups. A look-up costs one map
// access for each length of prefix in the list, however long the list is. It
// does not change.
type List struct {
	four, six []level // the longest prefixes first
	names     []rule
}

type level struct {
	bits int
	of   map[netip.Addr]rule // the first address of each prefix, with its zone where one is written
}

// A rule is an entry as the log has it.
type rule struct {
	text string
	at   string
}

// NewList returns a list. IPv6 prefixes that contain ::ffff:0:0/96, such as
// ::/0, also match IPv4 clients: to xinetd those are IPv6 clients, and such
// lists were written for it. For a service on IPv4 alone they do not, as in
// xinetd.
func NewList(sources []config.Source, ipv4only bool) *List {
	l := &List{}
	for _, s := range sources {
		r := rule{strings.Clone(s.Text), s.Pos.String()}
		for _, p := range s.Prefixes {
			if p.Addr().Is4() {
				insert(&l.four, p, p.Addr(), r)
				continue
			}
			insert(&l.six, p, p.Addr().WithZone(s.Zone), r)
			mapped := netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff})
			switch {
			case ipv4only:
			case p.Bits() <= 96 && p.Contains(mapped):
				insert(&l.four, netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.IPv4Unspecified(), r)
			case p.Bits() > 96 && p.Addr().Is4In6():
				insert(&l.four, netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96), p.Addr().Unmap(), r)
			}
		}
		if s.Name != "" {
			l.names = append(l.names, rule{strings.Clone(s.Name), r.at})
		}
	}
	for _, levels := range [][]level{l.four, l.six} {
		slices.SortFunc(levels, func(a, b level) int { return cmp.Compare(b.bits, a.bits) })
	}
	return l
}

func insert(levels *[]level, p netip.Prefix, first netip.Addr, r rule) {
	i := slices.IndexFunc(*levels, func(l level) bool { return l.bits == p.Bits() })
	if i < 0 {
		i = len(*levels)
		*levels = append(*levels, level{p.Bits(), map[netip.Addr]rule{}})
	}
	if _, twice := (*levels)[i].of[first]; !twice {
		(*levels)[i].of[first] = r
	}
}

// byAddress finds the entry that an address is in.
func (l *List) byAddress(a netip.Addr) (rule, bool) {
	levels := l.four
	if !a.Is4() {
		levels = l.six
	}
	for i := range levels {
		if a.Zone() != "" && levels[i].bits == 128 {
			if r, ok := levels[i].of[a]; ok {
				return r, true
			}
		}
		p, _ := a.Prefix(levels[i].bits) // without a zone
		if r, ok := levels[i].of[p.Addr()]; ok {
			return r, true
		}
	}
	return rule{}, false
}

// byName finds the entry that one of a host's names is in.
func (l *List) byName(names []string) (rule, bool) {
	for _, r := range l.names {
		for _, name := range names {
			if name == r.text || r.text[0] == '.' && strings.HasSuffix(name, r.text) && len(name) > len(r.text) {
				return r, true
			}
		}
	}
	return rule{}, false
}

// Access is who may come to a service, by only_from and no_access. The zero
// value lets in everybody.
type Access struct {
	OnlyFrom *List // nil: everybody
	NoAccess *List // nil: nobody is kept out
	at       string
}

// NewAccess makes the access of a service. list makes, or finds, a List.
func NewAccess(s *config.Service, list func([]config.Source) *List) Access {
	var a Access
	if s.OnlyFrom != nil {
		a.OnlyFrom, a.at = list(s.OnlyFrom), s.PosOf("only_from").String()
	}
	if len(s.NoAccess) > 0 {
		a.NoAccess = list(s.NoAccess)
	}
	return a
}

// HasNames reports whether a list contains host names, so that a client's may
// have to be looked up.
func (a *Access) HasNames() bool {
	return a.OnlyFrom != nil && a.OnlyFrom.names != nil || a.NoAccess != nil && a.NoAccess.names != nil
}

// AdmitsAll reports whether the lists keep nobody out, whatever the address.
func (a *Access) AdmitsAll() bool {
	return a.NoAccess == nil && (a.OnlyFrom == nil || hasAll(a.OnlyFrom.four) && hasAll(a.OnlyFrom.six))
}

func hasAll(levels []level) bool {
	return slices.ContainsFunc(levels, func(l level) bool { return l.bits == 0 })
}

// A Result is what address lists say of a client.
type Result struct {
	Refused  bool
	NeedName bool   // it depends on the client's name
	Rule     string // why: "no_access 192.0.2.0/24, xinetd.d/tftp:9"
}

// Check says whether a client may come. A client that both lists have is
// refused, as by xinetd's program, whatever its manual says. host is what
// name services say of it, nil if they have not been asked.
//
// A name lets somebody in only if it leads back to the address, because
// whoever has an address can give it any name; it keeps somebody out
// either way, and so does a name service that does not answer.
func (a *Access) Check(from netip.Addr, host *Host) Result {
	if !from.IsValid() {
		return Result{}
	}
	if no := a.NoAccess; no != nil {
		if r, in := no.byAddress(from); in {
			return refused("no_access", r)
		}
		if no.names != nil && host == nil {
			if only := a.OnlyFrom; only != nil && only.names == nil {
				if _, in := only.byAddress(from); !in { // whatever its name is
					return Result{Refused: true, Rule: "only_from, " + a.at}
				}
			}
			return Result{NeedName: true}
		}
		if no.names != nil {
			if r, in := no.byName(host.Claimed); in {
				return refused("no_access", r)
			}
			if host.Failed {
				return refused("no_access", rule{no.names[0].text + " (no answer from the name service)", no.names[0].at})
			}
		}
	}
	only := a.OnlyFrom
	if only == nil {
		return Result{}
	}
	if _, in := only.byAddress(from); in {
		return Result{}
	}
	if only.names != nil {
		if host == nil {
			return Result{NeedName: true}
		}
		if _, in := only.byName(host.Confirmed); in {
			return Result{}
		}
	}
	return Result{Refused: true, Rule: "only_from, " + a.at}
}

func refused(list string, r rule) Result {
	return Result{Refused: true, Rule: list + " " + r.text + ", " + r.at}
}
