package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"goinetd/config"
	"goinetd/inetd/builtin"
)

// explained has, for each setting, a service of TOML with it and what is said of
// it.
var explained = map[string][2]string{
	"id": {`id = "other"`, "other (x:1)"}, "name": {`name = "other"`, "clients come"}, "type": {"type = \"internal\"\nname = \"echo\"", "inetd serves it itself: echo"},
	"flags": {`flags = ["NODELAY", "KEEPALIVE", "NORETRY", "IDONLY"]`, "TCP_NODELAY"}, "socket_type": {"listen = \"unix:/run/x\"\nsocket_type = \"seqpacket\"", "/run/x (seqpacket)"},
	"protocol": {"protocol = \"udp\"\nport = 7", "UDP port 7 on every address"}, "wait": {"wait = true", "which accepts it and all that follow"},
	"port": {"protocol = \"tcp\"\nport = 7", "TCP port 7"}, "bind": {"protocol = \"tcp\"\nport = 7\nbind = \"192.0.2.1\"", "on 192.0.2.1"},
	"v6only": {"protocol = \"tcp\"\nport = 7\nv6only = true", "by IPv6 alone"}, "listen": {`listen = "tcp46:7"`, "with IPv4 clients as ::ffff:a.b.c.d"},
	"builtin": {`builtin = "discard"`, "inetd serves it itself: discard"}, "socket_user": {"listen = \"unix:/run/x\"\nsocket_user = \"alice\"", "belongs to alice and"},
	"socket_group": {"listen = \"unix:/run/x\"\nsocket_group = \"bob\"", "and bob, with mode"}, "socket_mode": {"listen = \"unix:/run/x\"\nsocket_mode = \"0600\"", "mode 0600"},
	"rpc_version": {"type = \"rpc\"\nlisten = \"udp:0\"\nrpc_number = 300001\nrpc_version = \"2-3\"", "versions 2 to 3"},
	"rpc_number":  {"type = \"rpc\"\nlisten = \"udp:0\"\nrpc_number = 300001\nrpc_version = 2", "RPC program 300001"},
	"quote_file":  {"builtin = \"qotd\"\nquote_file = \"/etc/q\"", "the quotes are those of /etc/q"},
	"user":        {`user = "alice"`, "as user alice"}, "group": {"group = \"bob\"\ngroups = false", "in group bob alone"}, "groups": {"groups = false", "in the user's own group alone"},
	"server": {`server = "/bin/dog"`, "/bin/dog"}, "server_args": {`server_args = ["-x", "y"]`, "/bin/cat -x y"}, "redirect": {`redirect = ["192.0.2.1", 80]`, "forwarded to 192.0.2.1:80"},
	"umask": {`umask = "027"`, "permissions 027"}, "nice": {"nice = 7", "nice value is 7 more"}, "env": {`env = ["A=b"]`, "has A=b"}, "passenv": {`passenv = ["LANG"]`, "it gets LANG"},
	"chdir": {`chdir = "/srv"`, "starts in /srv"}, "chroot": {`chroot = "/srv"`, "below /srv"}, "no_new_privs": {"no_new_privs = true", "cannot gain privileges"},
	"only_from": {`only_from = ["192.0.2.0/24", "::1"]`, "only clients from 192.0.2.0/24, ::1"}, "no_access": {`no_access = ["192.0.2.1"]`, "clients from 192.0.2.1 are refused"},
	"access_times": {`access_times = ["8:00-18:30"]`, "from 8:00 to 18:30"}, "libwrap": {`libwrap = "x"`, "by the daemon name x"},
	"libwrap_fail_closed": {"libwrap = true\nlibwrap_fail_closed = true", "refuses while the name service"}, "deny_time": {"flags = [\"SENSOR\"]\ndeny_time = \"FOREVER\"", "for good"},
	"banner": {`banner = "/etc/b"`, "every client get"}, "banner_success": {`banner_success = "/etc/b"`, "that are let in get"}, "banner_fail": {`banner_fail = "/etc/b"`, "that are refused get"},
	"instances": {"instances = 7\nqueue = false", "at most 7 clients are served at once; further ones are refused"}, "queue": {"instances = 7", "wait in the queue"},
	"per_source": {"per_source = 7", "at most 7 of them are one client's"}, "per_source_prefix": {"per_source_prefix = [24, 48]", "a /24 of IPv4 and of a /48"},
	"cps": {"cps = [7, 9]", "more than 7 starts a second the service is closed for 9s"}, "cps_per_source": {"cps_per_source = [7, 9]", "more than 7 starts a second is refused for 9s"},
	"per_minute": {"per_minute = 7", "more than 7 starts in a minute"}, "per_source_per_minute": {"per_source_per_minute = 7", "at most 7 starts in a minute"},
	"max_load": {"max_load = 2.5", "load average is 2.5"}, "start_timeout": {`start_timeout = "7s"`, "executed within 7s"}, "idle_timeout": {`idle_timeout = "7s"`, "idle for 7s"},
	"session_timeout": {`session_timeout = "7s"`, "ended after 7s"}, "sndbuf": {"sndbuf = 8192", "send buffer has 8192"}, "rcvbuf": {"rcvbuf = 8192", "receive buffer has 8192"},
	"log_type": {"log_type = [\"FILE\", \"/var/log/x\"]\nlog_on_success = [\"PID\"]", "the file /var/log/x: PID"}, "log_on_success": {`log_on_success = ["PID", "EXIT"]`, "inetd's own log: PID, EXIT"},
	"log_on_failure": {`log_on_failure = ["ATTEMPT"]`, "refusals are written to inetd's own log: ATTEMPT"},
}

// Every setting has words, which say its value.
func TestExplain(t *testing.T) {
	covered := map[string]bool{}
	for _, e := range explanations {
		for _, name := range e.settings {
			covered[name] = true
		}
	}
	for _, setting := range config.AllSettings() {
		name := setting.Name
		if !covered[name] {
			t.Errorf("no explanation covers %s", name)
		}
		c := explained[name]
		if limit, isLimit := strings.CutPrefix(name, "rlimit_"); isLimit {
			c = [2]string{name + " = 7", "at most 7 " + rlimitNames[limit]}
		}
		if c[0] == "" {
			t.Errorf("no service with %s: add one to explained", name)
			continue
		}
		text := "[service.a]\n" + c[0] + "\n"
		for _, usual := range []string{`listen = "tcp:7"`, `user = "nobody"`, `server = "/bin/cat"`} {
			key, _, _ := strings.Cut(usual, " =")
			has := func(keys ...string) bool {
				return slices.ContainsFunc(keys, func(k string) bool { return strings.Contains("\n"+c[0], "\n"+k+" =") })
			}
			if !has(key) && !(key == "listen" && has("port")) && !(key == "server" && has("redirect", "builtin")) && !(key == "server" && strings.Contains(c[0], `"internal"`)) {
				text += usual + "\n"
			}
		}
		services, problems := config.Read("x", text, config.Options{Dialect: config.TOML, Builtins: builtin.Known()})
		if len(services) != 1 || config.Errors(problems) {
			t.Errorf("%s: %v\n%s", name, problems, text)
			continue
		}
		var b bytes.Buffer
		if printExplanation(&b, services[0]); !strings.Contains(b.String(), c[1]) {
			t.Errorf("%s: no %q in\n%s", name, c[1], b.String())
		}
	}
}
