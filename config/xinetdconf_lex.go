package config

import (
	"strings"
)

// An xinetdFile is a file while it is being read.
type xinetdFile struct {
	r        *xinetdReader
	name     string
	lines    []string
	number   int // of the current line, from 1
	comments []string
}

func (f *xinetdFile) pos() Pos { return Pos{File: f.name, Line: f.number} }

// next returns the words of the next line that has any.
func (f *xinetdFile) next() ([]word, bool) {
	for f.number < len(f.lines) {
		line := strings.TrimSpace(f.lines[f.number])
		f.number++
		if line == "" {
			continue
		}
		if line[0] == '#' {
			f.comments = append(f.comments, line)
			continue
		}
		return f.words(), true
	}
	return nil, false
}

// words cuts the current line at its blanks.
func (f *xinetdFile) words() []word {
	line := strings.TrimSuffix(f.lines[f.number-1], "\r")
	var words []word
	for at := 0; ; {
		for at < len(line) && (line[at] == ' ' || line[at] == '\t') {
			at++
		}
		if at == len(line) {
			return words
		}
		w := word{pos: Pos{f.name, f.number, at + 1}}
		if line[at] == '"' || line[at] == '\'' {
			if text, remainder, ok := unquote(line[at:]); ok {
				w.text = text
				words = append(words, w)
				at = len(line) - len(remainder)
				continue
			}
		}
		end := strings.IndexAny(line[at:], " \t")
		if end < 0 {
			end = len(line) - at
		}
		w.text = line[at : at+end]
		words = append(words, w)
		at += end
	}
}

// settingOf reads a line of an entry: a name, an operator, values. xinetd
// wants blanks before the operator; here they may be missing.
func settingOf(words []word) setting {
	first := words[0]
	s := setting{pos: first.pos}
	name, values, joined := strings.Cut(first.text, "=")
	remainder := words[1:]
	s.op = "="
	switch {
	case joined:
		if n := strings.TrimRight(name, "+-"); len(n)+1 == len(name) {
			s.op = name[len(n):] + "="
			name = n
		}
		if values != "" {
			remainder = append([]word{{values, Pos{first.pos.File, first.pos.Line, first.pos.Column + len(first.text) - len(values)}}}, remainder...)
		}
	case len(remainder) > 0:
		op := remainder[0].text
		for _, known := range []string{"+=", "-=", "="} {
			if value, ok := strings.CutPrefix(op, known); ok {
				s.op, remainder, joined = known, remainder[1:], true
				if value != "" {
					at := words[1].pos
					at.Column += len(known)
					remainder = append([]word{{value, at}}, remainder...)
				}
				break
			}
		}
	}
	s.name = canonical(name)
	s.words = remainder
	if !joined || s.name == "" {
		s.fault = faultf("write it as: name = value", "this line of the entry has no operator")
	}
	return s
}

// canonical returns the name that a setting has in the table.
func canonical(name string) string {
	name = strings.ToLower(name)
	if other := synonyms[name]; other != "" {
		return other
	}
	return name
}

// isHeader reports whether a line begins an entry.
func isHeader(words []word) bool {
	switch strings.ToLower(words[0].text) {
	case "defaults":
		return len(words) == 1 || words[1].text == "{"
	case "service", "include", "includedir":
		return len(words) > 1 && !strings.Contains(words[1].text, "=")
	}
	return false
}
