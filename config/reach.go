package config

import (
	"io/fs"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

// This file makes of the settings that mean something only together what a
// service is: where it is reached, who serves it, and what cannot be
// enforced.

// finish makes of what was gathered a service that can be.
func (b *builder) finish() *bad {
	for _, step := range []func() *bad{b.flags, b.kinds, b.where, b.program, b.access} {
		if bad := step(); bad != nil {
			return bad
		}
	}
	return nil
}

func (b *builder) flags() *bad {
	s, f := b.s, b.loose.flags
	switch {
	case f["intercept"]:
		return badf("remove the flag, or protect the service by a firewall", "INTERCEPT is not supported, and without it datagrams would go unchecked").of("flags")
	case f["labeled"]:
		return badf("remove the flag", "LABELED is not supported, and without it the program would run in another SELinux context").of("flags")
	}
	s.NoRetry, s.IDOnly, s.Sensor, s.NoDelay, s.KeepAlive = f["noretry"], f["idonly"], f["sensor"], f["nodelay"], f["keepalive"]
	return nil
}

// kinds settles the socket type, the protocol, and who serves.
func (b *builder) kinds() *bad {
	s, l := b.s, &b.loose
	mux := l.types["tcpmux"] || l.types["tcpmuxplus"]
	known := map[string]SocketType{"tcp": Stream, "udp": Dgram}
	switch {
	case l.protocol == "" && s.SocketType == "" && len(l.listen) == 0 && !mux:
		return badf("write socket_type = stream, or dgram", "neither socket_type nor protocol is written").of("socket_type")
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
		return badf("correct one of them", "protocol %s is %s, not %s", l.protocol, want, s.SocketType).of("protocol")
	}
	if b.dialect == Xinetd && !l.waitSet {
		return badf("write wait = yes or wait = no", "wait is not written").of("wait")
	}
	if l.builtin != "" || l.types["internal"] {
		name := l.builtin
		if name == "" {
			name = s.Name
		}
		if s.Internal = builtinName(name); s.Internal == "" && !s.Sensor {
			return badf("echo, discard, chargen, daytime, time and tcpmux are; servers, services and xadmin are gone from xinetd, too",
				"there is no internal service %q", name).of("type")
		}
	}
	if s.Sensor {
		s.Internal = "discard" // never served: whoever comes is refused
		if s.Wait && s.SocketType == Stream {
			return badf("write wait = no", "a sensor that does not accept sees nobody").of("wait")
		}
	}
	if s.Internal != "" {
		s.Wait = false
	}
	return nil
}

// where makes the listeners.
func (b *builder) where() *bad {
	s, l := b.s, &b.loose
	if l.types["tcpmux"] || l.types["tcpmuxplus"] {
		if s.SocketType != Stream || s.Wait || s.Internal != "" || len(l.listen) > 0 {
			return badf("correct it", "a tcpmux service is a program, stream, with wait = no").of("type")
		}
		// inetd.conf's "tcpmux/+name" is a name, too.
		s.Mux = strings.TrimPrefix(strings.TrimPrefix(s.Name, "tcpmux/"), "+")
		s.MuxPlus = l.types["tcpmuxplus"]
		if bad := muxName(s.Mux); bad != nil {
			return bad.of("type")
		}
		return nil
	}
	if l.types["rpc"] {
		if l.rpcTop == 0 {
			return badf("write rpc_version = N or N-M", "rpc_version is not written").of("rpc_version")
		}
		s.RPC = &RPC{Program: l.rpcNumber, Low: l.rpcLow, Top: l.rpcTop, Port: l.port}
		return badf("run rpcbind(8) and the server on its own", "RPC services are not supported yet").of("type")
	}
	if len(l.listen) > 0 {
		return b.listeners()
	}
	at, bad := b.address()
	if bad != nil {
		return bad
	}
	s.Listen = []Listen{at}
	return nil
}

// address makes the listener of port, bind, the flags IPv4 and IPv6, and
// v6only.
func (b *builder) address() (at Listen, _ *bad) {
	s, l := b.s, &b.loose
	at = Listen{Network: l.protocol, Host: l.bind}
	four, six := l.flags["ipv4"], l.flags["ipv6"]
	switch {
	case l.v6only && four && !six && b.own(attributes.find("v6only")):
		return at, badf("remove one of them", "v6only = yes does not go with the flag IPv4").of("v6only")
	case four && !six:
		at.Family = IPv4
	case l.v6only:
		at.Family = IPv6
	}
	if a, err := netip.ParseAddr(at.Host); err == nil {
		if a == netip.IPv6Unspecified() { // with IPv4, as where there is no bind
			at.Host = ""
		} else if bad := literalFamily(&at); bad != nil {
			return at, bad.of("bind")
		} else if six && !four && a.Is4() {
			return at, badf("correct one of them", "address %s does not go with the flag IPv6", at.Host).of("bind")
		}
	}
	if l.protocol != "tcp" && l.protocol != "udp" {
		number, ok := protocolNumber()(l.protocol)
		if !ok || s.SocketType != Raw {
			return at, badf("write tcp, udp, or for a raw socket a name of /etc/protocols", "unknown protocol %q for a %s socket", l.protocol, s.SocketType).of("protocol")
		}
		at.Proto = number
		return at, nil
	}
	listed, ok := b.etc.ports.port(s.Name, l.protocol)
	switch {
	case l.types["unlisted"] && l.port == 0, !ok && l.port == 0:
		return at, badf("write port = N", "%s has no port: it is not in /etc/services, and none is written", s.Name).of("port")
	case !l.types["unlisted"] && b.dialect == Xinetd && !ok:
		return at, badf("write type = UNLISTED", "%s over %s is not in /etc/services", s.Name, l.protocol).of("port")
	case !l.types["unlisted"] && b.dialect == Xinetd && l.port != 0 && l.port != listed:
		return at, badf("write type = UNLISTED, or the other port", "%s is port %d in /etc/services, not %d", s.Name, listed, l.port).of("port")
	case l.port != 0:
		at.Port = l.port
	default:
		at.Port = listed
	}
	return at, nil
}

// listeners reads the values of listen, all of which are of one socket type.
func (b *builder) listeners() *bad {
	for _, w := range b.loose.listen {
		at, t, bad := b.listener(w.text)
		if bad != nil {
			return bad.of("listen")
		}
		if b.s.SocketType == "" {
			b.s.SocketType = t
		}
		if t != b.s.SocketType && (at.Network == "tcp" || at.Network == "udp") {
			return badf("write a service for each", "%s is %s, and the service is %s", w.text, t, b.s.SocketType).of("listen")
		}
		b.s.Listen = append(b.s.Listen, at)
	}
	return nil
}

func (b *builder) listener(text string) (at Listen, t SocketType, _ *bad) {
	proto, rest, ok := strings.Cut(text, ":")
	if !ok || rest == "" {
		return at, "", badf(listenHint, "%q is not a place to listen at", text)
	}
	t = b.s.SocketType
	if t == "" {
		t = Stream
	}
	switch proto {
	case "systemd":
		return Listen{Network: "systemd", Host: rest}, t, nil
	case "unix":
		at, bad := b.unixListener(rest)
		return at, t, bad
	}
	probe := &Service{SocketType: t}
	if strings.HasPrefix(proto, "udp") {
		probe.SocketType = Dgram
	} else if strings.HasPrefix(proto, "tcp") {
		probe.SocketType = Stream
	} else {
		probe.SocketType = Raw
	}
	network, family, bad := protocolName(probe, strings.ToLower(proto))
	if bad != nil {
		return at, "", badf(listenHint, "%q is not a place to listen at", text)
	}
	at = Listen{Network: network, Family: family}
	host, port := "", rest
	if i := strings.LastIndexByte(rest, ':'); i >= 0 && network != proto || i >= 0 && (network == "tcp" || network == "udp") {
		host, port = rest[:i], rest[i+1:]
	}
	if network != "tcp" && network != "udp" {
		number, ok := protocolNumber()(network)
		if !ok {
			return at, "", badf(listenHint, "unknown protocol %q", proto)
		}
		at.Proto, at.Host = number, strings.Trim(rest, "[]*")
		bad := literalFamily(&at)
		return at, Raw, bad
	}
	if host != "" {
		hosts, wrong := splitHosts(host)
		if wrong != nil || len(hosts) > 1 {
			return at, "", badf(listenHint, "%q is not an address", host)
		}
		if len(hosts) == 1 {
			at.Host = hosts[0]
		}
	}
	if at.Port, ok = b.etc.ports.port(port, network); !ok {
		return at, "", badf("write a number from 1 to 65535, or a name of /etc/services", "unknown port %q", port)
	}
	bad = literalFamily(&at)
	return at, probe.SocketType, bad
}

func (b *builder) unixListener(path string) (Listen, *bad) {
	l := &b.loose
	at := Listen{Network: "unix", Path: path, Mode: 0o666, Owner: l.socketUser, Group: l.socketGroup}
	if l.socketMode != "" {
		mode, err := strconv.ParseUint(strings.TrimPrefix(l.socketMode, "0o"), 8, 32)
		if err != nil || mode > 0o777 {
			return at, badf("write it in octal: 0660", "%q is not a file mode", l.socketMode)
		}
		at.Mode = fs.FileMode(mode)
	}
	return at, unixPath(path)
}

// program settles who serves: a program, a builtin, a redirect.
func (b *builder) program() *bad {
	s, l := b.s, &b.loose
	switch {
	case s.Redirect != "":
		s.Server, l.args, l.argsSet = "", nil, false
		if s.SocketType != Stream || s.Wait || l.flags["nameinargs"] || s.Internal != "" || s.Mux != "" {
			return badf("correct it", "a redirect is stream, with wait = no").of("redirect")
		}
		for _, at := range s.Listen {
			if at.Network != "tcp" && at.Network != "systemd" {
				return badf("listen over tcp", "a redirect carries TCP connections, and %s is none", at).of("redirect")
			}
		}
	case s.Internal != "":
		s.Server = ""
		if s.Internal == "tcpmux" && s.SocketType != Stream || s.SocketType != Stream && s.SocketType != Dgram {
			return badf("correct socket_type", "the internal service %s is not served over %s", s.Internal, s.SocketType).of("type")
		}
	case s.Server == "":
		return badf("write server = /path/of/the/program", "server is not written").of("server")
	case s.User == "":
		return badf("write user = name", "user is not written").of("user")
	}
	if s.Server != "" {
		s.Args = append([]string{filepath.Base(s.Server)}, l.args...)
		if l.flags["nameinargs"] {
			if s.Args = l.args; len(l.args) == 0 {
				return badf("write server_args, beginning with argv[0]", "NAMEINARGS wants server_args").of("flags")
			}
		}
	}
	if !l.waitSet && s.Internal == "" {
		s.Wait = s.SocketType != Stream && s.SocketType != Seqpacket
	}
	if b.dialect == TOML && !l.cpsSet && s.Wait {
		s.CPS = loopGuard // lest one which leaves its datagrams unread spins
	}
	if s.LogOnSuccess&LogTraffic != 0 && s.Redirect == "" {
		b.warn(s.Where("log_on_success"), "remove it", "TRAFFIC means something for a redirect alone")
		s.LogOnSuccess &^= LogTraffic
	}
	return nil
}

// access settles hosts_access(5), and refuses what could not be enforced.
func (b *builder) access() *bad {
	s, l := b.s, &b.loose
	on := b.dialect == Xinetd
	switch value, isBool := boolOf(l.libwrap); {
	case l.libwrap == "":
	case isBool:
		on = value
	default:
		s.Libwrap, on = l.libwrap, true
	}
	if on && s.Libwrap == "" {
		s.Libwrap = s.daemonName()
	}
	if l.flags["nolibwrap"] {
		s.Libwrap = ""
	}
	if s.IDOnly && (s.SocketType != Stream || s.Wait) {
		return badf("remove the flag", "IDONLY wants socket_type = stream and wait = no").of("flags")
	}
	b.shadowed()
	listed := s.OnlyFrom != nil && !everybody(s.OnlyFrom) || len(s.NoAccess) > 0
	if known := s.SocketType == Stream || s.SocketType == Seqpacket || s.SocketType == Dgram; listed && !known {
		return badf("protect it by a firewall, and remove the list", "address lists cannot be enforced for a %s socket", s.SocketType).of("only_from")
	}
	for _, at := range s.Listen {
		if listed && at.Network == "unix" {
			b.warn(s.Where("only_from"), "say who may connect by socket_user, socket_group and socket_mode", "address lists mean nothing for %s", at)
		}
	}
	if !s.Wait || s.SocketType == Dgram {
		return nil
	}
	// Its program accepts for itself, and nobody here sees the clients.
	s.Libwrap = ""
	for _, c := range []struct {
		name string
		set  bool
	}{{"only_from", s.OnlyFrom != nil && !everybody(s.OnlyFrom)}, {"no_access", len(s.NoAccess) > 0}, {"per_source", s.PerSource != 0},
		{"cps_per_source", s.CPSPerSource != Rate{}}, {"libwrap", l.libwrap != "" && on}, {"idle_timeout", s.IdleTimeout != 0}, {"session_timeout", s.SessionTimeout != 0}} {
		if c.set {
			return badf("write wait = no, or have the program check its clients and remove the setting", "%s cannot be enforced: the program of a wait service accepts for itself", c.name).of(c.name)
		}
	}
	return nil
}
