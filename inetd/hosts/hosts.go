// Package hosts decides by hosts.allow and hosts.deny, as hosts_access(5) and
// hosts_options(5) describe them and the library of tcpd(8) reads them.
//
// [Files.Check] decides with what is known of the client. Where a rule needs
// a name or a user, the verdict says so; the caller looks that up, off the
// path of other clients, and asks again.
//
// Unlike the library, a line without a newline at its end counts, and what is
// in doubt refuses: a file that exists and cannot be read, a file of patterns
// that cannot be read, and a netgroup in hosts.deny. There a network of
// length 0 is every network, too; the library takes it for none.
package hosts

import (
	"cmp"
	"net/netip"
	"path/filepath"
	"strings"
	"time"
)

// A Request is a client and what it wants.
type Request struct {
	Daemon         string
	Client, Server netip.AddrPort
	Host           *Hostname // of the client; nil: not looked up
	ServerHost     *Hostname // of the address that the client came to; nil: not looked up
	User           *string   // by RFC 1413; nil: not asked; empty: unknown
	FailClosed     bool      // hosts.deny refuses by name where the name service does not answer
}

// A Hostname is what name services say of an address.
type Hostname struct {
	Host     string // empty: it has none
	Paranoid bool   // the name does not lead back to the address
	Failed   bool   // there was no answer
}

// A Verdict is an answer.
type Verdict struct {
	Refused        bool
	NeedName       bool          // no answer: ask again with the client's name
	NeedServerName bool          // no answer: ask again with the server's name
	NeedUser       bool          // no answer: ask again with the user
	UserTimeout    time.Duration // of that question, by rfc931; 0: the usual
	Rule           string        // the rule that decided: "hosts.deny:3"; empty: none did
	Problem        string        // why a rule refuses whoever it matches
	Actions        Actions
}

func (v *Verdict) incomplete() bool { return v.NeedName || v.NeedServerName || v.NeedUser }

// Files are hosts.allow and hosts.deny. They are read again when they change.
type Files struct {
	allow, deny *file[rules]
	watch       *watch // of both
	patterns    patternFiles
}

// New returns the rules of two files, either of which may be missing.
func New(allow, deny string) *Files {
	return &Files{allow: newFile(allow, false), deny: newFile(deny, true), watch: newWatch(allow, deny)}
}

// Watch makes looking for changes cheap, at the price of an inotify instance,
// which stays open. It is to be called before the files are used.
func (t *Files) Watch() { t.watch.open() }

// fresh reports whether the files are known not to have changed since they
// were read.
func (t *Files) fresh() bool { return t.watch.unchanged() || t.watch.arm(t.read) }

// get returns what one of the files says. It looks whether the file has
// changed, unless it is known to be fresh.
func get(f *file[rules], fresh bool) (*contents[rules], error) {
	if fresh {
		return f.now.Load(), nil
	}
	return f.current()
}

// read looks at both files, and reads those that have changed; both, if it is
// known that one has.
func (t *Files) read(changed bool) error {
	if changed {
		t.allow.expire()
		t.deny.expire()
	}
	_, err1 := t.allow.current()
	_, err2 := t.deny.current()
	return cmp.Or(err1, err2)
}

// Empty reports whether neither file has a rule, so that everybody may come in.
func (t *Files) Empty() bool {
	fresh := t.fresh()
	allow, err1 := get(t.allow, fresh)
	deny, err2 := get(t.deny, fresh)
	return err1 == nil && err2 == nil && len(allow.of.list) == 0 && len(deny.of.list) == 0
}

// MayRefuse reports whether a client of a daemon may be refused, whoever it
// is: whether there is a rule for the daemon that refuses, or may, before one
// that admits everybody.
func (t *Files) MayRefuse(daemon string) bool {
	fresh := t.fresh()
	for _, one := range []*file[rules]{t.allow, t.deny} {
		c, err := get(one, fresh)
		if err != nil {
			return true
		}
		for i := range c.of.list {
			rule := &c.of.list[i]
			m := newMatcher(&Request{Daemon: daemon}, &t.patterns)
			matches := m.list(rule.daemons, m.daemon)
			unsure := m.verdict.incomplete() || m.problem != "" || rule.namesServer()
			if !matches && !unsure {
				continue
			}
			a, refuses, err := rule.effect(one == t.deny)
			switch {
			case refuses || err != nil || a.Twist != "":
				return true
			case !unsure && len(rule.clients) == 1 && strings.EqualFold(rule.clients[0], "ALL"):
				return false
			}
		}
	}
	return false
}

// Check decides by the first rule of hosts.allow that matches, else by the
// first of hosts.deny. A client that neither file matches is admitted.
func (t *Files) Check(r *Request) Verdict {
	m := newMatcher(r, &t.patterns)
	fresh := t.fresh()
	for _, one := range []*file[rules]{t.allow, t.deny} {
		c, err := get(one, fresh)
		if err != nil {
			return Verdict{Refused: true, Rule: filepath.Base(one.path), Problem: err.Error()}
		}
		m.deny = one == t.deny
		if v, decided := m.check(&c.of, one.path); decided {
			return v
		}
	}
	return Verdict{}
}

// check decides by the rules of one file, if one of them matches.
func (m *matcher) check(rules *rules, path string) (v Verdict, decided bool) {
	decided = rules.index.find(&m.peer, func(n int32) bool {
		rule := &rules.list[n]
		yes := m.rule(rule)
		switch {
		case m.verdict.incomplete():
			v = m.verdict
		case m.problem != "": // whom would it have named?
			v = Verdict{Refused: true, Rule: rule.where(path), Problem: m.problem}
		case yes:
			v = m.decide(rule, rule.where(path))
		default:
			return false
		}
		return true
	})
	return v, decided
}

// rule matches a rule: its daemons, and its clients. What would have to be
// known for the one does not count where the other does not match.
func (m *matcher) rule(r *rule) bool {
	daemons := m.list(r.daemons, m.daemon)
	need, problem := m.verdict, m.problem
	if !daemons && !need.incomplete() && problem == "" {
		return false
	}
	m.verdict, m.problem = Verdict{}, ""
	clients := m.list(r.clients, m.client)
	if !clients && !m.verdict.incomplete() && m.problem == "" {
		return false
	}
	m.verdict.NeedServerName = m.verdict.NeedServerName || need.NeedServerName
	m.problem = cmp.Or(problem, m.problem)
	return daemons && clients
}
