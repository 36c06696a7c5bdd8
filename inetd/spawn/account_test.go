package spawn

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/inetd/reliability"
)

// Out of descriptors, nobody is said not to exist.
func TestAccountsOutOfDescriptors(t *testing.T) {
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	next, err := unix.Dup(0) // the lowest number that is free
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(next)
	set := func(soft uint64) {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: soft, Max: was.Max}); err != nil {
			t.Fatal(err)
		}
	}
	set(uint64(next))
	unread := NewAccounts()
	_, errUser := unread.Lookup("root", "")
	_, errGroup := unread.GroupID("root")
	set(was.Cur)
	for _, err := range []error{errUser, errGroup} {
		var failed *LookupError
		if !errors.As(err, &failed) || !errors.Is(err, unix.EMFILE) || !strings.Contains(err.Error(), `"root": cannot be looked up: `) {
			t.Errorf("the error is %v", err)
		}
	}
	read := NewAccounts()
	if _, err := read.Lookup("nosuchuser", ""); err == nil || err.Error() != `unknown user "nosuchuser"` {
		t.Errorf("the error is %v", err)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Shortages, Did: "no descriptor left to read /etc/passwd",
		Saw: "as before", Lost: "nothing: it is no unknown user"})
}

// A line that is cut off, as while the file is being written, is nobody's: its
// group could be another.
func TestCutOffLine(t *testing.T) {
	const line = "alice:x:4711:4712:"
	for n := range len(line) {
		if u, ok := parseUser(strings.Split(line[:n], ":")); ok {
			t.Errorf("%q is %+v", line[:n], u)
		}
	}
	if u, ok := parseUser(strings.Split(line, ":")); !ok || u.uid != 4711 || u.gid != 4712 {
		t.Errorf("%q is %+v, %v", line, u, ok)
	}
}

// A line of group(5) may be longer than any buffer.
func TestLongLines(t *testing.T) {
	path := t.TempDir() + "/group"
	os.WriteFile(path, []byte("many:x:4000:"+strings.Repeat("member,", 20000)+"alice\nlate:x:4001:alice"), 0o644)
	var got []string
	if err := colons(path, func(f []string) { got = append(got, f[0]+" "+f[2]) }); err != nil || strings.Join(got, ",") != "many 4000,late 4001" {
		t.Errorf("%q, %v", got, err)
	}
}

// A getent that does not reply, replies too slowly or does not end is ended.
func TestSlowGetent(t *testing.T) {
	was, limit := getentProgram, getentLimit
	t.Cleanup(func() { getentProgram, getentLimit = was, limit })
	getentLimit = 500 * time.Millisecond
	dir := t.TempDir()
	for name, c := range map[string]struct{ script, want string }{
		"silent": {"exec sleep 60", "no reply within 500ms"},
		"drips":  {"while :; do echo x; sleep 0.1; done", "no reply within 500ms"},
		"stays":  {"echo alice:x:4001:4001:::; exec >&- 2>&- <&-; exec sleep 60", ""},
	} {
		getentProgram = dir + "/" + name
		if err := os.WriteFile(getentProgram, []byte("#!/bin/sh\n"+c.script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err := NewAccounts().Lookup("nosuchuser", "")
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
		if failed := (*LookupError)(nil); c.want != "" && (!errors.As(err, &failed) || !strings.HasSuffix(err.Error(), c.want)) {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Reloads, Did: "a name service that does not reply, drips, or does not end",
		Saw: "served as before; 5 s are waited once for all users"})
}

// Users that /etc/passwd does not have are asked for together, and a name
// service that does not reply is waited for once.
func TestPrefetch(t *testing.T) {
	was, limit := getentProgram, getentLimit
	t.Cleanup(func() { getentProgram, getentLimit = was, limit })
	dir := t.TempDir()
	getentProgram = dir + "/getent"
	script := func(text string) {
		t.Helper()
		if err := os.WriteFile(getentProgram, []byte("#!/bin/sh\necho \"$*\" >>"+dir+"/asked\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script(`case $1 in passwd) echo alice-ldap:x:4001:4002:::; echo bob-ldap:x:4003:4004:::; exit 2;; esac`)
	a := NewAccounts()
	a.Prefetch([]string{"root", "alice-ldap", "0", "", "bob-ldap", "nosuchuser", "alice-ldap"})
	for name, uid := range map[string]uint32{"alice-ldap": 4001, "bob-ldap": 4003} {
		if got, err := a.Lookup(name, ""); err != nil || got.UID != uid {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := a.Lookup("nosuchuser", ""); err == nil {
		t.Error("nosuchuser is found")
	}
	asked, _ := os.ReadFile(dir + "/asked")
	if n := strings.Count(string(asked), "passwd "); n != 1 || !strings.HasPrefix(string(asked), "passwd alice-ldap bob-ldap nosuchuser\n") {
		t.Errorf("asked: %s", asked)
	}
	getentLimit = 300 * time.Millisecond
	script("exec sleep 60")
	a = NewAccounts()
	began := time.Now()
	for i := range 50 {
		if _, err := a.Lookup(fmt.Sprint("user-", i), ""); err == nil {
			t.Errorf("user %d is found", i)
		}
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("50 users took %v", took)
	}
}

// A name is that of an account only if the name service calls it so.
func TestOtherName(t *testing.T) {
	was := getentProgram
	t.Cleanup(func() { getentProgram = was })
	getentProgram = t.TempDir() + "/getent"
	if err := os.WriteFile(getentProgram, []byte("#!/bin/sh\necho root:x:0:0::/root:/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, prefetched := range []bool{false, true} {
		a := NewAccounts()
		if prefetched {
			a.Prefetch([]string{"ROOT-LDAP"})
		}
		if got, err := a.Lookup("ROOT-LDAP", ""); err == nil || err.Error() != `unknown user "ROOT-LDAP"` {
			t.Errorf("user: %+v, %v", got, err)
		}
		if got, err := a.GroupID("ROOT-LDAP"); err == nil || err.Error() != `unknown group "ROOT-LDAP"` {
			t.Errorf("group: %d, %v", got, err)
		}
	}
}
