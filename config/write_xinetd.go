package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// xinetd writes a service as an entry of xinetd.conf, or as several where it
// is reached at several places.
func (w *writer) xinetd(s *Service) string {
	var b strings.Builder
	w.writeComments(&b, s, "", "")
	places := s.Listen
	if s.Mux != "" {
		places = []Listen{{Network: "tcp"}}
	}
	for i, l := range places {
		if i > 0 {
			b.WriteString("\n")
		}
		w.xinetdEntry(&b, s, l)
	}
	return b.String()
}

func (w *writer) xinetdEntry(b *strings.Builder, s *Service, l Listen) {
	fmt.Fprintf(b, "service %s\n{\n", quoteXinetd(s.Name, true))
	line := func(name string, values ...string) {
		w.writeComments(b, s, name, "\t")
		fmt.Fprintf(b, "\t%-16s =", name)
		for _, v := range values {
			b.WriteString(" " + quoteXinetd(v, takesComments(name)))
		}
		b.WriteString("\n")
	}
	if s.Disabled {
		line("disable", "yes")
	}
	if s.ID != s.Name {
		line("id", s.ID)
	}
	if types := w.typesOf(s, l); types != nil {
		line("type", types...)
	}
	flags := s.flagsOf(Xinetd)
	if l.Family == IPv4 && !literal(l.Host) {
		flags = append(flags, "IPv4")
	}
	if flags != nil {
		line("flags", flags...)
	}
	line("socket_type", string(s.SocketType))
	line("protocol", l.Network)
	line("wait", yesOrNo(s.Wait))
	if l.Port != 0 && (l.RPC != (RPC{}) || w.listed(s, l) != l.Port) {
		line("port", strconv.Itoa(l.Port))
	}
	if l.Host != "" {
		line("bind", l.Host)
	}
	if l.Family == IPv6 && !literal(l.Host) {
		line("v6only", "yes")
	}
	if s.Internal != "" && w.etc.builtins.nameOf(s.Name) != s.Internal && !s.Sensor {
		line("builtin", s.Internal)
		w.lost = append(w.lost, Loss{Pos: s.Pos, Service: s.ID, Setting: "builtin = " + s.Internal, Extension: true})
	}
	for _, i := range w.items(s) {
		line(i.name, i.values...)
		if attributes.find(i.name).extension || slices.ContainsFunc(i.values, func(v string) bool { return isLogExtension(i.name, v) }) {
			w.lost = append(w.lost, Loss{Pos: s.PosOf(i.name), Service: s.ID, Setting: i.name + " = " + strings.Join(i.values, " "), Extension: true})
		}
	}
	w.writeRemainingComments(b, s, "\t")
	b.WriteString("}\n")
}

// isLogExtension reports whether a value is one of log_on_success or
// log_on_failure that xinetd does not know: it would reject the service.
func isLogExtension(setting, value string) bool {
	return strings.HasPrefix(setting, "log_on_") && (value == "PORT" || value == "RUSAGE")
}

// asXinetdComment returns an entry that is no service as a comment.
func (st *stanza) asXinetdComment() []string {
	list := slices.Concat(st.comments[""], []string{"# service " + quoteXinetd(st.name, true), "# {"}, st.comments["disable"], []string{"#\tdisable = yes"})
	for _, s := range st.settings {
		text := "#\t" + s.name + " " + s.op
		for _, w := range s.words {
			text += " " + quoteXinetd(w.text, takesComments(s.name))
		}
		list = append(append(list, st.comments[s.name]...), text)
	}
	return append(append(list, st.comments["}"]...), "# }")
}

func literal(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// listed returns the port that /etc/services has for a service, 0 for none.
func (w *writer) listed(s *Service, l Listen) int {
	if _, err := strconv.Atoi(s.Name); err == nil {
		return 0
	}
	n, _ := w.etc.port(s.Name, l.Network)
	return n
}

func (w *writer) typesOf(s *Service, l Listen) []string {
	var types []string
	switch {
	case s.MuxPlus:
		return []string{"TCPMUXPLUS", "UNLISTED"}
	case s.Mux != "":
		return []string{"TCPMUX", "UNLISTED"}
	case l.RPC != (RPC{}) && s.isListedRPC():
		return []string{"RPC"}
	case l.RPC != (RPC{}):
		return []string{"RPC", "UNLISTED"}
	case s.Internal != "":
		types = append(types, "INTERNAL")
	}
	if (l.Network == "tcp" || l.Network == "udp") && w.listed(s, l) != l.Port {
		types = append(types, "UNLISTED")
	}
	return types
}

func yesOrNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// quoteXinetd quotes a value where its reader needs that: where comments may
// stand, one that begins with #, too.
func quoteXinetd(v string, comments bool) string {
	if v != "" && wordLen(v) == len(v) && v[0] != '"' && v[0] != '\'' && !(comments && v[0] == '#') {
		return v
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v) + `"`
}
