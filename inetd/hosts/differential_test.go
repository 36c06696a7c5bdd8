package hosts

import (
	"fmt"
	"math/rand"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The oracle is tcpdmatch(8), which asks the same library as tcpd. It runs in
// a mount namespace of its own, with an /etc/hosts of the test's.

const hostsFile = `127.0.0.1 localhost
192.0.2.1 a.example.org
192.0.2.2 b.example.org
10.1.2.3 host
2001:db8::1 six.example.org
`

var hostNames = map[string]string{"a.example.org": "192.0.2.1", "b.example.org": "192.0.2.2", "host": "10.1.2.3", "six.example.org": "2001:db8::1", "localhost": "127.0.0.1"}

type dice struct{ *rand.Rand }

func (d dice) of(words ...string) string { return words[d.Intn(len(words))] }

func (d dice) list(word func() string) string {
	text := word()
	for range d.Intn(3) {
		text += d.of(" ", ", ", ",", "\t") + word()
	}
	if d.Intn(3) == 0 {
		text += " " + d.of("EXCEPT", "except") + " " + d.list(word)
	}
	return text
}

func (d dice) daemon() string {
	return d.of("ALL", "all", "sshd", "SSHD", "in.ftpd", "in.*", "s?hd", "KNOWN", "sshd@192.0.2.1", "ALL@10.", "ssh")
}

func (d dice) client(dir string) string {
	host := func() string {
		return d.of("ALL", "LOCAL", "KNOWN", "UNKNOWN", "PARANOID", "10.", "10.1.", "192.0.2.", "10.1.2.3", "192.0.2.1",
			"10.1.0.0/255.255.0.0", "10.1.0.0/16", "10.1.2.3/16", "192.0.2.0/24", "192.0.2.1/32", "10.0.0.0/255.0.0.0", "192.0.2.0/255.255.255.0",
			"[2001:db8::]/32", "[2001:db8::1]", "[2001:db8::1]/128", "[::]/0", "[2001:db8::ff]/64", ".example.org", ".org", "example.org", "a.example.org", "A.Example.ORG",
			"*.example.org", "?.example.org", "10.*.3", "192.0.2.?", "host", "localhost", "h*", "unknown", dir+"/list", "b.example.org.", "2001:db8::*")
	}
	switch d.Intn(6) {
	case 0:
		return d.of("root", "ALL", "KNOWN", "UNKNOWN", "r*", "jo.") + "@" + host()
	}
	return host()
}

func (d dice) option() string {
	return d.of("allow", "deny", "severity auth.info", "severity=mail.debug : allow", "spawn (/bin/true %h) & : deny", "spawn = /bin/true", "keepalive", "linger 5",
		"nice", "nice 5 : deny", "umask 022", "setenv A %a", "bogus", "severity nonsense.info", "allow : deny", "umask 9", "rfc931 : allow", "banners /nowhere : deny",
		"deny yes", "umask", "ALLOW", "", "linger x")
}

func (d dice) file(dir string) string {
	var b strings.Builder
	for range d.Intn(4) {
		switch d.Intn(12) {
		case 0:
			b.WriteString("# a comment: ALL\n")
			continue
		case 1:
			b.WriteString("no colon here\n")
			continue
		case 2:
			b.WriteString("\n   \n")
			continue
		}
		b.WriteString(d.list(d.daemon) + d.of(":", " : ", ": ") + d.list(func() string { return d.client(dir) }))
		if d.Intn(4) == 0 {
			b.WriteString(" " + d.of(":", " :\\\n ") + d.option())
		}
		b.WriteString("\n")
	}
	return b.String()
}

// A trial is one pair of files and one client.
type trial struct {
	dir, daemon, server, client, user string
}

func (d dice) trial(dir string) trial {
	t := trial{dir: dir, daemon: d.of("sshd", "in.ftpd", "in.telnetd", "smtp"),
		client: d.of("10.1.2.3", "192.0.2.1", "192.0.2.9", "127.0.0.1", "2001:db8::1", "2001:db8:1::5", "a.example.org", "b.example.org", "host", "localhost", "8.8.8.8", "paranoid", "six.example.org")}
	if d.Intn(3) == 0 {
		t.user = d.of("root", "joe")
	}
	if d.Intn(4) == 0 {
		t.server = d.of("192.0.2.1", "10.9.9.9")
	}
	return t
}

// command is how tcpdmatch is asked.
func (t trial) command(tool string) string {
	daemon, client := t.daemon, t.client
	if t.server != "" {
		daemon += "@" + t.server
	}
	if t.user != "" {
		client = t.user + "@" + client
	}
	return fmt.Sprintf("cd %s && %s -d %s %s 2>&1; echo ====", t.dir, tool, daemon, client)
}

// verdictOf returns the verdict of this package, in tcpdmatch's words.
func (t trial) verdictOf() string {
	r := &Request{Daemon: t.daemon, Host: &Hostname{}, ServerHost: &Hostname{}, User: &t.user}
	if t.server != "" {
		r.Server = netip.AddrPortFrom(netip.MustParseAddr(t.server), 22)
	}
	address := t.client
	if a, named := hostNames[t.client]; named {
		address, r.Host = a, &Hostname{Host: t.client}
	}
	if t.client == "paranoid" {
		r.Host = &Hostname{Host: "liar", Paranoid: true}
	} else {
		r.Client = netip.AddrPortFrom(netip.MustParseAddr(address), 1024)
	}
	v := New(filepath.Join(t.dir, "hosts.allow"), filepath.Join(t.dir, "hosts.deny")).Check(r)
	switch {
	case v.Actions.Twist != "":
		return "delegated"
	case v.Refused:
		return "denied"
	}
	return "granted"
}

func TestAgainstTcpdmatch(t *testing.T) {
	tool := filepath.Join(os.Getenv("GOINETD_TEST_SERVERS"), "tcpd/usr/sbin/tcpdmatch")
	if !executable(tool) {
		tool = "/var/cache/goinetd-test/tcpd/usr/sbin/tcpdmatch"
	}
	for what, missing := range map[string]bool{"root": os.Geteuid() != 0, "tcpdmatch below GOINETD_TEST_SERVERS": !executable(tool)} {
		if missing && os.Getenv("CI") != "" {
			t.Fatal(what + " is missing")
		} else if missing {
			t.Skip(what + " is missing")
		}
	}
	top := t.TempDir()
	os.WriteFile(filepath.Join(top, "hosts"), []byte(hostsFile), 0o644)
	const pairs = 2000
	var trials []trial
	var script strings.Builder
	fmt.Fprintf(&script, "mount --bind %s/hosts /etc/hosts || exit 1\n", top)
	d := dice{rand.New(rand.NewSource(1))}
	for i := range pairs {
		dir := fmt.Sprintf("%s/%d", top, i)
		os.Mkdir(dir, 0o755)
		os.WriteFile(dir+"/list", []byte(d.of("10.1.2.3\n.example.org", "192.0.2.0/24 localhost", "")+"\n"), 0o644)
		os.WriteFile(dir+"/hosts.allow", []byte(d.file(dir)), 0o644)
		os.WriteFile(dir+"/hosts.deny", []byte(d.file(dir)), 0o644)
		for range 2 {
			one := d.trial(dir)
			trials = append(trials, one)
			script.WriteString(one.command(tool) + "\n")
		}
	}
	cmd := exec.Command("unshare", "-m", "sh")
	cmd.Stdin = strings.NewReader(script.String())
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := strings.Split(string(out), "====\n")
	if len(answers) != len(trials)+1 {
		t.Fatalf("%d answers to %d questions", len(answers), len(trials))
	}
	access := regexp.MustCompile(`access: +(\w+)`)
	counts := map[string]int{}
	wrong := 0
	for i, one := range trials {
		m := access.FindStringSubmatch(answers[i])
		if m == nil {
			t.Fatalf("%+v: %s", one, answers[i])
		}
		counts[m[1]]++
		if got := one.verdictOf(); got != m[1] {
			allow, _ := os.ReadFile(one.dir + "/hosts.allow")
			deny, _ := os.ReadFile(one.dir + "/hosts.deny")
			t.Errorf("%+v: %s, the library says %s\n%sdeny:\n%s", one, got, answers[i], allow, deny)
			if wrong++; wrong > 5 {
				break
			}
		}
	}
	t.Logf("%d pairs of files, %d questions: %v", pairs, len(trials), counts)
	if counts["granted"] < 300 || counts["denied"] < 300 {
		t.Errorf("the dice are loaded: %v", counts)
	}
}

// What we do otherwise than the library, and docs/xinetd.md explains.
func TestDifferences(t *testing.T) {
	for name, c := range map[string]struct {
		allow, deny string
		refused     bool
	}{
		"a last line without a newline counts":                {"", "ALL: ALL", true},
		"a network of length 0 in hosts.deny":                 {"", "ALL: 0.0.0.0/0\n", true},
		"a network of length 0 in hosts.allow lets nobody in": {"ALL: 0.0.0.0/0\n", "ALL: ALL\n", true},
		"a hosts.allow without a newline counts as well":      {"ALL: 192.0.2.", "ALL: ALL\n", false},
	} {
		v := checkTexts(c.allow, c.deny, &Request{Daemon: "x", Client: netip.MustParseAddrPort("192.0.2.1:1"), Host: &Hostname{}})
		if v.Refused != c.refused {
			t.Errorf("%s: %+v", name, v)
		}
	}
	dir := t.TempDir()
	os.Mkdir(dir+"/hosts.deny", 0o700)
	if v := New(dir+"/hosts.allow", dir+"/hosts.deny").Check(&Request{Daemon: "x", Host: &Hostname{}}); !v.Refused || v.Problem == "" {
		t.Errorf("a hosts.deny that cannot be read lets clients in: %+v", v)
	}
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&0o111 != 0
}
