package config

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"goinetd/config/netdb"
)

// This file makes of the settings that mean something only together what a
// service is: where it is reached, who serves it, and what cannot be
// enforced.

// resolve turns the gathered settings into a service.
func (b *builder) resolve() *fault {
	for _, step := range []func() *fault{b.resolveFlags, b.resolveType, b.resolveListen, b.resolveProgram, b.resolveAccess} {
		if invalid := step(); invalid != nil {
			return invalid
		}
	}
	return nil
}

func (b *builder) resolveFlags() *fault {
	s, f := b.s, b.raw.flags
	switch {
	case f["intercept"]:
		return faultf("protect the service by a firewall, and remove the flag", "INTERCEPT is not supported, and without it datagrams would go unchecked").inSetting("flags")
	case f["labeled"]:
		return faultf("confine the program by the policy of SELinux, and remove the flag", "LABELED is not supported, and without it the program would run in another SELinux context").inSetting("flags")
	}
	s.NoRetry, s.IDOnly, s.Sensor, s.NoDelay, s.KeepAlive = f["noretry"], f["idonly"], f["sensor"], f["nodelay"], f["keepalive"]
	return nil
}

// resolveType sets the socket type, the protocol, and the builtin.
func (b *builder) resolveType() *fault {
	s, l := b.s, &b.raw
	mux := l.types["tcpmux"] || l.types["tcpmuxplus"]
	known := map[string]SocketType{"tcp": Stream, "udp": Dgram}
	switch {
	case l.protocol == "" && s.SocketType == "" && len(l.listen) == 0 && !mux:
		return faultf("write socket_type = stream, or dgram", "neither socket_type nor protocol is set").inSetting("socket_type")
	case l.protocol == "" && s.SocketType == Dgram:
		l.protocol = "udp"
	case l.protocol == "" && (s.SocketType == Stream || mux):
		l.protocol = "tcp"
	case s.SocketType == "" && known[l.protocol] != "":
		s.SocketType = known[l.protocol]
	}
	if mux {
		s.SocketType = Stream
	}
	if want := known[l.protocol]; want != "" && s.SocketType != want && len(l.listen) == 0 {
		return faultf("correct one of them", "protocol %s is %s, not %s", l.protocol, want, s.SocketType).inSetting("protocol")
	}
	if b.dialect == Xinetd && !l.waitSet {
		return faultf("write wait = yes or wait = no", "wait is not set").inSetting("wait")
	}
	return b.resolveBuiltin()
}

// resolveBuiltin sets which builtin serves, if one does.
func (b *builder) resolveBuiltin() *fault {
	s, l := b.s, &b.raw
	if l.builtin != "" || l.types["internal"] {
		name := l.builtin
		if name == "" {
			name = s.Name
		}
		if s.Internal = b.etc.builtins.nameOf(name); s.Internal == "" && !s.Sensor {
			return faultf(b.etc.builtins.hint()+" (xinetd has dropped servers, services and xadmin)", "there is no internal service %q", name).inSetting("type")
		}
	}
	if s.Sensor {
		s.Internal = "discard" // never served: every client is refused
		if s.Wait && s.SocketType == Stream {
			return faultf("write wait = no", "a sensor that does not accept sees no clients").inSetting("wait")
		}
	}
	if s.Internal != "" {
		s.Wait = false
	}
	return nil
}

// resolveListen sets where the service is reached.
func (b *builder) resolveListen() *fault {
	s, l := b.s, &b.raw
	if l.types["tcpmux"] || l.types["tcpmuxplus"] {
		if s.SocketType != Stream || s.Wait || s.Internal != "" || len(l.listen) > 0 || l.types["rpc"] {
			return faultf("correct it", "a tcpmux service is a program, stream, with wait = no").inSetting("type")
		}
		// inetd.conf's "tcpmux/+name" is a name, too.
		s.Mux = strings.TrimPrefix(strings.TrimPrefix(s.Name, "tcpmux/"), "+")
		s.MuxPlus = l.types["tcpmuxplus"]
		if invalid := muxName(s.Mux); invalid != nil {
			return invalid.inSetting("type")
		}
		return nil
	}
	if len(l.listen) > 0 {
		if invalid := b.resolveListenList(); invalid != nil {
			return invalid
		}
	} else {
		at, invalid := b.resolveAddress()
		if invalid != nil {
			return invalid
		}
		s.Listen = []Listen{at}
	}
	return b.resolveRPC()
}

// resolveAddress returns the listener that port, bind, v6only and the flags
// IPv4 and IPv6 describe.
func (b *builder) resolveAddress() (at Listen, _ *fault) {
	s, l := b.s, &b.raw
	at = Listen{Network: l.protocol, Host: l.bind}
	four, six := l.flags["ipv4"], l.flags["ipv6"]
	switch {
	case l.v6only && four && !six && b.isWritten(attributes.find("v6only")):
		return at, faultf("correct one of them", "v6only = yes does not go with the flag IPv4").inSetting("v6only")
	case four && !six:
		at.Family = IPv4
	case l.v6only:
		at.Family = IPv6
	case six && !four && at.Host != "": // a name, as in xinetd; without one, IPv4 clients come to the IPv6 socket
		at.Family = IPv6
	}
	if a, err := netip.ParseAddr(at.Host); err == nil {
		if a == netip.IPv6Unspecified() { // with IPv4, as where there is no bind
			if four && !six && b.isWritten(attributes.find("bind")) {
				return at, faultf("correct one of them", "address %s does not go with the flag IPv4", at.Host).inSetting("bind")
			}
			if at.Host = ""; !l.v6only && !four {
				at.Family = Both
			}
		} else if invalid := literalFamily(&at); invalid != nil {
			if four != six {
				invalid.text = "address " + at.Host + " does not go with the flag " + map[bool]string{true: "IPv4", false: "IPv6"}[four]
			}
			return at, invalid.inSetting("bind")
		}
	}
	if slices.Contains(unsupported, l.protocol) && s.SocketType != Raw {
		return at, unsupportedFault(l.protocol).inSetting("protocol")
	}
	if l.protocol != "tcp" && l.protocol != "udp" {
		number, ok := netdb.Protocol(l.protocol)
		if !ok || s.SocketType != Raw {
			return at, faultf("write tcp, udp, or for a raw socket a name of /etc/protocols", "unknown protocol %q for a %s socket", l.protocol, s.SocketType).inSetting("protocol")
		}
		at.Proto = number
		return at, nil
	}
	port, invalid := b.resolvePort()
	at.Port = port
	return at, invalid
}

// resolvePort returns the port of a service over TCP or UDP. As in xinetd,
// its xinetd.conf has to say UNLISTED where /etc/services has another port or
// none.
func (b *builder) resolvePort() (int, *fault) {
	s, l := b.s, &b.raw
	if l.types["rpc"] {
		return l.port, nil
	}
	listed, ok := b.etc.port(s.Name, l.protocol)
	mustBeListed := !l.types["unlisted"] && b.dialect == Xinetd
	switch {
	case l.port == 0 && (l.types["unlisted"] || !ok):
		return 0, faultf("write port = N", "%s has no port: it is not in /etc/services, and port is not set", s.Name).inSetting("port")
	case mustBeListed && !ok:
		return 0, faultf("write type = UNLISTED", "%s over %s is not in /etc/services", s.Name, l.protocol).inSetting("port")
	case mustBeListed && l.port != 0 && l.port != listed:
		return 0, faultf("write type = UNLISTED, or the other port", "%s is port %d in /etc/services, not %d", s.Name, listed, l.port).inSetting("port")
	case l.port != 0:
		return l.port, nil
	}
	return listed, nil
}

// resolveProgram sets who serves: a program, a builtin or a redirect.
func (b *builder) resolveProgram() *fault {
	s, l := b.s, &b.raw
	if s.Instances == None { // nobody's end would let the clients of a queue in
		s.Queue = false
	}
	invalid := b.resolveServer()
	if invalid != nil {
		return invalid
	}
	if s.Server != "" {
		s.Args = append([]string{filepath.Base(s.Server)}, l.args...)
		if l.flags["nameinargs"] {
			if s.Args = l.args; len(l.args) == 0 {
				return faultf("write server_args, beginning with argv[0]", "NAMEINARGS needs server_args").inSetting("flags")
			}
		}
	}
	if !l.waitSet && s.Internal == "" {
		s.Wait = s.SocketType != Stream && s.SocketType != Seqpacket
	}
	if b.dialect == TOML && !l.cpsSet && s.Wait {
		s.CPS = loopGuard // a program that leaves its datagrams unread would be started for ever
	}
	if s.LogOnSuccess&LogTraffic != 0 && s.Redirect == "" {
		b.warn(s.PosOf("log_on_success"), "remove it", "TRAFFIC applies to redirects only")
		s.LogOnSuccess &^= LogTraffic
	}
	return nil
}

// resolveServer checks that there is exactly one of a redirect, a builtin and
// a program, over a socket that it can serve.
func (b *builder) resolveServer() *fault {
	s, l := b.s, &b.raw
	switch {
	case l.types["rpc"] && (s.Redirect != "" || s.Internal != ""):
		return faultf("write server = /path/of/the/program", "an RPC service is a program").inSetting("type")
	case s.Redirect != "":
		s.Server, l.args = "", nil
		if s.SocketType != Stream || s.Wait || l.flags["nameinargs"] || s.Internal != "" || s.Mux != "" {
			return faultf("correct it", "a redirect is stream, with wait = no").inSetting("redirect")
		}
		for _, at := range s.Listen {
			if at.Network != "tcp" && at.Network != "systemd" {
				return faultf("listen over tcp", "a redirect forwards TCP connections, and %s is not TCP", at).inSetting("redirect")
			}
		}
	case s.Internal != "":
		s.Server = ""
		builtin := b.etc.builtins.find(s.Internal)
		if builtin == nil || s.SocketType == Stream && !builtin.Stream || s.SocketType == Dgram && !builtin.Datagram || s.SocketType != Stream && s.SocketType != Dgram {
			return faultf("correct socket_type", "the internal service %s is not served over %s", s.Internal, s.SocketType).inSetting("type")
		}
	case s.Server == "":
		return faultf("write server = /path/of/the/program", "server is not set").inSetting("server")
	case s.User == "":
		return faultf("write user = name", "user is not set").inSetting("user")
	}
	return nil
}

// resolveAccess sets the daemon name for hosts_access(5), and rejects access
// settings that could not be enforced.
func (b *builder) resolveAccess() *fault {
	s, l := b.s, &b.raw
	on := b.dialect == Xinetd
	switch value, isBool := boolOf(l.libwrap); {
	case l.libwrap == "":
	case isBool:
		on = value
	default:
		s.Libwrap, on = l.libwrap, true
		if meant := b.misspelt(l.libwrap); meant != "" {
			b.warn(s.PosOf("libwrap"), "write "+meant+", or another name if rules name it so", "libwrap = %s is taken for the daemon's name in hosts.allow and hosts.deny", l.libwrap)
		}
	}
	if on && s.Libwrap == "" {
		s.Libwrap = s.daemonName()
	}
	if l.flags["nolibwrap"] {
		if l.libwrap != "" && on {
			b.warn(s.PosOf("libwrap"), "remove one of them", "the flag NOLIBWRAP wins over libwrap: hosts.allow and hosts.deny are not consulted")
		}
		s.Libwrap = ""
	}
	if s.IDOnly && (s.SocketType != Stream || s.Wait) {
		return faultf("correct them", "IDONLY wants socket_type = stream and wait = no").inSetting("flags")
	}
	b.warnShadowed()
	listed := s.OnlyFrom != nil && !matchesAll(s.OnlyFrom) || len(s.NoAccess) > 0
	if known := s.SocketType == Stream || s.SocketType == Seqpacket || s.SocketType == Dgram; listed && !known {
		return faultf("protect it by a firewall, and remove the list", "address lists cannot be enforced for a %s socket", s.SocketType).inSetting("only_from")
	}
	for _, at := range s.Listen {
		if listed && at.Network == "unix" {
			b.warn(s.PosOf("only_from"), "say who may connect by socket_user, socket_group and socket_mode", "address lists do not apply to %s", at)
		}
		if listed && at.Network == "systemd" {
			b.warn(s.PosOf("only_from"), "see that it is a socket of IPv4 or IPv6", "address lists refuse every client of %s if that is a Unix or vsock socket", at)
		}
	}
	if !s.Wait || s.SocketType == Dgram {
		return nil
	}
	// Its program accepts for itself, and nobody here sees the clients. What
	// hosts.deny says, service.Builder looks at.
	for _, c := range []struct {
		name  string
		set   bool
		clear func() // nil: it says who may come in
	}{
		{"only_from", s.OnlyFrom != nil && !matchesAll(s.OnlyFrom), nil},
		{"no_access", len(s.NoAccess) > 0, nil},
		{"per_source", s.PerSource != 0, func() { s.PerSource = 0 }},
		{"cps_per_source", s.CPSPerSource != Rate{}, func() { s.CPSPerSource = Rate{} }},
		{"per_source_per_minute", s.PerSourcePerMinute != 0, func() { s.PerSourcePerMinute = 0 }},
		{"idle_timeout", s.IdleTimeout > 0, func() { s.IdleTimeout = 0 }},
		{"session_timeout", s.SessionTimeout != 0, func() { s.SessionTimeout = 0 }},
	} {
		switch {
		case !c.set:
		case c.clear != nil && !b.isWritten(attributes.find(c.name)):
			b.warn(s.PosOf("wait"), "write wait = no if the service is to have it", "%s of the defaults (%s) has no effect on %s: the program of a wait service accepts for itself",
				c.name, s.PosOf(c.name), s.ID)
			c.clear()
		default:
			return faultf("write wait = no, or have the program check its clients and remove the setting", "%s cannot be enforced: the program of a wait service accepts for itself", c.name).inSetting(c.name)
		}
	}
	return nil
}

// misspelt returns "yes" or "no" where a daemon name looks like a word for one of
// them.
func (b *builder) misspelt(name string) string {
	if name == b.s.daemonName() || name == filepath.Base(b.s.Server) || name == b.s.Name {
		return ""
	}
	name = strings.ToLower(name)
	switch {
	case slices.Contains([]string{"1", "y", "t", "enable", "enabled"}, name):
		return "yes"
	case slices.Contains([]string{"0", "n", "f", "none", "never", "disable", "disabled"}, name):
		return "no"
	}
	switch nearest(name, []string{"yes", "true", "on", "no", "false", "off"}) {
	case "yes", "true", "on":
		return "yes"
	case "no", "false", "off":
		return "no"
	}
	return ""
}
