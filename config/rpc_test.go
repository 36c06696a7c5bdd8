package config

import (
	"fmt"
	"strings"
	"testing"
)

// RPC services of all dialects, and what they are.
func TestRPC(t *testing.T) {
	xinetd := func(settings string) string {
		return "service rstatd\n{\nsocket_type = dgram\nwait = yes\nuser = nobody\nserver = /bin/x\n" + settings + "\n}\n"
	}
	toml := func(settings string) string {
		return "[service.rstatd]\nuser = \"nobody\"\nserver = \"/bin/x\"\n" + settings + "\n"
	}
	for _, c := range []struct{ text, want string }{
		{"rstatd/1-3 dgram rpc/udp wait nobody /bin/x x\n", "rstatd [rpc/udp:100001/1-3]"},
		{"100001/2 dgram rpc/udp wait nobody /bin/x x\n", "100001 [rpc/udp:100001/2]"},
		{"rup/4 stream rpc/tcp6 nowait nobody /bin/x x\n", "rup [rpc/tcp6:100001/4]"}, // another name of rstatd
		{"[::1]:rstatd/3 dgram RPC/udp,rcvbuf=8k wait nobody /bin/x x\n", "rstatd [rpc/udp6:[::1]:100001/3]"},
		{"192.0.2.1,[::1]:rstatd/3 dgram rpc/udp wait nobody /bin/x x\n", "rstatd [rpc/udp4:192.0.2.1:100001/3 rpc/udp6:[::1]:100001/3]"},
		{"rstatd/1-3 on protocol = rpc/udp, wait = yes, user = nobody, exec = /bin/x, args = x;\n", "rstatd [rpc/udp:100001/1-3]"},
		{"rstatd dgram rpc/udp wait nobody /bin/x x\n", `"rstatd" has no version`},
		{"rstatd/3-1 dgram rpc/udp wait nobody /bin/x x\n", `"3-1" is not a version`},
		{"rstatd/1-4000000000 dgram rpc/udp wait nobody /bin/x x\n", "1-4000000000 are more than 256 versions"},
		{"nothere/1 dgram rpc/udp wait nobody /bin/x x\n", `unknown RPC program "nothere"`},
		{"0/1 dgram rpc/udp wait nobody /bin/x x\n", `unknown RPC program "0"`},
		{"rstatd/1 stream rpc/udp wait nobody /bin/x x\n", "udp is dgram, not stream"},
		{"rstatd/1 dgram rpc/sctp wait nobody /bin/x x\n", "sctp is not supported"},
		{"rstatd/1 raw rpc/icmp wait nobody /bin/x x\n", "an RPC service is reached over tcp or udp, not icmp"},
		{"rstatd/1 dgram rpc/udp nowait root internal echo\n", "an RPC service is a program"},
		{"192.0.2.1,192.0.2.2:rstatd/3 dgram rpc/udp wait nobody /bin/x x\n", "rpcbind(8) has only one address for a program"},

		{xinetd("type = RPC\nrpc_version = 2-4"), "rstatd [rpc/udp:100001/2-4]"},
		{xinetd("type = RPC UNLISTED\nrpc_version = 1\nrpc_number = 300001\nflags = IPv4"), "rstatd [rpc/udp4:300001/1]"},
		{xinetd("type = RPC\nrpc_version = 1\nport = 700\nbind = 192.0.2.1"), "rstatd [rpc/udp4:192.0.2.1:700:100001/1]"},
		{xinetd("type = RPC"), "rpc_version is not set"},
		{xinetd("type = RPC\nrpc_version = x"), `"x" is not a version`},
		{xinetd("type = RPC\nrpc_version = 1\nrpc_number = 7"), "rstatd is program 100001 in /etc/rpc, not 7"},
		{xinetd("type = RPC UNLISTED\nrpc_version = 1"), "rstatd has no program number"},
		{xinetd("type = RPC INTERNAL\nrpc_version = 1\nport = 7"), `no internal service "rstatd"`},
		{strings.Replace(xinetd("type = RPC\nrpc_version = 1"), "rstatd", "nothere", 1), "nothere has no program number"},
		{strings.Replace(xinetd("type = RPC\nrpc_version = 1\nrpc_number = 7"), "rstatd", "nothere", 1), "nothere is not in /etc/rpc"},
		{xinetd("type = UNLISTED\nport = 700\nrpc_version = 1"), "rpc_version has no effect without type = RPC"},

		{toml(`type = "rpc"` + "\nrpc_version = \"1-3\"\nlisten = \"udp:0\""), "rstatd [rpc/udp:100001/1-3]"},
		{toml(`type = "rpc"` + "\nrpc_version = 1\nrpc_number = 4294967295\nlisten = [\"udp4:192.0.2.1:0\", \"udp6:700\"]"), "rstatd [rpc/udp4:192.0.2.1:4294967295/1 rpc/udp6:700:4294967295/1]"},
		{toml(`type = "rpc"` + "\nrpc_version = 1\nprotocol = \"tcp\""), "rstatd [rpc/tcp:100001/1]"},
		{toml(`type = "rpc"` + "\nrpc_version = 1\nlisten = \"systemd:rstat\"\nsocket_type = \"dgram\""), "rstatd [systemd:rstat]"},
		{toml(`type = "rpc"` + "\nrpc_version = 1\nlisten = \"unix:/run/x\""), "an RPC service is reached over tcp or udp, not unix"},
		{toml("listen = \"udp:0\""), "0 is not a port"},
		{"[service.echo]\ntype = [\"rpc\", \"internal\"]\nrpc_version = 1\nrpc_number = 7\nlisten = \"udp:0\"\n", "an RPC service is a program"},
		{"[service.rstatd]\ntype = \"rpc\"\nrpc_version = 1\nlisten = \"tcp:0\"\nredirect = [\"192.0.2.1\", 80]\n", "an RPC service is a program"},
		{toml("type = [\"rpc\", \"tcpmux\"]\nrpc_version = 1"), "a tcpmux service is a program"},
	} {
		services, problems := Read("x", c.text, Options{Builtins: known})
		got := fmt.Sprint(problems)
		if len(services) == 1 {
			got = fmt.Sprintf("%s %v %v", services[0].Name, services[0].Listen, problems)
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%q: %s, want %s", c.text, got, c.want)
		}
	}
}

// rpcbind has one address for a program, a version and a protocol.
func TestRPCConflicts(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"rstatd/1-2 dgram rpc/udp wait nobody /bin/x x\nrstatd/2-3 dgram rpc/udp wait nobody /bin/y y\n", "[rpc/udp:100001/1-2] [x:2: rstatd is already served by x:1"},
		{"rstatd/1-2 dgram rpc/udp wait nobody /bin/x x\nrstatd/1-2 dgram rpc/udp wait nobody /bin/y y\n", "service rstatd is defined already at x:1"},
		{"rstatd/1-2 dgram rpc/udp wait nobody /bin/x x\n100001/3 dgram rpc/udp wait nobody /bin/y y\n", "[rpc/udp:100001/1-2] [rpc/udp:100001/3] []"},
		{"rstatd/1-2 dgram rpc/udp wait nobody /bin/x x\nrstatd/1-2 dgram rpc/udp6 wait nobody /bin/y y\n", "[rpc/udp4:100001/1-2] [rpc/udp6:100001/1-2] []"},
		{"rstatd/1-2 dgram rpc/udp wait nobody /bin/x x\nrstatd/1-2 stream rpc/tcp nowait nobody /bin/y y\n", "[rpc/udp:100001/1-2] [rpc/tcp:100001/1-2] []"},
		{"rstatd/1-3 dgram rpc/udp wait nobody /bin/x x\nrstatd/3 dgram rpc/udp6 wait nobody /bin/y y\n", "[rpc/udp4:100001/1-3] [rpc/udp6:100001/3] []"},
		{"rstatd/1-2 dgram rpc/udp wait nobody /bin/x x\nrstatd/1 dgram rpc/udp6 wait nobody /bin/y y\nrstatd/3 dgram rpc/udp wait nobody /bin/z z\n", "[rpc/udp4:100001/1-2] [rpc/udp6:100001/1] [rpc/udp:100001/3] []"},
		{"[service.a]\ntype = \"rpc\"\nrpc_number = 7\nrpc_version = 1\nlisten = \"systemd:a\"\nsocket_type = \"dgram\"\nwait = true\nuser = \"nobody\"\nserver = \"/bin/x\"\n[service.b]\ntype = \"rpc\"\nrpc_number = 7\nrpc_version = 1\nlisten = \"systemd:b\"\nuser = \"nobody\"\nserver = \"/bin/x\"\n", "[systemd:a] [systemd:b] []"},
		{"192.0.2.1:rstatd/1 dgram rpc/udp wait nobody /bin/x x\n192.0.2.2:rstatd/1 dgram rpc/udp wait nobody /bin/y y\n", "is already served by x:1"},
	} {
		services, problems := Read("x", c.text, Options{Builtins: known})
		services, more := RejectConflicts(services)
		var got []string
		for _, s := range services {
			got = append(got, fmt.Sprint(s.Listen))
		}
		if all := strings.Join(got, " ") + fmt.Sprint(" ", append(problems, more...)); !strings.Contains(all, c.want) {
			t.Errorf("%q: %s, want %s", c.text, all, c.want)
		}
	}
}

// A service is written as RPC in every dialect that can say it.
func TestRPCConversion(t *testing.T) {
	for _, c := range []struct{ text, inetd, xinetd, toml string }{
		{"rstatd/1-3 dgram rpc/udp wait nobody /bin/x x\n", "rstatd/1-3\tdgram\trpc/udp\twait\tnobody", "type             = RPC\n", "type = \"rpc\"\n"},
		{"300001/2 stream rpc/tcp6 nowait nobody /bin/x x\n", "300001/2\tstream\trpc/tcp6\tnowait", "type             = RPC UNLISTED\n", "rpc_number = 300001\n"},
		{"192.0.2.1,[::1]:rstatd/3 dgram rpc/udp wait nobody /bin/x x\n", "192.0.2.1,[::1]:rstatd/3\tdgram\trpc/udp\t", "", "listen = [\"udp:192.0.2.1:0\", \"udp:[::1]:0\"]\n"},
		{"[service.a]\ntype = \"rpc\"\nrpc_version = 1\nrpc_number = 300001\nlisten = \"udp:700\"\nuser = \"nobody\"\nserver = \"/bin/x\"\n", "-", "port             = 700\n", "listen = \"udp:700\"\n"},
	} {
		services, problems := Read("x", c.text, Options{Builtins: known})
		if len(services) != 1 || len(problems) > 0 {
			t.Fatalf("%s: %v", c.text, problems)
		}
		for d, want := range map[Dialect]string{Inetd: c.inetd, Xinetd: c.xinetd, TOML: c.toml} {
			written, lost := Write(d, services, Options{Builtins: known})
			if want == "-" {
				if !strings.Contains(fmt.Sprint(lost), "listen = [rpc/udp:700:300001/1]") {
					t.Errorf("%s to %s: lost %v", c.text, d, lost)
				}
				continue
			}
			again, problems := Read("y", written, Options{Builtins: known, Dialect: d})
			if !strings.Contains(written, want) || Errors(problems) || len(again) == 0 || d != Xinetd && (len(lost) > 0 || fmt.Sprint(again[0].Listen) != fmt.Sprint(services[0].Listen)) {
				t.Errorf("%s to %s: lost %v, %v\n%s", c.text, d, lost, problems, written)
			}
		}
		if units, lost := Units(services, nil); len(units) > 0 || !strings.Contains(fmt.Sprint(lost), "rpcbind") {
			t.Errorf("%s to systemd: %v", c.text, lost)
		}
	}
}
