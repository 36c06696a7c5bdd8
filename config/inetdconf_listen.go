package config

import (
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"goinetd/config/netdb"
)

// This file reads the first and the third field of an inetd.conf line: where
// the service is to be reached.

// listen reads the first and the third field: where the service is reached.
func (r *inetdReader) listen(s *Service, name, protocol string) *fault {
	proto, options, _ := strings.Cut(protocol, ",")
	if b := bufferSizes(s, options); b != nil {
		return b
	}
	proto = strings.ToLower(proto)
	switch {
	case proto == "unix":
		return readUnixListen(s, name)
	case strings.HasPrefix(name, "tcpmux/"):
		return readMux(s, strings.TrimPrefix(name, "tcpmux/"), proto)
	}
	proto, isRPC := strings.CutPrefix(proto, "rpc/")
	network, family, b := protocolName(s, proto)
	if b != nil {
		return b
	}
	hosts := r.hosts
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		if hosts, b = splitHosts(name[:i]); b != nil {
			return b
		}
		name = name[i+1:]
		if name == "" {
			return faultf("write it as address:service", "no service follows the address")
		}
		s.Name = name
	}
	l := Listen{Network: network, Family: family}
	if isRPC {
		if l.RPC, s.Name, b = inetdRPC(name); b != nil {
			return b
		}
	} else if network == "tcp" || network == "udp" {
		if b := portRange(name); b != nil {
			return b
		}
		port, ok := r.etc.port(name, network)
		if !ok {
			return faultf("correct field 1, add the name to /etc/services, or write the port's number", "unknown service %q over %s", name, network)
		}
		l.Port = port
	} else {
		number, ok := netdb.Protocol(network)
		if !ok {
			return faultf("correct field 3: tcp, udp, tcp4, udp6, ... or unix", "unknown protocol %q", proto)
		}
		l.Proto = number
	}
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	for _, host := range hosts {
		l.Host = host
		l.Family = family
		if b := literalFamily(&l); b != nil {
			return b
		}
		s.Listen = append(s.Listen, l)
	}
	return s.checkRPC()
}

// protocolName reads a protocol with its family: "tcp" and "udp" are both
// families (OpenBSD, Debian), tcp4 and tcp6 one of them, tcp46 is IPv6 with
// IPv4 mapped into it, tcp6only is how inetutils says tcp6.
func protocolName(s *Service, proto string) (string, Family, *fault) {
	for _, known := range []struct {
		base string
		want SocketType
	}{{"tcp", Stream}, {"udp", Dgram}} {
		suffix, ok := strings.CutPrefix(proto, known.base)
		family, is := families[suffix]
		if !ok || !is {
			continue
		}
		if s.SocketType != known.want {
			return "", 0, faultf("correct field 2 or field 3", "%s is %s, not %s", known.base, known.want, s.SocketType)
		}
		return known.base, family, nil
	}
	if base := strings.TrimRight(proto, "46"); slices.Contains(unsupported, base) && s.SocketType != Raw {
		return "", 0, unsupportedFault(base)
	}
	if s.SocketType != Raw {
		return "", 0, faultf("correct field 3: tcp, udp, tcp4, udp6, ... or unix", "unknown protocol %q for a %s socket", proto, s.SocketType)
	}
	return proto, Both, nil
}

var families = map[string]Family{"46": Mapped, "6only": IPv6, "4": IPv4, "6": IPv6, "": Both}

// unsupported are protocols that other programs listen on.
var unsupported = []string{"sctp", "mptcp", "dccp", "udplite", "quic", "tls", "vsock"}

func unsupportedFault(proto string) *fault {
	return faultf("write tcp or udp", "%s is not supported", proto)
}

// portRange returns why a number cannot be a port; nil for a name.
func portRange(name string) *fault {
	if name == "" || strings.Trim(name, "0123456789") != "" {
		return nil
	}
	if n, err := strconv.Atoi(name); err != nil || n < 1 || n > 65535 {
		return faultf("write a number from 1 to 65535, or a name of /etc/services", "%s is not a port", name)
	}
	return nil
}

// literalFamily lets an address say its family, and refuses one that
// contradicts the protocol.
func literalFamily(l *Listen) *fault {
	a, err := netip.ParseAddr(l.Host)
	if err != nil {
		return nil // a name, or nothing
	}
	is := IPv6
	if a.Is4() {
		is = IPv4
	}
	if l.Family == Both || l.Family == Mapped && is == IPv6 {
		if l.Family == Both {
			l.Family = is
		}
		return nil
	}
	if l.Family != is {
		return faultf("correct one of them", "address %s does not go with %s", l.Host, l.protocol())
	}
	return nil
}

// splitHosts reads the address list before a service name; nil stands for
// every address.
func splitHosts(list string) ([]string, *fault) {
	var hosts []string
	for _, host := range strings.Split(list, ",") {
		host = strings.TrimSpace(host)
		if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
			host = host[1 : len(host)-1]
		}
		switch {
		case host == "*":
			return nil, nil
		case host == "" || strings.ContainsAny(host, "[]/ "):
			return nil, faultf("write addresses as 192.0.2.1, [2001:db8::1] or *, with commas between", "%q is not an address list", list)
		}
		hosts = append(hosts, host)
	}
	return hosts, nil
}

// readUnixListen reads a Unix socket: its path, or FreeBSD's
// ":user:group:mode:/path". With a path alone everybody may connect, as in
// OpenBSD and Debian.
func readUnixListen(s *Service, field string) *fault {
	l := Listen{Network: "unix", Path: field, Mode: 0o666}
	if strings.HasPrefix(field, ":") {
		part := strings.SplitN(field[1:], ":", 4)
		if len(part) != 4 {
			return faultf("write it as :user:group:mode:/path", "%q does not say owner, group, mode and path", field)
		}
		mode, err := strconv.ParseUint(part[2], 8, 32)
		if err != nil || mode > 0o777 {
			return faultf("write the mode in octal, as in :root:wheel:0660:/path", "%q is not a file mode", part[2])
		}
		l.Owner, l.Group, l.Mode, l.Path = part[0], part[1], fs.FileMode(mode), part[3]
	}
	s.Name = l.Path
	s.Listen = []Listen{l}
	b := unixPath(l.Path)
	if b != nil {
		b.hint += " in field 1"
	}
	return b
}

func unixPath(path string) *fault {
	if !filepath.IsAbs(path) || strings.ContainsRune(path, 0) {
		return faultf("correct the path", "the path of a Unix socket begins with /, and %q does not", path)
	}
	if len(path) > 107 {
		return faultf("choose a shorter path", "the path of a Unix socket has at most 107 bytes (unix(7)), and this one %d", len(path))
	}
	return nil
}

// readMux reads a service behind tcpmux (RFC 1078): "tcpmux/name", or
// "tcpmux/+name" where inetd sends the positive reply.
func readMux(s *Service, name, proto string) *fault {
	s.Mux, s.MuxPlus = strings.CutPrefix(name, "+")
	if s.SocketType != Stream || proto != "tcp" || s.Wait {
		return faultf("correct fields 2 to 4", "a tcpmux service is stream tcp nowait")
	}
	return muxName(s.Mux)
}

func muxName(name string) *fault {
	switch {
	case name == "" || len(name) > 256 || strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c > '~' }):
		return faultf("correct the name", "%q is not a tcpmux service name", name)
	case strings.EqualFold(name, "help"):
		return faultf("choose another name", "the tcpmux name help is taken: it lists the services (RFC 1078)")
	}
	return nil
}

// bufferSizes reads what follows the protocol: sndbuf=SIZE and rcvbuf=SIZE,
// in bytes, or with k, M or G.
func bufferSizes(s *Service, options string) *fault {
	if options == "" {
		return nil
	}
	s.Own()
	for _, option := range strings.Split(options, ",") {
		name, value, _ := strings.Cut(option, "=")
		size, ok := sizeOf(value)
		if !ok || size < 1 || size > maxBuffer {
			return faultf("write it as tcp,rcvbuf=16384 or tcp,sndbuf=64k", "%q is not a buffer size", option)
		}
		switch name {
		case "sndbuf":
			s.SendBuffer = int(size)
		case "rcvbuf":
			s.ReceiveBuffer = int(size)
		default:
			return faultf("correct field 3: sndbuf or rcvbuf", "unknown option %q of a protocol", name)
		}
	}
	return nil
}
