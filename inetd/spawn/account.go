package spawn

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// An Account is a user that a program runs as.
type Account struct {
	Name   string
	UID    uint32
	GID    uint32
	Groups []uint32 // the whole list for setgroups(2), GID included
}

// Accounts looks up users and groups: in /etc/passwd and /etc/group, and names
// that these do not have by getent(1), which asks what nsswitch.conf names
// (LDAP, SSSD). Results are kept, so make a new one for each reading of a
// configuration. It must not be used by two goroutines at once.
type Accounts struct {
	users    map[string]passwdEntry
	byUID    map[uint32]passwdEntry // the first of each
	nobody   map[string]bool        // names that nobody knows
	cutOff   map[string]bool        // lines of /etc/passwd and /etc/group that are malformed: database and name
	groups   []groupEntry
	resolved map[string]*Account // by AccountKey
	failed   error               // why a name that is not found may exist all the same; nil: it does not

	presetGroups map[string]uint32
}

// A LookupError is why it is not known whether a user or a group exists.
type LookupError struct{ err error }

func (e *LookupError) Error() string { return e.err.Error() }
func (e *LookupError) Unwrap() error { return e.err }

type passwdEntry struct {
	name     string
	uid, gid uint32
	local    bool // of /etc/passwd
}

type groupEntry struct {
	name    string
	gid     uint32
	members []string
}

// NewAccounts reads /etc/passwd and /etc/group.
func NewAccounts() *Accounts {
	a := &Accounts{users: map[string]passwdEntry{}, byUID: map[uint32]passwdEntry{}, nobody: map[string]bool{}, cutOff: map[string]bool{}, resolved: map[string]*Account{}, presetGroups: map[string]uint32{}}
	errUsers := colons("/etc/passwd", func(f []string) {
		if u, ok := parseUser(f); ok {
			if _, twice := a.users[u.name]; !twice {
				u.local = true
				a.users[u.name] = u
			}
			if _, twice := a.byUID[u.uid]; !twice {
				a.byUID[u.uid] = u
			}
		} else {
			a.cutOff["passwd "+f[0]] = true
		}
	})
	errGroups := colons("/etc/group", func(f []string) {
		if g, ok := parseGroup(f); ok {
			a.groups = append(a.groups, g)
		} else {
			a.cutOff["group "+f[0]] = true
		}
	})
	a.failed = cmp.Or(errUsers, errGroups)
	return a
}

// Known reports whether there is a user of that name.
func (a *Accounts) Known(name string) bool {
	_, ok := a.user(name)
	return ok
}

// Lookup returns a user by name or number, with its groups. A group, by name
// or number, replaces the user's own. A number that no user has is taken as it
// is, with the group of the same number.
func (a *Accounts) Lookup(name, groupName string) (*Account, error) {
	key := AccountKey(name, groupName)
	if found, ok := a.resolved[key]; ok {
		return found, nil
	}
	u, ok := a.user(name)
	if !ok {
		id, err := strconv.ParseUint(name, 10, 32)
		if err != nil || id == 1<<32-1 {
			return nil, a.unknown("user", name)
		}
		u = passwdEntry{name: name, uid: uint32(id), gid: uint32(id), local: true}
		if known, ok := a.byUID[u.uid]; ok {
			u = known
		}
	}
	if groupName != "" {
		gid, err := a.GroupID(groupName)
		if err != nil {
			return nil, err
		}
		u.gid = gid
	}
	found := &Account{Name: strings.Clone(u.name), UID: u.uid, GID: u.gid, Groups: a.groupsOf(u)}
	a.resolved[key] = found
	return found, nil
}

// AccountKey is what Preset knows the result of a Lookup by.
func AccountKey(name, groupName string) string { return name + ":" + groupName }

// Preset sets the results of look-ups.
func (a *Accounts) Preset(accounts map[string]*Account, groups map[string]uint32) {
	maps.Copy(a.resolved, accounts)
	maps.Copy(a.presetGroups, groups)
}

// GroupID returns a group by name or number.
func (a *Accounts) GroupID(name string) (uint32, error) {
	if gid, ok := a.presetGroups[name]; ok {
		return gid, nil
	}
	for _, g := range a.groups {
		if g.name == name {
			return g.gid, nil
		}
	}
	if id, err := strconv.ParseUint(name, 10, 32); err == nil && id < 1<<32-1 {
		return uint32(id), nil
	}
	if f := a.getent("group", name); len(f) > 0 {
		if g, ok := parseGroup(strings.Split(f[0], ":")); ok && g.name == name {
			return g.gid, nil
		}
	}
	return 0, a.unknown("group", name)
}

// unknown returns the error for a name that was not found.
func (a *Accounts) unknown(what, name string) error {
	if a.failed != nil {
		return &LookupError{fmt.Errorf("%s %q: cannot be looked up: %w", what, name, a.failed)}
	}
	return fmt.Errorf("unknown %s %q", what, name)
}

// Prefetch looks up users, all at once where /etc/passwd does not have them.
func (a *Accounts) Prefetch(names []string) {
	var unknown []string
	for _, name := range names {
		_, known := a.users[name]
		if _, err := strconv.ParseUint(name, 10, 32); err == nil || known || name == "" || a.nobody[name] || slices.Contains(unknown, name) {
			continue
		}
		unknown = append(unknown, name)
	}
	if unknown == nil {
		return
	}
	for _, l := range a.getent("passwd", unknown...) {
		if u, ok := parseUser(strings.Split(l, ":")); ok && slices.Contains(unknown, u.name) {
			a.users[u.name] = u
		}
	}
	for _, name := range unknown {
		if _, found := a.users[name]; !found {
			a.nobody[name] = true
		}
	}
}

// getent is the function getent. After a failure nothing more is asked: a name
// service that does not reply is waited for once, and not for each user. Nor
// is it asked for what the file has a malformed line of: it may read the same
// line, and take the beginning of a number for the number.
func (a *Accounts) getent(database string, keys ...string) []string {
	keys = slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return a.cutOff[database+" "+key] })
	if a.failed != nil || len(keys) == 0 {
		return nil
	}
	lines, err := getent(database, keys...)
	if err != nil {
		a.failed = fmt.Errorf("getent %s %s: %w", database, keys[0], err)
	}
	return lines
}

func (a *Accounts) user(name string) (passwdEntry, bool) {
	if u, ok := a.users[name]; ok {
		return u, true
	}
	if _, err := strconv.ParseUint(name, 10, 32); err == nil || name == "" || a.nobody[name] {
		return passwdEntry{}, false
	}
	for _, l := range a.getent("passwd", name) {
		// getent takes "+0" for the uid 0, and replies with that user.
		if u, ok := parseUser(strings.Split(l, ":")); ok && u.name == name {
			a.users[name] = u
			return u, true
		}
	}
	a.nobody[name] = true
	return passwdEntry{}, false
}

// groupsOf returns what initgroups(3) would set: the process's group and every
// group that has the user as a member.
func (a *Accounts) groupsOf(u passwdEntry) []uint32 {
	list := []uint32{u.gid}
	for _, g := range a.groups {
		if slices.Contains(g.members, u.name) {
			list = append(list, g.gid)
		}
	}
	if !u.local {
		for _, l := range a.getent("initgroups", u.name) {
			name, ids, _ := strings.Cut(l, " ")
			for _, f := range strings.Fields(ids) {
				if id, err := strconv.ParseUint(f, 10, 32); err == nil && name == u.name {
					list = append(list, uint32(id))
				}
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// colons reads a file of lines with colons, passwd(5) or group(5). A file that
// does not exist is empty.
func colons(path string, line func([]string)) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for r := bufio.NewReader(f); ; {
		text, err := r.ReadString('\n') // of any length: a group can have thousands of members
		if text = strings.TrimRight(text, "\r\n"); text != "" {
			line(strings.Split(text, ":"))
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func parseUser(f []string) (passwdEntry, bool) {
	if len(f) < 5 { // without a colon behind it, the group may be the beginning of a number that is cut off
		return passwdEntry{}, false
	}
	uid, err1 := strconv.ParseUint(f[2], 10, 32)
	gid, err2 := strconv.ParseUint(f[3], 10, 32)
	return passwdEntry{name: f[0], uid: uint32(uid), gid: uint32(gid)}, err1 == nil && err2 == nil && f[0] != ""
}

func parseGroup(f []string) (groupEntry, bool) {
	if len(f) < 4 {
		return groupEntry{}, false
	}
	gid, err := strconv.ParseUint(f[2], 10, 32)
	return groupEntry{f[0], uint32(gid), strings.Split(f[3], ",")}, err == nil && f[0] != ""
}

// getentLimit is how long a directory service may take to answer. Tests have
// less, and another program.
var (
	getentLimit   = 5 * time.Second
	getentProgram = "/usr/bin/getent"
)

// maxAnswer is the longest reply of a directory service that is read, in bytes.
const maxAnswer = 1 << 20

// getent asks the host's name services and returns the lines of the reply;
// none where there is no getent or no such entry. The error is why there is no
// reply.
func getent(database string, keys ...string) ([]string, error) {
	keys = slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
		return strings.HasPrefix(key, "-") || strings.ContainsAny(key, "\x00\n:")
	})
	if len(keys) == 0 {
		return nil, nil
	}
	im, err := new(Attr).Prepare(getentProgram, append([]string{"getent", database}, keys...))
	if err != nil {
		return nil, err
	}
	// A socket, as for any child: its one descriptor is read and written.
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	defer unix.Close(pair[0])
	p, err := im.Start(pair[1], new(Scratch))
	unix.Close(pair[1])
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	late := time.AfterFunc(getentLimit, func() { unix.Kill(p.PID, unix.SIGKILL) })
	defer func() {
		// It may have closed its output and run on. Until it is reaped, no other
		// process has its pid.
		for unix.Waitid(unix.P_PID, p.PID, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
		late.Stop()
		p.wait()
	}()
	var answer []byte
	buf := make([]byte, 4096)
	for began := time.Now(); ; {
		limit := unix.NsecToTimeval(int64(max(getentLimit-time.Since(began), time.Millisecond)))
		unix.SetsockoptTimeval(pair[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
		n, err := unix.Read(pair[0], buf)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN || err == nil && time.Since(began) >= getentLimit:
			err = fmt.Errorf("no reply within %v", getentLimit)
		case err == nil && len(answer)+n > maxAnswer:
			err = fmt.Errorf("a reply of more than %d bytes", maxAnswer)
		}
		if err != nil {
			unix.Kill(p.PID, unix.SIGKILL) // not reaped yet, so the pid is its own
			return nil, err
		}
		if n == 0 {
			return strings.FieldsFunc(string(answer), func(c rune) bool { return c == '\n' }), nil
		}
		answer = append(answer, buf[:n]...)
	}
}
