package inetd

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/handover"
	"goinetd/inetd/portowner"
	"goinetd/inetd/reliability"
	"goinetd/inetd/service"
	"goinetd/inetd/socket"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// served returns the names and the states of what is served.
func (s *testServer) served() string {
	var list []string
	for _, svc := range s.Snapshot("").Services {
		one := svc.Name
		for _, l := range svc.Listeners {
			one += " " + l.State
		}
		list = append(list, one)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// Which service takes over which socket at a reload.
func TestReloadTakesOver(t *testing.T) {
	one, two, three := freeAddr(t), freeAddr(t), freeAddr(t)
	for _, c := range []struct {
		what, before, after string
		want                string            // served
		same                map[string]string // whose listener it was -> whose it is
	}{
		{"nothing changes", echo("a", one, "") + echo("b", two, ""), echo("a", one, "") + echo("b", two, ""),
			"a listening, b listening", map[string]string{"a": "a", "b": "b"}},
		{"a service is renamed", echo("a", one, ""), echo("b", one, "instances = 3"),
			"b listening", map[string]string{"a": "b"}},
		{"a service moves to another port", echo("a", one, ""), echo("a", two, ""),
			"a listening", nil},
		{"two services exchange their ports", echo("a", one, "") + echo("b", two, ""), echo("a", two, "") + echo("b", one, ""),
			"a listening, b listening", map[string]string{"a": "b", "b": "a"}},
		{"a service is removed", echo("a", one, "") + echo("b", two, ""), echo("b", two, ""),
			"b listening", map[string]string{"b": "b"}},
		{"another one wants the same port", echo("a", one, ""), echo("a", one, "") + echo("b", one, ""),
			"a listening", map[string]string{"a": "a"}},
		{"an error keeps what is not configured", echo("a", one, "") + echo("b", two, ""), echo("b", two, "") + "[service.bad]\nlisten = \"tcp:" + three + "\"\nbogus = 1\n",
			"a listening, b listening", map[string]string{"a": "a", "b": "b"}},
		{"a broken definition keeps the old one", echo("a", one, ""), echo("a", one, "bogus = 1"),
			"a listening", map[string]string{"a": "a"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := newTestServer(t, c.before)
			before := map[string]*listener{}
			for name := range c.same {
				before[name] = s.listener(name)
			}
			s.reload(c.after)
			if got := s.served(); got != c.want {
				t.Errorf("served: %s, want %s", got, c.want)
			}
			for was, is := range c.same {
				if l := s.listener(is); l != before[was] || l.svc.def.Name != is {
					t.Errorf("the socket of %s is not %s's", was, is)
				}
			}
			s.Stop()
			if n := s.sockets.len(); n != 0 {
				t.Errorf("%d sockets are left", n)
			}
		})
	}
}

// The counts of a service go on over a reload, and new limits hold.
func TestReloadKeepsCounts(t *testing.T) {
	at := freeAddr(t)
	s := newTestServer(t, echo("a", at, "")).run()
	c := dialServed(t, at)
	s.reload(echo("a", at, "per_source = 1"))
	if got := exchange(t, at, "x"); got != "" {
		t.Errorf("over the new limit: %q", got)
	}
	s.logged("FAIL: a per_source_limit")
	c.Close()
	s.until("the slot is free", func() bool { return s.running == 0 })
	if got := exchange(t, at, "x"); got != "x" {
		t.Errorf("below the limit: %q", got)
	}
}

// A service that gets another port keeps its counts, where its name says
// which one it is.
func TestMovedServiceKeepsCounts(t *testing.T) {
	one, two, three := freeAddr(t), freeAddr(t), freeAddr(t)
	named := func(id, table, at string) string { return echo(table, at, "id = \""+id+"\"\nper_source = 1") }
	s := newTestServer(t, named("a", "x", one)).run()
	c := dialServed(t, one)
	s.reload(named("a", "x", two))
	if got := exchange(t, two, "x"); got != "" {
		t.Errorf("the client of the old port is not counted: %q", got)
	}
	s.reload(named("a", "x", three) + named("a", "y", one)) // either may be the old one
	if got := exchange(t, three, "x") + exchange(t, one, "x"); got != "xx" {
		t.Errorf("counted for another service: %q", got)
	}
	if got := s.served(); got != "a listening, a listening" {
		t.Errorf("served: %s", got)
	}
	c.Close()
	s.until("no slot is left over", func() bool { return s.running == 0 })
}

// Of an address and every address of one port the first line has it, and the
// other one's problem names no process to end.
func TestAddressBesideAll(t *testing.T) {
	at := freeAddr(t)
	port := at[strings.LastIndexByte(at, ':')+1:]
	for range 5 {
		s := newTestServer(t, echo("any", port, "")+echo("one", at, ""))
		s.logged("bind tcp " + at + ": address already in use by another service of this inetd (one is retried until it can listen)")
		if got := s.served(); !strings.HasPrefix(got, "any listening") || !strings.HasSuffix(got, "one opening") {
			t.Errorf("served: %s", got)
		}
		s.Stop()
	}
}

func TestRegistry(t *testing.T) {
	r := newRegistry()
	svc := func(key, mux string) *activeService {
		return &activeService{def: &service.Definition{Key: key, Shared: &service.Shared{Mux: mux}}}
	}
	a, b, c := svc("a", ""), svc("b", "Date"), svc("c", "")
	if added, removed := r.replace(map[string]*activeService{"a": a, "b": b}); added != 2 || removed != 0 {
		t.Errorf("%d added, %d removed", added, removed)
	}
	r.indexMux()
	if r.byMux["date"] != b || !slices.Equal(r.muxNames(), []string{"Date"}) || !slices.Equal(r.keys(), []string{"a", "b"}) {
		t.Errorf("mux %v, keys %v", r.muxNames(), r.keys())
	}
	if added, removed := r.replace(map[string]*activeService{"b": b, "c": c}); added != 1 || removed != 1 {
		t.Errorf("%d added, %d removed", added, removed)
	}
	r.remove(a) // not there any more
	if r.remove(c); r.len() != 1 {
		t.Errorf("%d services", r.len())
	}
}

func tcpAddress(at string) socket.Address {
	return socket.Address{Network: "tcp", Type: config.Stream, Addr: netip.MustParseAddrPort(at)}
}

// Which of the service manager's sockets a service is placed on.
func TestAssignSockets(t *testing.T) {
	in := func(name, at string, dual bool) *socket.Inherited {
		return &socket.Inherited{FD: -1, Name: name, Address: tcpAddress(at), Dual: dual}
	}
	table := newSocketTable()
	for _, one := range []*socket.Inherited{in("web", "127.0.0.1:8001", false), in("echo", "0.0.0.0:7", false), in("both", "[::]:8002", true), in("x", "192.0.2.1:9", false), in("x", "192.0.2.2:9", false)} {
		table.addInherited(one)
	}
	def := func(name string, addresses ...string) *service.Definition {
		d := &service.Definition{Name: name, Shared: &service.Shared{Type: config.Stream}}
		for _, a := range addresses {
			one := service.Address{}
			if after, ok := strings.CutPrefix(a, "systemd:"); ok {
				one.Address = socket.Address{Network: "systemd", Type: config.Stream, Name: after}
			} else {
				one.Address = tcpAddress(a)
			}
			d.Addresses = append(d.Addresses, one)
		}
		return d
	}
	for _, c := range []struct {
		what    string
		def     *service.Definition
		want    string // addresses; * marks an inherited socket
		missing string
	}{
		{"by its address", def("other", "127.0.0.1:8001"), "*127.0.0.1:8001", ""},
		{"by its name, on another port", def("web", "127.0.0.1:80"), "*127.0.0.1:8001", ""},
		{"by its name, but of another family", def("web", "[::1]:80"), "[::1]:80", ""},
		{"its own socket", def("new", "127.0.0.1:80"), "127.0.0.1:80", ""},
		{"one socket for both families", def("other", "0.0.0.0:8002", "[::]:8002"), "*[::]:8002", ""},
		{"one of two addresses", def("other", "192.0.2.1:9", "192.0.2.9:9"), "*192.0.2.1:9 192.0.2.9:9", ""},
		{"all of a name", def("other", "systemd:x"), "*192.0.2.1:9 *192.0.2.2:9", ""},
		{"a name and an address", def("other", "systemd:web", "127.0.0.1:80"), "*127.0.0.1:8001 127.0.0.1:80", ""},
		{"a name that nobody passed", def("other", "systemd:nothing"), "", "nothing"},
		{"a service behind tcpmux", def("web"), "", ""},
	} {
		list, missing := table.assign(c.def)
		var got []string
		for _, p := range list {
			mark := ""
			if p.in != nil {
				mark = "*"
			}
			got = append(got, mark+p.Addr.String())
		}
		if strings.Join(got, " ") != c.want || strings.Join(missing, " ") != c.missing {
			t.Errorf("%s: %q, missing %q; want %q, %q", c.what, got, missing, c.want, c.missing)
		}
	}
}

// An address in use is reported once with its owner, and opened when free.
func TestAddressInUse(t *testing.T) {
	at := freeAddr(t)
	other, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	s := newTestServer(t, echo("a", at, "")+echo("b", freeAddr(t), ""))
	s.logged("bind tcp " + at + ": address already in use by another service of this inetd (a is retried") // which this test is
	s.logged("a is retried until it can listen")
	if got := s.served(); got != "a opening, b listening" {
		t.Errorf("served: %s", got)
	}
	other.Close()
	s.logged("a: now listening on tcp " + at)
	if got := s.served(); got != "a listening, b listening" {
		t.Errorf("served: %s", got)
	}
}

func TestBindRetry(t *testing.T) {
	var r bindRetry
	fired := make(chan bool, 1)
	r.schedule(1, func() { fired <- true })
	if r.timer == nil || r.tries != 1 {
		t.Fatalf("%+v", r)
	}
	select {
	case <-fired:
	case <-time.After(patience):
		t.Fatal("not retried")
	}
	for range soonRetries + 1 {
		r.schedule(1, func() {})
	}
	if r.tries <= soonRetries {
		t.Errorf("%d tries", r.tries)
	}
	if r.schedule(0, nil); r.timer != nil || r.tries != 0 {
		t.Errorf("nothing waits, and a try is scheduled: %+v", r)
	}
}

// An address that the host does not have, and one that is not ours to use.
func TestNothingToServe(t *testing.T) {
	s := newTestServer(t, "[service.x]\nlisten = \"tcp:7001\"\nbogus = 1\n")
	if s.err != errNothing {
		t.Errorf("a configuration without a good service: %v", s.err)
	}
	if s := newTestServer(t, ""); s.err != nil {
		t.Errorf("an empty configuration: %v", s.err)
	}
	if s := newTestServer(t, "[service.x]\nlisten = \"tcp:7001\"\nbogus = 1\n", func(o *Options) { o.StayAlive = true }); s.err != nil {
		t.Errorf("with StayAlive: %v", s.err)
	}
}

// over returns a state as the next process receives it from the service
// manager's store. change is applied to the record of each service.
func over(t *testing.T, state handover.State, change ...func([]byte) []byte) (received handover.State) {
	t.Helper()
	records := func(yield func([]byte) bool) {
		for r := range state.Records() {
			for _, f := range change {
				r = f(r)
			}
			if !yield(r) {
				return
			}
		}
	}
	copied := state
	if err := copied.Write(records); err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	dup := func(fd int) int {
		t.Helper()
		fd, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	received, _, err := handover.FromStore([]*socket.Inherited{
		{FD: dup(copied.FD()), Name: handover.StateName(copied.Number)}, {FD: dup(state.Table.FD()), Name: handover.TableName}})
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range state.Sockets {
		received.Sockets = append(received.Sockets, socket.FromExec(dup(in.FD), in.Name))
	}
	return received
}

// sleeper starts a process, to be a program of a service.
func sleeper(t *testing.T) spawn.Process {
	t.Helper()
	cmd := exec.Command("sleep", "100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return spawn.Existing(cmd.Process.Pid)
}

// The next process gets the sockets and the programs of this one.
func TestHandOver(t *testing.T) {
	retained, dropped := freeAddr(t), freeAddr(t)
	n := &fakeNotifier{}
	first := newTestServer(t, echo("kept", retained, "")+echo("dropped", dropped, ""), func(o *Options) { o.Notifier = n })
	client := dialTCP(t, retained) // in the queue, as nobody accepts
	io.WriteString(client, "x")
	l := first.listener("kept")
	first.addChild(sleeper(t), task{svc: l.svc, def: l.svc.def, from: netip.MustParseAddrPort("192.0.2.1:5"), start: first.now()})
	received := over(t, first.HandOver())
	if len(received.Sockets) != 2 || len(received.Children) != 1 || received.Children[0].Client.String() != "192.0.2.1:5" {
		t.Fatalf("%d sockets, children %+v", len(received.Sockets), received.Children)
	}
	second := newTestServer(t, echo("kept", retained, "instances = 2"), func(o *Options) { o.State = received; o.Notifier = n })
	second.logged("tcp " + dropped + ", retained from the inetd before this one, belongs to no service: closed")
	second.logged("configuration read: 1 service (0 new, 1 removed)")
	svc := second.listener("kept").svc
	if svc.gate.Running() != 1 || second.running != 1 {
		t.Errorf("%d programs are counted", svc.gate.Running())
	}
	second.run()
	if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
		t.Errorf("the client in the queue was lost: %v", err)
	}
}

// A service whose line is wrong when the next process starts goes on as it
// was: with its socket, its definition, and its user, whom nobody knows any
// more. Whoever is banned stays so, and what is suspended, too.
func TestHandOverMistakes(t *testing.T) {
	wrong, right, sensor, closed := freeAddr(t), freeAddr(t), freeAddr(t), freeAddr(t)
	first := newTestServer(t, echo("wrong", wrong, "per_source = 7")+echo("right", right, "")+echo("closed", closed, "cps = [1, 3600]")+
		"[service.trap]\nlisten = \"tcp:"+sensor+"\"\nbuiltin = \"discard\"\nflags = [\"SENSOR\"]\ndeny_time = \"FOREVER\"\n")
	first.mu.Lock()
	first.bans.Add(netip.MustParsePrefix("192.0.2.9/32"), config.Forever, first.now())
	first.suspendOverCPSLocked(first.services.byKey[first.keyOf("closed")])
	first.mu.Unlock()
	state := over(t, first.HandOver(), func(r []byte) []byte { // as if a user that is gone had been its
		if bytes.Contains(r, []byte(`ID:"wrong"`)) {
			r = bytes.ReplaceAll(r, []byte(`"nobody:"`), []byte(`"gone:"`))
			r = bytes.Replace(r, []byte(`Service:{`), []byte(`Service:{User:"gone" `), 1)
		}
		return r
	})
	second := newTestServer(t, echo("wrong", wrong, "per_source = many")+echo("right", right, "")+echo("closed", closed, "cps = [1, 3600]"), func(o *Options) { o.State = state })
	second.logged("wrong: invalid or missing in the configuration; keeps its previous settings until the errors are fixed")
	if l := second.listener("wrong"); l.svc.def.Limits.PerSource != 7 || l.state != stateListening {
		t.Errorf("wrong: %v, per_source %d", l.state, l.svc.def.Limits.PerSource)
	}
	if l := second.listener("closed"); l.state != stateSuspended {
		t.Errorf("closed: %v", l.state)
	}
	if !second.bans.Banned(netip.MustParseAddr("192.0.2.9"), second.now()) {
		t.Error("a ban was forgotten")
	}
	third := newTestServer(t, "", func(o *Options) { o.State = over(t, second.HandOver()) })
	third.logged("configuration read: 0 services (0 new, 4 removed)")
	reliability.Survived(t, reliability.Fault{Theme: reliability.Managers, Did: "a restart with a line that is wrong, whose user is gone; with a ban and a suspended service",
		Saw: "served as before; the ban and the suspension go on", Log: "wrong: invalid or missing in the configuration; keeps its previous settings until the errors are fixed"})
}

// Whether programs have the sockets of wait services is answered by one walk
// through /proc for all of them, and not under the lock.
func TestOneWalkThroughProc(t *testing.T) {
	const many = 20
	var conf strings.Builder
	for i := range many {
		fmt.Fprintf(&conf, "[service.w%d]\nlisten = \"udp:%s\"\nuser = \"nobody\"\nserver = \"/bin/true\"\n", i, freeAddr(t))
	}
	state := over(t, newTestServer(t, conf.String()).HandOver())
	if len(state.Sockets) != many {
		t.Fatalf("%d sockets", len(state.Sockets))
	}
	state.Table = nil // which would make the question needless
	var s *Server
	walks := 0
	scan := func() *portowner.Processes {
		walks++
		if s.mu.TryLock() {
			s.mu.Unlock()
		} else {
			t.Error("the lock is held")
		}
		return portowner.Scan()
	}
	s, err := New(Options{Log: syslog.ToDaemon("test", "daemon"), State: state, ScanProcesses: scan})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Start(read(t, conf.String())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop() })
	if walks != 1 {
		t.Errorf("%d walks for %d wait services", walks, many)
	}
	if got := (&testServer{Server: s}).served(); strings.Count(got, "listening") != many {
		t.Errorf("served: %s", got)
	}
}

// Who has a port that is taken is found out while the other services serve.
func TestServesBeforeOwners(t *testing.T) {
	taken, free := freeAddr(t), freeAddr(t)
	l, err := net.Listen("tcp", taken)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	walks := 0
	s, err := New(Options{Log: syslog.ToDaemon("test", "daemon"), ScanProcesses: func() *portowner.Processes {
		walks++
		if got := exchange(t, free, "x"); got != "x" {
			t.Errorf("got %q", got)
		}
		return portowner.Scan()
	}})
	if err != nil {
		t.Fatal(err)
	}
	(&testServer{Server: s, t: t}).run()
	if _, err := s.Start(read(t, echo("a", taken, "")+echo("b", free, ""))); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if walks != 1 {
		t.Errorf("%d walks through /proc", walks)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Reloads, Did: "a port that is taken, whose owner is looked for in /proc",
		Saw: "other services serve meanwhile"})
}

// A socket of the service manager's that no service wants is closed, and one
// that is wanted is served on.
func TestInheritedSockets(t *testing.T) {
	open := func() (*socket.Inherited, string) {
		a := tcpAddress(freeAddr(t))
		fd, err := socket.Open(a, socket.Options{Backlog: 5, UID: -1, GID: -1})
		if err != nil {
			t.Fatal(err)
		}
		in := socket.FromExec(fd, "name-"+fmt.Sprint(a.Addr.Port()))
		return in, a.Addr.String()
	}
	wanted, at := open()
	stray, _ := open()
	s := newTestServer(t, echo("a", at, ""), func(o *Options) { o.Inherited = []*socket.Inherited{wanted, stray} }).run()
	s.logged("socket " + stray.Name + " (" + stray.Address.String() + ") was passed by the service manager, and no service wants it: closed")
	if got := exchange(t, at, "x"); got != "x" {
		t.Errorf("%q", got)
	}
	s.reload("[service.b]\nlisten = \"systemd:" + wanted.Name + "\"\nbuiltin = \"discard\"\n[service.c]\nlisten = \"systemd:nothing\"\nbuiltin = \"echo\"\n")
	s.logged(`c: the service manager passed no stream socket named "nothing"`)
	if l := s.listener("b"); l.fd != wanted.FD {
		t.Errorf("b is on descriptor %d, not %d", l.fd, wanted.FD)
	}
}

// Clients of a Unix socket of the service manager's have no address: a
// service with an address list refuses them, but for one that says that it
// listens there.
func TestInheritedUnixSocket(t *testing.T) {
	open := func(name string) *socket.Inherited {
		a := socket.Address{Network: "unix", Type: config.Stream, Path: filepath.Join(t.TempDir(), name)}
		fd, err := socket.Open(a, socket.Options{Backlog: 5, UID: -1, GID: -1, Mode: 0o666})
		if err != nil {
			t.Fatal(err)
		}
		return socket.FromExec(fd, name)
	}
	sockets := []*socket.Inherited{open("listed"), open("free"), open("everybody")}
	newTestServer(t, `[service.listed]
listen = "systemd:listed"
builtin = "echo"
only_from = ["192.0.2.1"]
[service.free]
listen = "systemd:free"
builtin = "echo"
[service.everybody]
listen = "systemd:everybody"
builtin = "echo"
only_from = ["0.0.0.0/0", "::/0"]
`, func(o *Options) { o.Inherited = sockets }).run()
	for i, want := range []string{"", "x", "x"} {
		c, err := net.Dial("unix", sockets[i].Address.Path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		io.WriteString(c, "x")
		c.(*net.UnixConn).CloseWrite()
		if got, err := io.ReadAll(c); string(got) != want {
			t.Errorf("%s: %q, %v", sockets[i].Name, got, err)
		}
	}
}

// The end of a program frees its slot, reclaims its socket, and is logged.
func TestChildExited(t *testing.T) {
	at := freeAddr(t)
	s := newTestServer(t, fmt.Sprintf("[service.tftp]\nlisten = \"udp:%s\"\nuser = \"nobody\"\nserver = \"/bin/false\"\nlog_on_success = [\"PID\", \"EXIT\"]\n", at))
	l := s.listener("tftp")
	s.mu.Lock()
	handOff, ok := s.beginHandOffLocked(l)
	if !ok || handOff == 0 || l.state != stateHandedOff {
		t.Fatalf("no hand-off: %v", l.state)
	}
	c := client{l: l, svc: l.svc, def: l.svc.def}
	var d decision
	s.admitLocked(&c, &d, netip.Addr{})
	s.mu.Unlock()
	s.childExited(spawn.Exit{PID: 812, Status: 3 << 8, HasStatus: true}, task{svc: l.svc, def: l.svc.def, handedOff: l, handOff: handOff, start: s.now()})
	s.logged("EXIT: tftp status=3 pid=812")
	if l.state != stateListening || s.running != 0 {
		t.Errorf("%v, %d running", l.state, s.running)
	}
	s.childExited(spawn.Exit{PID: 813}, task{auxiliary: true, def: l.svc.def}) // counts nowhere
	// A start that fails pauses the listener, longer each time.
	s.mu.Lock()
	handOff, _ = s.beginHandOffLocked(l)
	s.admitLocked(&c, &d, netip.Addr{})
	l.users++
	s.mu.Unlock()
	s.handOffFailed(&c, &task{handedOff: l, handOff: handOff}, unix.ENOENT)
	if l.state != statePaused || l.failures != 1 || s.running != 0 {
		t.Errorf("after a failed start: %v, %d failures", l.state, l.failures)
	}
}

// Programs of no service are handed over to be reaped, and reported by nobody.
func TestProgramsOfNoService(t *testing.T) {
	p := sleeper(t)
	s := newTestServer(t, echo("a", freeAddr(t), ""), func(o *Options) {
		o.State = handover.State{Children: []handover.Child{{PID: p.PID, Service: service.KeyHash("removed"), Start: handover.Uptime()}}}
	})
	if snap := s.Snapshot(""); len(snap.Programs) != 0 || !strings.Contains(s.Summary(), "0 programs running") {
		t.Errorf("%+v, %s", snap.Programs, s.Summary())
	}
	s.LogState()
	s.logged("STATE: end")
	if state := over(t, s.HandOver()); len(state.Children) != 1 || state.Children[0].PID != p.PID || state.Children[0].Service != 0 {
		t.Errorf("handed over: %+v", state.Children)
	}
}

// A service that gets the socket of one that is held does not wait for that,
// and the other's new socket does.
func TestReloadWhileHeld(t *testing.T) {
	one, two := freeAddr(t), freeAddr(t)
	s := newTestServer(t, echo("a", one, "")+echo("b", two, ""))
	held := s.listener("a").svc
	s.mu.Lock()
	s.holdLocked(held)
	s.mu.Unlock()
	s.reload(echo("a", two, "") + echo("b", one, ""))
	if got := s.served(); got != "a paused, b listening" {
		t.Errorf("while a is held: %s", got)
	}
	s.mu.Lock()
	s.unholdLocked(held)
	s.mu.Unlock()
	if got := s.served(); got != "a listening, b listening" {
		t.Errorf("after it: %s", got)
	}
}

// Nothing listens again while an upgrade is about to begin.
func TestQuiescing(t *testing.T) {
	s := newTestServer(t, echo("a", freeAddr(t), ""))
	l := s.listener("a")
	s.mu.Lock()
	s.setStateLocked(l, stateFull)
	s.mu.Unlock()
	s.Quiesce(0)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.setStateLocked(l, stateListening); l.state != statePaused || l.polled {
		t.Errorf("%v", l.state)
	}
}

// A suspension of a service that has lost its socket to another one leaves
// that alone.
func TestSuspendLosesNobody(t *testing.T) {
	one := freeAddr(t)
	s := newTestServer(t, echo("a", one, "")+echo("b", freeAddr(t), ""))
	old := s.listener("a").svc
	s.reload(echo("b", one, "per_source = 3"))
	l := s.listener("b")
	old.listeners = []*listener{l} // as a worker with a ticket from before sees it
	s.mu.Lock()
	defer s.mu.Unlock()
	if old == l.svc {
		t.Fatal("the service was taken over: the test tests nothing")
	}
	if s.suspendLocked(old, time.Hour, ""); l.state != stateListening {
		t.Errorf("%v", l.state)
	}
}

// While a line is broken, no other service takes its socket.
func TestBrokenServiceKeepsItsSocket(t *testing.T) {
	one := freeAddr(t)
	s := newTestServer(t, echo("a", one, ""))
	l := s.listener("a")
	s.reload(echo("a", one, "bogus = 1") + echo("b", one, ""))
	if s.listener("a") != l || l.svc.def.Name != "a" {
		t.Errorf("the socket is %s's", l.svc.def.Name)
	}
	s.logged("b: a (test.toml:1) serves tcp " + one + " already")
}

// A connection is ended once it has been idle for the limit.
func TestAfterIdle(t *testing.T) {
	idle := make(chan time.Duration, 3)
	idle <- 0
	idle <- time.Hour
	ended := make(chan bool)
	afterIdle(20*time.Millisecond, func() (time.Duration, bool) { return <-idle, true }, func() { close(ended) })
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("not ended")
	}
	requested := make(chan bool)
	afterIdle(time.Millisecond, func() (time.Duration, bool) { close(requested); return time.Hour, false }, func() { t.Error("ended, although it is not known to be idle") })
	<-requested
}

// TestReloadsKeepNothing: of services that were removed nothing stays in memory
// but what their programs need, although definitions lie in chunks of many.
func TestReloadsKeepNothing(t *testing.T) {
	conf := func(port int) string {
		var text strings.Builder
		for i := range 1000 {
			text.WriteString(echo(fmt.Sprint("s", i+i/999*port), fmt.Sprintf("127.9.%d.%d:%d", i/250, i%250+1, 7900+i/999*port), ""))
		}
		return text.String()
	}
	s := newTestServer(t, conf(0))
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what the first one has found to be finalized
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for i := range 10 {
		s.reload(conf(2 + i))
	}
	before := heap()
	const reloads = 40
	for i := range reloads {
		s.reload(conf(100 + i))
	}
	if grown := int(heap()) - int(before); grown > reloads*2048 {
		t.Errorf("%d bytes for each service that was removed", grown/reloads)
	}
}
