package config

import (
	"net/netip"
	"strings"

	"goinetd/config/netdb"
)

// An etc is what the readers look up: the host's databases, and the services
// that inetd serves itself.
type etc struct {
	services     netdb.Services
	builtins     builtins
	networks     map[string]netip.Prefix // nil: not read yet
	networksFile string
	hostsFile    string
}

func readEtc(o Options) *etc {
	path := o.Services
	if path == "" {
		path = "/etc/services"
	}
	return &etc{services: netdb.ReadServices(path), builtins: o.Builtins, networksFile: "/etc/networks", hostsFile: "/etc/hosts"}
}

// port looks a service up by name or number. A builtin has its port whether
// /etc/services has it or not.
func (e *etc) port(name, protocol string) (int, bool) {
	if n, ok := e.services.Port(name, protocol); ok || n != 0 {
		return n, ok
	}
	if b := e.builtins.find(name); b != nil {
		return b.Port, true
	}
	return 0, false
}

// network looks a name up in /etc/networks. A host of the same name wins, as
// in xinetd.
func (e *etc) network(name string) (netip.Prefix, bool) {
	if e.networks == nil {
		e.networks = netdb.ReadNetworks(e.networksFile, e.hostsFile)
	}
	network, ok := e.networks[strings.ToLower(name)]
	return network, ok
}
