package hosts

import (
	"fmt"
	"net/netip"
	"os"
	"path"
	"strconv"
	"strings"
)

// What the library calls a name or a user that it does not know, and a name
// that does not lead back to its address. The patterns UNKNOWN and PARANOID
// are these words.
const (
	unknown  = "unknown"
	paranoid = "paranoid"
)

// A matcher goes through rules for one request, and notes what it had to
// know and did not.
type matcher struct {
	r       *Request
	verdict Verdict
	deny    bool // these are the rules of hosts.deny
	depth   int  // of files that name files
	problem string
}

// list matches "a b EXCEPT c d EXCEPT e", which is a or b, unless it is c or
// d, unless that is e.
func (m *matcher) list(words []string, match func(string) bool) bool {
	for i, w := range words {
		if strings.EqualFold(w, "EXCEPT") {
			return false
		}
		if !match(w) {
			if m.verdict.incomplete() {
				return false
			}
			continue
		}
		for j := i + 1; j < len(words); j++ {
			if strings.EqualFold(words[j], "EXCEPT") {
				return !m.list(words[j+1:], match)
			}
		}
		return true
	}
	return false
}

// daemon matches a name, or name@host for the address that the client came
// to.
func (m *matcher) daemon(word string) bool {
	name, host, at := cutAt(word)
	if !at {
		return text(word, m.r.Daemon)
	}
	return text(name, m.r.Daemon) && m.host(host, &endpoint{addr: m.r.Server.Addr(), name: unknown, known: true})
}

// client matches a host, or user@host. Only where the host matches is the
// user asked for.
func (m *matcher) client(word string) bool {
	user, host, at := cutAt(word)
	if !at {
		return m.host(word, m.peer())
	}
	if !m.host(host, m.peer()) {
		return false
	}
	if m.r.User == nil {
		m.verdict.NeedUser = true
		return false
	}
	name := *m.r.User
	if name == "" {
		name = unknown
	}
	return text(user, name)
}

// cutAt cuts a word at its @. One that begins with it is a netgroup.
func cutAt(word string) (before, after string, ok bool) {
	if i := strings.IndexByte(word[1:], '@'); i >= 0 {
		return word[:i+1], word[i+2:], true
	}
	return word, "", false
}

// An endpoint is either end of the connection.
type endpoint struct {
	addr  netip.Addr
	name  string
	known bool // the name has been looked up
}

func (m *matcher) peer() *endpoint {
	e := &endpoint{addr: m.r.Client.Addr()}
	if h := m.r.Host; h != nil {
		e.known = true
		switch {
		case h.Paranoid:
			e.name = paranoid
		case h.Host == "":
			e.name = unknown
		default:
			e.name = h.Host
		}
	}
	return e
}

// name returns the name of an end, or notes that it has to be looked up.
func (m *matcher) name(e *endpoint) (string, bool) {
	if !e.known {
		m.verdict.NeedName = true
	}
	return e.name, e.known
}

func (e *endpoint) address() string {
	if !e.addr.IsValid() {
		return unknown
	}
	return e.addr.String()
}

// host matches a pattern for hosts.
func (m *matcher) host(word string, e *endpoint) bool {
	if word == "" {
		return false
	}
	net, mask, masked := strings.Cut(word, "/")
	switch {
	case word[0] == '@':
		return false // a netgroup: NIS is not asked
	case word[0] == '/':
		return m.patternFile(word, e)
	case strings.EqualFold(word, "ALL"):
		return true
	case strings.EqualFold(word, "KNOWN"):
		name, ok := m.name(e)
		return ok && e.addr.IsValid() && name != unknown && name != paranoid
	case strings.EqualFold(word, "LOCAL"):
		name, ok := m.name(e)
		return ok && !strings.Contains(name, ".") && name != unknown && name != paranoid
	case masked:
		if mask == "0" && e.addr.Is4() && !m.deny {
			return false // as in the library; in hosts.deny it is what was meant
		}
		return inNet(net, mask, e.addr)
	}
	if byAddress(word) || text(word, e.address()) {
		return text(word, e.address())
	}
	name, ok := m.name(e)
	return ok && text(word, name)
}

// byAddress reports whether a pattern can match addresses alone, so that it
// takes no name to say no.
func byAddress(word string) bool {
	if word[0] == '[' || strings.Contains(word, ":") {
		return true
	}
	for _, c := range word {
		if (c < '0' || c > '9') && c != '.' {
			return false
		}
	}
	return word[0] != '.'
}

// inNet matches net/mask and net/length, where the address may not have bits
// outside of the mask, and [net]/length.
func inNet(net, mask string, a netip.Addr) bool {
	if inner, ok := strings.CutPrefix(net, "["); ok {
		p, err1 := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		n, err2 := strconv.Atoi(mask)
		return err1 == nil && err2 == nil && strings.HasSuffix(inner, "]") && p.Is6() && a.Is6() && n >= 0 && n <= 128 && netip.PrefixFrom(p, n).Contains(a)
	}
	p, err := netip.ParseAddr(net)
	if err != nil || !p.Is4() || !a.Is4() {
		return false
	}
	want, have := p.As4(), a.As4()
	var bits [4]byte
	if n, err := strconv.Atoi(mask); err == nil {
		if n < 0 || n > 32 {
			return false
		}
		for i := range n {
			bits[i/8] |= 0x80 >> (i % 8)
		}
	} else if m, err := netip.ParseAddr(mask); err == nil && m.Is4() {
		bits = m.As4()
	} else {
		return false
	}
	for i := range bits {
		if have[i]&bits[i] != want[i] {
			return false
		}
	}
	return true
}

// maxFile is how large a file of patterns may be, in bytes, and maxDepth how
// deep such files may name each other.
const (
	maxFile  = 16 << 20
	maxDepth = 4
)

// patternFile matches the patterns of a file.
func (m *matcher) patternFile(path string, e *endpoint) bool {
	if m.depth >= maxDepth {
		return false
	}
	m.depth++
	defer func() { m.depth-- }()
	info, err := os.Stat(path)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxFile) {
		err = fmt.Errorf("%s is no file, or larger than %d bytes", path, maxFile)
	}
	var patterns []byte
	if err == nil {
		patterns, err = os.ReadFile(path)
	}
	if err != nil {
		m.problem = err.Error()
		return false
	}
	for line := range strings.Lines(string(patterns)) {
		for _, word := range strings.Fields(line) {
			if m.host(word, e) {
				return true
			}
		}
	}
	return false
}

// text matches a pattern for names of any kind.
func text(word, s string) bool {
	switch {
	case strings.ContainsAny(word, "*?"):
		return glob(strings.ToLower(word), strings.ToLower(s))
	case word[0] == '.':
		return len(s) > len(word) && strings.EqualFold(s[len(s)-len(word):], word)
	case strings.EqualFold(word, "ALL"):
		return true
	case strings.EqualFold(word, "KNOWN"):
		return s != unknown
	case word[len(word)-1] == '.':
		return len(s) >= len(word) && strings.EqualFold(s[:len(word)], word)
	}
	if inner, ok := strings.CutPrefix(word, "["); ok {
		word = strings.TrimSuffix(inner, "]")
	}
	if a, err := netip.ParseAddr(word); err == nil {
		b, err := netip.ParseAddr(s)
		return err == nil && a == b
	}
	return strings.EqualFold(word, s)
}

// glob matches * and ?, which are all the library has: brackets and
// backslashes are letters.
func glob(pattern, s string) bool {
	quoted := strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`).Replace(pattern)
	ok, err := path.Match(quoted, strings.ReplaceAll(s, "/", "\x00"))
	return ok && err == nil
}
