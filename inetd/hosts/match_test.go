package hosts

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func from(address string) *Request {
	return &Request{Daemon: "sshd", Client: netip.AddrPortFrom(netip.MustParseAddr(address), 1024), Server: netip.MustParseAddrPort("192.0.2.200:22"), Host: &Hostname{}}
}

// Who is matched by which pattern, where the library is of another mind or
// it was wrong once.
func TestPatterns(t *testing.T) {
	gate := &Hostname{Host: "gate.example.org"}
	for _, c := range []struct {
		deny    string
		r       func(*Request)
		refused bool
	}{
		{"sshd@gate.example.org: ALL", func(r *Request) { r.ServerHost = gate }, true},
		{"sshd@.example.org: ALL", func(r *Request) { r.ServerHost = gate }, true},
		{"sshd@KNOWN: ALL", func(r *Request) { r.ServerHost = gate }, true},
		{"sshd@KNOWN: ALL", func(r *Request) { r.ServerHost = &Hostname{} }, false},
		{"sshd@other.example.org: ALL", func(r *Request) { r.ServerHost = gate }, false},
		{"[sshd]: ALL", nil, false},
		{"ALL: [fe80::1]", func(r *Request) { r.Client = netip.MustParseAddrPort("[fe80::1%eth0]:1") }, true},
		{"ALL: [fe80::1%eth0]", func(r *Request) { r.Client = netip.MustParseAddrPort("[fe80::1%eth0]:1") }, true},
		{"ALL: [fe80::1%eth1]", func(r *Request) { r.Client = netip.MustParseAddrPort("[fe80::1%eth0]:1") }, false},
		{"ALL: [fe80::]/10", func(r *Request) { r.Client = netip.MustParseAddrPort("[fe80::1%eth0]:1") }, true},
		{"ALL: @untrusted", nil, true},
		{"ALL: ALL EXCEPT @trusted", nil, true},
		{"ftpd: @untrusted", nil, false},
		{"\ufeffALL: ALL", nil, true},
		{"ALL: bad.example.org", func(r *Request) { r.Host = &Hostname{Failed: true} }, false},
		{"ALL: bad.example.org", func(r *Request) { r.Host, r.FailClosed = &Hostname{Failed: true}, true }, true},
		{"ALL: bad.example.org", func(r *Request) { r.Host, r.FailClosed = &Hostname{}, true }, false},
		{"ftpd: bad.example.org", func(r *Request) { r.Host, r.FailClosed = &Hostname{Failed: true}, true }, false},
	} {
		r := from("192.0.2.1")
		if c.r != nil {
			c.r(r)
		}
		if v := checkTexts("", c.deny+"\n", r); v.Refused != c.refused || v.incomplete() {
			t.Errorf("%s: %+v", c.deny, v)
		}
	}
	if v := checkTexts("", "sshd@gate.example.org: ALL\n", from("192.0.2.1")); !v.NeedServerName {
		t.Errorf("the server's name is not asked for: %+v", v)
	}
}

// Whether a rule may refuse a client of whom nothing is known.
func TestMayRefuse(t *testing.T) {
	for _, c := range []struct {
		allow, deny string
		may         bool
	}{
		{"", "", false}, {"", "ALL: ALL\n", true}, {"", "sshd: 192.0.2.1\n", true}, {"", "ftpd: ALL\n", false}, {"", "ALL EXCEPT sshd: ALL\n", false},
		{"sshd: ALL\n", "ALL: ALL\n", false}, {"ALL: ALL\n", "ALL: ALL\n", false}, {"sshd: 192.0.2.1\n", "ALL: ALL\n", true}, {"sshd: ALL EXCEPT 10.\n", "ALL: ALL\n", true},
		{"sshd: ALL: deny\n", "", true}, {"sshd: ALL: allow\n", "ALL: ALL\n", false}, {"ALL: ALL: twist /bin/true\n", "", true}, {"sshd: ALL: nosuchoption\n", "", true},
		{"sshd@192.0.2.1: ALL\n", "ALL: ALL\n", true}, {"", "sshd@192.0.2.1: ALL\n", true}, {"", "ALL: ALL: allow\n", false}, {"ALL: 10.: rfc931\n", "", false},
	} {
		if got := textFiles(c.allow, c.deny).MayRefuse("sshd"); got != c.may {
			t.Errorf("%q, %q: %v", c.allow, c.deny, got)
		}
	}
	if !New("/nonexistent", t.TempDir()).MayRefuse("sshd") {
		t.Error("a file that cannot be read refuses nobody")
	}
}

// Options do what hosts_options(5) says.
func TestOptions(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/sshd", []byte("for %a of %H\n100%%\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	check := func(option string) Verdict {
		r := from("192.0.2.1")
		r.ServerHost = &Hostname{Host: "gate"}
		user := "alice"
		r.User = &user
		return checkTexts("ALL: ALL: "+option+"\n", "", r)
	}
	if v := check("banners " + dir); string(v.Actions.Banner) != "for 192.0.2.1 of gate\r\n100%\r\n" {
		t.Errorf("banners: %q", v.Actions.Banner)
	}
	if v := check("severity AUTH.Info"); v.Refused || v.Actions.Severity != "auth.info" {
		t.Errorf("severity in capitals: %+v", v)
	}
	if v := check("nice 50"); v.Refused || v.Actions.Nice != 50 {
		t.Errorf("nice 50: %+v", v)
	}
	if v := check("nice 7: nice 3"); v.Actions.Nice != 10 {
		t.Errorf("nice twice: %+v", v)
	}
	if v := check("setenv A = %a"); fmt.Sprint(v.Actions.Env) != "[A== 192.0.2.1]" {
		t.Errorf("setenv with a sign: %q", v.Actions.Env)
	}
	if v := check("setenv A=3"); !v.Refused {
		t.Errorf("setenv without a value: %+v", v)
	}
	if v := check("setenv N %N/%H/%s"); fmt.Sprint(v.Actions.Env) != "[N=gate/gate/sshd@gate]" {
		t.Errorf("the server: %q", v.Actions.Env)
	}
	for _, wrong := range []string{"0", "-2", "x"} {
		if v := check("rfc931 " + wrong); !v.Refused {
			t.Errorf("rfc931 %s admits", wrong)
		}
	}
	r := from("192.0.2.1")
	if v := checkTexts("ALL: ALL: rfc931 7\n", "", r); !v.NeedUser || v.UserTimeout != 7*time.Second {
		t.Errorf("rfc931 7: %+v", v)
	}
}

// A file that cannot be read refuses, and says so without waiting for it.
func TestUnreadable(t *testing.T) {
	for name, create := range map[string]func(path string) error{
		"a folder":                  func(path string) error { return os.Mkdir(path, 0o755) },
		"a FIFO":                    func(path string) error { return unix.Mkfifo(path, 0o644) },
		"a link that leads nowhere": func(path string) error { return os.Symlink("nowhere", path) },
	} {
		path := filepath.Join(t.TempDir(), "hosts.deny")
		if err := create(path); err != nil {
			t.Fatal(err)
		}
		if v := New("/nonexistent", path).Check(from("192.0.2.1")); !v.Refused || v.Problem == "" {
			t.Errorf("%s: %+v", name, v)
		}
		if files := New("/nonexistent", path); files.Empty() {
			t.Errorf("%s: no rules", name)
		}
		if !HasRules(path) {
			t.Errorf("%s has no rules", name)
		}
	}
}

// Pattern files are read again when they change.
func TestPatternFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	if v := checkTexts("", "ALL: "+path+"\n", from("192.0.2.1")); !v.Refused || v.Problem == "" {
		t.Errorf("a missing file admits: %+v", v)
	}
	files := textFiles("", "ALL: "+path+"\n")
	for i, c := range []struct {
		text    string
		refused bool
	}{{"192.0.2.1\n", true}, {"192.0.2.10\n10.\n", false}, {".example.org 10.0.0.0/8\n192.0.2.0/24\n", true}} {
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if v := files.Check(from("192.0.2.1")); v.Refused != c.refused {
			t.Errorf("%d: %+v", i, v)
		}
	}
}

func manyRules() string {
	var b strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&b, "sshd: 10.%d.%d.%d\n", i>>16, i>>8&255, i&255)
		if i%10 == 0 {
			fmt.Fprintf(&b, "ALL: .bad%d.example.org\n", i)
		}
	}
	return b.String()
}

// The cost of 10,000 rules, none of which matches.
func BenchmarkManyRules(b *testing.B) {
	files := textFiles("", manyRules())
	r := from("192.0.2.1")
	r.Host = &Hostname{Host: "a.example.org"}
	for b.Loop() {
		if files.Check(r).Refused {
			b.Fatal("refused")
		}
	}
}
