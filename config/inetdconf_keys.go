package config

import (
	"slices"
	"strconv"
	"strings"
)

// This file reads NetBSD's key = value entries of an inetd.conf (inetd(8) of
// NetBSD 10, "Key-Values Notation"):
//
//	echo on protocol = tcp, user = nobody, exec = internal;

// netBSDMax is how many starts in a minute a key = value entry without
// service_max may have.
const netBSDMax = 40

// A keyEntry is a key = value entry, split up.
type keyEntry struct {
	name string
	off  bool
	keys map[string]*keyValue
}

// A keyValue is a key with its values.
type keyValue struct {
	line   int
	values []string
}

// keyNames are the keys of NetBSD's inetd(8).
var keyNames = []string{"bind", "socktype", "accept_max", "acceptfilter", "protocol", "sndbuf", "recvbuf", "wait", "service_max", "ip_max",
	"user", "group", "exec", "args", "ipsec"}

// isKeyEntry reports whether a line begins a key = value entry: its second word
// is on or off.
func isKeyEntry(line string) bool {
	name, state, _ := splitState(line)
	return (state == "on" || state == "off") && name[0] != '#'
}

// splitState returns the name of the service, the word behind it, and the rest.
func splitState(text string) (name, state, remainder string) {
	line, _, _ := strings.Cut(text, "\n")
	line = strings.TrimSuffix(line, "\r")
	behind, _ := skipBlanks(line)
	name = behind[:wordLen(behind)]
	behind, _ = skipBlanks(behind[len(name):])
	state = behind[:wordLen(behind)]
	if i := strings.IndexAny(state, ";#"); i >= 0 {
		state = state[:i]
	}
	return name, state, text[len(line)-len(behind)+len(state):]
}

// keyEntryEnd returns how much of a text belongs to the key = value entry that
// it begins with. closed is false for an entry that no semicolon ends: it runs
// to the next entry that begins a line.
func keyEntryEnd(text string) (end int, closed bool) {
	quote, comment := byte(0), false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\n':
			quote, comment = 0, false // a quote ends on its line
			if next, _, _ := strings.Cut(text[i+1:], "\n"); beginsEntry(next) {
				return i, false
			}
		case comment:
		case quote != 0 && c == '\\' && i+1 < len(text) && text[i+1] != '\n':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '#':
			comment = true
		case c == ';':
			return i + 1, true
		}
	}
	return len(text), false
}

// beginsEntry reports whether a line cannot be part of a key = value entry: it
// is not indented, and reads as the first line of an entry of its own.
func beginsEntry(line string) bool {
	if line == "" || line[0] == ' ' || line[0] == '\t' || line[0] == '#' {
		return false
	}
	if isKeyEntry(line) || strings.HasPrefix(line, ".include") {
		return true
	}
	f := strings.Fields(line)
	if len(f) < 5 {
		return false
	}
	kind, _, _ := strings.Cut(f[1], ":")
	kind, _, _ = strings.Cut(kind, ",")
	return slices.Contains(socketTypes, SocketType(strings.ToLower(kind)))
}

// keyEntry reads a key = value entry, which begins on r.line.
func (r *inetdReader) keyEntry(text string, closed bool) {
	before := len(r.problems)
	e := keyEntry{keys: map[string]*keyValue{}}
	s, b := r.keyService(&e, text, closed)
	if e.off {
		r.offEntry(&e, s, b, text, before)
		return
	}
	if b != nil {
		r.report(Error, e.name, b)
		return
	}
	r.add(s)
}

// offEntry deals with an entry that is off. What is wrong with it costs nobody
// anything.
func (r *inetdReader) offEntry(e *keyEntry, s *Service, b *fault, text string, before int) {
	if !r.o.Disabled {
		if b != nil {
			r.report(Warning, e.name, b)
		}
		for i := range r.problems[before:] {
			r.problems[before+i].Severity = Warning
		}
		return
	}
	r.problems = r.problems[:before]
	if b != nil {
		for line := range strings.Lines(strings.TrimSpace(text) + ";") {
			r.comments = append(r.comments, "# "+strings.TrimRight(line, "\r\n"))
		}
		return
	}
	s.Disabled = true
	r.add(s)
}

// keyService returns the service of a key = value entry.
func (r *inetdReader) keyService(e *keyEntry, text string, closed bool) (*Service, *fault) {
	name, state, remainder := splitState(text)
	e.name, e.off = name, state == "off"
	at := r.line
	l := keyLexer{text: strings.TrimSuffix(remainder, ";"), line: at}
	b := l.read(e.keys)
	r.reportOdd(l.odd)
	if !closed && l.text == "" {
		return nil, faultf("write ; behind its last value", "no semicolon ends the service")
	}
	if b != nil {
		r.line = l.line
		return nil, b
	}
	s, b := r.fromKeys(e, at)
	if b == nil {
		r.line = at
	}
	return s, b
}

// A keyLexer reads keys and values.
type keyLexer struct {
	text string
	line int
	odd  bool // there are blanks that are no spaces
}

// skip skips blanks, line ends and comments.
func (l *keyLexer) skip() {
	for l.text != "" {
		n, odd := blankLen(l.text)
		l.odd = l.odd || odd
		l.text = l.text[n:]
		if n > 0 {
			continue
		}
		switch c := l.text[0]; {
		case c == '\n':
			l.line++
		case c == '#':
			if end := strings.IndexByte(l.text, '\n'); end >= 0 {
				l.text = l.text[end:]
			} else {
				l.text = ""
			}
			continue
		case c != '\r' && c != '\v' && c != '\f':
			return
		}
		l.text = l.text[1:]
	}
}

// read reads all keys.
func (l *keyLexer) read(keys map[string]*keyValue) *fault {
	for {
		l.skip()
		key := l.key()
		at := l.line
		l.skip()
		switch {
		case key == "" && l.text == "" && len(keys) == 0:
			return faultf("write name on protocol = tcp, wait = no, user = USER, exec = PROGRAM;", "it has no keys")
		case key == "":
			return faultf("remove the comma before it, or write key = value", "%q is no key", l.next())
		case l.text == "" || l.text[0] != '=':
			return faultf("write "+key+" = value", "no = follows the key %s", key)
		case !slices.Contains(keyNames, key):
			return faultf(keyHint(key), "unknown key %q", key)
		case keys[key] != nil:
			return faultf("remove one of them", "%s is written twice", key)
		}
		l.text = l.text[1:]
		v := &keyValue{line: at}
		keys[key] = v
		if more, b := l.values(v); b != nil || !more {
			return b
		}
	}
}

func (l *keyLexer) key() string {
	end := 0
	for end < len(l.text) && (isLetter(rune(l.text[end])) || l.text[end] == '_') {
		end++
	}
	key := l.text[:end]
	l.text = l.text[end:]
	return key
}

// next returns what comes next, for a message.
func (l *keyLexer) next() string {
	word, _, _ := strings.Cut(l.text, "\n")
	return word[:min(len(word), 20)]
}

func keyHint(key string) string {
	if near := nearest(key, keyNames); near != "" {
		return "did you mean " + near + "?"
	}
	return "the keys are " + strings.Join(keyNames, ", ")
}

// values reads the values of a key, and reports whether another key follows.
func (l *keyLexer) values(v *keyValue) (more bool, b *fault) {
	for {
		l.skip()
		switch {
		case l.text == "":
			return false, nil
		case l.text[0] == ',':
			l.text = l.text[1:]
			return true, nil
		}
		value, b := l.value()
		if b != nil {
			return false, b
		}
		v.values = append(v.values, value)
	}
}

// value reads a value. Any part of it can be in quotes.
func (l *keyLexer) value() (string, *fault) {
	var value strings.Builder
	for l.text != "" {
		c := l.text[0]
		blank, _ := blankLen(l.text)
		switch {
		case blank > 0 || strings.IndexByte("\r\n\v\f#,", c) >= 0:
			return value.String(), nil
		case c != '"' && c != '\'':
			value.WriteByte(c)
			l.text = l.text[1:]
		default:
			if b := l.quoted(&value); b != nil {
				return "", b
			}
		}
	}
	return value.String(), nil
}

var keyEscapes = map[byte]byte{'\\': '\\', 'n': '\n', 't': '\t', 'r': '\r', '\'': '\'', '"': '"'}

// quoted reads what is in quotes.
func (l *keyLexer) quoted(value *strings.Builder) *fault {
	quote := l.text[0]
	for i := 1; i < len(l.text) && l.text[i] != '\n'; i++ {
		switch c := l.text[i]; {
		case c == quote:
			l.text = l.text[i+1:]
			return nil
		case c != '\\':
			value.WriteByte(c)
		case i+1 == len(l.text) || l.text[i+1] == '\n':
			return faultf("write \\\\ for a backslash", "a backslash is the last character of a line in quotes")
		case l.text[i+1] == 'x':
			n, err := strconv.ParseUint(l.text[min(i+2, len(l.text)):min(i+4, len(l.text))], 16, 8)
			if err != nil || i+4 > len(l.text) {
				return faultf("write two hexadecimal digits behind \\x", "%q is not a byte", l.text[i:min(i+4, len(l.text))])
			}
			value.WriteByte(byte(n))
			i += 3
		default:
			escaped, known := keyEscapes[l.text[i+1]]
			if !known {
				return faultf(`the escapes are \\ \n \t \r \' \" \xXX`, "unknown escape %q", l.text[i:i+2])
			}
			value.WriteByte(escaped)
			i++
		}
	}
	return faultf("close it on its line", "a quote is opened and never closed")
}
