package config

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// This file reads the settings that say what a service is and where it is to
// be reached. They mean something only together, so they are gathered first
// and made into listeners and a program by finish.

var identityAttributes = table{
	{name: "id", perService: true, min: 1, max: 1, hint: "write a name", set: setName(func(s *Service) *string { return &s.ID })},
	{name: "name", perService: true, extension: true, min: 1, max: 1, hint: "write a service name", set: setName(func(s *Service) *string { return &s.Name })},
	{name: "type", perService: true, kind: kindScalarOrList, min: 1, max: -1, hint: "known: INTERNAL, UNLISTED, RPC, TCPMUX, TCPMUXPLUS",
		set: setWords(func(b *builder) *map[string]bool { return &b.raw.types }, "internal", "unlisted", "rpc", "tcpmux", "tcpmuxplus", "special")},
	{name: "flags", perService: true, security: true, kind: kindList, min: 1, max: -1, hint: "known: REUSE, NORETRY, IDONLY, NAMEINARGS, NODELAY, KEEPALIVE, NOLIBWRAP, SENSOR, IPv4, IPv6",
		set: setWords(func(b *builder) *map[string]bool { return &b.raw.flags },
			"reuse", "intercept", "noretry", "idonly", "nameinargs", "nodelay", "keepalive", "nolibwrap", "sensor", "ipv4", "ipv6", "labeled")},
	{name: "socket_type", perService: true, min: 1, max: 1, hint: "known: stream, dgram, seqpacket, raw", set: setSocketType},
	{name: "protocol", perService: true, min: 1, max: 1, hint: "write tcp, udp, or a name of /etc/protocols", set: setProtocol},
	{name: "wait", perService: true, kind: kindBool, min: 1, max: 1, hint: yesNo, set: setWait},
	{name: "port", perService: true, kind: kindNumber, min: 1, max: 1, hint: "write a number from 1 to 65535", set: setPort},
	{name: "bind", security: true, min: 1, max: 1, hint: "write one address or name", set: setBind},
	{name: "v6only", security: true, kind: kindBool, min: 1, max: 1, hint: yesNo, set: func(b *builder, v []word) *fault {
		value, ok := boolOf(v[0].text)
		if !ok {
			return faultf("", "%q is neither yes nor no", v[0].text).atWord(v[0])
		}
		b.raw.v6only = value
		return nil
	}},
	{name: "listen", perService: true, extension: true, security: true, kind: kindScalarOrList, min: 1, max: -1,
		hint: listenHint, set: func(b *builder, v []word) *fault { b.raw.listen = v; return nil }},
	{name: "builtin", perService: true, extension: true, min: 1, max: 1, hint: "write the name of an internal service: echo, daytime, ...",
		set: func(b *builder, v []word) *fault { b.raw.builtin = v[0].text; return nil }},
	{name: "socket_user", perService: true, extension: true, security: true, min: 1, max: 1, hint: "write a name or a number",
		set: func(b *builder, v []word) *fault { b.raw.socketUser = v[0].text; return nil }},
	{name: "socket_group", perService: true, extension: true, security: true, min: 1, max: 1, hint: "write a name or a number",
		set: func(b *builder, v []word) *fault { b.raw.socketGroup = v[0].text; return nil }},
	{name: "socket_mode", perService: true, extension: true, security: true, min: 1, max: 1, hint: "write it in octal: 0660",
		set: func(b *builder, v []word) *fault { b.raw.socketMode = v[0].text; return nil }},
	{name: "rpc_version", perService: true, min: 1, max: 1, hint: "write a version, or the first and the last as 1-3", set: setRPCVersion, get: getRPCVersion},
	{name: "rpc_number", perService: true, kind: kindNumber, min: 1, max: 1, hint: "write a program number", set: setRPCNumber, get: getRPCNumber},
}

const listenHint = `write "tcp:7", "udp:192.0.2.1:69", "tcp:[2001:db8::1]:80", "unix:/run/x.sock" or "systemd:name"`

func setWords(field func(*builder) *map[string]bool, known ...string) func(*builder, []word) *fault {
	return func(b *builder, v []word) *fault {
		set := map[string]bool{}
		for _, w := range v {
			text := strings.ToLower(w.text)
			if !slices.Contains(known, text) {
				hint := ""
				if near := nearest(text, known); near != "" {
					hint = "write " + strings.ToUpper(near)
				}
				return faultf(hint, "%q is not known", w.text).atWord(w)
			}
			set[text] = true
		}
		*field(b) = set
		return nil
	}
}

func setSocketType(b *builder, v []word) *fault {
	switch t := SocketType(strings.ToLower(v[0].text)); t {
	case Stream, Dgram, Seqpacket, Raw, RDM:
		b.s.SocketType = t
		return nil
	}
	return faultf("", "unknown socket type %q", v[0].text).atWord(v[0])
}

func setProtocol(b *builder, v []word) *fault {
	b.raw.protocol = strings.ToLower(v[0].text)
	return nil
}

func setWait(b *builder, v []word) *fault {
	value, ok := boolOf(v[0].text)
	if !ok {
		return faultf("", "%q is neither yes nor no", v[0].text).atWord(v[0])
	}
	b.s.Wait, b.raw.waitSet = value, true
	return nil
}

func setPort(b *builder, v []word) *fault {
	n, err := strconv.Atoi(v[0].text)
	if err != nil || n < 1 || n > 65535 {
		return faultf("", "%q is not a port", v[0].text).atWord(v[0])
	}
	b.raw.port = n
	return nil
}

func setBind(b *builder, v []word) *fault {
	host := strings.TrimSuffix(strings.TrimPrefix(v[0].text, "["), "]")
	if host == "" || strings.ContainsAny(host, " ,/[]{}") {
		return faultf("", "%q is neither an address nor a name", v[0].text).atWord(v[0])
	}
	b.raw.bind = host
	return nil
}

func setRPCVersion(b *builder, v []word) (invalid *fault) {
	if b.raw.rpc.Low, b.raw.rpc.High, invalid = rpcVersions(v[0].text); invalid != nil {
		return invalid.atWord(v[0])
	}
	return nil
}

func setRPCNumber(b *builder, v []word) *fault {
	n, err := strconv.ParseUint(v[0].text, 10, 32)
	if err != nil || n == 0 {
		return faultf("", "%q is not a program number", v[0].text).atWord(v[0])
	}
	b.raw.rpc.Program = uint32(n)
	return nil
}

// loopGuard is xinetd's default for cps.
var loopGuard = Rate{50, 10 * time.Second}

// newService returns a service with the defaults of its dialect.
func (b *builder) newService() *Service {
	s := &Service{Pos: b.stanza.pos, Dialect: b.dialect, Name: b.stanza.name, ID: b.stanza.name, written: map[string]Pos{},
		Settings: &Settings{Umask: -1, LogOnFailure: LogHost}}
	if b.o.LogStarts {
		s.LogOnSuccess = LogPID | LogHost | LogPort | LogExit | LogDuration
	}
	if b.dialect == Xinetd {
		s.CPS = loopGuard // written or not
		s.PassEnv = []string{"*"}
	} else {
		s.Groups, s.Queue = true, true
	}
	return s
}
