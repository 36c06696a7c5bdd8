package inetd

import (
	"golang.org/x/sys/unix"

	"goinetd/inetd/socket"
)

// An inheritance is a socket that systemd opened for us. It is kept while no
// service wants it, because we could not get it back.
type inheritance struct {
	*socket.Inherited
	listener *listener // that uses it; nil: none
	dead     bool      // closed: no service wanted it at start
}

func (in *inheritance) close() {
	unix.Close(in.FD)
	in.dead = true
}

// suits tells whether a socket is of a family that a service is to be on.
func (in *inheritance) suits(places []place) bool {
	is4 := in.Address.Addr.Addr().Is4()
	for _, p := range places {
		if p.Network == "unix" || p.Addr.Addr().Is4() == is4 || in.Dual {
			return true
		}
	}
	return false
}

// placed gives the places of a definition with systemd's sockets in them:
// those that bear the service's name (FileDescriptorName=), and else those
// that are bound where the service listens. s.mu is held.
//
// missing are the names of those that the definition wants and nobody handed
// over.
func (s *Server) placed(d *definition) (list []place, missing []string) {
	for _, p := range d.places {
		if p.Network != "systemd" {
			continue
		}
		found := false
		for _, in := range s.inherited {
			if !in.dead && in.Name == p.Name && in.Address.Type == d.kind {
				list = append(list, place{Address: in.Address, inherited: in})
				found = true
			}
		}
		if !found {
			missing = append(missing, p.Name)
		}
	}
	if list != nil || missing != nil {
		return append(list, s.bound(d)...), missing
	}
	var named []place
	for _, in := range s.inherited {
		if !in.dead && in.Name == d.name && in.Address.Type == d.kind && len(d.places) > 0 &&
			in.Address.Network == d.places[0].Network && in.suits(d.places) {
			named = append(named, place{Address: in.Address, mapped: d.places[0].mapped, inherited: in})
		}
	}
	if named != nil {
		return named, nil
	}
	return s.bound(d), nil
}

// bound gives the places of a definition that have addresses.
func (s *Server) bound(d *definition) (list []place) {
	for _, p := range d.places {
		if p.Network == "systemd" {
			continue
		}
		for _, in := range s.inherited {
			if !in.dead && in.Fits(p.Address) {
				p.Address, p.inherited = in.Address, in
				break
			}
		}
		twice := false
		for _, q := range list {
			twice = twice || p.inherited != nil && q.inherited == p.inherited // one socket for both families
		}
		if !twice {
			list = append(list, p)
		}
	}
	return list
}
