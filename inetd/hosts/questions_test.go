package hosts

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"goinetd/inetd/differences"
)

// A generator makes files of rules, and clients who ask.
type generator struct {
	differences.Dice
	dir string // has files of patterns
}

func (g generator) list(word func() string) string {
	text := word()
	for range g.Intn(3) {
		text += g.Of(" ", ", ", ",", "\t") + word()
	}
	if g.One(3) {
		text += " " + g.Of("EXCEPT", "except") + " " + g.list(word)
	}
	return text
}

func (g generator) daemon() string {
	if g.One(8) {
		return g.Of("sshd", "ALL", "in.*", "KNOWN") + "@" + g.Of("192.0.2.", "192.0.2.200", "[2001:db8::200]", "10.", "ALL", "192.0.2.0/24", "gate.example.org", ".example.org", "KNOWN", "UNKNOWN", "LOCAL")
	}
	if g.One(60) {
		return "[sshd]"
	}
	return g.Of("ALL", "ALL", "ALL", "all", "sshd", "sshd", "SSHD", "in.ftpd", "in.*", "s?hd", "KNOWN", "ssh", "in.", ".ftpd", "smtp")
}

func (g generator) host() string {
	return g.Of("ALL", "ALL", "ALL", "192.0.2.", "10.1.2.", "[2001:db8::]/16", "LOCAL", "KNOWN", "UNKNOWN", "PARANOID", "known", "10.", "10.1.", "192.0.2.", "10.1.2.3", "192.0.2.1",
		"10.1.0.0/255.255.0.0", "10.1.0.0/16", "10.1.2.3/16", "192.0.2.0/24", "192.0.2.1/32", "10.0.0.0/255.0.0.0", "192.0.2.0/255.255.255.0", "192.0.2.0/33",
		"[2001:db8::]/32", "[2001:db8::1]", "[2001:db8::1]/128", "[::]/0", "[2001:db8::ff]/64", "[fe80::]/10", "[::1]", ".example.org", ".org", "example.org", "a.example.org", "A.Example.ORG",
		"*.example.org", "?.example.org", "10.*.3", "192.0.2.?", "host", "localhost", "h*", "unknown", "b.example.org.", "2001:db8::*", "@staff", "0.0.0.0/0", "10.1.2.3-10.1.2.9",
		g.dir+"/list", g.dir+"/more", g.dir+"/list", g.dir+"/missing")
}

func (g generator) client() string {
	if g.One(6) {
		return g.Of("root", "joe", "ALL", "KNOWN", "UNKNOWN", "r*", "jo.", "ROOT") + "@" + g.host()
	}
	return g.host()
}

// text is what a command or a variable may have.
func (g generator) text() string {
	letters := []string{"%a", "%A", "%c", "%d", "%h", "%n", "%u", "%r", "%R", "%%", "%a-%h"}
	if g.One(6) {
		letters = []string{"%N", "%H", "%s"}
	}
	return g.Of("x", "/bin/true ", "(echo ", `a\:b `) + g.Of(letters...) + g.Of("", " y", " 'q r'", ")", " &")
}

func (g generator) option() string {
	equals := g.Of(" ", " ", " = ", "=")
	switch g.Intn(16) {
	case 0:
		return "severity" + equals + g.Of("auth.info", "info", "mail.debug", "local7.emerg", "daemon.err", "AUTH.info", "auth.INFO", "nonsense.info", "auth.nonsense", "authpriv.info", "uucp.warning", "debug")
	case 1, 2:
		return "spawn" + equals + g.text()
	case 3:
		return "setenv" + equals + g.Of("A ", "B\t", "A  ") + g.text()
	case 4:
		return "nice" + g.Of("", equals+g.Of("5", "0", "-3", "19", "50", "x", "+4"))
	case 5:
		return "umask" + g.Of("", equals+g.Of("022", "0", "777", "9", "1000", "27"))
	case 6:
		return "linger" + g.Of("", equals+g.Of("5", "0", "-1", "x", "30"))
	case 7:
		return "rfc931" + g.Of("", equals+g.Of("5", "0", "-2", "x", "30"))
	case 8:
		return g.Of("keepalive", "KEEPALIVE", "keepalive yes")
	case 9:
		return "banners" + g.Of("", equals+"/nonexistent")
	case 10:
		return g.Of("bogus", "", "aclexec /bin/true", "deny yes", "setenv A = 3", "user root", "group root")
	}
	return g.Of("allow", "deny", "ALLOW", "Deny", "twist "+g.text(), "twist="+g.text())
}

func (g generator) rule() string {
	text := g.list(g.daemon) + g.Of(":", " : ", ": ") + g.list(g.client)
	if g.One(2) {
		for range 1 + g.Intn(3) {
			text += " " + g.Of(":", ":", " :\\\n ") + g.Of("", " ") + g.option()
		}
	}
	return text
}

func (g generator) file() string {
	var b strings.Builder
	for range g.Intn(4) {
		switch g.Intn(14) {
		case 0:
			b.WriteString("# a comment: ALL\n")
		case 1:
			b.WriteString("no colon here\n")
		case 2:
			b.WriteString("\n   \n")
		default:
			b.WriteString(g.rule() + "\n")
		}
	}
	if g.One(40) {
		return strings.TrimSuffix(b.String(), "\n")
	}
	return b.String()
}

// A question is a pair of files and a client.
type question struct {
	path        string // of both files, but for their ends
	allow, deny string // their texts
	daemon      string
	user        string // empty: unknown
	host        string // name of the client; may be unknown or paranoid
	client      string
	serverHost  string
	server      string
}

func (g generator) ask(q question) question {
	q.daemon = g.Of("sshd", "sshd", "in.ftpd", "in.telnetd", "smtp")
	q.user = g.Of("", "", "root", "joe")
	client := strings.Fields(g.Of("10.1.2.3 unknown", "10.1.2.3 host", "192.0.2.1 a.example.org", "192.0.2.2 b.example.org", "192.0.2.9 unknown", "127.0.0.1 localhost",
		"2001:db8::1 six.example.org", "2001:db8:1::5 unknown", "8.8.8.8 paranoid", "::1 localhost", "2001:db8::1 paranoid", "fe80::1 unknown", "192.0.2.3 *.example.org"))
	q.client, q.host = client[0], client[1]
	q.server, q.serverHost = g.Of("192.0.2.200", "192.0.2.200", "10.9.9.9"), "unknown"
	if strings.Contains(q.client, ":") {
		q.server = "2001:db8::200"
	}
	if g.One(4) {
		q.serverHost = g.Of("gate.example.org", "gate")
	}
	return q
}

// line is how the library is asked.
func (q question) line() string {
	user := q.user
	if user == "" {
		user = unknown
	}
	return strings.Join([]string{q.path + ".allow", q.path + ".deny", q.daemon, user, q.host, q.client, q.serverHost, q.server}, "\t") + "\n"
}

func (q question) String() string {
	return fmt.Sprintf("client %q %s %s, daemon %s, server %s %s\nhosts.allow:\n%s\nhosts.deny:\n%s", q.user, q.host, q.client, q.daemon, q.serverHost, q.server, q.allow, q.deny)
}

// questions writes pairs of files, and returns two questions for each.
func (g generator) questions(t *testing.T, top string, n int) (list []question) {
	t.Helper()
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const folders = 4
	for i, text := range [folders]string{"10.1.2.3\n.example.org\n", "192.0.2.0/24 localhost\n", "", "# ALL\nKNOWN\n"} {
		dir := filepath.Join(top, strconv.Itoa(i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		write(dir+"/list", text)
		write(dir+"/more", [folders]string{"[2001:db8::]/32\nLOCAL", dir + "/list\n", "ALL", "a.example.org UNKNOWN\n"}[i])
	}
	for i := range n / 2 {
		g.dir = filepath.Join(top, strconv.Itoa(g.Intn(folders)))
		q := question{path: filepath.Join(top, fmt.Sprint("hosts", i)), allow: g.file(), deny: g.file()}
		write(q.path+".allow", q.allow)
		write(q.path+".deny", q.deny)
		list = append(list, g.ask(q), g.ask(q))
	}
	return list
}
