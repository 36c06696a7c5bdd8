package inetd

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"goinetd/config"
	"goinetd/inetd/builtin"
	"goinetd/inetd/hosts"
	"goinetd/inetd/syslog"
)

// The tests of this package start no process: they call the engine, or run a
// server whose services need no program.

// patience bounds every wait for an event.
const patience = 20 * time.Second

// A testServer is a server whose log can be read.
type testServer struct {
	*Server
	t   testing.TB
	log string // file
	err error  // of Start
}

// read reads a configuration in TOML.
func read(t testing.TB, text string) ([]*config.Service, []config.Problem) {
	t.Helper()
	return config.ReadTOML("test.toml", text, config.Options{Builtins: builtin.Known(), LogStarts: true})
}

// newTestServer returns a server that serves a configuration, but runs no
// workers.
func newTestServer(t testing.TB, text string, change ...func(*Options)) *testServer {
	t.Helper()
	dir := t.TempDir()
	s := &testServer{t: t, log: filepath.Join(dir, "log")}
	file := syslog.NewFile("", s.log, syslog.Limits{})
	t.Cleanup(func() {
		file.Flush() // lest the file be created again when its folder is removed
		file.Close()
	})
	o := Options{Log: file.Logger, Hosts: hosts.New(filepath.Join(dir, "hosts.allow"), filepath.Join(dir, "hosts.deny"))}
	for _, f := range change {
		f(&o)
	}
	var err error
	if s.Server, err = New(o); err != nil {
		t.Fatal(err)
	}
	_, s.err = s.Start(read(t, text))
	t.Cleanup(func() { s.Stop() })
	return s
}

// run runs the workers until the test ends.
func (s *testServer) run() *testServer {
	ctx, stop := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() { s.Run(ctx) })
	s.t.Cleanup(func() {
		stop()
		ended.Wait()
	})
	return s
}

func (s *testServer) reload(text string) []config.Problem {
	s.t.Helper()
	return s.Apply(read(s.t, text))
}

// logged waits until the log has a text.
func (s *testServer) logged(text string) {
	s.t.Helper()
	for end := time.Now().Add(patience); ; {
		log := s.text()
		if strings.Contains(log, text) {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("no %q in the log:\n%s", text, log)
		}
		time.Sleep(5 * time.Millisecond) // the log is a file: there is no event to wait for
	}
}

// text returns the log.
func (s *testServer) text() string {
	s.Server.log.Flush()
	log, _ := os.ReadFile(s.log)
	return string(log)
}

// until waits until a condition holds, with the lock.
func (s *testServer) until(what string, holds func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		ok := holds()
		s.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// keyOf returns the key of a service.
func (s *testServer) keyOf(name string) string {
	s.t.Helper()
	for key, svc := range s.services.byKey {
		if svc.def.Name == name {
			return key
		}
	}
	s.t.Fatalf("no service %s", name)
	return ""
}

// listener returns the first listener of a service.
func (s *testServer) listener(name string) *listener {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, svc := range s.services.byKey {
		if svc.def.Name == name && len(svc.listeners) > 0 {
			return svc.listeners[0]
		}
	}
	s.t.Fatalf("no listener of %s", name)
	return nil
}

// givenOut are the addresses that freeAddr has returned.
var givenOut sync.Map

// freeAddr returns an address of loopback whose port is free for TCP and UDP.
// It is below those that the kernel assigns to clients, any of which may take
// one between here and its use.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 100 {
		at := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000))
		if _, twice := givenOut.LoadOrStore(at, true); twice {
			continue
		}
		l, err := net.Listen("tcp", at)
		if err != nil {
			continue
		}
		u, err := net.ListenPacket("udp", at)
		l.Close()
		if err == nil {
			u.Close()
			return at
		}
	}
	t.Fatal("no free port")
	return ""
}

func dialTCP(t testing.TB, at string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// exchange sends a text, closes the sending side and returns the reply.
func exchange(t testing.TB, at, text string) string {
	t.Helper()
	c := dialTCP(t, at)
	io.WriteString(c, text)
	c.CloseWrite()
	reply, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(reply)
}

// dialServed connects to an echo service and waits until it is served.
func dialServed(t testing.TB, at string) *net.TCPConn {
	t.Helper()
	c := dialTCP(t, at)
	io.WriteString(c, "x")
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return c
}

func sendDatagram(t testing.TB, at string) {
	t.Helper()
	u, err := net.Dial("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	io.WriteString(u, "x")
}

// echo is a builtin service in TOML.
func echo(name, at, more string) string {
	return fmt.Sprintf("[service.%s]\nlisten = \"tcp:%s\"\nbuiltin = \"echo\"\n%s\n", name, at, more)
}

// TestServe serves what needs no program.
func TestServe(t *testing.T) {
	at, mux, second, refused, full := freeAddr(t), freeAddr(t), freeAddr(t), freeAddr(t), freeAddr(t)
	dir := t.TempDir()
	unix := filepath.Join(dir, "socket")
	banner := filepath.Join(dir, "banner")
	if err := os.WriteFile(banner, []byte("hello\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := newTestServer(t, echo("echo", at, `log_on_success = ["PID", "HOST", "EXIT", "DURATION"]`)+
		echo("greeting", second, fmt.Sprintf("banner = %q", banner))+
		echo("refused", refused, fmt.Sprintf("no_access = [\"127.0.0.0/8\"]\nbanner_fail = %q", banner))+
		echo("full", full, "instances = 1\nqueue = false\n")+
		fmt.Sprintf("[service.udp]\nlisten = \"udp:%s\"\nbuiltin = \"echo\"\n", at)+
		fmt.Sprintf("[service.tcpmux]\nlisten = \"tcp:%s\"\nbuiltin = \"tcpmux\"\n", mux)+
		fmt.Sprintf("[service.local]\nlisten = \"unix:%s\"\nbuiltin = \"daytime\"\n", unix)).run()

	if got := exchange(t, at, "hello"); got != "hello" {
		t.Errorf("echo: %q", got)
	}
	s.logged("START: echo pid=0 from=127.0.0.1")
	s.logged("EXIT: echo status=0 pid=0 duration=0(sec)")
	if got := exchange(t, second, "x"); got != "hello\nx" {
		t.Errorf("with a banner: %q", got)
	}
	if got := exchange(t, refused, ""); got != "hello\n" {
		t.Errorf("a refused client got %q", got)
	}
	s.logged("FAIL: refused(no_access=127.0.0.0/8,test.toml:")

	dialServed(t, full)
	if got := exchange(t, full, ""); got != "" {
		t.Errorf("over instances: %q", got)
	}
	s.logged("FAIL: full service_limit")

	if got := exchange(t, mux, "help\r\n"); got != "" {
		t.Errorf("help of a tcpmux without services: %q", got)
	}
	if got := exchange(t, mux, "nothing\r\n"); got != builtin.Unknown {
		t.Errorf("an unknown tcpmux service: %q", got)
	}

	u, err := net.Dial("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	u.SetDeadline(time.Now().Add(patience))
	io.WriteString(u, "datagram")
	buf := make([]byte, 100)
	if n, err := u.Read(buf); err != nil || string(buf[:n]) != "datagram" {
		t.Errorf("udp: %q, %v", buf[:n], err)
	}
	local, err := net.Dial("unix", unix)
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	if text, _ := io.ReadAll(local); len(text) != 26 {
		t.Errorf("daytime: %q", text)
	}
	if s.Snapshot("").Refused != 2 {
		t.Errorf("%d refusals", s.Snapshot("").Refused)
	}
}

// TestRedirect forwards in both directions, and says so when it cannot.
func TestRedirect(t *testing.T) {
	target, at, broken, nobody := freeAddr(t), freeAddr(t), freeAddr(t), freeAddr(t)
	s := newTestServer(t, echo("echo", target, "")+redirectTo("web", at, target)+"session_timeout = \"1h\"\n"+redirectTo("broken", broken, nobody)).run()
	if got := exchange(t, at, "hello"); got != "hello" {
		t.Errorf("redirect: %q", got)
	}
	s.logged("TRAFFIC: web in=5(bytes) out=5(bytes)")
	s.logged("EXIT: web")
	if got := exchange(t, broken, ""); got != "" {
		t.Errorf("to a port where nobody listens: %q", got)
	}
	s.logged("FAIL: broken redirect: dial tcp")
	s.until("the slots are free", func() bool { return s.running == 0 })
}

// TestHostsAccess consults hosts.allow and hosts.deny, with names looked up.
func TestHostsAccess(t *testing.T) {
	dir := t.TempDir()
	allow, deny := filepath.Join(dir, "allow"), filepath.Join(dir, "deny")
	at := freeAddr(t)
	s := newTestServer(t, echo("echo", at, `libwrap = "echo"`), func(o *Options) { o.Hosts = hosts.New(allow, deny) }).run()
	for _, c := range []struct{ allow, deny, want string }{
		{"", "", "x"},
		{"", "ALL: 127.0.0.1\n", ""},
		{"echo: 127.\n", "ALL: ALL\n", "x"},
		{"other: ALL\n", "echo: ALL\n", ""},
		{"", "echo: nosuchname.example.org\n", "x"},
		{"echo: ALL: severity nonsense\n", "", ""},
		{"echo: ALL: keepalive: severity notice\n", "ALL: ALL\n", "x"},
	} {
		os.WriteFile(allow, []byte(c.allow), 0o644)
		os.WriteFile(deny, []byte(c.deny), 0o644)
		if got := exchange(t, at, "x"); got != c.want {
			t.Errorf("allow %q, deny %q: got %q, want %q", c.allow, c.deny, got, c.want)
		}
	}
	s.logged("FAIL: echo(deny:1) libwrap from=127.0.0.1")
	s.logged("clients are refused until it is corrected")
	s.until("all look-ups have ended", func() bool { return s.lookups.Running() == 0 && s.running == 0 })
}

// TestDatagramHostsAccess refuses datagrams by hosts.deny: by the address that
// they were sent to, and with twist, which they do not get. Neither keeps a
// slot of its service.
func TestDatagramHostsAccess(t *testing.T) {
	for _, rule := range []string{"ALL: ALL: twist /bin/true", "x@127.0.0.1: ALL"} {
		dir, at := t.TempDir(), freeAddr(t)
		deny := filepath.Join(dir, "deny")
		if err := os.WriteFile(deny, []byte(rule+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		s := newTestServer(t, fmt.Sprintf("[service.x]\nlisten = \"udp:%s\"\nuser = \"nobody\"\nserver = \"/bin/false\"\nlibwrap = \"x\"\n", at),
			func(o *Options) { o.Hosts = hosts.New(filepath.Join(dir, "allow"), deny) }).run()
		sendDatagram(t, at)
		s.logged("FAIL: x(deny:1) libwrap")
		l := s.listener("x")
		s.until("its slot is free", func() bool {
			return s.refusals == 1 && s.running == 0 && l.svc.gate.Running() == 0 && l.state == stateListening
		})
	}
}

// TestSensor bans who comes to a sensor, from every service and over UDP too.
func TestSensor(t *testing.T) {
	at, trap := freeAddr(t), freeAddr(t)
	s := newTestServer(t, echo("echo", at, "")+
		fmt.Sprintf("[service.trap]\nlisten = \"tcp:%s\"\nuser = \"nobody\"\nserver = \"/bin/true\"\nflags = [\"SENSOR\"]\ndeny_time = \"FOREVER\"\n", trap)+
		fmt.Sprintf("[service.udp]\nlisten = \"udp:%s\"\nbuiltin = \"echo\"\n", at)).run()
	if got := exchange(t, at, "x"); got != "x" {
		t.Errorf("before: %q", got)
	}
	exchange(t, trap, "")
	s.logged("trap: sensor: 127.0.0.1 is banned from every service")
	if got := exchange(t, at, "x"); got != "" {
		t.Errorf("after: %q", got)
	}
	s.logged("FAIL: echo(sensor) address from=127.0.0.1")
	sendDatagram(t, at)
	s.logged("FAIL: udp(sensor) address from=127.0.0.1")
}

// TestWaitRefused discards the datagram of a sender that a wait service's
// program is not to be started for.
func TestWaitRefused(t *testing.T) {
	at := freeAddr(t)
	s := newTestServer(t, fmt.Sprintf("[service.tftp]\nlisten = \"udp:%s\"\nuser = \"nobody\"\nserver = \"/bin/false\"\nonly_from = [\"192.0.2.1\"]\n", at)).run()
	for range 3 {
		sendDatagram(t, at)
	}
	s.logged("FAIL: tftp(only_from,test.toml:")
	l := s.listener("tftp")
	s.until("three refusals and no program", func() bool {
		return s.refusals == 3 && s.running == 0 && l.state == stateListening && l.users == 0
	})
	log, _ := os.ReadFile(s.log)
	if n := strings.Count(string(log), "FAIL: tftp"); n != 1 {
		t.Errorf("%d lines of one sender within a minute", n)
	}
}

// A fakeNotifier notes what the service manager would be told.
type fakeNotifier struct {
	mu     sync.Mutex
	texts  []string
	stored map[string]bool
}

func (n *fakeNotifier) Status(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.texts = append(n.texts, text)
}

func (n *fakeNotifier) Store(_ int, name string) bool { n.AddStored(name); return true }

func (n *fakeNotifier) AddStored(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stored == nil {
		n.stored = map[string]bool{}
	}
	n.stored[name] = true
}

func (n *fakeNotifier) Unstore(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.stored, name)
}

func (n *fakeNotifier) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	sockets := 0
	for name := range n.stored {
		if strings.HasPrefix(name, "kept-") {
			sockets++
		}
	}
	return sockets
}

// TestNotifier stores our sockets, reports the state, and beats.
func TestNotifier(t *testing.T) {
	n := &fakeNotifier{}
	one, two := freeAddr(t), freeAddr(t)
	s := newTestServer(t, echo("one", one, "")+echo("two", two, ""), func(o *Options) { o.Notifier = n }).run()
	if n.count() != 2 {
		t.Errorf("%d sockets are stored", n.count())
	}
	s.reload(echo("one", one, ""))
	if n.count() != 1 {
		t.Errorf("%d sockets are stored after a reload without one", n.count())
	}
	beaten := make(chan bool, 10)
	send, err := s.Heartbeat(func() { beaten <- true })
	if err != nil {
		t.Fatal(err)
	}
	send()
	select {
	case <-beaten:
	case <-time.After(patience):
		t.Error("no worker answers the heartbeat")
	}
	exchange(t, one, "x")
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		n.mu.Lock()
		ok := len(n.texts) > 0 && n.texts[len(n.texts)-1] == "1 service, 0 programs running, 0 clients refused"
		n.mu.Unlock()
		if ok {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("reported: %q", n.texts)
		}
	}
}

func TestStatusChange(t *testing.T) {
	var c statusChange
	if !c.add() || c.add() || c.add() {
		t.Error("only the first change wants a report")
	}
	if c.reported(); !c.add() {
		t.Error("a change after the report wants another")
	}
}

// TestSnapshot has the lines of SIGUSR1.
func TestSnapshot(t *testing.T) {
	at := freeAddr(t)
	s := newTestServer(t, echo("echo", at, "instances = 5\nper_source = 2")+
		"[service.mux]\ntype = \"tcpmux\"\nuser = \"nobody\"\nserver = \"/bin/cat\"\n"+
		fmt.Sprintf("[service.web]\nlisten = \"tcp:%s\"\nuser = \"nobody\"\nredirect = [\"192.0.2.1\", \"80\"]\n", freeAddr(t)))
	got := strings.Join(stateLines(s.Snapshot(""), s.now()), "\n")
	for _, want := range []string{
		"up 0s, 3 services, 0 programs running, 0 clients refused\n",
		fmt.Sprintf("echo tcp %s (listening) user=nobody server=\"internal echo\" running=0 starts=0/min instances=5 per_source=2\n", at),
		"mux user=nobody server=\"/bin/cat\" running=0 starts=0/min\n",
		"server=\"redirect 192.0.2.1:80\"",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	s.LogState()
	s.logged("STATE: end")
	if names := s.Missing(nil); strings.Join(names, " ") != "echo mux web" {
		t.Errorf("missing %q", names)
	}
}

// TestQuiesce stops accepting and waits for clients without programs.
func TestQuiesce(t *testing.T) {
	at := freeAddr(t)
	s := newTestServer(t, echo("echo", at, "")).run()
	c := dialServed(t, at)
	done := make(chan bool)
	go func() {
		s.Quiesce(patience)
		close(done)
	}()
	l := s.listener("echo")
	s.until("it is paused", func() bool { return l.state == statePaused })
	select {
	case <-done:
		t.Fatal("a client is being served")
	default:
	}
	c.Close()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("the client has gone, and it still waits")
	}
}
