package config

import (
	"fmt"
	"strconv"
	"strings"
)

// inetd writes a service as a line of inetd.conf, or as several where it is
// reached at places that one line cannot name.
func (w *writer) inetd(s *Service) string {
	var b strings.Builder
	w.writeComments(&b, s, "", "")
	w.writeRemainingComments(&b, s, "")
	if s.Mux != "" {
		name := "tcpmux/" + s.Mux
		if s.MuxPlus {
			name = "tcpmux/+" + s.Mux
		}
		w.inetdLine(&b, s, name, "tcp"+buffers(s))
		return b.String()
	}
	for remainder := s.Listen; len(remainder) > 0; {
		n := 1
		for n < len(remainder) && sameAddressList(remainder[0], remainder[n]) {
			n++
		}
		where, protocol := w.inetdAddress(s, remainder[:n])
		w.inetdLine(&b, s, where, protocol)
		remainder = remainder[n:]
	}
	return b.String()
}

// sameAddressList reports whether two listeners can share an address list.
func sameAddressList(a, b Listen) bool {
	return a.Network == b.Network && a.Port == b.Port && a.RPC == b.RPC && a.Host != "" && b.Host != "" && (a.Network == "tcp" || a.Network == "udp") &&
		(a.Family == b.Family || literal(a.Host) && literal(b.Host))
}

// inetdAddress returns the first and the third field.
func (w *writer) inetdAddress(s *Service, places []Listen) (where, protocol string) {
	l := places[0]
	switch l.Network {
	case "unix":
		if l.Owner != "" || l.Group != "" || l.Mode != 0o666 {
			return fmt.Sprintf(":%s:%s:%04o:%s", l.Owner, l.Group, l.Mode, l.Path), "unix" + buffers(s)
		}
		return l.Path, "unix" + buffers(s)
	case "tcp", "udp":
		port := s.Name
		if l.RPC != (RPC{}) {
			port = rpcName(s) + "/" + l.RPC.versions()
		} else if n, ok := w.etc.port(s.Name, l.Network); !ok || n != l.Port || strings.ContainsAny(s.Name, ":/ ") {
			port = strconv.Itoa(l.Port)
		}
		where = port
	default:
		where = s.Name
	}
	var hosts []string
	for _, p := range places {
		host := p.Host
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		if host != "" {
			hosts = append(hosts, host)
		}
	}
	if hosts != nil {
		where = strings.Join(hosts, ",") + ":" + where
	}
	protocol = l.protocol()
	if literal(l.Host) && l.Family != Mapped {
		protocol = l.Network
	}
	if l.RPC != (RPC{}) {
		protocol = "rpc/" + protocol
	}
	return where, protocol + buffers(s)
}

// buffers returns the options of the protocol.
func buffers(s *Service) (options string) {
	if s.SendBuffer > 0 {
		options += ",sndbuf=" + strconv.Itoa(s.SendBuffer)
	}
	if s.ReceiveBuffer > 0 {
		options += ",rcvbuf=" + strconv.Itoa(s.ReceiveBuffer)
	}
	return options
}

func (w *writer) inetdLine(b *strings.Builder, s *Service, where, protocol string) {
	if s.PerMinute == None || s.PerSourcePerMinute == None {
		b.WriteString(keyText(s, where, protocol))
		return
	}
	wait := "nowait"
	if s.Wait {
		wait = "wait"
	}
	if s.PerMinute > 0 {
		wait += "." + strconv.Itoa(s.PerMinute)
	}
	if s.Instances > 0 || s.PerSourcePerMinute > 0 || s.PerSource > 0 {
		wait += fmt.Sprintf("/%d/%d/%d", max(s.Instances, 0), max(s.PerSourcePerMinute, 0), max(s.PerSource, 0))
	}
	user := s.User
	if user == "" {
		user = "nobody"
	}
	if s.Group != "" {
		user += ":" + s.Group
	}
	fields := []string{where, string(s.SocketType), protocol, wait, user}
	switch {
	case s.Internal != "" && !s.Sensor && w.etc.builtins.nameOf(where[strings.LastIndexByte(where, ':')+1:]) == s.Internal:
		fields = append(fields, "internal")
	case s.Internal != "" && !s.Sensor:
		fields = append(fields, "internal", s.Internal)
	case s.Server != "":
		fields = append(append(fields, s.Server), s.Args...)
	}
	for i, f := range fields {
		if i > 0 {
			b.WriteString("\t")
		}
		b.WriteString(quoteInetd(f))
	}
	b.WriteString("\n")
}

// quoteInetd quotes a field where its reader needs that.
func quoteInetd(f string) string {
	if f != "" && wordLen(f) == len(f) && f[0] != '"' && f[0] != '\'' && !strings.HasSuffix(f, `\`) {
		return f
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(f) + `"`
}
