package config

import (
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"goinetd/config/netdb"
)

// This file reads the values of listen.

// resolveListenList reads the values of listen. All are of one socket type.
// Beside listen, nothing else may say where the service listens, lest it be
// open where that was not meant; but what the defaults say of address and
// family counts for values that do not say it.
func (b *builder) resolveListenList() *fault {
	for _, name := range []string{"bind", "port", "protocol", "v6only"} {
		if b.isWritten(attributes.find(name)) {
			return faultf("write it in listen, as tcp:192.0.2.1:7, udp:7 or tcp6:7", "%s does not go with listen", name).inSetting(name)
		}
	}
	if f := b.raw.flags; f["ipv4"] != f["ipv6"] {
		return faultf("write tcp4, tcp6, udp4 or udp6 in listen", "the flags IPv4 and IPv6 do not go with listen").inSetting("flags")
	}
	for _, w := range b.raw.listen {
		at, t, invalid := b.listener(w.text)
		if invalid != nil {
			return invalid.inSetting("listen")
		}
		if invalid := b.addDefaults(&at, w.text); invalid != nil {
			return invalid.inSetting("bind")
		}
		if b.s.SocketType == "" {
			b.s.SocketType = t
		}
		if t != b.s.SocketType && (at.Network == "tcp" || at.Network == "udp") {
			return faultf("write a service for each", "%s is %s, and the service is %s", w.text, t, b.s.SocketType).inSetting("listen")
		}
		b.s.Listen = append(b.s.Listen, at)
	}
	return nil
}

// addDefaults completes a value of listen by the bind and v6only of the
// defaults. "tcp:*:7" is every address.
func (b *builder) addDefaults(at *Listen, text string) *fault {
	if at.Network != "tcp" && at.Network != "udp" || strings.Contains(text, "*") {
		return nil
	}
	if a, err := netip.ParseAddr(b.raw.bind); at.Host == "" && (err != nil || a != netip.IPv6Unspecified()) {
		at.Host = b.raw.bind
	}
	if _, err := netip.ParseAddr(at.Host); err != nil && b.raw.v6only && at.Family == Both {
		at.Family = IPv6
	}
	return literalFamily(at)
}

func (b *builder) listener(text string) (at Listen, t SocketType, _ *fault) {
	proto, remainder, ok := strings.Cut(text, ":")
	if !ok || remainder == "" {
		return at, "", faultf(listenHint, "%q is not an address to listen on", text)
	}
	t = b.s.SocketType
	if t == "" {
		t = Stream
	}
	switch proto {
	case "systemd":
		return Listen{Network: "systemd", Host: remainder}, t, nil
	case "unix":
		at, invalid := b.unixListener(remainder)
		return at, t, invalid
	}
	if base := strings.TrimRight(strings.ToLower(proto), "46"); slices.Contains(unsupported, base) && b.s.SocketType != Raw {
		return at, "", unsupportedFault(base)
	}
	probe := &Service{SocketType: t}
	if strings.HasPrefix(proto, "udp") {
		probe.SocketType = Dgram
	} else if strings.HasPrefix(proto, "tcp") {
		probe.SocketType = Stream
	} else {
		probe.SocketType = Raw
	}
	network, family, invalid := protocolName(probe, strings.ToLower(proto))
	if invalid != nil {
		return at, "", faultf(listenHint, "%q is not an address to listen on", text)
	}
	at = Listen{Network: network, Family: family}
	host, port := "", remainder
	if i := strings.LastIndexByte(remainder, ':'); i >= 0 && network != proto || i >= 0 && (network == "tcp" || network == "udp") {
		host, port = remainder[:i], remainder[i+1:]
	}
	if network != "tcp" && network != "udp" {
		number, ok := netdb.Protocol(network)
		if !ok {
			return at, "", faultf(listenHint, "unknown protocol %q", proto)
		}
		at.Proto, at.Host = number, strings.Trim(remainder, "[]*")
		invalid := literalFamily(&at)
		return at, Raw, invalid
	}
	if host != "" {
		hosts, wrong := splitHosts(host)
		if wrong != nil || len(hosts) > 1 {
			return at, "", faultf(listenHint, "%q is not an address", host)
		}
		if len(hosts) == 1 {
			at.Host = hosts[0]
		}
	}
	anyPort := port == "0" && b.raw.types["rpc"]
	if invalid := portRange(port); invalid != nil && !anyPort {
		return at, "", invalid
	}
	if at.Port, ok = b.etc.port(port, network); !ok && !anyPort {
		return at, "", faultf("write a number from 1 to 65535, or a name of /etc/services", "unknown port %q", port)
	}
	invalid = literalFamily(&at)
	return at, probe.SocketType, invalid
}

func (b *builder) unixListener(path string) (Listen, *fault) {
	l := &b.raw
	at := Listen{Network: "unix", Path: path, Mode: 0o666, Owner: l.socketUser, Group: l.socketGroup}
	if l.socketMode != "" {
		mode, err := strconv.ParseUint(strings.TrimPrefix(l.socketMode, "0o"), 8, 32)
		if err != nil || mode > 0o777 {
			return at, faultf("write it in octal: 0660", "%q is not a file mode", l.socketMode)
		}
		at.Mode = fs.FileMode(mode)
	}
	return at, unixPath(path)
}
