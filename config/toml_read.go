package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// ReadTOML reads a configuration in TOML: a table for the defaults, and one
// for each service, with xinetd.conf(5)'s names for the settings. A key that
// is not known costs its service, lest the service run without what was
// meant. A file that is not TOML is one problem and no service.
func ReadTOML(file, text string, o Options) ([]*Service, []Problem) {
	r := &tomlReader{file: file, o: &o, etc: readEtc(o)}
	if line, column, problem := tomlTooDeep(text); problem != "" {
		r.report(Pos{file, line, column}, Error, "", "correct it; nothing of the file is used", problem)
		return nil, r.problems
	}
	var tree map[string]any
	meta, err := toml.Decode(text, &tree)
	if err != nil {
		r.syntax(err, text)
		return nil, r.problems
	}
	r.layout = scanTOML(text)
	r.top(tree)
	var defaults *stanza
	if table, ok := tree["defaults"].(map[string]any); ok {
		defaults = r.stanza(table, "defaults")
		r.checkDefaults(defaults)
	}
	if r.fatal {
		return nil, r.problems
	}
	services, _ := tree["service"].(map[string]any)
	for _, key := range meta.Keys() {
		if len(key) < 2 || key[0] != "service" || services[key[1]] == nil {
			continue
		}
		if table, ok := services[key[1]].(map[string]any); ok && strings.TrimSpace(key[1]) == "" {
			r.report(r.posOf("service", key[1]), Error, "", "write [service.NAME]", "a service has no name")
		} else if ok {
			r.service(table, key[1], defaults)
		} else {
			r.report(r.posOf("service", key[1]), Error, key[1], "write [service."+key[1]+"] and its settings below", "this is not a service")
		}
		delete(services, key[1]) // its keys follow
	}
	r.keepComments(tree["defaults"])
	return r.services, r.problems
}

// keepComments returns the first service the comments that are no service's,
// and the last one those at the end: a conversion is to have them.
func (r *tomlReader) keepComments(defaults any) {
	if len(r.services) == 0 {
		return
	}
	if all := append(r.layout.commentsOf(defaults, "defaults"), r.layout.keys["service"].comments...); all != nil {
		first := r.services[0]
		first.comments[""] = append(all, first.comments[""]...)
	}
	attachTrailing(r.services, append(r.before, r.layout.last...))
}

type tomlReader struct {
	file     string
	o        *Options
	etc      *etc
	layout   *tomlLayout
	services []*Service
	before   []string // disabled entries that are no services, for the next one
	problems []Problem
	fatal    bool // what holds for all services could not be read: none may run
}

func (r *tomlReader) report(at Pos, sev Severity, service, hint, text string) {
	r.problems = append(r.problems, Problem{Pos: at, Severity: sev, Service: service, Text: text, Hint: hint})
}

func (r *tomlReader) syntax(err error, text string) {
	at, what, hint := Pos{File: r.file, Line: 1}, err.Error(), "correct it; nothing of the file is used"
	var wrong toml.ParseError
	if errors.As(err, &wrong) {
		at.Line, what = max(wrong.Position.Line, 1), "not TOML: "+wrong.Message
		at.Column = max(wrong.Position.Col, 0)
	}
	if lines := strings.Split(text, "\n"); at.Line <= len(lines) && hasOddBlank(lines[at.Line-1]) {
		hint = "the line has a no-break space or another blank that is none in TOML: replace it by a space; nothing of the file is used"
	}
	r.report(at, Error, "", hint, what)
}

// posOf returns the position of a key, or of the innermost table around it
// that has one.
func (r *tomlReader) posOf(path ...string) Pos {
	for n := len(path); n > 0; n-- { // a key of an inline table is where that table is
		if mark, ok := r.layout.keys[joinKey(path[:n])]; ok {
			return Pos{r.file, mark.line, mark.column}
		}
	}
	return Pos{File: r.file, Line: 1}
}

func joinKey(path []string) string { return strings.Join(path, "\x00") }

// top looks at the tables of the file.
func (r *tomlReader) top(tree map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		if _, isTable := tree[key].(map[string]any); isTable && (key == "defaults" || key == "service") {
			continue
		}
		hint := "the file has [defaults] and [service.NAME]"
		if key == "defaults" || nearest(key, []string{"defaults"}) != "" {
			r.fatal = true
			hint += "; no service runs without its defaults"
		}
		if near := nearest(key, []string{"defaults", "service"}); near != "" {
			hint = "write " + near + "; " + hint
		}
		r.report(r.posOf(key), Error, "", hint, fmt.Sprintf("unknown key %q", key))
	}
}

// checkDefaults warns of what has no effect in defaults.
func (r *tomlReader) checkDefaults(st *stanza) {
	st.settings = slices.DeleteFunc(st.settings, func(s setting) bool {
		a := attributes.find(s.name)
		if s.name == "enabled" || s.name == "disabled" || s.name == "disable" {
			r.fatal = true
			r.report(s.pos, Error, "", "write disable = true in each service; until then no service runs", s.name+" is not for defaults here")
			return true
		}
		if a != nil && a.perService && a.security {
			return false // an error of the services that it may have been meant to restrict
		}
		if a != nil && a.perService {
			r.report(s.pos, Warning, "", "write it in each service", s.name+" in defaults has no effect")
			return true
		}
		if near := attributes.nearest(s.name); a == nil && (near == nil || !near.security) {
			r.report(s.pos, Warning, "", unknownHint(s.name), fmt.Sprintf("unknown setting %q in defaults has no effect", s.name))
			return true
		}
		return false
	})
}

// service reads one service's table. One that listens for streams and for
// datagrams is two services with the same settings.
func (r *tomlReader) service(table map[string]any, name string, defaults *stanza) {
	disabled := false
	if value, written := table["disable"]; written {
		words, invalid := tomlValue("disable", value)
		off, ok := false, false
		if invalid == nil && len(words) == 1 {
			off, ok = boolOf(words[0])
		}
		if !ok {
			r.report(r.posOf("service", name, "disable"), Error, name, "write true or false", "disable is neither")
		}
		if !ok || off && !r.o.Disabled {
			return
		}
		delete(table, "disable")
		disabled = off
	}
	for key := range table {
		if canonical(key) == "disable" {
			r.report(r.posOf("service", name, key), Error, name, "write disable, in small letters", fmt.Sprintf("unknown key %q", key))
			return
		}
	}
	st := r.stanza(table, "service", name)
	if c := r.layout.commentsOf(nil, "service", name, "disable"); c != nil {
		st.comments["disable"] = c
	}
	for _, part := range splitByType(st) {
		b := &builder{o: r.o, etc: r.etc, dialect: TOML, stanza: part}
		s := b.build(defaults)
		if disabled {
			b.problems = nil
			if s == nil {
				r.before = append(r.before, part.asTOMLComment()...)
			}
		}
		if s != nil {
			s.Disabled = disabled
			if r.before != nil {
				s.comments[""], r.before = append(r.before, s.comments[""]...), nil
			}
			r.services = append(r.services, s)
		}
		for _, p := range b.problems {
			if !slices.Contains(r.problems, p) {
				r.problems = append(r.problems, p)
			}
		}
	}
}

// splitByType splits a stanza into one for each socket type of its listen.
func splitByType(st *stanza) []*stanza {
	at := slices.IndexFunc(st.settings, func(s setting) bool { return s.name == "listen" })
	if at < 0 || slices.ContainsFunc(st.settings, func(s setting) bool { return s.name == "socket_type" }) {
		return []*stanza{st}
	}
	var datagrams, streams []word
	for _, w := range st.settings[at].words {
		if strings.HasPrefix(w.text, "udp") {
			datagrams = append(datagrams, w)
		} else {
			streams = append(streams, w)
		}
	}
	if datagrams == nil || streams == nil {
		return []*stanza{st}
	}
	var list []*stanza
	for _, words := range [][]word{streams, datagrams} {
		part := *st
		part.settings = slices.Clone(st.settings)
		part.settings[at].words = words
		if list != nil {
			part.comments = map[string][]string{} // the first one has them
		}
		list = append(list, &part)
	}
	return list
}

// stanza makes settings of a table's keys, in the order of the file.
func (r *tomlReader) stanza(table map[string]any, path ...string) *stanza {
	st := &stanza{name: path[len(path)-1], pos: r.posOf(path...), comments: map[string][]string{}}
	if c := r.layout.keys[joinKey(path)].comments; c != nil {
		st.comments[""] = c
	}
	for key, value := range table {
		at := r.posOf(append(slices.Clone(path), key)...)
		s := setting{name: canonical(key), op: "=", pos: at}
		var texts []string
		texts, s.fault = tomlValue(s.name, value)
		for _, text := range texts {
			s.words = append(s.words, word{text: text, pos: at})
		}
		st.settings = append(st.settings, s)
		if c := r.layout.commentsOf(value, append(slices.Clone(path), key)...); c != nil {
			st.comments[s.name] = append(st.comments[s.name], c...) // of a synonym, too
		}
	}
	slices.SortFunc(st.settings, func(a, b setting) int {
		if a.pos.Line != b.pos.Line {
			return a.pos.Line - b.pos.Line
		}
		return strings.Compare(a.name, b.name)
	})
	for i, s := range st.settings { // "bind" and "Bind" or "interface"
		if slices.ContainsFunc(st.settings[:i], func(before setting) bool { return before.name == s.name }) {
			st.settings[i].fault = faultf("keep one of them", "%s is set twice, by names that mean the same", s.name)
		}
	}
	return st
}

// tomlValue returns the words of a value.
func tomlValue(name string, value any) ([]string, *fault) {
	a := attributes.find(name)
	octal := name == "umask" || name == "socket_mode"
	switch v := value.(type) {
	case string:
		if a != nil && (a.kind == kindList || a.kind == kindNumbers) && strings.ContainsAny(v, " \t") && name != "env" {
			return nil, faultf(`write a list: ["...", "..."]`, "%s is a list, and this is one string with blanks in it", name)
		}
		return []string{v}, nil
	case int64:
		if octal {
			return nil, faultf(`write it as a string: "022"`, "%s is octal, and a number is not", name)
		}
		return []string{strconv.FormatInt(v, 10)}, nil
	case float64:
		return []string{strconv.FormatFloat(v, 'f', -1, 64)}, nil
	case bool:
		if v {
			return []string{"yes"}, nil
		}
		return []string{"no"}, nil
	case []any:
		words := []string{}
		for _, one := range v {
			w, invalid := tomlValue(name+"[]", one)
			if invalid != nil || len(w) != 1 {
				return nil, faultf("write strings and numbers", "%s has something in its list that is neither a string nor a number", name)
			}
			words = append(words, w...)
		}
		if a != nil && a.kind != kindList && a.kind != kindNumbers && a.kind != kindScalarOrList {
			return nil, faultf(a.hint, "%s is no list", name)
		}
		return words, nil
	case map[string]any:
		if name == "env" {
			return tomlEnv(v)
		}
	}
	return nil, faultf("write a string, a number, true, false or a list", "%s has a value of another type", name)
}

// tomlEnv reads variables that are written as a table.
func tomlEnv(table map[string]any) ([]string, *fault) {
	words := []string{}
	for _, key := range slices.Sorted(maps.Keys(table)) {
		w, invalid := tomlValue(key, table[key])
		if invalid != nil || len(w) != 1 {
			return nil, faultf("write it as a string", "the variable %s is neither a string nor a number", key)
		}
		words = append(words, key+"="+w[0])
	}
	return words, nil
}
