// Package hosts decides by hosts.allow and hosts.deny, as hosts_access(5) and
// hosts_options(5) describe them and the library of tcpd(8) reads them.
//
// [Files.Check] decides with what is known of the client. Where a rule needs
// its name or its user, the verdict says so; the caller looks that up, off the
// path of other clients, and asks again.
//
// Unlike the library, a line without a newline at its end counts, a file that
// exists and cannot be read refuses everybody, and a network of length 0 in
// hosts.deny is every network; the library takes it for none.
package hosts

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
)

// A Request is a client and what it wants.
type Request struct {
	Daemon         string
	Client, Server netip.AddrPort
	Host           *Hostname // nil: not looked up
	User           *string   // by RFC 1413; nil: not asked; empty: unknown
}

// A Hostname is what name services say of the client's address.
type Hostname struct {
	Host     string // empty: it has none
	Paranoid bool   // the name does not lead back to the address
}

// A Verdict is an answer.
type Verdict struct {
	Refused  bool
	NeedName bool   // no answer: ask again with the name
	NeedUser bool   // no answer: ask again with the user
	Rule     string // the rule that decided: "hosts.deny:3"; empty: none did
	Problem  string // of a rule that refuses because it is wrong
	Actions  Actions
}

func (v *Verdict) incomplete() bool { return v.NeedName || v.NeedUser }

// Files are hosts.allow and hosts.deny. They are read again when they change.
type Files struct {
	allow, deny file
}

// New returns the rules of two files, either of which may be missing.
func New(allow, deny string) *Files {
	return &Files{allow: file{path: allow}, deny: file{path: deny}}
}

// Empty reports whether neither file has a rule, so that everybody may come in.
func (t *Files) Empty() bool {
	allow, err1 := t.allow.current()
	deny, err2 := t.deny.current()
	return err1 == nil && err2 == nil && len(allow.list) == 0 && len(deny.list) == 0
}

// Check decides by the first rule of hosts.allow that matches, else by the
// first of hosts.deny. A client that neither file matches is admitted.
func (t *Files) Check(r *Request) Verdict {
	for _, one := range []*file{&t.allow, &t.deny} {
		rules, err := one.current()
		if err != nil {
			return Verdict{Refused: true, Rule: filepath.Base(one.path), Problem: err.Error()}
		}
		m := matcher{r: r, deny: one == &t.deny}
		for i := range rules.list {
			rule := &rules.list[i]
			yes := m.list(rule.daemons, m.daemon) && m.list(rule.clients, m.client)
			if m.verdict.incomplete() {
				return m.verdict
			}
			where := fmt.Sprintf("%s:%d", filepath.Base(one.path), rule.line)
			if m.problem != "" { // a file of patterns that cannot be read: whom would it have named?
				return Verdict{Refused: true, Rule: where, Problem: m.problem}
			}
			if yes {
				return m.decide(rule, m.deny, where)
			}
		}
	}
	return Verdict{}
}

// A file is one of the two.
type file struct {
	path string
	now  atomic.Pointer[rules]
	mu   sync.Mutex // serializes reading it again
}

// rules is what a file said when it had an identity.
type rules struct {
	id   identity
	list []rule
	err  error
}

// An identity changes when a file does.
type identity struct {
	dev, ino         uint64
	size             int64
	modified, change syscall.Timespec
	missing          bool
}

// current returns the rules, read again if the file has changed.
func (t *file) current() (*rules, error) {
	id, err := identify(t.path)
	if err != nil {
		return nil, err
	}
	if r := t.now.Load(); r != nil && r.id == id {
		return r, r.err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &rules{id: id}
	if !id.missing {
		var text []byte
		if text, r.err = os.ReadFile(t.path); r.err == nil {
			r.list = parse(string(text))
		}
	}
	t.now.Store(r)
	return r, r.err
}

func identify(path string) (identity, error) {
	var st syscall.Stat_t
	for {
		err := syscall.Stat(path, &st)
		switch {
		case err == nil:
			return identity{dev: st.Dev, ino: st.Ino, size: st.Size, modified: st.Mtim, change: st.Ctim}, nil
		case errors.Is(err, fs.ErrNotExist):
			return identity{missing: true}, nil
		case err != syscall.EINTR:
			return identity{}, &fs.PathError{Op: "stat", Path: path, Err: err}
		}
	}
}
