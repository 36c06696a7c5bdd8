package hosts

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever stands in the files and whoever comes, there is an answer, and
// asking with all that can be known gives one that is final.
func FuzzCheck(f *testing.F) {
	f.Add("ALL: ALL\n", "", "sshd", "192.0.2.7", "host.example.org", "root")
	f.Add("in.x@127.0.0.1, sshd EXCEPT a: .example.org EXCEPT b.example.org, 10.0.0.0/255.0.0.0, [2001:db8::]/32 : deny\n", "ALL : LOCAL, KNOWN@ALL, 192.168. : spawn (echo %h %u) & : allow\n", "in.x", "10.1.1.1", "", "")
	f.Add("x: u*@ho?t, /etc/hosts.list\\\n, PARANOID : setenv A %a : twist /bin/echo \\: %c\n", "#\nALL\n", "x", "::1", "paranoid", "")
	f.Fuzz(func(t *testing.T, allow, deny, daemon, address, name, user string) {
		client, err := netip.ParseAddr(address)
		if err != nil || strings.Contains(allow+deny, "/") && strings.ContainsAny(allow+deny, " \t,:") && readsFiles(allow+deny) {
			t.Skip()
		}
		for _, known := range []bool{false, true} {
			r := &Request{Daemon: daemon, Client: netip.AddrPortFrom(client, 1024)}
			if known {
				r.Host, r.User = &Hostname{Host: name, Paranoid: name == ""}, &user
			}
			v := checkTexts(allow, deny, r)
			if known && v.incomplete() {
				t.Errorf("asks for what it was told: %+v", v)
			}
			if strings.ContainsAny(v.Actions.Twist, "`;") && !strings.ContainsAny(allow+deny, "`;") {
				t.Errorf("what a client chose got into a command: %q", v.Actions.Twist)
			}
		}
		Problems(allow)
	})
}

// readsFiles reports whether a word names a file of patterns.
func readsFiles(text string) bool {
	for _, w := range words(strings.ReplaceAll(text, ":", " ")) {
		if w[0] == '/' || strings.Contains(w, "@/") {
			return true
		}
	}
	return false
}

// checkTexts decides by texts that are in no file.
func checkTexts(allow, deny string, r *Request) Verdict {
	tables := New("/nonexistent/hosts.allow", "/nonexistent/hosts.deny")
	tables.allow.now.Store(&rules{id: identity{missing: true}, list: parse(allow)})
	tables.deny.now.Store(&rules{id: identity{missing: true}, list: parse(deny)})
	return tables.Check(r)
}

// Problems of the host's files have their position and a hint.
func TestFileProblems(t *testing.T) {
	dir := t.TempDir()
	allow := filepath.Join(dir, "hosts.allow")
	if err := os.WriteFile(allow, []byte("# fine\nsshd 192.0.2.1\nALL: ALL: nonsense\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range FileProblems(allow, filepath.Join(dir, "missing"), dir) {
		got = append(got, p.String())
	}
	if len(got) != 3 || !strings.HasPrefix(got[0], `hosts.allow:2: "sshd 192.0.2.1" has no colon`) || !strings.HasPrefix(got[1], `hosts.allow:3: unknown option "nonsense"`) ||
		!strings.Contains(got[2], "every client is refused") {
		t.Errorf("%q", got)
	}
}
