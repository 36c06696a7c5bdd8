package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// lossSettings has, for every setting of the table, a line of TOML with a value
// that is not the default.
var lossSettings = map[string]string{
	"id": `id = "other"`, "name": `name = "other"`, "type": `type = "tcpmux"`, "flags": `flags = ["NODELAY"]`, "socket_type": `socket_type = "seqpacket"`,
	"protocol": `protocol = "tcp"`, "wait": `wait = true`, "port": `port = 7009`, "bind": `bind = "192.0.2.1"`, "v6only": `v6only = true`,
	"listen": `listen = "tcp4:7009"`, "builtin": `builtin = "echo"`, "socket_user": `socket_user = "alice"`, "socket_group": `socket_group = "bob"`,
	"socket_mode": `socket_mode = "0600"`, "quote_file": `quote_file = "/etc/q"`,
	"user": `user = "alice"`, "group": `group = "bob"`, "groups": `groups = false`, "server": `server = "/bin/dog"`, "server_args": `server_args = ["-x"]`,
	"redirect": `redirect = ["192.0.2.1", 80]`, "umask": `umask = "027"`, "nice": `nice = 7`, "env": `env = ["A=b"]`, "passenv": `passenv = ["LANG"]`,
	"chdir": `chdir = "/srv"`, "chroot": `chroot = "/srv"`, "no_new_privs": `no_new_privs = true`,
	"only_from": `only_from = ["192.0.2.0/24"]`, "no_access": `no_access = ["192.0.2.0/24"]`, "access_times": `access_times = ["8:00-9:00"]`,
	"libwrap": `libwrap = true`, "libwrap_fail_closed": "libwrap = true\nlibwrap_fail_closed = true", "per_source_prefix": `per_source_prefix = [24, 48]`, "deny_time": `deny_time = "FOREVER"`, "banner": `banner = "/etc/b"`, "banner_success": `banner_success = "/etc/b"`,
	"banner_fail": `banner_fail = "/etc/b"`, "instances": `instances = 7`, "queue": "instances = 7\nqueue = false", "per_source": `per_source = 7`,
	"cps": `cps = [7, 9]`, "cps_per_source": `cps_per_source = [7, 9]`, "per_minute": `per_minute = 7`, "per_source_per_minute": `per_source_per_minute = 7`,
	"max_load": `max_load = 2.5`, "start_timeout": `start_timeout = "7s"`, "idle_timeout": `idle_timeout = "7s"`, "session_timeout": `session_timeout = "7s"`,
	"sndbuf": `sndbuf = 8192`, "rcvbuf": `rcvbuf = 8192`, "log_type": `log_type = "FILE /var/log/x"`, "log_on_success": `log_on_success = ["PID"]`,
	"log_on_failure": `log_on_failure = ["ATTEMPT"]`,
	"rpc_number":     "type = \"rpc\"\nrpc_number = 300001\nrpc_version = 2", "rpc_version": "type = \"rpc\"\nrpc_number = 300001\nrpc_version = \"1-3\"",
}

// isolated is the setting with what it needs, without a setting twice.
func isolated(setting string) string {
	lines := map[string]string{"listen": `listen = "tcp:7001"`, "user": `user = "nobody"`, "server": `server = "/bin/cat"`}
	switch setting {
	case "socket_user", "socket_group", "socket_mode", "socket_type":
		lines["listen"] = `listen = "unix:/run/x"`
	case "port", "bind", "v6only", "protocol":
		lines["listen"], lines["port"], lines["protocol"] = "", "port = 7001", `protocol = "tcp"`
	case "type":
		lines["listen"] = ""
	case "rpc_number", "rpc_version":
		lines["listen"] = `listen = "tcp:0"`
	case "builtin", "quote_file":
		lines["server"], lines["builtin"] = "", `builtin = "qotd"`
	case "redirect":
		lines["server"] = ""
	}
	text := "[service.a]\n"
	for name, line := range lines {
		if name != setting && line != "" {
			text += line + "\n"
		}
	}
	return text + lossSettings[setting] + "\n"
}

// A setting that makes another service is written in each format, or listed as
// lost. What is written is seen by what it reads as; in a unit, by another
// text than without the setting.
func TestEverySettingIsWrittenOrLost(t *testing.T) {
	o := Options{Builtins: []Builtin{{Name: "qotd", Port: 17, Stream: true}, {Name: "echo", Port: 7, Stream: true}}, Services: "testdata/services"}
	for i := range attributes {
		name := attributes[i].name
		text := isolated(name)
		switch {
		case strings.HasPrefix(name, "rlimit_"):
			text += name + " = 7\n"
		case lossSettings[name] == "":
			t.Errorf("no value for %s: add one to lossSettings", name)
			continue
		}
		o.Dialect = TOML
		services, problems := Read("x", text, o)
		if len(services) != 1 || Errors(problems) {
			t.Errorf("%s: %v\n%s", name, problems, text)
			continue
		}
		s := services[0]
		for _, d := range []Dialect{TOML, Xinetd, Inetd} {
			written, lost := Write(d, services, o)
			again := o
			again.Dialect = d
			reread, _ := Read("y", written, again)
			if len(reread) == 1 && same(s, reread[0], name) || mentions(lost, name) {
				continue
			}
			t.Errorf("%s: --to %s neither writes it nor lists it: %v\n%s", name, d, lost, written)
		}
		units, lost := Units(services, nil)
		if isIdentity(name) || mentions(lost, name) {
			continue
		}
		plain, _ := Read("x", strings.Replace(text, lossSettings[name], "", 1), o)
		if strings.HasPrefix(name, "rlimit_") {
			plain, _ = Read("x", strings.Replace(text, name+" = 7\n", "", 1), o)
		}
		if len(plain) == 1 {
			if without, _ := Units(plain, nil); unitText(without) == unitText(units) {
				t.Errorf("%s: the units neither have it nor list it: %v\n%s", name, lost, unitText(units))
			}
		} else if !strings.Contains(unitText(units), map[string]string{"user": "alice", "server": "/bin/dog", "listen": "7009", "redirect": "192.0.2.1:80", "port": "7009"}[name]) {
			t.Errorf("%s: the units neither have it nor list it: %v\n%s", name, lost, unitText(units))
		}
	}
}

// isIdentity reports whether units have no use for a setting by itself.
func isIdentity(name string) bool { return slices.Contains([]string{"name", "protocol"}, name) }

// mentions reports whether a setting is among the losses, or all of them.
func mentions(lost []Loss, name string) bool {
	return slices.ContainsFunc(lost, func(l Loss) bool {
		return !l.Extension && (strings.HasPrefix(l.Setting, name+" ") || strings.HasPrefix(l.Setting, name+":") || strings.HasPrefix(l.Setting, "the whole service") ||
			strings.HasPrefix(l.Setting, "listen = ") && strings.HasPrefix(name, "socket_"))
	})
}

// same reports whether a setting came through: its value, and what has none of
// its own, by what it makes.
func same(before, after *Service, name string) bool {
	if a := attributes.find(name); a.get != nil {
		return slices.Equal(a.get(before), a.get(after))
	}
	b, a := model(before), model(after)
	switch name {
	case "id", "name":
		return b.ID == a.ID && b.Name == a.Name
	case "flags":
		return b.NoDelay == a.NoDelay
	}
	return b.SocketType == a.SocketType && b.Wait == a.Wait && b.Internal == a.Internal && b.Mux == a.Mux && fmt.Sprintf("%+v", b.Listen) == fmt.Sprintf("%+v", a.Listen)
}

func unitText(units []Unit) string {
	var b strings.Builder
	for _, u := range units {
		for line := range strings.Lines(u.Text) {
			if !strings.HasPrefix(line, "Description=") {
				b.WriteString(line)
			}
		}
		b.WriteString(u.Name + "\n")
	}
	return b.String()
}
