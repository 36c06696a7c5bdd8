package rpcbind

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// register removes what is not wanted any more, and registers what is not
// registered.
func (r *Registrar) register(wanted []Registration) error {
	list, err := r.conn.dump()
	if err != nil {
		return err
	}
	there := map[key]entry{}
	for _, e := range list {
		k := key{e.program, e.version, e.netID}
		there[k] = e
		if i := slices.IndexFunc(r.before, func(p Program) bool {
			return p.Number == e.program && p.NetID == e.netID && universal(p.Addr) == e.address
		}); i >= 0 {
			r.ours[k] = Registration{Program: e.program, Version: e.version, NetID: e.netID, Addr: r.before[i].Addr}
		}
	}
	r.before = nil
	want := map[key]Registration{}
	for _, one := range slices.Backward(wanted) {
		want[one.key()] = one
	}
	if err := r.unregister(want, there); err != nil {
		return err
	}
	var added []Registration
	var denied denials
	owner := sync.OnceValue(r.o.Owners) // one walk through /proc, if there is a question
	for _, one := range wanted {
		k := one.key()
		if want[k] != one {
			continue // rpcbind has one address for each
		}
		why, advice := "", ""
		if e, taken := there[k]; taken && e.address == universal(one.Addr) {
			r.ours[k] = one
		} else if why, advice, err = r.claim(one, e, taken, owner); err != nil {
			return err
		} else if why == "" {
			added = append(added, one)
		}
		if why == "" {
			delete(r.held, k)
		} else if r.held[k] != why {
			r.held[k] = why
			denied.add(one, why, advice)
		}
	}
	for k := range r.held {
		if _, wanted := want[k]; !wanted {
			delete(r.held, k)
		}
	}
	for _, one := range denied {
		r.o.Warn("%s", one)
	}
	if len(added) > 0 {
		r.o.Notice("registered with rpcbind: %s", strings.Join(names(added), ", "))
	}
	return nil
}

// unregister removes what we have registered and is not wanted any more, as far
// as nobody else has registered it since.
func (r *Registrar) unregister(want map[key]Registration, there map[key]entry) error {
	for k, one := range r.ours {
		if want[k].Addr == one.Addr {
			continue
		}
		if e, ok := there[k]; ok && e.address == universal(one.Addr) {
			if _, err := r.conn.unset(e); err != nil {
				return err
			}
			delete(there, k)
		}
		delete(r.ours, k)
	}
	return nil
}

// claim registers what is not registered, or what somebody else has registered
// who has ended since. why is why it cannot be.
func (r *Registrar) claim(one Registration, e entry, taken bool, owner func() Owner) (why, advice string, err error) {
	if taken {
		if at, ok := parseUniversal(e.address); ok {
			if desc, advice, alive := owner()(strings.TrimSuffix(e.netID, "6"), at); alive {
				return fmt.Sprintf("registered already at %s by %s: clients go there", at, desc), advice, nil
			}
		}
		removed, err := r.conn.unset(e)
		if err != nil {
			return "", "", err
		}
		if !removed {
			return fmt.Sprintf("registered already at %q by the user %q, whose registration rpcbind does not let us remove", e.address, e.owner),
				fmt.Sprintf("rpcinfo -d %d VERSION removes one", e.program), nil
		}
	}
	r.ours[one.key()] = one // although the answer may be lost
	ok, err := r.conn.set(one.entry())
	if err == nil && !ok {
		delete(r.ours, one.key())
		why = fmt.Sprintf("refused by rpcbind at %s", one.Addr)
	}
	return why, "", err
}

// denials are registrations that cannot be made. Those of several versions are
// reported together.
type denials []*denial

type denial struct {
	Registration
	why, advice string
	versions    []string
}

func (l *denials) add(one Registration, why, advice string) {
	for _, r := range *l {
		if r.Program == one.Program && r.NetID == one.NetID && r.why == why {
			r.versions = append(r.versions, fmt.Sprint(one.Version))
			return
		}
	}
	*l = append(*l, &denial{one, why, advice, []string{fmt.Sprint(one.Version)}})
}

func (r *denial) String() string {
	hint := "tried again every half minute"
	if r.advice != "" {
		hint = r.advice + "; " + hint
	}
	return fmt.Sprintf("%s: RPC program %d version %s (%s) is %s (%s)", r.Service, r.Program, strings.Join(r.versions, ", "), r.NetID, r.why, hint)
}
