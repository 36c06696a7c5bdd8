package differences

import "strings"

// Rules make files in the language of hosts_access(5) and hosts_options(5).
type Rules struct {
	Dice
	Dir     string // has files of patterns, "list" and "more", and none with the name "missing"
	Banners string // directory of the option banners
}

func (g Rules) list(word func() string) string {
	text := word()
	for range g.Intn(3) {
		text += g.Of(" ", ", ", ",", "\t") + word()
	}
	if g.One(3) {
		text += " " + g.Of("EXCEPT", "except") + " " + g.list(word)
	}
	return text
}

func (g Rules) daemon() string {
	if g.One(8) {
		return g.Of("sshd", "ALL", "in.*", "KNOWN") + "@" + g.Of("192.0.2.", "192.0.2.200", "[2001:db8::200]", "10.", "ALL", "192.0.2.0/24", "gate.example.org", ".example.org", "KNOWN", "UNKNOWN", "LOCAL")
	}
	if g.One(60) {
		return "[sshd]"
	}
	return g.Of("ALL", "ALL", "ALL", "all", "sshd", "sshd", "SSHD", "in.ftpd", "in.*", "s?hd", "KNOWN", "ssh", "in.", ".ftpd", "smtp")
}

func (g Rules) host() string {
	return g.Of("ALL", "ALL", "ALL", "192.0.2.", "10.1.2.", "[2001:db8::]/16", "LOCAL", "KNOWN", "UNKNOWN", "PARANOID", "known", "10.", "10.1.", "192.0.2.", "10.1.2.3", "192.0.2.1",
		"10.1.0.0/255.255.0.0", "10.1.0.0/16", "10.1.2.3/16", "192.0.2.0/24", "192.0.2.1/32", "10.0.0.0/255.0.0.0", "192.0.2.0/255.255.255.0", "192.0.2.0/33",
		"[2001:db8::]/32", "[2001:db8::1]", "[2001:db8::1]/128", "[::]/0", "[2001:db8::ff]/64", "[fe80::]/10", "[::1]", ".example.org", ".org", "example.org", "a.example.org", "A.Example.ORG",
		"*.example.org", "?.example.org", "10.*.3", "192.0.2.?", "host", "localhost", "h*", "unknown", "b.example.org.", "2001:db8::*", "@staff", "0.0.0.0/0", "10.1.2.3-10.1.2.9",
		g.Dir+"/list", g.Dir+"/more", g.Dir+"/list", g.Dir+"/missing")
}

func (g Rules) client() string {
	if g.One(6) {
		return g.Of("root", "joe", "ALL", "KNOWN", "UNKNOWN", "r*", "jo.", "ROOT") + "@" + g.host()
	}
	return g.host()
}

// text is what a command or a variable may have.
func (g Rules) text() string {
	letters := []string{"%a", "%A", "%c", "%d", "%h", "%n", "%u", "%r", "%R", "%%", "%a-%h"}
	if g.One(6) {
		letters = []string{"%N", "%H", "%s"}
	}
	return g.Of("x", "/bin/true ", "(echo ", "/bin/echo ", `echo a\:b `) + g.Of(letters...) + g.Of("", " y", " 'q r'", ")", " &")
}

func (g Rules) option() string {
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
		return "banners" + g.Of("", equals+g.Banners)
	case 10:
		return g.Of("bogus", "", "aclexec /bin/true", "deny yes", "setenv A = 3", "user root", "group root")
	}
	return g.Of("allow", "deny", "ALLOW", "Deny", "twist "+g.text(), "twist="+g.text())
}

func (g Rules) rule() string {
	text := g.list(g.daemon) + g.Of(":", " : ", ": ") + g.list(g.client)
	if g.One(2) {
		for range 1 + g.Intn(3) {
			text += " " + g.Of(":", ":", " :\\\n ") + g.Of("", " ") + g.option()
		}
	}
	return text
}

// File returns the text of a hosts.allow or hosts.deny.
func (g Rules) File() string {
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
