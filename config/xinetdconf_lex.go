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
	odd      bool // its odd blanks are reported
}

func (f *xinetdFile) pos() Pos { return Pos{File: f.name, Line: f.number} }

// next returns the words of the next line that has any.
func (f *xinetdFile) next() ([]word, bool) {
	for f.number < len(f.lines) {
		line, _ := skipBlanks(f.lines[f.number])
		line = strings.TrimSpace(line)
		f.number++
		if line == "" {
			continue
		}
		if line[0] == '#' {
			f.comments = append(f.comments, line)
			continue
		}
		if words := f.words(); len(words) > 0 {
			return words, true
		}
	}
	return nil, false
}

// words cuts the current line at its blanks. A quoted value is one that a
// blank or the end of the line follows. Any other quote is part of its word,
// as in xinetd.
func (f *xinetdFile) words() []word {
	line := strings.TrimRight(f.lines[f.number-1], "\r\v\f")
	var words []word
	for at := 0; ; {
		remainder, odd := skipBlanks(line[at:])
		if odd && !f.odd {
			f.odd = true
			f.r.problems = append(f.r.problems, oddBlanks(Pos{f.name, f.number, at + 1}))
		}
		if at = len(line) - len(remainder); at == len(line) {
			return words
		}
		w := word{pos: Pos{f.name, f.number, at + 1}}
		if line[at] == '"' || line[at] == '\'' {
			text, remainder, closed := unquote(line[at:])
			if n, _ := blankLen(remainder); closed && (n > 0 || remainder == "") {
				w.text, w.quoted = text, true
				words = append(words, w)
				at = len(line) - len(remainder)
				continue
			}
			w.doubtful = true
		}
		w.text = line[at : at+wordLen(line[at:])]
		words = append(words, w)
		at += len(w.text)
	}
}

// cutComment cuts words at the first that begins with #, but for the first
// word itself, and returns it and what follows it.
func cutComment(words []word) (before, comment []word) {
	for i, w := range words {
		if i > 0 && !w.quoted && strings.HasPrefix(w.text, "#") {
			return words[:i], words[i:]
		}
	}
	return words, nil
}

const commentHint = "write the comment on a line of its own"

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
			remainder = append([]word{{text: values, pos: Pos{first.pos.File, first.pos.Line, first.pos.Column + len(first.text) - len(values)}}}, remainder...)
		}
	case len(remainder) > 0:
		op := remainder[0].text
		for _, known := range []string{"+=", "-=", "="} {
			if value, ok := strings.CutPrefix(op, known); ok {
				s.op, remainder, joined = known, remainder[1:], true
				if value != "" {
					at := words[1].pos
					at.Column += len(known)
					remainder = append([]word{{text: value, pos: at}}, remainder...)
				}
				break
			}
		}
	}
	s.name = canonical(name)
	s.words = remainder
	if takesComments(s.name) {
		s.words, s.comment = cutValues(remainder)
	}
	if !joined || s.name == "" {
		s.fault = faultf("write it as: name = value", "this line of the entry has no operator")
	}
	return s
}

// takesComments reports whether # behind a value of a setting begins a
// comment. Programs get what they are given.
func takesComments(setting string) bool { return setting != "server_args" && setting != "env" }

// cutValues is cutComment for the values of a setting, which may all be in
// the comment.
func cutValues(words []word) (before, comment []word) {
	if len(words) > 0 && !words[0].quoted && strings.HasPrefix(words[0].text, "#") {
		return nil, words
	}
	return cutComment(words)
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
	words, _ = cutComment(words)
	switch strings.ToLower(words[0].text) {
	case "defaults":
		return len(words) == 1 || words[1].text == "{"
	case "service", "include", "includedir":
		return len(words) > 1 && !strings.Contains(words[1].text, "=")
	}
	return false
}
