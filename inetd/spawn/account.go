package spawn

import (
	"bufio"
	"fmt"
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
	groups   []groupEntry
	resolved map[string]*Account // by AccountKey

	presetGroups map[string]uint32
}

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
	a := &Accounts{users: map[string]passwdEntry{}, byUID: map[uint32]passwdEntry{}, nobody: map[string]bool{}, resolved: map[string]*Account{}, presetGroups: map[string]uint32{}}
	colons("/etc/passwd", func(f []string) {
		if u, ok := parseUser(f); ok {
			if _, twice := a.users[u.name]; !twice {
				u.local = true
				a.users[u.name] = u
			}
			if _, twice := a.byUID[u.uid]; !twice {
				a.byUID[u.uid] = u
			}
		}
	})
	colons("/etc/group", func(f []string) {
		if g, ok := parseGroup(f); ok {
			a.groups = append(a.groups, g)
		}
	})
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
			return nil, fmt.Errorf("unknown user %q", name)
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
	if f := getent("group", name); len(f) > 0 {
		if g, ok := parseGroup(strings.Split(f[0], ":")); ok {
			return g.gid, nil
		}
	}
	return 0, fmt.Errorf("unknown group %q", name)
}

func (a *Accounts) user(name string) (passwdEntry, bool) {
	if u, ok := a.users[name]; ok {
		return u, true
	}
	if _, err := strconv.ParseUint(name, 10, 32); err == nil || name == "" || a.nobody[name] {
		return passwdEntry{}, false
	}
	for _, l := range getent("passwd", name) {
		if u, ok := parseUser(strings.Split(l, ":")); ok {
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
		for _, l := range getent("initgroups", u.name) {
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

// colons reads a file of lines with colons, passwd(5) or group(5).
func colons(path string, line func([]string)) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line(strings.Split(lines.Text(), ":"))
	}
}

func parseUser(f []string) (passwdEntry, bool) {
	if len(f) < 4 {
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

// getentLimit is how long a directory service may take to answer.
const getentLimit = 5 * time.Second

// getent asks the host's name services and returns the lines of the reply;
// none where there is no getent, no such entry, or no reply in time.
func getent(database, key string) []string {
	if strings.HasPrefix(key, "-") || strings.ContainsAny(key, "\x00\n:") {
		return nil
	}
	im, err := new(Attr).Prepare("/usr/bin/getent", []string{"getent", database, key})
	if err != nil {
		return nil
	}
	// A socket, as for any child: its one descriptor is read and written.
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(pair[0])
	limit := unix.NsecToTimeval(int64(getentLimit))
	unix.SetsockoptTimeval(pair[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
	p, err := im.Start(pair[1], new(Scratch))
	unix.Close(pair[1])
	if err != nil {
		return nil
	}
	defer p.wait()
	var answer []byte
	buf := make([]byte, 4096)
	for {
		n, err := unix.Read(pair[0], buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || len(answer) > 1<<20 {
			unix.Kill(p.PID, unix.SIGKILL) // it still holds its end, so it runs
			return nil
		}
		if n == 0 {
			break
		}
		answer = append(answer, buf[:n]...)
	}
	return strings.FieldsFunc(string(answer), func(c rune) bool { return c == '\n' })
}
