package hosts

import (
	"encoding/binary"
	"fmt"
	bits32 "math/bits"
	"net/netip"
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
	r            *Request
	peer, server endpoint
	files        *patternFiles
	verdict      Verdict
	deny         bool // these are the rules of hosts.deny
	depth        int  // of files that name files
	problem      string
}

func newMatcher(r *Request, files *patternFiles) *matcher {
	m := &matcher{r: r, files: files}
	m.peer = newEndpoint(r.Client.Addr(), r.Host, &m.verdict.NeedName)
	m.server = newEndpoint(r.Server.Addr(), r.ServerHost, &m.verdict.NeedServerName)
	return m
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
	return text(name, m.r.Daemon) && m.host(host, &m.server)
}

// client matches a host, or user@host. Only where the host matches is the
// user asked for.
func (m *matcher) client(word string) bool {
	user, host, at := cutAt(word)
	if !at {
		return m.host(word, &m.peer)
	}
	if !m.host(host, &m.peer) {
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
	addr   netip.Addr
	text   string // the address, with its zone
	name   string
	known  bool  // the name has been looked up
	failed bool  // and nobody answered
	need   *bool // set where the name is needed and not known
}

func newEndpoint(addr netip.Addr, h *Hostname, need *bool) endpoint {
	e := endpoint{addr: addr, need: need, text: unknown}
	if addr.IsValid() {
		e.text = addr.String()
	}
	if h != nil {
		e.known, e.failed = true, h.Failed
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

// lookup returns the name of an end, or notes that it has to be looked up.
func (e *endpoint) lookup() (name string, ok bool) {
	if !e.known {
		*e.need = true
	}
	return e.name, e.known
}

// hasName reports whether the end has a name, or notes that it has to be
// looked up.
func (e *endpoint) hasName() bool {
	name, ok := e.lookup()
	return ok && name != unknown && name != paranoid
}

// host matches a pattern for hosts.
func (m *matcher) host(word string, e *endpoint) bool {
	if word == "" {
		return false
	}
	net, mask, masked := strings.Cut(word, "/")
	switch {
	case word[0] == '@':
		if m.deny {
			m.problem = "netgroup " + word + ": NIS is not asked"
		}
		return false
	case word[0] == '/':
		return m.patternFile(word, e)
	case strings.EqualFold(word, "ALL"):
		return true
	case strings.EqualFold(word, "KNOWN"):
		return e.hasName() && e.addr.IsValid()
	case strings.EqualFold(word, "LOCAL"):
		return e.hasName() && !strings.Contains(e.name, ".")
	case masked:
		if mask == "0" && e.addr.Is4() && !m.deny {
			return false // as in the library; in hosts.deny it is what was meant
		}
		if p, err := parseNetwork(net, mask); err == nil {
			return p.Contains(e.addr.WithZone(""))
		}
		return inMask(net, mask, e.addr)
	}
	if byAddress(word) || addressText(word, e) {
		return addressText(word, e)
	}
	name, ok := e.lookup()
	if ok && e.failed && m.deny && m.r.FailClosed {
		m.problem = "the name service does not answer, and " + word + " is a name"
		return false
	}
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

// parseNetwork reads net/mask and net/length, where the address may not have
// bits outside of the mask, and [net]/length, where it may.
func parseNetwork(net, mask string) (netip.Prefix, error) {
	n, notNumber := strconv.Atoi(mask)
	if inner, ok := strings.CutPrefix(net, "["); ok {
		a, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !strings.HasSuffix(inner, "]") || !a.Is6() || a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%s is no IPv6 address", net)
		}
		if notNumber != nil || n < 0 || n > 128 {
			return netip.Prefix{}, fmt.Errorf("%s is no prefix length from 0 to 128", mask)
		}
		return netip.PrefixFrom(a, n).Masked(), nil
	}
	a, err := netip.ParseAddr(net)
	if err != nil || !a.Is4() {
		return netip.Prefix{}, fmt.Errorf("%s is no IPv4 address", net)
	}
	if notNumber != nil {
		m, err := netip.ParseAddr(mask)
		if err != nil || !m.Is4() {
			return netip.Prefix{}, fmt.Errorf("%s is no netmask", mask)
		}
		b := m.As4()
		bits := binary.BigEndian.Uint32(b[:])
		if n = 32 - bits32.TrailingZeros32(bits); bits != ^uint32(0)<<(32-n) {
			return netip.Prefix{}, fmt.Errorf("netmask %s has gaps", mask)
		}
	}
	if n < 0 || n > 32 {
		return netip.Prefix{}, fmt.Errorf("%s is no prefix length from 0 to 32", mask)
	}
	p := netip.PrefixFrom(a, n)
	if p.Masked() != p {
		return netip.Prefix{}, fmt.Errorf("%s has bits outside of the mask; %v is the network", net, p.Masked())
	}
	return p, nil
}

// inMask matches a network whose netmask has gaps, too.
func inMask(net, mask string, a netip.Addr) bool {
	p, err1 := netip.ParseAddr(net)
	m, err2 := netip.ParseAddr(mask)
	if err1 != nil || err2 != nil || !p.Is4() || !m.Is4() || !a.Is4() {
		return false
	}
	want, bits, have := p.As4(), m.As4(), a.As4()
	for i := range bits {
		if have[i]&bits[i] != want[i] {
			return false
		}
	}
	return true
}

// maxDepth is how deep files of patterns may name each other.
const maxDepth = 4

// patternFile matches the patterns of a file.
func (m *matcher) patternFile(path string, e *endpoint) bool {
	if m.depth >= maxDepth {
		return false
	}
	m.depth++
	defer func() { m.depth-- }()
	p, err := m.files.get(path)
	if err != nil {
		m.problem = err.Error()
		return false
	}
	return p.index.find(e, func(n int32) bool { return m.host(p.words[n], e) })
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
	return strings.EqualFold(word, s)
}

// addressText matches a pattern with an address, or with the text of one.
// Only an address that is written with a zone wants that zone.
func addressText(word string, e *endpoint) bool {
	inner, bracket := strings.CutPrefix(word, "[")
	if bracket {
		inner = strings.TrimSuffix(inner, "]")
	}
	if a, err := netip.ParseAddr(inner); err == nil {
		return a == e.addr || a.Zone() == "" && a == e.addr.WithZone("")
	}
	return text(word, e.text)
}

// glob matches * and ?, which are all the library has: brackets and
// backslashes are letters.
func glob(pattern, s string) bool {
	quoted := strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`).Replace(pattern)
	ok, err := path.Match(quoted, strings.ReplaceAll(s, "/", "\x00"))
	return ok && err == nil
}
