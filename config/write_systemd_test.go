package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// unitsOf returns the units of one service, by the ends of their names, and
// what is lost.
func unitsOf(t *testing.T, settings string) (socket, service string, lost []string) {
	t.Helper()
	text := "service a\n{\ntype = UNLISTED\nsocket_type = stream\nwait = no\nport = 7001\nuser = games\nserver = /bin/cat\n" + settings + "\n}\n"
	services, problems := ReadXinetd("x", text, Options{})
	if len(services) != 1 {
		t.Fatalf("%v\n%s", problems, text)
	}
	units, losses := Units(services, func(string) (string, bool) { return "60", true })
	for _, l := range losses {
		lost = append(lost, l.Setting)
	}
	if len(units) == 2 {
		socket, service = units[0].Text, units[1].Text
	}
	return socket, service, lost
}

// What the service unit has does not apply to a socket that is passed to it,
// systemd.resource-control(5).
func TestUnitAccess(t *testing.T) {
	for _, c := range []struct{ settings, want, lost string }{
		{"only_from = 127.0.0.0/8 ::1", "IPAddressDeny=any\nIPAddressAllow=127.0.0.0/8 ::1/128\n", ""},
		{"only_from = ::/0", "IPAddressDeny=any\nIPAddressAllow=::/0 0.0.0.0/0\n", ""},
		{"flags = IPv4\nonly_from = ::/0", "IPAddressDeny=any\nIPAddressAllow=::/0\n", ""},
		{"only_from =", "IPAddressDeny=any\n\n", ""},
		{"no_access = 10.0.0.0/8", "IPAddressDeny=10.0.0.0/8\n", ""},
		{"no_access = ::ffff:10.0.0.0/104", "IPAddressDeny=::ffff:10.0.0.0/104 10.0.0.0/8\n", ""},
		{"only_from = 10.0.0.0/8\nno_access = 10.0.0.0/10", "IPAddressDeny=any\nIPAddressAllow=10.128.0.0/9 10.64.0.0/10\n", ""},
		{"only_from = 10.0.0.0/8\nno_access = 0.0.0.0/0", "IPAddressDeny=any\n\n", ""},
		{"no_access = 10.0.0.0/8 .example.org", "IPAddressDeny=any\n\n", "no_access = .example.org"},
		{"only_from = 10.0.0.0/8\nno_access = .example.org", "IPAddressDeny=any\n\n", "no_access = .example.org"},
		{"only_from = 10.0.0.0/8 .example.org", "IPAddressDeny=any\nIPAddressAllow=10.0.0.0/8\n", "only_from = .example.org"},
	} {
		socket, service, lost := unitsOf(t, c.settings)
		if !strings.Contains(socket, c.want) || !strings.Contains(socket, "AssertControlGroupController=v2\n") {
			t.Errorf("%s: no %q in\n%s", c.settings, c.want, socket)
		}
		if !strings.Contains(service+"\n", c.want) {
			t.Errorf("%s: no %q in\n%s", c.settings, c.want, service)
		}
		if c.lost != "" && !slices.ContainsFunc(lost, func(l string) bool { return strings.HasPrefix(l, c.lost+":") }) {
			t.Errorf("%s: %q is not lost: %q", c.settings, c.lost, lost)
		}
	}
	if socket, service, _ := unitsOf(t, "redirect = 192.0.2.1 80\nonly_from = 10.0.0.1"); !strings.Contains(socket, "IPAddressAllow=10.0.0.1/32") || strings.Contains(service, "IPAddress") {
		t.Errorf("the list of a redirect is not the socket's alone:\n%s%s", socket, service)
	}
}

// Of random networks, what remains has every address that it should and no
// other one.
func TestWithout(t *testing.T) {
	d := newDice(1)
	prefix := func() netip.Prefix {
		a := netip.AddrFrom4([4]byte{10, byte(d.Intn(4)), byte(d.Intn(256)), byte(d.Intn(256))})
		return netip.PrefixFrom(a, d.Intn(33)).Masked()
	}
	contains := func(list []netip.Prefix, a netip.Addr) bool {
		return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	for range 2000 {
		list, not := []netip.Prefix{prefix(), prefix()}, prefix()
		remaining := without(list, not)
		for _, a := range []netip.Addr{prefix().Addr(), not.Addr(), not.Addr().Prev(), list[0].Addr(), list[1].Addr()} {
			if want := contains(list, a) && !not.Contains(a); a.IsValid() && contains(remaining, a) != want {
				t.Fatalf("%v without %v is %v: %v should be in it: %v", list, not, remaining, a, want)
			}
		}
	}
}

func TestUnitOfProgram(t *testing.T) {
	const setpriv = "ExecStart=-/usr/bin/setpriv --clear-groups --inh-caps=-all --ambient-caps=-all -- "
	for _, c := range []struct{ settings, want string }{
		{"", "IgnoreSIGPIPE=no\n"},
		{"", setpriv + "/bin/cat\n"},
		{"", "AmbientCapabilities=CAP_SETGID\n"},
		{"server_args = x meow\nflags = NAMEINARGS", setpriv + `/bin/bash -c "exec -a \"$$0\" \"$$@\"" x /bin/cat meow` + "\n"},
		{"groups = yes\nserver_args = $HOME 50%", "ExecStart=-@/bin/cat cat $$HOME 50%%\n"},
		{"groups = yes\ngroup = mail", "User=games\nGroup=mail\nSupplementaryGroups=60\n"},
		{"groups = yes\nchroot = /srv/100%\nchdir = /x", "WorkingDirectory=/x\nRootDirectory=/srv/100%%\n"},
		{"nice = -39", "Nice=-20\n"},
		{"session_timeout = 100ms", "RuntimeMaxSec=1\n"},
	} {
		if _, service, lost := unitsOf(t, c.settings); !strings.Contains(service, c.want) {
			t.Errorf("%q: no %q in\n%s%q", c.settings, c.want, service, lost)
		}
	}
	_, service, _ := unitsOf(t, "groups = yes")
	if strings.Contains(service, "CAP_SETGID") || strings.Contains(service, "setpriv") {
		t.Errorf("groups = yes:\n%s", service)
	}
}

// A unit that would be open to more than its service is not written.
func TestUnitsRefused(t *testing.T) {
	for settings, why := range map[string]string{
		"instances = 0":                  "a limit of 0 lets nobody in",
		"per_source = 0":                 "a limit of 0 lets nobody in",
		"per_minute = 0":                 "a limit of 0 lets nobody in",
		"chroot = /srv":                  "groups = no with chroot",
		"groups = yes\nchdir = /x\\":     `WorkingDirectory="/x\\" cannot be written`,
		"groups = yes\nchroot = \"/x \"": `RootDirectory="/x " cannot be written`,
	} {
		socket, service, lost := unitsOf(t, settings)
		if socket != "" || service != "" || len(lost) != 1 || !strings.HasPrefix(lost[0], "the whole service: "+why) {
			t.Errorf("%q: %q\n%s%s", settings, lost, socket, service)
		}
	}
}

// No value makes a line of its own.
func TestUnitLines(t *testing.T) {
	const evil = "x\nExecStartPre=/bin/evil\r\n[Service]\n\tUser=root"
	for _, setting := range []string{"env = [%q]", "server_args = [%q]", "chdir = %q", "chroot = %q", "socket_user = %q", "listen = %q"} {
		value := evil
		switch setting {
		case "env = [%q]":
			value = "A=" + evil
		case "chdir = %q", "chroot = %q":
			value = "/" + evil
		case "listen = %q":
			value = "unix:/" + evil
		}
		text := "[service.\"a\"]\nuser = \"nobody\"\nserver = \"/bin/cat\"\n" + fmt.Sprintf(setting, value) + "\n"
		if !strings.HasPrefix(setting, "listen") {
			text += "listen = \"unix:/run/a\"\n"
		}
		services, problems := ReadTOML("x\nUser=root.toml", text, Options{})
		units, _ := Units(services, nil)
		if len(services) == 0 && !Errors(problems) {
			t.Errorf("%s: nothing is read, and no error", setting)
		}
		for _, u := range units {
			for line := range strings.Lines(u.Text) {
				if line = strings.TrimSpace(line); strings.HasPrefix(line, "ExecStartPre") || line == "User=root" || line == "User=root.toml" {
					t.Errorf("%s: the unit has the line %q:\n%s", setting, line, u.Text)
				}
			}
		}
	}
}
