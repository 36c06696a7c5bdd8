package admit

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A Host is what name services say of an address.
type Host struct {
	Claimed   []string // names that the address is said to have, in lower case, without a dot at the end
	Confirmed []string // those of them that have the address, too
	Failed    bool     // there was no answer, rather than the answer that there is no name
}

// lookupLimit is how long the name services may take over one client.
const lookupLimit = 10 * time.Second

// maxNames is how many names of one address are looked at.
const maxNames = 8

// LookupHost asks the name services for the names of an address. It can take
// seconds.
func LookupHost(a netip.Addr) *Host {
	ctx, cancel := context.WithTimeout(context.Background(), lookupLimit)
	defer cancel()
	h := &Host{}
	a = a.WithZone("")
	names, err := net.DefaultResolver.LookupAddr(ctx, a.String())
	if err != nil {
		h.Failed = !notFound(err)
		return h
	}
	for _, name := range names[:min(len(names), maxNames)] {
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		if _, err := netip.ParseAddr(name); err == nil || name == "" {
			continue // a "name" that reads as an address would match rules for that
		}
		h.Claimed = append(h.Claimed, name)
		reverse, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		if err != nil && !notFound(err) {
			h.Failed = true
		}
		if slices.ContainsFunc(reverse, func(b netip.Addr) bool { return b.Unmap().WithZone("") == a }) {
			h.Confirmed = append(h.Confirmed, name)
		}
	}
	return h
}

func notFound(err error) bool {
	var wrong *net.DNSError
	return errors.As(err, &wrong) && wrong.IsNotFound
}
