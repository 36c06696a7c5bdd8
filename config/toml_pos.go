package config

import (
	"cmp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// The TOML library does not return the positions of keys, nor comments.
// This file finds both, in a text that the library has read without error:
// so it only has to know where keys, strings, lists and comments begin and
// end.

// A tomlLayout is where the keys of a file are, by their path.
type tomlLayout struct {
	keys map[string]tomlMark
	last []string // comments behind all keys
}

type tomlMark struct {
	line, column int
	comments     []string // the lines before it, and what stands beside it
}

type tomlScanner struct {
	text     string
	at       int
	line     int
	lineAt   int // where the line begins
	table    []string
	comments []string
	layout   *tomlLayout
}

func scanTOML(text string) *tomlLayout {
	s := &tomlScanner{text: text, line: 1, layout: &tomlLayout{keys: map[string]tomlMark{}}}
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '\n':
			s.newline()
		case c == ' ' || c == '\t' || c == '\r':
			s.at++
		case c == '#':
			s.comments = append(s.comments, strings.TrimSpace(s.remainder()))
		case c == '[':
			s.header()
		default:
			s.assignment()
		}
	}
	s.layout.last = s.comments
	return s.layout
}

func (s *tomlScanner) newline() {
	s.at++
	s.line++
	s.lineAt = s.at
}

// remainder takes the rest of the line, without its end.
func (s *tomlScanner) remainder() string {
	from := s.at
	for s.at < len(s.text) && s.text[s.at] != '\n' {
		s.at++
	}
	return s.text[from:s.at]
}

// header reads [table] or [[table]].
func (s *tomlScanner) header() {
	mark := tomlMark{s.line, s.at - s.lineAt + 1, s.comments}
	s.comments = nil
	for s.at < len(s.text) && s.text[s.at] == '[' {
		s.at++
	}
	s.table = s.path("]")
	if _, comment, ok := strings.Cut(s.remainder(), "#"); ok {
		mark.comments = append(mark.comments, "#"+strings.TrimRight(comment, " \t\r"))
	}
	s.mark(s.table, mark)
}

// assignment reads key = value.
func (s *tomlScanner) assignment() {
	mark := tomlMark{s.line, s.at - s.lineAt + 1, s.comments}
	s.comments = nil
	path := append(append([]string{}, s.table...), s.path("=")...)
	s.at++
	s.value()
	mark.comments, s.comments = append(mark.comments, s.comments...), nil
	s.mark(path, mark)
}

// mark notes where a key is, and the tables that it makes by its dots.
func (s *tomlScanner) mark(path []string, m tomlMark) {
	for n := 1; n <= len(path); n++ {
		key := joinKey(path[:n])
		before, known := s.layout.keys[key]
		switch {
		case n == len(path) && known: // a table whose keys, or whose dots, came first
			before.comments = append(before.comments, m.comments...)
			s.layout.keys[key] = before
		case n == len(path):
			s.layout.keys[key] = m
		case !known:
			s.layout.keys[key] = tomlMark{line: m.line, column: m.column}
		}
	}
}

// commentsOf returns the comments of a key and, where its value is a table, of
// the keys in that, in the order of the file.
func (l *tomlLayout) commentsOf(value any, path ...string) (comments []string) {
	var marks []tomlMark
	var collect func(value any, path []string)
	collect = func(value any, path []string) {
		marks = append(marks, l.keys[joinKey(path)])
		if table, ok := value.(map[string]any); ok {
			for key, value := range table {
				collect(value, append(slices.Clone(path), key))
			}
		}
	}
	collect(value, path)
	slices.SortStableFunc(marks, func(a, b tomlMark) int { return cmp.Or(a.line-b.line, a.column-b.column) })
	for _, mark := range marks {
		comments = append(comments, mark.comments...)
	}
	return comments
}

// path reads the parts of a dotted key up to its end.
func (s *tomlScanner) path(end string) []string {
	var path []string
	part := ""
	for s.at < len(s.text) && s.text[s.at] != '\n' && !strings.HasPrefix(s.text[s.at:], end) {
		switch c := s.text[s.at]; c {
		case '"', '\'':
			part += s.quotedKey()
			continue
		case '.':
			path, part = append(path, part), ""
		case ' ', '\t':
		default:
			part += string(c)
		}
		s.at++
	}
	return append(path, part)
}

// quotedKey reads a quoted key and decodes its escapes.
func (s *tomlScanner) quotedKey() string {
	from := s.at
	s.quoted()
	var decoded struct{ K string }
	toml.Decode("K = "+s.text[from:s.at], &decoded) // the library has read it without an error before
	return decoded.K
}

// quoted takes a string of any of TOML's four kinds.
func (s *tomlScanner) quoted() {
	quote := s.text[s.at : s.at+1]
	if long := strings.Repeat(quote, 3); strings.HasPrefix(s.text[s.at:], long) {
		quote = long
	}
	s.at += len(quote)
	for s.at < len(s.text) && !strings.HasPrefix(s.text[s.at:], quote) {
		switch {
		case s.text[s.at] == '\\' && quote[0] == '"' && s.at+1 < len(s.text) && s.text[s.at+1] != '\n':
			s.at += 2
		case s.text[s.at] == '\n':
			s.newline()
		default:
			s.at++
		}
	}
	s.at = min(s.at+len(quote), len(s.text))
	for len(quote) == 3 && s.at < len(s.text) && s.text[s.at] == quote[0] { // """" ends with a quote of its own
		s.at++
	}
}

// value passes over a value, and its comments, to the end of its line.
func (s *tomlScanner) value() {
	depth := 0
	for s.at < len(s.text) {
		switch c := s.text[s.at]; c {
		case '"', '\'':
			s.quoted()
			continue
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case '#':
			s.comments = append(s.comments, strings.TrimSpace(s.remainder()))
			continue
		case '\n':
			s.newline()
			if depth <= 0 {
				return
			}
			continue
		}
		s.at++
	}
}
