package config

import (
	"fmt"
	"strconv"
	"strings"
)

// fromKeys makes a service of the keys of an entry, which begins on a line.
func (r *inetdReader) fromKeys(e *keyEntry, at int) (*Service, *fault) {
	s := &Service{Pos: Pos{File: r.file, Line: at}, Dialect: Inetd, Name: e.name, Settings: r.newSettings()}
	s.fields, s.PerMinute = nil, netBSDMax
	for _, read := range []func(*Service, *keyEntry) *fault{
		r.keySocket, r.keyWait, r.keyLimits, r.keyUser, r.keyListen, r.keyProgram, r.keyIPsec,
	} {
		r.line = at
		if b := read(s, e); b != nil {
			return nil, b
		}
	}
	r.line = at
	if r.o.Libwrap && s.SocketType == Stream && !s.Wait {
		s.Libwrap = s.daemonName()
	}
	return s, nil
}

// value returns the only value of a key; "" for a key that is not there. It
// notes the key's line.
func (r *inetdReader) value(e *keyEntry, key string) (string, *fault) {
	v := e.keys[key]
	if v == nil {
		return "", nil
	}
	r.line = v.line
	if len(v.values) != 1 || v.values[0] == "" {
		return "", faultf("write "+key+" = value", "%s wants one value, and has %d", key, len(v.values))
	}
	return v.values[0], nil
}

// number returns the number that a key has; def for a key that is not there.
func (r *inetdReader) number(e *keyEntry, key string, def int) (int, *fault) {
	text, b := r.value(e, key)
	if b != nil || text == "" {
		return def, b
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		return 0, faultf("write a number", "%s = %s is not a number from 0 to 2147483647", key, text)
	}
	return int(n), nil
}

// keySocket reads socktype, which tcp and udp need not have, and acceptfilter.
func (r *inetdReader) keySocket(s *Service, e *keyEntry) *fault {
	protocol, b := r.value(e, "protocol")
	if b != nil {
		return b
	}
	if protocol == "" {
		return faultf("add protocol = tcp, or udp, tcp4, tcp6, unix, ...", "the key protocol is missing")
	}
	kind, b := r.value(e, "socktype")
	if b != nil {
		return b
	}
	if kind == "" {
		switch base := strings.TrimPrefix(strings.ToLower(protocol), "rpc/"); {
		case strings.HasPrefix(base, "tcp"):
			kind = string(Stream)
		case strings.HasPrefix(base, "udp"):
			kind = string(Dgram)
		default:
			return faultf("add socktype = stream, or dgram, seqpacket, rdm, raw", "the key socktype is missing, and protocol = %s does not say it", protocol)
		}
	}
	if _, b = r.socketType(s, kind); b != nil {
		b.hint = "correct socktype: stream, dgram, seqpacket, rdm or raw"
		return b
	}
	if v := e.keys["acceptfilter"]; v != nil {
		r.line = v.line
		r.report(Warning, s.Name, acceptFilter(strings.Join(v.values, " ")))
	}
	return nil
}

// keyWait reads wait, which all but internal services must have.
func (r *inetdReader) keyWait(s *Service, e *keyEntry) *fault {
	text, b := r.value(e, "wait")
	switch {
	case b != nil:
		return b
	case text == "yes":
		s.Wait = true
	case text != "" && text != "no":
		return faultf("write wait = yes or wait = no", "wait = %s is neither", text)
	case text == "" && e.isProgram():
		return faultf("add wait = no, or wait = yes if the program gets the listening socket", "the key wait is missing")
	}
	return nil
}

// isProgram reports whether an entry names a program: without exec inetd
// serves it.
func (e *keyEntry) isProgram() bool {
	exec := e.keys["exec"]
	return exec != nil && (len(exec.values) != 1 || exec.values[0] != "internal")
}

// keyLimits reads service_max, ip_max and accept_max. To NetBSD, 0 starts in a
// minute are none, for nobody; accept_max = 0 is no limit.
func (r *inetdReader) keyLimits(s *Service, e *keyEntry) *fault {
	max, b := r.number(e, "accept_max", s.Instances)
	if b != nil {
		return b
	}
	if e.keys["accept_max"] != nil {
		r.acceptMax(s, max)
	}
	for key, limit := range map[string]*int{"service_max": &s.PerMinute, "ip_max": &s.PerSourcePerMinute} {
		n, b := r.number(e, key, *limit)
		if b != nil {
			return b
		}
		if *limit = n; n == 0 && e.keys[key] != nil {
			*limit = None
		}
	}
	if _, b := r.value(e, "ip_max"); e.keys["ip_max"] != nil && b == nil && s.acceptsItself() {
		return faultf("write wait = no, or have the program check its clients and remove ip_max", "ip_max cannot be enforced: the program of a wait service accepts for itself")
	}
	return nil
}

// acceptsItself reports whether the service's program accepts connections, so
// that nobody here sees the clients.
func (s *Service) acceptsItself() bool { return s.Wait && s.SocketType != Dgram }

func (r *inetdReader) keyUser(s *Service, e *keyEntry) (b *fault) {
	if s.User, b = r.value(e, "user"); b != nil {
		return b
	}
	if s.User == "" {
		return faultf("add user = USER", "the key user is missing")
	}
	s.Group, b = r.value(e, "group")
	return b
}

// keyListen reads bind, protocol, sndbuf and recvbuf: what fields 1 and 3 have.
func (r *inetdReader) keyListen(s *Service, e *keyEntry) *fault {
	bind, b := r.value(e, "bind")
	if b != nil {
		return b
	}
	protocol := e.keys["protocol"].values[0]
	if base, faith := strings.CutPrefix(protocol, "faith/"); faith {
		return faultf("write protocol = "+base, "faithd(8) is NetBSD's")
	}
	for key, option := range map[string]string{"sndbuf": ",sndbuf=", "recvbuf": ",rcvbuf="} {
		size, b := r.value(e, key)
		if b != nil {
			return b
		}
		if size != "" {
			protocol += option + size
		}
	}
	hosts := r.hosts
	defer func() { r.hosts = hosts }()
	if bind != "" {
		if strings.LastIndexByte(e.name, ':') > 0 {
			return faultf("remove one of them", "bind = %s, and the name %s has an address, too", bind, e.name)
		}
		if strings.Contains(bind, ":") && bind[0] != '[' {
			bind = "[" + bind + "]"
		}
		if r.hosts, b = splitHosts(bind); b != nil {
			return b
		}
	}
	if b := r.listen(s, e.name, protocol); b != nil {
		b.hint = strings.NewReplacer("field 1", "the name", "field 2", "socktype", "field 3", "protocol", "fields 2 to 4", "socktype, protocol and wait").Replace(b.hint)
		return b
	}
	s.ID = s.Name
	return nil
}

// keyProgram reads exec and args.
func (r *inetdReader) keyProgram(s *Service, e *keyEntry) *fault {
	path, b := r.value(e, "exec")
	if b != nil {
		return b
	}
	if path == "" {
		path = "internal"
	}
	var args []string
	if v := e.keys["args"]; v != nil && path != "internal" {
		r.line, args = v.line, v.values
	}
	if b := r.program(s, path, args); b != nil {
		b.hint = strings.NewReplacer("field 6", "exec", "field 2", "socktype").Replace(b.hint)
		return b
	}
	return nil
}

func (r *inetdReader) keyIPsec(s *Service, e *keyEntry) *fault {
	if v := e.keys["ipsec"]; v != nil && len(v.values) > 0 && v.values[0] != "" {
		r.line = v.line
		r.report(Warning, s.Name, noIPsec)
	}
	return nil
}

// acceptMax sets how many programs run at once: further clients queue.
func (r *inetdReader) acceptMax(s *Service, max int) {
	if s.Wait {
		r.report(Warning, s.Name, faultf("remove it", "accept_max has no effect for a wait service, which is one program"))
		return
	}
	s.Own()
	s.Instances = max
}

func acceptFilter(name string) *fault {
	return faultf("the service runs without it", "accept filter %q has no effect on Linux", name)
}

var noIPsec = faultf("the services below run without it; protect them with the kernel's own policies, ip-xfrm(8)",
	"IPsec policies are not supported yet")

// keyText writes a service as a key = value entry, for what a line of fields
// cannot say: that nobody is served.
func keyText(s *Service, where, protocol string) string {
	var b strings.Builder
	network, options, _ := strings.Cut(protocol, ",")
	fmt.Fprintf(&b, "%s on\n\tprotocol = %s", where, network)
	key := func(name, value string) { fmt.Fprintf(&b, ",\n\t%s = %s", name, value) }
	key("socktype", string(s.SocketType))
	for _, option := range strings.Split(options, ",") {
		if name, size, sized := strings.Cut(option, "="); sized {
			key(map[string]string{"sndbuf": "sndbuf", "rcvbuf": "recvbuf"}[name], size)
		}
	}
	if s.Internal == "" {
		key("wait", yesOrNo(s.Wait))
	}
	key("service_max", strconv.Itoa(max(s.PerMinute, 0)))
	if s.PerSourcePerMinute != 0 {
		key("ip_max", strconv.Itoa(max(s.PerSourcePerMinute, 0)))
	}
	if s.Instances > 0 {
		key("accept_max", strconv.Itoa(s.Instances))
	}
	key("user", quoteKey(s.User))
	if s.Group != "" {
		key("group", quoteKey(s.Group))
	}
	if s.Internal == "" {
		key("exec", quoteKey(s.Server))
		words := make([]string, len(s.Args))
		for i, a := range s.Args {
			words[i] = quoteKey(a)
		}
		key("args", strings.Join(words, " "))
	}
	return b.String() + ";\n"
}

// quoteKey quotes a value where its reader needs that.
func quoteKey(v string) string {
	if v != "" && !strings.ContainsAny(v, "#,;\"'\\") && wordLen(v) == len(v) && strings.IndexFunc(v, func(c rune) bool { return c < ' ' }) < 0 {
		return v
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(v) {
		switch c := v[i]; {
		case c == '"' || c == '\\':
			b.WriteString(`\` + string(c))
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String() + `"`
}
