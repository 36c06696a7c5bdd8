package config

import (
	"maps"
	"slices"
	"strings"
)

// ReadXinetd reads an xinetd.conf with all that it includes, as xinetd.conf(5)
// describes it. What is wrong with a service costs that service; what is
// wrong with the defaults costs the services that would have had it, lest
// they be open to everybody.
//
// Other than in xinetd, defaults count wherever they stand, no blank is
// wanted before an operator, and a value that begins with a quote runs to
// the next one.
func ReadXinetd(file, text string, o Options) ([]*Service, []Problem) {
	r := &xinetdReader{o: &o, etc: readEtc(o)}
	r.read(file, text)
	services := r.services()
	r.keepComments(services)
	return services, r.problems
}

// keepComments returns the first service the comments of the defaults, and the
// last one those at the end, and what was disabled: a conversion is to have
// them.
func (r *xinetdReader) keepComments(services []*Service) {
	if len(services) == 0 {
		return
	}
	if first := services[0]; r.defaults != nil {
		all := r.defaults.comments[""]
		delete(r.defaults.comments, "")
		for _, s := range r.defaults.settings {
			all = append(all, r.defaults.comments[s.name]...)
			delete(r.defaults.comments, s.name)
		}
		for _, name := range slices.Sorted(maps.Keys(r.defaults.comments)) { // of settings without effect, and before the }
			all = append(all, r.defaults.comments[name]...)
		}
		first.comments[""] = append(all, first.comments[""]...)
	}
	trailing := r.trailing
	for _, st := range r.off {
		trailing = append(append(trailing, st.comments[""]...), "# "+st.name+" is disabled ("+st.pos.String()+")")
	}
	attachTrailing(services, trailing)
}

type xinetdReader struct {
	o        *Options
	etc      *etc
	stack    []string // the files that are being read, outermost first
	defaults *stanza
	stanzas  []*stanza
	enabled  *[]word // ids; nil: all
	disabled []word
	off      []*stanza // entries that are disabled and not wanted
	trailing []string  // comments at the ends of files
	fatal    bool      // what holds for all services could not be read: none may run
	problems []Problem
}

func (r *xinetdReader) report(at Pos, sev Severity, service string, hint, text string) {
	r.problems = append(r.problems, Problem{Pos: at, Severity: sev, Service: service, Text: text, Hint: hint})
}

// read reads one file.
func (r *xinetdReader) read(file, text string) {
	r.stack = append(r.stack, file)
	defer func() { r.stack = r.stack[:len(r.stack)-1] }()
	f := &xinetdFile{r: r, name: file, lines: strings.Split(text, "\n")}
	for {
		words, ok := f.next()
		if !ok {
			break
		}
		f.entry(words)
	}
	r.trailing = append(r.trailing, f.comments...)
}

// entry reads what begins at a line: a service, the defaults, an include.
func (f *xinetdFile) entry(words []word) {
	what := strings.ToLower(words[0].text)
	words, comment := cutComment(words)
	if comment != nil {
		f.warnComment(comment, "")
	}
	brace := len(words) > 1 && words[len(words)-1].text == "{" // xinetd wants it on a line of its own
	if brace {
		words = words[:len(words)-1]
	}
	switch {
	case what == "defaults" && len(words) == 1:
		f.stanza("", brace)
	case what == "service" && len(words) >= 2:
		f.stanza(words[1].text, brace)
	case what == "include" && len(words) >= 2 && !brace:
		f.include(f.resolvePath(words[1].text))
	case what == "includedir" && len(words) >= 2 && !brace:
		f.includeDir(f.resolvePath(words[1].text))
	default:
		hint := "write service NAME, defaults, include FILE or includedir DIRECTORY"
		if nearest(what, []string{"defaults"}) != "" {
			f.r.fatal = true
			hint = "write defaults; no service runs without them"
		}
		f.r.report(words[0].pos, Error, "", hint, "not an entry")
		if brace {
			f.skip()
		}
	}
	f.comments = nil
}

// skip passes over the rest of an entry.
func (f *xinetdFile) skip() {
	for {
		words, ok := f.next()
		if !ok || words[0].text == "}" {
			return
		}
	}
}

// stanza reads a service, or the defaults where it has no name.
func (f *xinetdFile) stanza(name string, brace bool) {
	st := &stanza{name: name, pos: f.pos(), comments: map[string][]string{}}
	if f.comments != nil {
		st.comments[""], f.comments = f.comments, nil
	}
	if !brace {
		before := f.number
		if words, ok := f.next(); !ok || words[0].text != "{" {
			f.r.report(st.pos, Error, name, "write a line with { behind it", "the entry has no {")
			if ok && settingOf(words).fault == nil {
				f.skip()
			} else {
				f.number = before // it may be the next entry
			}
			return
		}
	}
	off := name != "" && f.disabled()
	closed := false
	var wrong *Problem
	for !closed {
		words, ok := f.next()
		if !ok {
			break
		}
		if closed = words[0].text == "}"; closed {
			break
		}
		if isHeader(words) { // the next entry
			f.number--
			break
		}
		s := settingOf(words)
		if f.comments != nil {
			st.comments[s.name], f.comments = append(st.comments[s.name], f.comments...), nil
		}
		if !off {
			f.checkWords(name, &s)
		}
		if s.fault != nil && wrong == nil {
			wrong = &Problem{Pos: s.pos, Severity: Error, Service: name, Text: s.fault.text, Hint: s.fault.hint}
		}
		st.settings = append(st.settings, s)
	}
	if f.comments != nil {
		st.comments["}"], f.comments = f.comments, nil
	}
	if !closed && !off {
		f.r.report(st.pos, Error, name, "write a line with } behind it", "the entry has no }")
	}
	f.r.add(st, off, closed, wrong)
}

// checkWords reports a comment behind the values of a setting, and values
// whose quotes are in doubt. In the list of those who may not come in, an
// address in a comment is an error: to xinetd it is one of the list.
func (f *xinetdFile) checkWords(service string, s *setting) {
	if s.comment != nil && s.name == "no_access" && s.fault == nil {
		for _, w := range s.comment {
			if source, _, invalid := f.r.etc.readSource(w); invalid == nil && source.Name == "" {
				s.fault = faultf(commentHint, "%s stands behind # and may be meant for the list", w.text)
				s.fault.value = w.text
				return
			}
		}
	}
	if s.comment != nil {
		f.warnComment(s.comment, service)
	}
	if i := slices.IndexFunc(s.words, func(w word) bool { return w.doubtful }); i >= 0 {
		f.r.report(s.words[i].pos, Warning, service, "write both quotes around the whole value, if that is meant",
			s.words[i].text+" begins with a quote that does not end a value; the quote is part of the value, as in xinetd")
	}
}

// warnComment reports a comment behind what it is about.
func (f *xinetdFile) warnComment(comment []word, service string) {
	f.r.report(comment[0].pos, Warning, service, commentHint, strings.Join(texts(comment), " ")+" is taken for a comment; xinetd would take it for values")
}

// disabled reports whether the entry that begins here has disable = yes. The
// rest of such an entry is not interpreted: packages leave them for programs
// that are not installed.
func (f *xinetdFile) disabled() bool {
	here, retained := f.number, f.comments
	defer func() { f.number, f.comments = here, retained }()
	for {
		words, ok := f.next()
		if !ok || words[0].text == "}" || isHeader(words) {
			return false
		}
		if s := settingOf(words); s.name == "disable" && len(s.words) == 1 {
			if off, ok := boolOf(s.words[0].text); ok && off {
				return true
			}
		}
	}
}

// add takes a stanza that was read.
func (r *xinetdReader) add(st *stanza, off, closed bool, wrong *Problem) {
	switch {
	case off && st.name != "" && r.o.Disabled:
		st.off = true
		r.stanzas = append(r.stanzas, st)
	case off && st.name != "":
		r.off = append(r.off, st)
	case off:
	case st.name == "":
		if r.defaults != nil {
			r.report(st.pos, Warning, "", "put them together", "there are defaults at "+r.defaults.pos.String()+" already, and only the first ones count")
			return
		}
		r.takeLists(st)
		r.defaults = st
	case wrong != nil:
		r.problems = append(r.problems, *wrong)
	case closed:
		st.settings = slices.DeleteFunc(st.settings, isDisableNo)
		r.stanzas = append(r.stanzas, st)
	}
}

// isDisableNo reports whether a setting is "disable = no".
func isDisableNo(s setting) bool {
	if s.name != "disable" || len(s.words) != 1 {
		return false
	}
	off, ok := boolOf(s.words[0].text)
	return ok && !off
}

// takeLists takes enabled and disabled out of the defaults, and what xinetd
// does not take from them.
func (r *xinetdReader) takeLists(st *stanza) {
	st.settings = slices.DeleteFunc(st.settings, func(s setting) bool {
		a := attributes.find(s.name)
		switch {
		case (s.name == "enabled" || s.name == "disabled") && s.fault != nil, s.name == "disable" && !isDisableNo(s):
			r.fatal = true
			r.report(s.pos, Error, "", "write disabled = NAME, or enabled = NAME; until then no service runs", s.name+" cannot be read")
		case s.name == "disable":
		case s.name == "enabled" && s.fault == nil:
			r.enabled = r.joined(s.words)
		case s.name == "disabled" && s.fault == nil:
			r.disabled = append(append(r.disabled, s.words...), s.comment...) // to xinetd those are off, too
		case a != nil && a.perService:
			r.report(s.pos, Warning, "", "write it in each service", s.name+" in defaults has no effect")
		case a == nil && obsolete[s.name] == "":
			if near := attributes.nearest(s.name); near == nil || !near.security {
				r.report(s.pos, Warning, "", unknownHint(s.name), `unknown setting "`+s.name+`" in defaults has no effect`)
				return true
			}
			return false
		default:
			return false
		}
		return true
	})
}

// joined returns the list of enabled ids with more of them.
func (r *xinetdReader) joined(more []word) *[]word {
	list := slices.Clone(more)
	if r.enabled != nil {
		list = append(*r.enabled, more...)
	}
	return &list
}

// services makes services of all stanzas, now that all defaults are known.
func (r *xinetdReader) services() []*Service {
	var services []*Service
	shared := map[string]int{} // problems of the defaults, which many services have
	if r.fatal {
		return nil
	}
	var before []string // disabled entries that are no services, for the next one
	for _, st := range r.stanzas {
		st.settings = slices.DeleteFunc(st.settings, func(s setting) bool { return st.off && s.name == "disable" })
		b := &builder{o: r.o, etc: r.etc, dialect: Xinetd, stanza: st}
		s := b.build(r.defaults)
		id := b.s.ID
		if off := st.off || r.switchedOff(id); off && s == nil && r.o.Disabled {
			before = append(before, st.asXinetdComment()...)
			continue
		} else if off && r.o.Disabled {
			s.Disabled = true
			b.problems = nil
		} else if off {
			continue
		}
		if s != nil && before != nil {
			s.comments[""], before = append(before, s.comments[""]...), nil
		}
		for _, p := range b.problems {
			key := p.Pos.String() + p.Text
			if i, twice := shared[key]; twice && p.Severity == Error {
				r.problems[i].Service += ", " + p.Service
				continue
			} else if twice {
				continue
			}
			if r.defaults != nil && p.File == r.defaults.pos.File && !between(p.Pos, st) {
				shared[key] = len(r.problems)
			}
			r.problems = append(r.problems, p)
		}
		if s != nil {
			services = append(services, s)
		}
	}
	r.trailing = append(before, r.trailing...)
	return services
}

// between reports whether a position is inside a stanza.
func between(at Pos, st *stanza) bool {
	last := st.pos.Line
	for _, s := range st.settings {
		last = max(last, s.pos.Line)
	}
	return at.File == st.pos.File && at.Line >= st.pos.Line && at.Line <= last
}

// switchedOff reports whether the defaults switch a service off.
func (r *xinetdReader) switchedOff(id string) bool {
	is := func(w word) bool { return strings.EqualFold(w.text, id) }
	return r.enabled != nil && !slices.ContainsFunc(*r.enabled, is) || slices.ContainsFunc(r.disabled, is)
}
