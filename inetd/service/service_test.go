package service

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"goinetd/config"
	"goinetd/inetd/admit"
	"goinetd/inetd/builtin"
	"goinetd/inetd/socket"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// Services of equal policies share one, and services without one have none.
func TestSharedPolicies(t *testing.T) {
	const service = "[service.%s]\nlisten = \"tcp:700%d\"\nbuiltin = \"echo\"\nlibwrap = \"no\"\n%s\n"
	var text strings.Builder
	for i, settings := range []string{"", "max_load = 5", "max_load = 5", "max_load = 6", "access_times = [\"8:00-18:00\"]\nmax_load = 5"} {
		fmt.Fprintf(&text, service, string(rune('a'+i)), i, settings)
	}
	confs := read(t, text.String())
	b := NewBuilder(Options{}, confs)
	var p []*Policy
	for _, conf := range confs {
		p = append(p, b.policy(conf, nil))
	}
	if p[0] != nil || p[1] == nil || p[2] != p[1] || p[3] == p[1] || p[4] == p[1] || p[4].Times == nil {
		t.Errorf("%v", p)
	}
}

func read(t *testing.T, text string) []*config.Service {
	t.Helper()
	services, problems := config.ReadTOML("test.toml", text, config.Options{Builtins: builtin.Known()})
	if config.Errors(problems) {
		t.Fatal(problems)
	}
	return services
}

// Definitions share what is equal, and leave their input as it is.
func TestBuild(t *testing.T) {
	confs := read(t, `
[service.a]
listen = ["tcp:127.0.0.1:7001", "tcp:[::1]:7001"]
builtin = "echo"
[service.b]
listen = "tcp:127.0.0.1:7002"
user = "nobody"
server = "/bin/cat"
env = ["A=1"]
[service.c]
listen = "tcp:127.0.0.1:7003"
user = "nobody"
server = "/bin/cat"
env = ["A=1"]
only_from = ["192.0.2.1"]
[service.d]
listen = "tcp:127.0.0.1:7004"
user = "nosuchuser"
server = "/nonexistent"
`)
	before := make([]config.Service, len(confs))
	for i, c := range confs {
		before[i] = *c
		before[i].Own()
	}
	env, _ := spawn.NewEnv(nil)
	b := NewBuilder(Options{Backlog: 5, Env: env, Log: syslog.ToDaemon("test", "daemon")}, confs)
	var defs []*Definition
	var problems []config.Problem
	for _, c := range confs {
		d, found := b.Build(c)
		defs, problems = append(defs, d), append(problems, found...)
	}
	for i, c := range confs {
		if !reflect.DeepEqual(*c, before[i]) {
			t.Errorf("%s was changed", c.ID)
		}
	}
	a, bb, c, d := defs[0], defs[1], defs[2], defs[3]
	if len(a.Addresses) != 2 || a.Builtin.Name() != "echo" || a.Image != nil || a.Policy != nil || !a.Accepts() || a.User != "nobody" {
		t.Errorf("%+v", a)
	}
	if bb.Attr != c.Attr || bb.Socket != c.Socket || a.Attr == bb.Attr || c.Policy == nil || bb.Policy != nil {
		t.Error("equal parts are not shared, or others are")
	}
	if d != nil || len(problems) != 2 || problems[0].Text != `unknown user "nosuchuser"` || !strings.HasPrefix(problems[1].Text, "program: stat /nonexistent: ") {
		t.Errorf("problems %v", problems)
	}
}

func TestEnviron(t *testing.T) {
	usual, whole := []string{"A=1", "B=2"}, []string{"A=1", "B=2", "HOME=/root"}
	for _, c := range []struct {
		pass, env, want []string
	}{
		{nil, nil, []string{"A=1", "B=2"}},
		{nil, []string{"B=3", "C=4"}, []string{"A=1", "B=3", "C=4"}},
		{[]string{"HOME"}, nil, []string{"HOME=/root"}},
		{[]string{"*"}, []string{"HOME=/x"}, []string{"A=1", "B=2", "HOME=/x"}},
		{[]string{}, nil, nil},
	} {
		if got := environ(usual, whole, &config.Service{Settings: &config.Settings{PassEnv: c.pass, Env: c.env}}); !slices.Equal(got, c.want) {
			t.Errorf("passenv %q, env %q: %q, want %q", c.pass, c.env, got, c.want)
		}
	}
}

func TestPolicyCheck(t *testing.T) {
	conf := read(t, "[service.x]\nlisten = \"tcp:7001\"\nbuiltin = \"echo\"\naccess_times = [\"8:00-18:00\"]\nmax_load = 5\nno_access = [\"192.0.2.1\", \"bad.example.org\"]\n")[0]
	p := NewBuilder(Options{}, nil).policy(conf, nil)
	day, night := time.Date(2026, 1, 1, 12, 0, 0, 0, time.Local), time.Date(2026, 1, 1, 20, 0, 0, 0, time.Local)
	idle := &admit.LoadAverage{}
	p.MaxLoad = 1e9
	from := func(s string) Decision {
		return p.Check("x", mustAddr(s), nil, idle, day, time.Second)
	}
	if d := from("192.0.2.1"); d.Reason != "address" || d.Rule != "no_access 192.0.2.1, test.toml:6" {
		t.Errorf("%+v", d)
	}
	if d := from("192.0.2.2"); !d.NeedName || d.Reason != "" {
		t.Errorf("%+v", d)
	}
	if d := p.Check("x", mustAddr("192.0.2.2"), &admit.Host{}, idle, day, time.Second); d != (Decision{}) {
		t.Errorf("%+v", d)
	}
	if d := p.Check("x", mustAddr("192.0.2.2"), nil, idle, night, time.Second); d.Reason != ReasonTime {
		t.Errorf("%+v", d)
	}
	p.Sensor = true
	if d := from("192.0.2.2"); d.Reason != "address" || d.Rule != "sensor x" {
		t.Errorf("%+v", d)
	}
}

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

// ::/0 has the IPv4 clients of a service in it, but not of one that listens on
// IPv4 alone, whether by an address or by a name.
func TestListsOfIPv4Services(t *testing.T) {
	conf := read(t, "[service.a]\nlisten = \"tcp:127.0.0.1:7001\"\nbuiltin = \"echo\"\nonly_from = [\"::/0\"]\n")[0]
	at := func(addresses ...string) (list []Address) {
		for _, a := range addresses {
			list = append(list, Address{Address: socket.Address{Network: "tcp", Addr: netip.MustParseAddrPort(a)}})
		}
		return list
	}
	for _, c := range []struct {
		addresses []Address
		refused   bool
	}{{at("127.0.0.1:7"), true}, {at("0.0.0.0:7", "[::]:7"), false}, {at("[::1]:7"), false}, {nil, false}} {
		p := NewBuilder(Options{}, nil).policy(conf, c.addresses)
		if got := p.Access.Check(netip.MustParseAddr("192.0.2.1"), nil); got.Refused != c.refused {
			t.Errorf("%v: %+v", c.addresses, got)
		}
	}
}

// rpcbind knows a program at one address of a family.
func TestRPCAtSeveralAddresses(t *testing.T) {
	conf := read(t, "[service.a]\ntype = \"rpc\"\nrpc_number = 300001\nrpc_version = 1\nlisten = \"udp:www.example.org:0\"\nuser = \"nobody\"\nserver = \"/bin/cat\"\n")
	for addresses, want := range map[string]int{"192.0.2.1": 0, "192.0.2.1 2001:db8::1": 0, "192.0.2.1 192.0.2.2": 1} {
		env, _ := spawn.NewEnv(nil)
		b := NewBuilder(Options{Env: env}, nil)
		var list []netip.Addr
		for _, a := range strings.Fields(addresses) {
			list = append(list, mustAddr(a))
		}
		b.hosts.Preset("www.example.org", list)
		d, problems := b.Build(conf[0])
		if d == nil || len(d.Addresses) != len(list) || len(problems) != want || want > 0 && !strings.Contains(problems[0].Text, "a: www.example.org has several addresses") {
			t.Errorf("%s: %v", addresses, problems)
		}
	}
}
