package hosts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"goinetd/config"
)

// A rule is one line: daemons, clients, and what else to do.
type rule struct {
	line    int
	daemons []string
	clients []string
	options []string // as they are written; checked when the rule matches, as in the library
}

// A Problem is a line that is no rule.
type Problem struct {
	Line int
	Text string
}

// parse reads a file. A line without clients is none; Problems says so.
func parse(text string) []rule {
	list, _ := read(text)
	return list
}

// Problems returns what is wrong in the text of a hosts.allow or hosts.deny:
// lines that are passed over, and options that refuse whoever they match.
func Problems(text string) []Problem {
	list, problems := read(text)
	for i := range list {
		if _, err := list[i].actions(nil); err != nil {
			problems = append(problems, Problem{list[i].line, err.Error() + ": whoever the rule matches is refused"})
		}
	}
	return problems
}

// FileProblems returns the problems of files of rules, as Problems finds them.
// A file that is missing has none.
func FileProblems(paths ...string) (problems []config.Problem) {
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			problems = append(problems, config.Problem{Pos: config.Pos{File: path}, Text: err.Error() + ": every client is refused", Hint: "make it readable (hosts_access(5))"})
			continue
		}
		for _, p := range Problems(string(text)) {
			problems = append(problems, config.Problem{Pos: config.Pos{File: path, Line: p.Line}, Text: p.Text, Hint: "correct the line (hosts_access(5))"})
		}
	}
	return problems
}

// HasRules reports whether a file of rules has a line that is not a comment. One
// that cannot be read may have.
func HasRules(path string) bool {
	text, err := os.ReadFile(path)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	list, problems := read(string(text))
	return len(list)+len(problems) > 0
}

func read(text string) (list []rule, problems []Problem) {
	lines := strings.Split(text, "\n")
	for n := 0; n < len(lines); n++ {
		first, line := n+1, lines[n]
		for strings.HasSuffix(line, `\`) && n+1 < len(lines) {
			n++
			line = strings.TrimSuffix(line, `\`) + lines[n]
		}
		if line == "" || line[0] == '#' || strings.Trim(line, " \t\r") == "" {
			continue
		}
		fields := cut(line)
		if len(fields) < 2 {
			problems = append(problems, Problem{first, fmt.Sprintf("%q has no colon: the line is passed over", strings.TrimSpace(line))})
			continue
		}
		r := rule{line: first, daemons: words(fields[0]), clients: words(fields[1])}
		if len(fields) > 2 {
			r.options = options(strings.Join(fields[2:], ":"))
		}
		list = append(list, r)
	}
	return list, problems
}

// cut cuts a line at its first two colons. Those of an IPv6 address, which
// stands in brackets, do not count.
func cut(line string) []string {
	var fields []string
	depth, from := 0, 0
	for i := 0; i < len(line) && len(fields) < 2; i++ {
		switch line[i] {
		case '[':
			depth = 1
		case ']':
			depth = 0
		case ':':
			if depth == 0 {
				fields = append(fields, line[from:i])
				from = i + 1
			}
		}
	}
	return append(fields, line[from:])
}

func words(list string) []string {
	return strings.FieldsFunc(list, func(c rune) bool { return strings.ContainsRune(", \t\r\n", c) })
}

// options cuts the rest of a rule at its colons; \: stands for one.
func options(text string) []string {
	var list []string
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == ':':
			i++
			b.WriteByte(':')
		case text[i] == ':':
			list = append(list, strings.TrimSpace(b.String()))
			b.Reset()
		default:
			b.WriteByte(text[i])
		}
	}
	return append(list, strings.TrimSpace(b.String()))
}
