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
type generator struct{ differences.Rules }

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
		g.Dir = filepath.Join(top, strconv.Itoa(g.Intn(folders)))
		q := question{path: filepath.Join(top, fmt.Sprint("hosts", i)), allow: g.File(), deny: g.File()}
		write(q.path+".allow", q.allow)
		write(q.path+".deny", q.deny)
		list = append(list, g.ask(q), g.ask(q))
	}
	return list
}
