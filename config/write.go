package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// A Loss is a setting that a dialect does not have.
type Loss struct {
	Pos       Pos
	Service   string
	Setting   string // "only_from = 192.0.2.0/24"
	Extension bool   // it is written, but xinetd itself does not know the setting
}

// String returns it in one line.
func (l Loss) String() string {
	text := l.Pos.String() + ": " + l.Service + ": " + l.Setting
	if l.Extension {
		text += " (an extension: xinetd itself rejects it)"
	}
	return text
}

// Write writes services in a dialect. What that cannot say is among the
// losses: it is found by reading what was written and comparing.
func Write(d Dialect, services []*Service, o Options) (text string, lost []Loss) {
	o.LogStarts, o.Libwrap, o.Address = false, false, ""
	o.PerMinute, o.Instances, o.PerSource, o.PerSourcePerMinute = 0, 0, 0, 0
	w := &writer{d: d, o: &o, etc: readEtc(o)}
	for _, s := range services {
		w.service(w.withoutDialectDefaults(s))
	}
	w.writeTrailing()
	return w.b.String(), w.lost
}

type writer struct {
	d         Dialect
	o         *Options
	etc       *etc
	b         strings.Builder
	keys      map[string]bool // of TOML's tables
	commented map[string]bool // settings whose comments are written
	trailing  []string        // comments behind the service before
	lost      []Loss
}

// withoutDialectDefaults returns a service without the defaults of its dialect
// that were not written, where it goes to or comes from inetd.conf: what is
// logged, which variables are passed on, the loop limit, and what happens to
// clients over a limit that does not exist. inetd.conf's nowait services keep
// that they have no cps, and all that they get no variables of who started the
// daemon: the xinetd.conf's defaults would be something else. Its wait services
// get the loop limit of the dialect that they go to.
func (w *writer) withoutDialectDefaults(s *Service) *Service {
	if (s.Dialect == Inetd) == (w.d == Inetd) {
		return s
	}
	usual := w.defaultService(s)
	n := *s
	n.Own()
	for setting, habit := range map[string]func(){
		"log_on_success": func() { n.LogOnSuccess = usual.LogOnSuccess },
		"log_on_failure": func() { n.LogOnFailure = usual.LogOnFailure },
		"passenv":        func() { n.PassEnv = usual.PassEnv },
		"cps":            func() { n.CPS = usual.CPS },
	} {
		if _, written := s.written[setting]; written || s.Dialect == Inetd && (setting == "passenv" || setting == "cps" && !s.Wait) {
			continue
		}
		habit()
	}
	if n.Instances == 0 {
		n.Queue = usual.Queue
	}
	if w.d == Xinetd && n.Mux != "" {
		n.Name, n.ID = n.Mux, n.Mux
	}
	return &n
}

// defaultService returns a service of the target dialect without any settings.
func (w *writer) defaultService(s *Service) *Service {
	b := &builder{o: w.o, etc: w.etc, dialect: w.d, stanza: &stanza{name: s.Name}}
	usual := b.newService()
	switch {
	case w.d == Inetd:
		usual.LogOnFailure, usual.CPS, usual.PassEnv = LogHost|LogPort, Rate{}, nil
	case w.d == TOML && s.Wait:
		usual.CPS = loopGuard
	}
	return usual
}

// writeComments writes the comments that stood before a setting.
func (w *writer) writeComments(b *strings.Builder, s *Service, name, indent string) {
	for _, c := range s.comments[name] {
		b.WriteString(indent + c + "\n")
	}
	w.commented[name] = true
}

// writeRemainingComments writes the comments that have not been written: of
// settings that the dialect does not have, or has by default.
func (w *writer) writeRemainingComments(b *strings.Builder, s *Service, indent string) {
	for _, name := range slices.Sorted(maps.Keys(s.comments)) {
		if !w.commented[name] && name != "~" {
			w.writeComments(b, s, name, indent)
		}
	}
}

// service writes one service and notes what the dialect lost of it.
func (w *writer) service(s *Service) {
	var one string
	w.commented = map[string]bool{}
	switch w.d {
	case Xinetd:
		one = w.xinetd(s)
	case TOML:
		one = w.toml(s)
	default:
		one = w.inetd(s)
	}
	if s.Disabled && w.d == Inetd {
		w.disabledInInetd(s)
		return
	}
	o := *w.o
	o.Dialect, o.Disabled = w.d, s.Disabled
	again, problems := Read("", one, o)
	again = slices.DeleteFunc(again, func(a *Service) bool { return a == nil })
	if len(again) != 1 {
		what := "the whole service"
		if len(again) > 1 {
			what = fmt.Sprintf("one service for %d places: there are %d now", len(again), len(again))
		} else if len(problems) > 0 {
			what += ": " + problems[0].Text
		}
		w.lost = append(w.lost, Loss{Pos: s.Pos, Service: s.ID, Setting: what})
	}
	if len(again) == 0 {
		one = commentOut(one)
	} else {
		w.compare(s, again[0])
	}
	if w.b.Len() > 0 && w.d != Inetd {
		w.b.WriteString("\n")
	}
	w.writeTrailing() // between two files: the readers take it for the next service's
	w.b.WriteString(one)
	w.trailing = s.comments["~"]
}

// disabledInInetd writes the comments of a disabled service, and that there is
// one: nobody may take its line, without what inetd.conf does not have, for all
// of it.
func (w *writer) disabledInInetd(s *Service) {
	w.writeTrailing()
	for _, c := range s.comments[""] {
		w.b.WriteString(c + "\n")
	}
	fmt.Fprintf(&w.b, "# %s is disabled (%s)\n", s.ID, s.Pos)
	w.trailing = s.comments["~"]
}

// writeTrailing writes the comments behind the last service of a file.
func (w *writer) writeTrailing() {
	for _, c := range w.trailing {
		w.b.WriteString(c + "\n")
	}
	w.trailing = nil
}

// commentOut returns a text as a comment.
func commentOut(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("# " + line)
	}
	return b.String()
}

// compare notes the settings that differ from what they were. A default of the
// old dialect that was not written counts only where it restricts access or
// resources.
func (w *writer) compare(s, again *Service) {
	for i := range attributes {
		a := &attributes[i]
		if a.get == nil {
			continue
		}
		before, after := a.get(s), a.get(again)
		if slices.Equal(before, after) && (before == nil) == (after == nil) {
			continue
		}
		_, written := s.written[a.name]
		if !written && s.Dialect != Inetd && !a.security && a.name != "groups" && a.name != "queue" {
			continue
		}
		text := a.name + " = " + strings.Join(before, " ")
		if a.name == "passenv" && before == nil {
			text = "passenv: the program would get the variables of who started the daemon, too"
		}
		w.lost = append(w.lost, Loss{Pos: s.PosOf(a.name), Service: s.ID, Setting: text})
	}
	for _, f := range []struct {
		what          string
		before, after any
	}{
		{"NORETRY", s.NoRetry, again.NoRetry}, {"IDONLY", s.IDOnly, again.IDOnly}, {"SENSOR", s.Sensor, again.Sensor},
		{"NODELAY", s.NoDelay, again.NoDelay}, {"KEEPALIVE", s.KeepAlive, again.KeepAlive},
	} {
		if f.before != f.after {
			w.lost = append(w.lost, Loss{Pos: s.PosOf("flags"), Service: s.ID, Setting: "flags = " + f.what})
		}
	}
	for _, f := range []struct{ name, before, after string }{{"id", s.ID, again.ID}, {"name", s.Name, again.Name}} {
		if at, written := s.written[f.name]; written && f.before != f.after {
			w.lost = append(w.lost, Loss{Pos: at, Service: s.ID, Setting: f.name + " = " + f.before})
		}
	}
	if !reflect.DeepEqual(s.Listen, again.Listen) && len(s.Listen) == len(again.Listen) {
		w.lost = append(w.lost, Loss{Pos: s.Pos, Service: s.ID, Setting: fmt.Sprintf("listen = %v", s.Listen)})
	}
}

// An item is a setting to be written.
type item struct {
	name   string
	kind   attrKind
	values []string
}

// items returns the settings of a service that differ from the target
// dialect's defaults.
func (w *writer) items(s *Service) []item {
	usual := w.defaultService(s)
	var list []item
	for i := range attributes {
		a := &attributes[i]
		if a.get == nil {
			continue
		}
		values, before := a.get(s), a.get(usual)
		if a.name == "server_args" && s.nameInArgs() && w.d == TOML {
			values = s.Args
		}
		if a.name == "libwrap" && w.d == Xinetd && s.Libwrap == "" {
			continue // NOLIBWRAP
		}
		if a.name == "libwrap" && w.d == Xinetd && s.Libwrap == s.daemonName() {
			continue
		}
		if values == nil || slices.Equal(values, before) && before != nil {
			continue
		}
		list = append(list, item{a.name, a.kind, values})
	}
	return list
}

// flagsOf returns the flags of a service.
func (s *Service) flagsOf(d Dialect) []string {
	var flags []string
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"NAMEINARGS", s.nameInArgs()}, {"NORETRY", s.NoRetry}, {"IDONLY", s.IDOnly}, {"SENSOR", s.Sensor},
		{"NODELAY", s.NoDelay}, {"KEEPALIVE", s.KeepAlive}, {"NOLIBWRAP", d == Xinetd && s.Libwrap == ""},
	} {
		if f.set {
			flags = append(flags, f.name)
		}
	}
	return flags
}

// listenText returns a listener as TOML's listen has it.
func listenText(l Listen) string {
	host := l.Host
	switch l.Network {
	case "unix", "systemd":
		return l.String()
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	suffix := [...]string{Both: "", IPv4: "4", IPv6: "6", Mapped: "46"}[l.Family]
	probe := Listen{Host: l.Host}
	if invalid := literalFamily(&probe); invalid == nil && probe.Family == l.Family {
		suffix = "" // the address says it
	}
	if l.Network != "tcp" && l.Network != "udp" {
		return l.Network + ":" + host + "*"[:1-min(1, len(host))]
	}
	if host != "" {
		host += ":"
	}
	return l.Network + suffix + ":" + host + strconv.Itoa(l.Port)
}
