package hosts

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// Whatever stands in the files and whoever comes, Check returns an answer, and
// a final one once it has all that can be looked up.
func FuzzCheck(f *testing.F) {
	f.Add("ALL: ALL\n", "", "sshd", "192.0.2.7", "host.example.org", "root")
	f.Add("in.x@127.0.0.1, sshd EXCEPT a: .example.org EXCEPT b.example.org, 10.0.0.0/255.0.0.0, [2001:db8::]/32 : deny\n", "ALL : LOCAL, KNOWN@ALL, 192.168. : spawn (echo %h %u) & : allow\n", "in.x", "10.1.1.1", "", "")
	f.Add("x: u*@ho?t, /etc/hosts.list\\\n, PARANOID : setenv A %a : twist /bin/echo \\: %c\n", "#\nALL\n", "x", "::1", "paranoid", "")
	f.Fuzz(func(t *testing.T, allow, deny, daemon, address, name, user string) {
		client, err := netip.ParseAddr(address)
		if err != nil || strings.Contains(allow+deny, "/") && strings.ContainsAny(allow+deny, " \t,:") && readsFiles(allow+deny) {
			t.Skip()
		}
		r := &Request{Daemon: daemon, Client: netip.AddrPortFrom(client, 1024)}
		early := checkTexts(allow, deny, r) // perhaps it takes no look-up
		r.Host, r.ServerHost, r.User = &Hostname{Host: name, Paranoid: name == ""}, &Hostname{}, &user
		v := checkTexts(allow, deny, r)
		if v.incomplete() {
			t.Errorf("asks for what it was told: %+v", v)
		}
		if !early.incomplete() && (early.Refused != v.Refused || early.Rule != v.Rule) {
			t.Errorf("without look-ups %+v, with them %+v", early, v)
		}
		if all := withoutIndex(textFiles(allow, deny)).Check(r); !reflect.DeepEqual(v, all) {
			t.Errorf("with an index %+v, without %+v", v, all)
		}
		if strings.ContainsAny(v.Actions.Twist, "`;") && !strings.ContainsAny(allow+deny, "`;") {
			t.Errorf("what a client chose got into a command: %q", v.Actions.Twist)
		}
		Problems(allow, true)
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
func checkTexts(allow, deny string, r *Request) Verdict { return textFiles(allow, deny).Check(r) }

func textFiles(allow, deny string) *Files {
	files := New("/nonexistent/hosts.allow", "/nonexistent/hosts.deny")
	files.allow.now.Store(&contents[rules]{id: identity{missing: true}, of: files.allow.parse(allow)})
	files.deny.now.Store(&contents[rules]{id: identity{missing: true}, of: files.deny.parse(deny)})
	return files
}

// withoutIndex decides by going through all rules and patterns.
func withoutIndex(files *Files) *Files {
	for _, f := range []*file[rules]{files.allow, files.deny} {
		c := f.now.Load()
		c.of.index = index{}
		for i := range c.of.list {
			c.of.index.always = append(c.of.index.always, int32(i))
		}
	}
	return files
}
