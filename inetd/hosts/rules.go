package hosts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A rule is one line: daemons, clients, and what else to do.
type rule struct {
	line    int
	daemons []string
	clients []string
	options []string // as they are written; checked when the rule matches, as in the library
}

// where returns what the log says of a rule: "hosts.deny:3".
func (r *rule) where(path string) string { return filepath.Base(path) + ":" + strconv.Itoa(r.line) }

// namesServer reports whether the rule depends on the address that a client
// comes to.
func (r *rule) namesServer() bool {
	return slices.ContainsFunc(r.daemons, func(w string) bool { return strings.Contains(w[1:], "@") })
}

// effect returns what the rule does to clients that it matches, as far as
// that is known without one.
func (r *rule) effect(deny bool) (a Actions, refuses bool, err error) {
	x := &expansion{m: newMatcher(&Request{}, nil)}
	a, err = r.actions(x)
	if x.verdict != nil {
		return a, !*x.verdict, err
	}
	return a, deny, err
}

// HasRules reports whether a file of rules has a line that is not a comment. One
// that cannot be read may have.
func HasRules(path string) bool {
	text, _, err := readFile(path)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist) || isLink(path)
	}
	list, problems := parse(string(text), false)
	return len(list)+len(problems) > 0
}

// isLink reports whether a path is that of a symbolic link.
func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// byteOrderMark is what some editors put before a text.
const byteOrderMark = "\ufeff"

// parse reads a file. It passes over lines that are no rules. A byte order
// mark is part of the first word, as in the library, but in hosts.deny.
func parse(text string, deny bool) (list []rule, problems []Problem) {
	if deny {
		text = strings.TrimPrefix(text, byteOrderMark)
	}
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
			problems = append(problems, Problem{first, fmt.Sprintf("%q has no colon: the line is passed over", strings.TrimSpace(line)), "correct the line (hosts_access(5))"})
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

// beforeExcept returns the words of a list before its first EXCEPT.
func beforeExcept(words []string) []string {
	for i, w := range words {
		if strings.EqualFold(w, "EXCEPT") {
			return words[:i]
		}
	}
	return words
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
