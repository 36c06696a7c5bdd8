package hosts

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Problems of the host's files have their position and a hint.
func TestFileProblems(t *testing.T) {
	dir := t.TempDir()
	allow := filepath.Join(dir, "hosts.allow")
	if err := os.WriteFile(allow, []byte("# fine\nsshd 192.0.2.1\nALL: ALL: nonsense\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range FileProblems(allow, dir) {
		got = append(got, p.String())
	}
	if len(got) != 3 || !strings.HasPrefix(got[0], `hosts.allow:2: "sshd 192.0.2.1" has no colon`) || !strings.HasPrefix(got[1], `hosts.allow:3: unknown option "nonsense"`) ||
		!strings.Contains(got[2], "every client is refused") {
		t.Errorf("%q", got)
	}
	if got := FileProblems(filepath.Join(dir, "none"), filepath.Join(dir, "none")); got != nil {
		t.Errorf("missing files: %v", got)
	}
	link := filepath.Join(dir, "link")
	os.Symlink(filepath.Join(dir, "none"), link)
	if got := fmt.Sprint(FileProblems(link, filepath.Join(dir, "none"))); !strings.Contains(got, "every client is refused") {
		t.Errorf("a link that leads nowhere: %v", got)
	}
}

// Patterns that match nobody, or whom nobody would expect, are said.
func TestPatternProblems(t *testing.T) {
	for _, c := range []struct{ rule, want string }{
		{"ALL: @untrusted", "netgroup @untrusted: NIS is not asked, and every client"},
		{"ALL: 127.0.0.0/33", "33 is no prefix length from 0 to 32"},
		{"ALL: 127.0.0.1/8", "127.0.0.1 has bits outside of the mask; 127.0.0.0/8 is the network: it matches nobody"},
		{"ALL: 127.0.0.1/255.0.0.0", "127.0.0.0/8 is the network"},
		{"ALL: 127.0.0.0-127.0.0.255", "is a range"},
		{"ALL: 127.0.0.1;10.0.0.1", "semicolon"},
		{"ALL: 127.0.0", "127.0.0 is no IPv4 address: it matches nobody"},
		{"ALL: 127.0.0.300", "is no IPv4 address"},
		{"\ufeffALL: ALL", "byte order mark"},
		{"ALL: ALLL", `"ALLL" is no wildcard: it is the name of a host`},
		{"AL: ALL", `"AL" is no wildcard: it is the name of a daemon`},
		{"ALL: LCOAL", "write LOCAL"},
		{"ALL: UNKOWN", "write UNKNOWN"},
		{"ALL: [::1]/129", "prefix length from 0 to 128"},
		{"ALL: [::1", "no address in brackets"},
		{"ALL: root@127.0.0.0/33", "33 is no prefix length"},
		{"ALL: root@", "no host behind the @"},
		{"ALL: .example.org", "1 rule refuses by name"},
		{"ALL: PARANOID", "1 rule refuses by name"},
	} {
		var got []string
		for _, p := range Problems(c.rule+"\n", true) {
			if p.Hint == "" {
				t.Errorf("%s: no hint", c.rule)
			}
			got = append(got, p.Text+" ("+p.Hint+")")
		}
		if len(got) != 1 || !strings.Contains(got[0], c.want) {
			t.Errorf("%s: %q", c.rule, got)
		}
	}
	for _, rule := range []string{"ALL: ALL", "sshd: 10.", "ALL: 127.", "in.*: 192.0.2.? EXCEPT 192.0.2.1", "sshd@192.0.2.1: 10.0.0.0/8, 10.1.0.0/255.255.0.0", "ALL: [2001:db8::5]/64, [fe80::1%eth0]",
		"ALL: UNKNOWN", "ALL: LOCAL", "ALL: root@ALL", "FTPD: ALL", "SSHD: ALL", "ALL: 0.0.0.0/0", "ALL: /etc/denied", "ALL: 10.0.0.0/255.0.255.0"} {
		if got := Problems(rule+"\n", true); got != nil {
			t.Errorf("%s: %v", rule, got)
		}
	}
	if got := Problems("ALL: .example.org, PARANOID\n", false); got != nil {
		t.Errorf("hosts.allow by name: %v", got)
	}
	if got := Problems("ALL: 0.0.0.0/0\n", false); len(got) != 1 {
		t.Errorf("a network of length 0 in hosts.allow: %v", got)
	}
}
