package config

import (
	"cmp"
	"slices"
	"strings"
)

// A word is one value of a setting.
type word struct {
	text     string
	pos      Pos
	quoted   bool // in quotes, in xinetd.conf
	doubtful bool // begins with a quote, and is no quoted value
}

// A setting is an attribute with its values, as a stanza has it.
type setting struct {
	name  string
	op    string // "=", "+=", "-="
	words []word
	pos   Pos
	fault *fault // it could not be read at all

	comment []word // what stands behind the values from # on

	merged bool // words is nobody else's
}

// A stanza is a service as xinetd.conf and TOML describe it, before its
// settings are interpreted. They stand in the order of the file.
type stanza struct {
	name     string
	pos      Pos
	settings []setting
	comments map[string][]string
	off      bool // the service is disabled
}

// merge makes one setting of everything that a stanza and the defaults say of
// an attribute, nil where they say nothing. Lists are changed by =, += and -=
// in turn, and = discards what the defaults say; of all other attributes the
// first value counts, as in xinetd.
func (b *builder) merge(a *attribute, defaults *stanza) *setting {
	var merged *setting
	var implied *setting
	if a.name == "log_on_failure" { // what += adds to: a refusal has the client
		implied = &setting{name: a.name, op: "=", words: []word{{text: "HOST"}}}
		merged = implied
	}
	if defaults != nil && !a.perService {
		for i := range defaults.settings {
			if s := defaults.settings[i]; s.name == a.name {
				if s.op == "=" && len(s.words) > 0 && (implied == nil || merged != implied) {
					s.op = "+=" // in defaults they are the same
				}
				merged = b.apply(a, merged, s, true)
			}
		}
	}
	inherited := merged
	if !a.additive {
		merged = nil
	}
	for i := range b.stanza.settings {
		s := b.stanza.settings[i]
		switch {
		case s.name != a.name:
		case b.dialect == Xinetd && s.fault == nil && len(s.words) == 0 && slices.Contains(optional, a.name):
			b.warn(s.pos, "write a value, or remove the line", "%s has no value, and is not set", a.name)
		default:
			merged = b.apply(a, merged, s, false)
		}
	}
	return cmp.Or(merged, inherited)
}

// apply makes one more line of an attribute count.
func (b *builder) apply(a *attribute, before *setting, s setting, defaults bool) *setting {
	switch {
	case s.fault != nil:
		return &s
	case before != nil && before.fault != nil && (s.op != "=" || defaults):
		return before
	case !a.additive && s.op != "=" && !(defaults && s.op == "+="):
		s.fault = faultf("write =", "%s takes no %s", a.name, s.op)
		return &s
	case !a.additive && before != nil:
		if !defaults {
			b.warn(s.pos, "remove one of them", "%s is set already, and the first one counts", a.name)
		}
		return before
	case s.op == "=" || before == nil && s.op == "+=":
		return &s
	}
	next := before
	if before == nil || !before.merged { // the words are another stanza's
		next = &setting{name: a.name, op: "=", merged: true}
		if before != nil {
			next.words = slices.Clone(before.words)
		}
	}
	next.pos = s.pos
	if s.op == "+=" {
		next.words = append(next.words, s.words...)
		return next
	}
	for _, w := range s.words {
		same := b.sameAs(a, w)
		n := len(next.words)
		if next.words = slices.DeleteFunc(next.words, same); len(next.words) == n && (a.name == "only_from" || a.name == "no_access") {
			b.warn(s.pos, "write it as it stands in the list", "%s -= %s removes nothing", a.name, w.text)
		}
	}
	return next
}

// sameAs returns the function that reports whether a word of a list stands
// for the same as one that is to be removed: an address may be written in
// several ways.
func (b *builder) sameAs(a *attribute, w word) func(word) bool {
	if a.name == "only_from" || a.name == "no_access" {
		if source, _, fault := b.etc.readSource(w); fault == nil {
			return func(x word) bool {
				other, _, fault := b.etc.readSource(x)
				return fault == nil && source.Name == other.Name && source.Zone == other.Zone && slices.Equal(source.Prefixes, other.Prefixes)
			}
		}
	}
	return func(x word) bool { return strings.EqualFold(x.text, w.text) }
}

// A builder makes a Service of a stanza.
type builder struct {
	o        *Options
	etc      *etc
	dialect  Dialect
	stanza   *stanza
	s        *Service
	raw      raw
	problems []Problem
}

// A raw has the settings that have a meaning only together (port, bind,
// protocol, flags, ...). resolve turns them into listeners and a program.
type raw struct {
	types, flags map[string]bool
	protocol     string
	port         int
	rpc          RPC // of which some may be missing
	bind         string
	v6only       bool
	listen       []word
	builtin      string
	waitSet      bool
	args         []string
	cpsSet       bool
	libwrap      string // yes, no or a name
	socketUser   string
	socketGroup  string
	socketMode   string
}

func (b *builder) warn(at Pos, hint, format string, args ...any) {
	p := b.s.problem(at, Warning, hint, format, args...)
	b.problems = append(b.problems, p)
}

// build reads a stanza with what the defaults add. It returns nil, and a
// problem among the builder's, for a service that cannot be.
func (b *builder) build(defaults *stanza) *Service {
	b.s = b.newService()
	for _, s := range b.stanza.settings { // problems are to call it by its id
		if s.name == "id" && len(s.words) == 1 {
			b.s.ID = s.words[0].text
		}
	}
	b.rejectUnknown(defaults)
	if b.dialect == TOML && defaults != nil {
		b.rejectMisplaced(defaults)
	}
	for i := range attributes {
		b.setAttribute(&attributes[i], defaults)
	}
	if Errors(b.problems) {
		return nil
	}
	if invalid := b.resolve(); invalid != nil {
		b.fail(b.s.PosOf(invalid.setting), invalid)
		return nil
	}
	b.s.comments = b.stanza.comments
	return b.s
}

// fail adds an error: the service cannot run.
func (b *builder) fail(at Pos, invalid *fault) {
	b.problems = append(b.problems, b.s.problem(at, Error, invalid.hint, "%s", invalid.text))
}

// rejectUnknown rejects settings that are not in the table. One of the
// defaults costs the service only where it may have been meant to restrict
// access or resources.
func (b *builder) rejectUnknown(defaults *stanza) {
	for _, st := range []*stanza{b.stanza, defaults} {
		if st == nil {
			continue
		}
		for _, s := range st.settings {
			if attributes.find(s.name) != nil {
				continue
			}
			if why := obsolete[s.name]; why != "" {
				b.warn(s.pos, "remove it", "%s has no effect: %s", s.name, why)
				continue
			}
			near, hint := attributes.nearest(s.name), unknownHint(s.name)
			if s.name == "disable" { // the readers take it where it can be read
				b.fail(s.pos, faultf(yesNo, "disable is neither yes nor no"))
				continue
			}
			if st == b.stanza || near != nil && near.security && !b.overrides(near) {
				b.fail(s.pos, faultf(hint, "unknown setting %q", s.name))
			}
		}
	}
}

// rejectMisplaced rejects settings of [defaults] that mean nothing there, and
// may have been meant to restrict the service.
func (b *builder) rejectMisplaced(defaults *stanza) {
	closes := []string{"idonly", "sensor", "ipv4", "ipv6", "intercept", "labeled"}
	for _, s := range defaults.settings {
		a := attributes.find(s.name)
		if a == nil || !a.perService || b.isWritten(a) {
			continue
		}
		matters := func(w word) bool { return true }
		switch a.name {
		case "flags":
			matters = func(w word) bool { return slices.Contains(closes, strings.ToLower(w.text)) }
		case "libwrap":
			matters = func(w word) bool { on, ok := boolOf(w.text); return on || !ok }
		case "socket_user", "socket_group", "socket_mode":
			matters = func(word) bool { return b.listensOnUnix() }
		}
		if s.fault != nil || slices.ContainsFunc(s.words, matters) {
			b.fail(s.pos, faultf("write it in each service", "%s in defaults has no effect", s.name))
		} else {
			b.problems = append(b.problems, Problem{Pos: s.pos, Text: s.name + " in defaults has no effect", Hint: "write it in each service"}) // once for all
		}
	}
}

// listensOnUnix reports whether listen has a Unix socket.
func (b *builder) listensOnUnix() bool {
	return slices.ContainsFunc(b.stanza.settings, func(s setting) bool {
		return s.name == "listen" && slices.ContainsFunc(s.words, func(w word) bool { return strings.HasPrefix(w.text, "unix:") })
	})
}

// setAttribute sets an attribute of the service to what the stanza and the
// defaults say of it.
func (b *builder) setAttribute(a *attribute, defaults *stanza) {
	s := b.merge(a, defaults)
	if s == nil {
		return
	}
	invalid := s.fault
	if invalid == nil {
		if s.pos.Line > 0 {
			b.s.written[a.name] = s.pos
		}
		invalid = b.set(a, s)
	}
	if invalid == nil {
		return
	}
	pos := cmp.Or(faultPos(invalid, s), s.pos)
	if !a.security && !b.isWritten(a) {
		b.warn(pos, invalid.hint, "%s; the defaults' %s has no effect", invalid.text, a.name)
		return
	}
	b.fail(pos, invalid)
}

// isWritten reports whether the service itself has a setting.
func (b *builder) isWritten(a *attribute) bool {
	return slices.ContainsFunc(b.stanza.settings, func(s setting) bool { return s.name == a.name })
}

// overrides reports whether the service replaces what the defaults say of a
// setting.
func (b *builder) overrides(a *attribute) bool {
	return slices.ContainsFunc(b.stanza.settings, func(s setting) bool { return s.name == a.name && s.op == "=" })
}

// faultPos returns the position of the word that is wrong, if the fault names
// one.
func faultPos(invalid *fault, s *setting) Pos {
	for _, w := range s.words {
		if invalid.value != "" && w.text == invalid.value {
			return w.pos
		}
	}
	return Pos{}
}

// set returns an attribute its values.
func (b *builder) set(a *attribute, s *setting) *fault {
	n := len(s.words)
	if n < a.min || a.max >= 0 && n > a.max {
		return faultf(a.hint, "%s takes %s, not %d", a.name, a.valueCount(), n)
	}
	if invalid := a.set(b, s.words); invalid != nil {
		if invalid.hint == "" {
			invalid.hint = a.hint
		}
		return invalid
	}
	return nil
}

// valueCount returns how many values an attribute takes, in words.
func (a *attribute) valueCount() string {
	words := [...]string{"no", "one", "two", "three", "four"}
	switch {
	case a.max < 0:
		return "at least " + words[a.min] + " value"
	case a.min == a.max && a.min == 1:
		return "one value"
	case a.min == a.max:
		return words[a.min] + " values"
	}
	return words[a.min] + " to " + words[a.max] + " values"
}

// texts returns the words alone.
func texts(words []word) []string {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = w.text
	}
	return list
}

// distance is how many letters have to be put in, taken out or changed to
// make one word of another (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := diagonal
			if a[i] != b[j] {
				next = min(diagonal, row[j], row[j+1]) + 1
			}
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}

// nearest returns the word of a list that was probably meant, or "".
func nearest(word string, known []string) string {
	plain := strings.NewReplacer("_", "", "-", "").Replace
	best, least := "", 3
	for _, k := range known {
		if d := min(distance(word, k), distance(plain(word), plain(k))); d < least && d < len(k)/2+1 {
			best, least = k, d
		}
	}
	return best
}
