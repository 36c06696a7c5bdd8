package config

import (
	"net/netip"
	"slices"
	"strings"
)

// maxUnitPrefixes bounds the list of one unit.
const maxUnitPrefixes = 4096

// addresses returns only_from and no_access as IPAddressDeny= and
// IPAddressAllow= of systemd.resource-control(5). There, what is allowed wins
// over what is denied, so no_access is taken out of only_from here. What these
// cannot say lets nobody in.
func (u *unitWriter) addresses() (lines []string) {
	s := u.s
	if s.OnlyFrom == nil && len(s.NoAccess) == 0 {
		return nil
	}
	closed := []string{"IPAddressDeny=any"}
	no := u.prefixes(s.NoAccess)
	for _, src := range s.NoAccess {
		if src.Name != "" {
			u.lostAt(src.Pos, "no_access = "+src.Text+": systemd looks no names up, and the unit refuses everybody")
			return closed
		}
	}
	if s.OnlyFrom == nil {
		return []string{"IPAddressDeny=" + prefixText(no)}
	}
	for _, src := range s.OnlyFrom {
		if src.Name != "" {
			u.lostAt(src.Pos, "only_from = "+src.Text+": systemd looks no names up, and the unit refuses it")
		}
	}
	yes := u.prefixes(s.OnlyFrom)
	for _, p := range no {
		if yes = without(yes, p); len(yes) > maxUnitPrefixes {
			u.lost("no_access", "no_access beside only_from: too many networks, and the unit refuses everybody")
			return closed
		}
	}
	if len(yes) == 0 {
		return closed
	}
	return append(closed, "IPAddressAllow="+prefixText(yes))
}

// prefixes returns the networks of a list. As in inetd, an IPv6 network that
// contains the IPv4-mapped addresses has IPv4 clients in it, but for a service
// on IPv4 alone.
func (u *unitWriter) prefixes(sources []Source) (list []netip.Prefix) {
	six := slices.ContainsFunc(u.s.Listen, func(l Listen) bool { return l.Network != "unix" && l.Family != IPv4 })
	mapped := netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff})
	for _, src := range sources {
		for _, p := range src.Prefixes {
			list = append(list, p)
			switch {
			case p.Addr().Is4() || !six:
			case p.Bits() <= 96 && p.Contains(mapped):
				list = append(list, netip.PrefixFrom(netip.IPv4Unspecified(), 0))
			case p.Bits() > 96 && p.Addr().Is4In6():
				list = append(list, netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96))
			}
		}
	}
	return list
}

// without returns networks without the addresses of another one.
func without(list []netip.Prefix, not netip.Prefix) (remaining []netip.Prefix) {
	for _, p := range list {
		switch {
		case !p.Overlaps(not):
			remaining = append(remaining, p)
		case p.Bits() < not.Bits(): // its halves, but for the one that has the other network
			for bits := p.Bits() + 1; bits <= not.Bits(); bits++ {
				remaining = append(remaining, otherHalf(not.Addr(), bits))
			}
		}
	}
	return remaining
}

// otherHalf returns the network that differs from an address's network of so
// many bits in the last of these.
func otherHalf(a netip.Addr, bits int) netip.Prefix {
	b := a.AsSlice()
	b[(bits-1)/8] ^= 0x80 >> ((bits - 1) % 8)
	other, _ := netip.AddrFromSlice(b)
	return netip.PrefixFrom(other, bits).Masked()
}

func prefixText(list []netip.Prefix) string {
	words := make([]string, len(list))
	for i, p := range list {
		words[i] = p.String()
	}
	return strings.Join(words, " ")
}
