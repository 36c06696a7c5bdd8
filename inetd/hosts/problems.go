package hosts

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"

	"goinetd/config"
)

// FileProblems returns the problems of hosts.allow and hosts.deny, as
// Problems finds them. A file that is missing has none.
func FileProblems(allow, deny string) (problems []config.Problem) {
	for _, path := range []string{allow, deny} {
		text, _, err := readFile(path)
		if errors.Is(err, fs.ErrNotExist) && !isLink(path) {
			continue
		}
		if err != nil {
			problems = append(problems, config.Problem{Pos: config.Pos{File: path}, Text: err.Error() + ": every client is refused", Hint: "make it readable (hosts_access(5))"})
			continue
		}
		for _, p := range Problems(string(text), path == deny) {
			problems = append(problems, config.Problem{Pos: config.Pos{File: path, Line: p.Line}, Text: p.Text, Hint: p.Hint})
		}
	}
	return problems
}

// A Problem is a line that is no rule, or a rule that may not do what was
// meant.
type Problem struct {
	Line int
	Text string
	Hint string
}

// Problems returns what is wrong in the text of a hosts.allow or hosts.deny:
// lines that are passed over, options that refuse whoever they match, and
// patterns that match nobody.
func Problems(text string, deny bool) []Problem {
	list, problems := parse(text, deny)
	if strings.HasPrefix(text, byteOrderMark) {
		p := Problem{1, "the file begins with a byte order mark, which belongs to the first word: its rule matches nobody", "remove it"}
		if deny {
			p.Text = "the file begins with a byte order mark, for which tcpd(8) would not use its first rule; it is passed over"
		}
		problems = append(problems, p)
	}
	byName, first := 0, ""
	for i := range list {
		r := &list[i]
		if _, err := r.actions(nil); err != nil {
			problems = append(problems, Problem{r.line, err.Error() + ": whoever the rule matches is refused", "correct the option (hosts_options(5))"})
		}
		named := false
		for _, word := range r.clients {
			if text, hint := clientProblem(word, deny); text != "" {
				problems = append(problems, Problem{r.line, text, hint})
			} else if dependsOnName(word) && !named {
				named = true
				if byName++; first == "" {
					first = fmt.Sprintf("%q in line %d", word, r.line)
				}
			}
		}
		for _, word := range r.daemons {
			if almostWildcard(word) {
				problems = append(problems, Problem{r.line, fmt.Sprintf("%q is no wildcard: it is the name of a daemon here", word), "write " + nearestWildcard(word)})
			}
		}
	}
	if deny && byName > 0 {
		problems = append(problems, Problem{0, fmt.Sprintf("%s (%s), and admits clients whose name cannot be found out while the name service does not answer", rulesByName(byName), first),
			"set libwrap_fail_closed = yes, or close it with a rule ALL: UNKNOWN, PARANOID"})
	}
	return problems
}

func rulesByName(n int) string {
	if n == 1 {
		return "1 rule refuses by name"
	}
	return fmt.Sprintf("%d rules refuse by name", n)
}

// dependsOnName reports whether a pattern for clients names hosts that are
// not to come in. UNKNOWN matches where there is no name.
func dependsOnName(word string) bool {
	if _, host, at := cutAt(word); at {
		word = host
	}
	return word != "" && (isName(word) || word[0] == '.' || strings.EqualFold(word, "PARANOID"))
}

// clientProblem returns why a pattern for clients matches nobody, or not whom
// it seems to name, and what to write instead; empty where nothing is wrong.
func clientProblem(word string, deny bool) (text, hint string) {
	if _, host, at := cutAt(word); at {
		if host == "" {
			return fmt.Sprintf("%q has no host behind the @: it matches nobody", word), "write user@ALL for any host"
		}
		word = host
	}
	const nobody = ": it matches nobody"
	net, mask, masked := strings.Cut(word, "/")
	switch {
	case word[0] == '@' && deny:
		return "netgroup " + word + ": NIS is not asked, and every client of the rule's daemons is refused", "write the hosts or networks"
	case word[0] == '@':
		return "netgroup " + word + ": NIS is not asked" + nobody, "write the hosts or networks"
	case word[0] == '/' || isWildcard(word) || strings.ContainsAny(word, "*?"):
		return "", ""
	case almostWildcard(word):
		return fmt.Sprintf("%q is no wildcard: it is the name of a host here", word), "write " + nearestWildcard(word)
	case masked:
		if _, err := parseNetwork(net, mask); err != nil && !strings.Contains(err.Error(), "gaps") {
			return fmt.Sprintf("network %s: %v%s", word, err, nobody), "write network/netmask, network/length or [network]/length"
		}
		if mask == "0" && word[0] != '[' && !deny {
			return "network " + word + nobody + ", as in the library", "write ALL"
		}
	case word[0] == '[':
		if _, err := netip.ParseAddr(strings.TrimSuffix(word[1:], "]")); err != nil || !strings.HasSuffix(word, "]") {
			return word + " is no address in brackets" + nobody, "write [address] or [network]/length"
		}
	case strings.Contains(word, ";"):
		return fmt.Sprintf("%q contains a semicolon%s", word, nobody), "separate hosts by commas or blanks"
	case strings.Trim(word, "0123456789.-") == "" && strings.Contains(word, "-") && strings.Contains(word, "."):
		return word + " is a range, which hosts_access(5) does not have" + nobody, "write network/length"
	case strings.Trim(word, "0123456789.") == "" && strings.Trim(word, ".") != "":
		if _, ok := network(word); !ok && !strings.HasPrefix(word, ".") {
			return word + " is no IPv4 address" + nobody, "write an address, or the beginning of one with a dot at its end"
		}
	}
	return "", ""
}

// almostWildcard reports whether a word looks like a wildcard with a slip.
func almostWildcard(word string) bool {
	return word == strings.ToUpper(word) && !isWildcard(word) && nearestWildcard(word) != ""
}

// nearestWildcard returns the wildcard that a word is one letter away from.
func nearestWildcard(word string) string {
	for _, w := range wildcards {
		if oneEdit(word, w) || oneEdit(w, word) {
			return w
		}
	}
	return ""
}

// oneEdit reports whether b is a with one letter more, another one, or two
// swapped.
func oneEdit(a, b string) bool {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	switch {
	case len(b) == len(a)+1:
		return a[i:] == b[i+1:]
	case len(a) != len(b) || i == len(a):
		return false
	}
	return a[i+1:] == b[i+1:] || i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}
