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
func (s *Server) placed(d *definition) []place {
	var named []place
	for _, in := range s.inherited {
		if !in.dead && in.Name == d.name && in.Address.Type == d.kind && len(d.places) > 0 &&
			in.Address.Network == d.places[0].Network && in.suits(d.places) {
			named = append(named, place{Address: in.Address, mapped: d.places[0].mapped, inherited: in})
		}
	}
	if named != nil {
		return named
	}
	var list []place
	for _, p := range d.places {
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
