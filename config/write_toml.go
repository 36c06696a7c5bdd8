package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// toml writes a service as a table. The comments of what it does not write are
// behind the table's header: before the next one they would be another
// service's.
func (w *writer) toml(s *Service) string {
	var head, b strings.Builder
	key := w.key(s)
	line := func(name string, k attrKind, values ...string) {
		w.writeComments(&b, s, name, "")
		fmt.Fprintf(&b, "%s = %s\n", name, tomlText(k, values))
	}
	if s.Disabled {
		line("disable", kindBool, "yes")
	}
	if s.ID != key {
		line("id", kindText, s.ID)
	}
	if s.Name != key {
		line("name", kindText, s.Name)
	}
	switch {
	case s.MuxPlus:
		line("type", kindText, "tcpmuxplus")
	case s.Mux != "":
		line("type", kindText, "tcpmux")
	case s.rpc() != (RPC{}):
		line("type", kindText, "rpc")
	case s.Internal != "" && w.etc.builtins.nameOf(s.Name) == s.Internal && !s.Sensor:
		line("type", kindText, "internal")
	case s.Internal != "" && !s.Sensor:
		line("builtin", kindText, s.Internal)
	}
	w.tomlListen(s, line)
	if flags := s.flagsOf(TOML); flags != nil {
		line("flags", kindList, flags...)
	}
	for _, i := range w.items(s) {
		line(i.name, i.kind, i.values...)
	}
	w.writeComments(&head, s, "", "")
	fmt.Fprintf(&head, "[service.%s]\n", tomlKey(key))
	w.writeRemainingComments(&head, s, "")
	return head.String() + b.String()
}

// asTOMLComment returns a table that is no service as a comment.
func (st *stanza) asTOMLComment() []string {
	list := slices.Concat(st.comments[""], []string{"# [service." + tomlKey(st.name) + "]"}, st.comments["disable"], []string{"# disable = true"})
	for _, s := range st.settings {
		kind := kindScalarOrList
		if a := attributes.find(s.name); a != nil {
			kind = a.kind
		}
		values := texts(s.words)
		if len(values) == 0 {
			kind = kindList
		}
		list = append(append(list, st.comments[s.name]...), "# "+s.name+" = "+tomlText(kind, values))
	}
	return list
}

// tomlListen writes where a service is reached.
func (w *writer) tomlListen(s *Service, line func(string, attrKind, ...string)) {
	usual := Stream
	for _, l := range s.Listen {
		if l.Network == "udp" {
			usual = Dgram
		} else if l.Network != "tcp" && l.Network != "unix" && l.Network != "systemd" {
			usual = Raw
		}
	}
	if s.SocketType != usual {
		line("socket_type", kindText, string(s.SocketType))
	}
	if s.Listen != nil {
		var places []string
		for _, l := range s.Listen {
			places = append(places, listenText(l))
		}
		line("listen", kindScalarOrList, places...)
	}
	if s.Internal == "" && s.Wait != (s.SocketType != Stream && s.SocketType != Seqpacket) {
		line("wait", kindBool, yesOrNo(s.Wait))
	}
	for _, l := range s.Listen {
		if l.Network != "unix" {
			continue
		}
		if l.Owner != "" {
			line("socket_user", kindText, l.Owner)
		}
		if l.Group != "" {
			line("socket_group", kindText, l.Group)
		}
		if l.Mode != 0o666 {
			line("socket_mode", kindText, fmt.Sprintf("%04o", l.Mode))
		}
		break
	}
}

// key returns the name of a service's table. No other service has it.
func (w *writer) key(s *Service) string {
	if w.keys == nil {
		w.keys = map[string]bool{}
	}
	key := s.ID
	if w.keys[key] {
		key = s.ID + "-" + string(s.SocketType)
	}
	for n := 2; w.keys[key]; n++ {
		key = fmt.Sprintf("%s-%d", s.ID, n)
	}
	w.keys[key] = true
	return key
}

func tomlKey(key string) string {
	if key == "" || strings.ContainsFunc(key, func(c rune) bool { return !isLetter(c) && (c < '0' || c > '9') && c != '_' && c != '-' }) {
		return tomlString(key)
	}
	return key
}

// tomlText writes values as their kind asks for.
func tomlText(k attrKind, values []string) string {
	switch {
	case k == kindBool, k == kindBoolOrText && (values[0] == "yes" || values[0] == "no"):
		return strconv.FormatBool(values[0] == "yes")
	case k == kindNumber && plainNumber(values[0]):
		return values[0]
	case k == kindList || k == kindNumbers || k == kindScalarOrList && len(values) != 1:
		quoted := make([]string, len(values))
		for i, v := range values {
			quoted[i] = tomlString(v)
			if k == kindNumbers && plainNumber(v) {
				quoted[i] = v
			}
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	return tomlString(values[0])
}

// plainNumber reports whether a text is a number as TOML writes it.
func plainNumber(text string) bool {
	n, err := strconv.ParseInt(text, 10, 64)
	return err == nil && strconv.FormatInt(n, 10) == text
}

// tomlString quotes a string. What is no UTF-8 TOML cannot hold.
func tomlString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteString(`\` + string(c))
		case c < ' ' || c == 0x7f || c == utf8.RuneError:
			fmt.Fprintf(&b, `\u%04X`, c)
		default:
			b.WriteRune(c)
		}
	}
	return b.String() + `"`
}
