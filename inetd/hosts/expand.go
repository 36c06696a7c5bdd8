package hosts

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// An expansion replaces %a and its kind by what is known of a request.
type expansion struct {
	m       *matcher
	verdict *bool
}

func (x *expansion) decide(allow bool) {
	if x != nil {
		x.verdict = &allow
	}
}

// needUser notes that the client's user is needed, within a time; 0 is the
// usual one.
func (x *expansion) needUser(timeout time.Duration) {
	if x != nil && x.m.r.User == nil {
		x.m.verdict.NeedUser, x.m.verdict.UserTimeout = true, timeout
	}
}

// banner returns the text for a client, from a directory with a file for each
// daemon: with line ends as in network protocols, and %a and its kind
// replaced. A file that is missing is no banner.
func (x *expansion) banner(dir string) []byte {
	if x == nil {
		return nil
	}
	text, _, err := readFile(filepath.Join(dir, filepath.Base(x.m.r.Daemon)))
	if err != nil {
		return nil
	}
	return []byte(x.expand(strings.ReplaceAll(string(text[:min(len(text), maxBanner)]), "\n", "\r\n")))
}

// maxBanner is how much of a banner file is sent, in bytes.
const maxBanner = 64 << 10

// shellSafe are the characters that have no meaning to a shell. Others are
// replaced by underscores.
const shellSafe = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

func (x *expansion) expand(text string) string {
	if x == nil {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		i++
		if text[i] == '%' {
			b.WriteByte('%')
			continue
		}
		for _, c := range []byte(x.value(text[i])) {
			if strings.IndexByte(shellSafe, c) < 0 {
				c = '_'
			}
			b.WriteByte(c)
		}
	}
	return b.String()
}

func (x *expansion) value(letter byte) string {
	r, peer, server := x.m.r, &x.m.peer, &x.m.server
	switch letter {
	case 'a':
		return peer.text
	case 'A':
		return server.text
	case 'c':
		host := best(peer)
		if r.User != nil && *r.User != "" {
			return *r.User + "@" + host
		}
		return host
	case 'd':
		return r.Daemon
	case 'h':
		return best(peer)
	case 'H':
		return best(server)
	case 'n':
		name, _ := peer.lookup()
		return name
	case 'N':
		name, _ := server.lookup()
		return name
	case 'p':
		return strconv.Itoa(os.Getpid())
	case 'r':
		return strconv.Itoa(int(r.Client.Port()))
	case 'R':
		return strconv.Itoa(int(r.Server.Port()))
	case 's':
		return r.Daemon + "@" + best(server)
	case 'u':
		x.needUser(0)
		if r.User == nil || *r.User == "" {
			return unknown
		}
		return *r.User
	}
	return ""
}

// best returns the name of an end, or its address where it has none.
func best(e *endpoint) string {
	if e.hasName() {
		return e.name
	}
	return e.text
}
