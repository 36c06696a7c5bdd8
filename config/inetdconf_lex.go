package config

import (
	"errors"
	"strings"
)

// A line is one entry of inetd.conf: a line of the file and the lines that
// continue it.
type line struct {
	number int // of its first line, from 1
	text   string
	odd    bool // it begins with a blank that is no space

	keys   bool // a key = value entry, as it stands, up to its semicolon
	closed bool // it has one
}

// joinLines finds the entries of an inetd.conf. As in 4.4BSD, a line that
// begins with a blank continues the entry before it; a backslash at the end
// of a line does the same. Comments are kept: some of them mean something. A
// key = value entry ends at a semicolon, and another entry may follow on its
// line.
func joinLines(text string) []line {
	entries := make([]line, 0, strings.Count(text, "\n")+1)
	last := -1 // the entry that may be continued; comments can stand behind it
	slash := false
	for i, more := 0, true; more; i++ {
		for !slash && isKeyEntry(text) && (last < 0 || text[0] != ' ' && text[0] != '\t') {
			end, closed := keyEntryEnd(text)
			entries = append(entries, line{number: i + 1, text: text[:end], keys: true, closed: closed})
			i += strings.Count(text[:end], "\n")
			text, _ = skipBlanks(text[end:])
			last = -1
		}
		var raw string
		raw, text, more = strings.Cut(text, "\n")
		raw = strings.TrimSuffix(raw, "\r")
		// Of a web page's indentation nobody can say what it continues: the
		// line is one of its own.
		trimmed, odd := skipBlanks(raw)
		trimmed = strings.TrimSpace(trimmed)
		indented := raw != "" && (raw[0] == ' ' || raw[0] == '\t')
		continues := last >= 0 && (slash || indented)
		if trimmed == "" || trimmed[0] == '#' {
			if trimmed != "" && !slash {
				entries = append(entries, line{number: i + 1, text: trimmed})
			}
			if !continues {
				last = -1
			}
			slash = false
			continue
		}
		body := trimmed
		slash = strings.HasSuffix(body, `\`) && !strings.HasSuffix(body, `\\`)
		if slash {
			body = strings.TrimSuffix(body, `\`)
		}
		if continues {
			entries[last].text += " " + body
			entries[last].odd = entries[last].odd || odd
			continue
		}
		last = len(entries)
		entries = append(entries, line{number: i + 1, text: body, odd: odd})
	}
	return entries
}

var errUnterminated = errors.New("a quote is opened and never closed")

// splitFields appends the fields of an entry, which blanks separate. A field that begins with ' or "
// runs to the same quote again and loses both (NetBSD, inetutils); inside
// double quotes, \" and \\ stand for " and \. A quote inside a field is a
// character like any other, as in every inetd. odd is set if there are blanks
// that are no spaces.
func splitFields(fields []string, s string) (_ []string, odd bool, err error) {
	for {
		var isOdd bool
		s, isOdd = skipBlanks(s)
		odd = odd || isOdd
		if s == "" {
			return fields, odd, nil
		}
		if s[0] != '"' && s[0] != '\'' {
			end := wordLen(s)
			fields = append(fields, s[:end])
			s = s[end:]
			continue
		}
		field, remainder, ok := unquote(s)
		if !ok {
			return fields, odd, errUnterminated
		}
		fields = append(fields, field)
		s = remainder
	}
}

// unquote takes the quoted field at the start of s.
func unquote(s string) (field, remainder string, ok bool) {
	quote := s[0]
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == quote:
			return b.String(), s[i+1:], true
		case quote == '"' && s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}
