package inetd

import (
	"slices"

	"goinetd/config"
	"goinetd/inetd/service"
	"goinetd/inetd/socket"
)

// A socketTable has the listeners, one for each address, and the sockets that
// were there before us. It is guarded by Server.mu.
type socketTable struct {
	byKey     map[string]*listener // by socket.Address.Key
	added     uint64               // listeners so far
	slab      service.Slab[listener]
	inherited []*inherited                   // the service manager's
	retained  map[string][]*socket.Inherited // a process before us opened them, by socket.Address.Key; empty once Start is done
}

// An inherited socket was opened by the service manager. It is kept while no
// service wants it, because we could not get it back.
type inherited struct {
	*socket.Inherited
	listener *listener // that uses it; nil: none
	closed   bool      // no service wanted it at the start
}

func newSocketTable() socketTable {
	return socketTable{byKey: map[string]*listener{}, retained: map[string][]*socket.Inherited{}}
}

func (t *socketTable) addInherited(in *socket.Inherited) {
	if in.Retained() {
		key := in.Key()
		t.retained[key] = append(t.retained[key], in)
		return
	}
	t.inherited = append(t.inherited, &inherited{Inherited: in})
}

func (t *socketTable) get(key string) *listener { return t.byKey[key] }

// add adds a listener that is not open yet.
func (t *socketTable) add(key string, a *service.Address, svc *activeService) *listener {
	t.added++
	l := &t.slab.Take(1)[0]
	*l = listener{Address: a, svc: svc, fd: -1, number: t.added}
	t.byKey[key] = l
	return l
}

// remove removes a closed listener. The service manager's socket stays open
// for another reload.
func (t *socketTable) remove(l *listener) {
	if key := l.Key(); t.byKey[key] == l {
		delete(t.byKey, key)
	}
	if l.inherited != nil && l.inherited.listener == l {
		l.inherited.listener = nil
	}
	own := *l.Address // the chunk that it lies in is not to live as long as the one of l
	l.Address = &own
}

func (t *socketTable) len() int { return len(t.byKey) }

// all returns the listeners, in no order.
func (t *socketTable) all() []*listener {
	list := make([]*listener, 0, len(t.byKey))
	for _, l := range t.byKey {
		list = append(list, l)
	}
	return list
}

// open returns every open socket, for the process after us.
func (t *socketTable) open() (list []*socket.Inherited) {
	for _, l := range t.byKey {
		if l.fd >= 0 && l.inherited == nil {
			name := ""
			if l.stored {
				name = socket.StoreName(l.inode, l.Address.Address)
			}
			list = append(list, socket.Retain(l.fd, l.Address.Address, name))
		}
	}
	for _, in := range t.inherited {
		if !in.closed {
			list = append(list, in.Inherited)
		}
	}
	return list
}

// takeRetained takes a retained socket of an address out of the table, nil
// for none.
func (t *socketTable) takeRetained(a socket.Address) *socket.Inherited {
	list := t.retained[a.Key()]
	i := slices.IndexFunc(list, (*socket.Inherited).Reachable)
	if i < 0 {
		return nil
	}
	in := list[i]
	t.retained[a.Key()] = slices.Delete(list, i, i+1)
	return in
}

// takeAllRetained takes the retained sockets that are left.
func (t *socketTable) takeAllRetained() (list []*socket.Inherited) {
	for _, sockets := range t.retained {
		list = append(list, sockets...)
	}
	clear(t.retained)
	return list
}

// A placement is an address of a service, and the service manager's socket
// for it, if there is one.
type placement struct {
	*service.Address
	in *inherited // nil: we open the socket
}

// assign returns the placements of a definition: on the service manager's
// sockets of the service's name (FileDescriptorName=), else on those that are
// bound where the service listens, else on sockets of our own. missing are
// the names of sockets that the definition asks for ("systemd:name") and
// nobody passed to us.
func (t *socketTable) assign(d *service.Definition) (list []placement, missing []string) {
	for i := range d.Addresses {
		if a := &d.Addresses[i]; a.Network == "systemd" {
			found := slices.DeleteFunc(t.named(a.Name, d.Type), func(in *inherited) bool {
				return a.RPC != (config.RPC{}) && !in.Address.Addr.IsValid() // rpcbind(8) has no name for it
			})
			if found == nil {
				missing = append(missing, a.Name)
			}
			for _, in := range found {
				list = append(list, placement{&service.Address{Address: in.serves(a)}, in})
			}
		}
	}
	if list != nil || missing != nil || len(d.Addresses) == 0 {
		return append(list, t.assignByAddress(d)...), missing
	}
	first := d.Addresses[0]
	for _, in := range t.named(d.Name, d.Type) {
		if in.Address.Network == first.Network && in.suits(d.Addresses) {
			list = append(list, placement{&service.Address{Address: in.serves(&first), MappedAsIPv6: first.MappedAsIPv6}, in})
		}
	}
	if list != nil {
		return list, nil
	}
	return t.assignByAddress(d), nil
}

// serves returns the address of the socket for a service that is to be reached
// at another one.
func (in *inherited) serves(a *service.Address) socket.Address {
	served := in.Address
	served.RPC = a.RPC
	return served
}

// named returns the service manager's sockets of a name and a type.
func (t *socketTable) named(name string, kind config.SocketType) (list []*inherited) {
	for _, in := range t.inherited {
		if !in.closed && in.Name == name && in.Address.Type == kind {
			list = append(list, in)
		}
	}
	return list
}

// suits reports whether the socket is of a family that a service is to be
// reached over.
func (in *inherited) suits(addresses []service.Address) bool {
	is4 := in.Address.Addr.Addr().Is4()
	return slices.ContainsFunc(addresses, func(a service.Address) bool {
		return a.Network == "unix" || a.Addr.Addr().Is4() == is4 || in.Dual
	})
}

// assignByAddress returns the placements of a definition by its addresses.
func (t *socketTable) assignByAddress(d *service.Definition) (list []placement) {
	for i := range d.Addresses {
		p := placement{Address: &d.Addresses[i]}
		if p.Network == "systemd" {
			continue
		}
		if j := slices.IndexFunc(t.inherited, func(in *inherited) bool { return !in.closed && in.Fits(p.Address.Address) }); j >= 0 {
			p.in = t.inherited[j]
			a := *p.Address
			a.Address = p.in.serves(p.Address)
			p.Address = &a
		}
		if p.in != nil && slices.ContainsFunc(list, func(q placement) bool { return q.in == p.in }) {
			continue // one socket for both families
		}
		list = append(list, p)
	}
	return list
}
