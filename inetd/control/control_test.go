package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for an event.
const patience = 30 * time.Second

// asClient is the environment variable that makes the test binary a client of the
// socket that it names.
const asClient = "GOINETD_TEST_CLIENT"

func TestMain(m *testing.M) {
	if path := os.Getenv(asClient); path != "" {
		c, err := Dial(path)
		if err == nil {
			_, err = c.Call(Request{Verb: VerbStatus})
		}
		fmt.Println(err)
		return
	}
	os.Exit(m.Run())
}

// The socket is for root, and for a group where one is named. Others learn that.
func TestStrangers(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("root is missing")
		}
		t.Skip("root is missing")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const group = 65531
	dir, err := os.MkdirTemp("/tmp", "inetd-control")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	os.Chmod(dir, 0o755)
	text, err := os.ReadFile(self)
	if err == nil {
		self = dir + "/client"
		err = os.WriteFile(self, text, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(self, 0o755)
	for _, c := range []struct {
		gid    int // of the socket
		user   syscall.Credential
		answer string
	}{
		{-1, syscall.Credential{}, "<nil>"},
		{-1, syscall.Credential{Uid: 65532, Gid: group}, "control: permission denied: it is for root (inetd --control-group=GROUP lets a group use it)"},
		{group, syscall.Credential{Uid: 65532, Gid: 65532}, "control: permission denied: it is for root, and for the group with the number 65531"},
		{group, syscall.Credential{Uid: 65532, Gid: group}, "<nil>"},
		{group, syscall.Credential{Uid: 65532, Gid: 65532, Groups: []uint32{65530, group}}, "<nil>"},
	} {
		s, err := Listen(dir+"/run/control", c.gid, &fake{}, func() {})
		if err != nil {
			t.Fatal(err)
		}
		client := exec.Command(self)
		client.Env = append(os.Environ(), asClient+"="+dir+"/run/control")
		client.SysProcAttr = &syscall.SysProcAttr{Credential: &c.user}
		if out, err := client.CombinedOutput(); err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), c.answer) {
			t.Errorf("%+v: %q %v, want %q", c.user, out, err, c.answer)
		}
		s.Close(false)
	}
}

// A fake is a Backend that notes what it is asked for.
type fake struct {
	mu        sync.Mutex
	asked     []string
	followers map[int]func(Event)
	last      int
	drained   chan struct{} // Drain returns when it is closed
}

func (f *fake) note(what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, what)
	if strings.HasSuffix(what, " missing") {
		return errors.New("there is no service")
	}
	return nil
}

func (f *fake) Status(s string) (*Status, error) { return &Status{PID: 7}, f.note("status " + s) }
func (f *fake) Reload(context.Context) ([]Problem, error) {
	return []Problem{{Severity: "error", Text: "bad"}}, f.note("reload")
}
func (f *fake) Upgrade(context.Context) error { return f.note("upgrade") }
func (f *fake) Start(s string) error          { return f.note("start " + s) }
func (f *fake) Stop(s string) error           { return f.note("stop " + s) }
func (f *fake) Pause(s string) error          { return f.note("pause " + s) }
func (f *fake) Kick(s string) (int, error)    { return 3, f.note("kick " + s) }
func (f *fake) Why(s string, a, _ netip.Addr) (*Verdict, error) {
	return &Verdict{Admitted: true}, f.note("why " + s + " " + a.String())
}

func (f *fake) Drain(ctx context.Context, s string) error {
	f.note("drain " + s)
	select {
	case <-f.drained:
		return nil
	case <-ctx.Done():
		f.note("drain given up")
		return ctx.Err()
	}
}

func (f *fake) Follow(_ string, one func(Event)) func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.followers == nil {
		f.followers = map[int]func(Event){}
	}
	f.last++
	id := f.last
	f.followers[id] = one
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.followers, id)
	}
}

func (f *fake) Trace(service string, n int, one func(Step)) (func(), error) {
	for i := range n {
		one(Step{Service: service, Connection: i + 1, Last: true})
	}
	return func() { f.note("trace stopped") }, f.note(fmt.Sprintf("trace %d %s", n, service))
}

func (f *fake) publish(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range f.followers {
		one(e)
	}
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.followers)
}

func (f *fake) has(what string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Contains(strings.Join(f.asked, ","), what)
}

func listen(t testing.TB, f *fake) (path string, s *Server) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "inetd", "control")
	s, err := Listen(path, -1, f, func() {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(false) })
	return path, s
}

func dial(t testing.TB, path string) *Client {
	t.Helper()
	c, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// Every verb gets to the backend, and its answer back; several requests go over
// one connection.
func TestVerbs(t *testing.T) {
	f := &fake{drained: make(chan struct{})}
	close(f.drained)
	path, _ := listen(t, f)
	c := dial(t, path)
	for _, one := range []struct {
		r    Request
		want string
	}{
		{Request{Verb: VerbStatus, Service: "a"}, "status a"}, {Request{Verb: VerbReload}, "reload"}, {Request{Verb: VerbUpgrade}, "upgrade"},
		{Request{Verb: VerbStart, Service: "a"}, "start a"}, {Request{Verb: VerbStop, Service: "a"}, "stop a"}, {Request{Verb: VerbPause, Service: "a"}, "pause a"},
		{Request{Verb: VerbDrain, Service: "a"}, "drain a"}, {Request{Verb: VerbKick, Target: "a"}, "kick a"},
		{Request{Verb: VerbWhy, Service: "a", Target: "::ffff:192.0.2.1"}, "why a 192.0.2.1"},
	} {
		response, err := c.Call(one.r)
		if err != nil || !f.has(one.want) {
			t.Errorf("%+v: %+v %v", one.r, response, err)
		}
	}
	if r, err := c.Call(Request{Verb: VerbReload}); err != nil || len(r.Problems) != 1 || r.Problems[0].Text != "bad" {
		t.Errorf("%+v %v", r, err)
	}
	for verb, want := range map[string]string{"nonsense": `unknown verb "nonsense"`, VerbWhy: "ParseAddr"} {
		if _, err := c.Call(Request{Verb: verb}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", verb, err)
		}
	}
	if _, err := c.Call(Request{Verb: VerbStop, Service: "missing"}); err == nil || err.Error() != "there is no service" {
		t.Error(err)
	}
}

// A trace has as many connections as are asked for, and ends with its client; one
// of a service that is not there is refused.
func TestTrace(t *testing.T) {
	f := &fake{}
	path, _ := listen(t, f)
	c := dial(t, path)
	seen := -1 // the first response has no step
	err := c.Follow(Request{Verb: VerbTrace, Service: "a", N: 3}, func(r *Response) bool {
		seen++
		return seen < 3
	})
	if err != nil || seen != 3 || !f.has("trace 3 a") {
		t.Errorf("%d steps, %v", seen, err)
	}
	c.Close()
	until(t, "it is stopped", func() bool { return f.has("trace stopped") })
	err = dial(t, path).Follow(Request{Verb: VerbTrace, Service: "missing"}, func(*Response) bool { return true })
	if err == nil || err.Error() != "there is no service" {
		t.Error(err)
	}
}

// A socket of an inetd that has ended is replaced, one of an inetd that runs is
// not; the file is gone at the end.
func TestListen(t *testing.T) {
	path, s := listen(t, &fake{})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if _, err := Listen(path, -1, &fake{}, func() {}); err == nil || !strings.Contains(err.Error(), "another inetd answers at ") {
		t.Error(err)
	}
	s.Close(true)
	if _, err := os.Stat(path); err != nil {
		t.Error("for an inetd that follows:", err)
	}
	again, err := Listen(path, -1, &fake{}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dial(t, path).Call(Request{Verb: VerbStatus}); err != nil {
		t.Error(err)
	}
	again.Close(false)
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Error(err)
	}
	if _, err := Dial(path); !errors.Is(err, ErrNoDaemon) || !strings.Contains(err.Error(), "systemctl start inetd") {
		t.Error(err)
	}
}

// A drain whose client goes away ends.
func TestDrainGivenUp(t *testing.T) {
	f := &fake{drained: make(chan struct{})}
	path, _ := listen(t, f)
	c := dial(t, path)
	if err := c.send(Request{Verb: VerbDrain, Service: "a"}); err != nil {
		t.Fatal(err)
	}
	until(t, "it drains", func() bool { return f.has("drain a") })
	c.Close()
	until(t, "it is given up", func() bool { return f.has("drain given up") })
}

// Followers that do not read are cut off and keep nobody waiting; one that reads
// misses nothing.
func TestSlowFollowers(t *testing.T) {
	f := &fake{}
	path, _ := listen(t, f)
	const slow, events = 100, 20000
	for range slow {
		if err := dial(t, path).send(Request{Verb: VerbEvents}); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "all follow", func() bool { return f.count() == slow })
	text := strings.Repeat("x", 200)
	for range events {
		f.publish(Event{Text: text})
	}
	until(t, "the slow ones are cut off", func() bool { return f.count() == 0 })

	c := dial(t, path)
	seen := 0
	err := c.Follow(Request{Verb: VerbEvents}, func(r *Response) bool {
		if r.Event == nil {
			go func() {
				for range 500 {
					f.publish(Event{Text: text})
				}
			}()
			return true
		}
		seen++
		return seen < 500
	})
	if err != nil || seen != 500 {
		t.Errorf("%d events, %v", seen, err)
	}
}

// More clients than may be are refused, with the reason.
func TestMaxClients(t *testing.T) {
	path, s := listen(t, &fake{})
	for range maxClients {
		dial(t, path)
	}
	until(t, "all are connected", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.clients) == maxClients
	})
	if _, err := dial(t, path).Call(Request{Verb: VerbStatus}); err == nil || !strings.Contains(err.Error(), "128 clients are connected") {
		t.Error(err)
	}
}

// Whatever a client sends, every line is answered by a line, and the next client
// is served.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{`{"version":1,"verb":"status"}`, `{"version":2}`, `{"version":1,"verb":"why","target":"::1%x"}`, `{"version":1,"verb":5}`, "\x00", "[]", strings.Repeat("[", 1000), `{"version":1,"verb":"kick","target":"\ud800"}`} {
		f.Add([]byte(seed))
	}
	path, _ := listen(f, &fake{drained: make(chan struct{})})
	f.Fuzz(func(t *testing.T, line []byte) {
		if strings.ContainsAny(string(line), "\n\r") {
			t.Skip("more lines than one")
		}
		var r Request
		if json.Unmarshal(line, &r) == nil && (r.Verb == VerbDrain || r.Verb == VerbEvents || r.Verb == VerbTrace) {
			t.Skip("waits")
		}
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		c.Write(append(line, '\n'))
		answer, err := bufio.NewReader(c).ReadBytes('\n')
		var response Response
		if err != nil || json.Unmarshal(answer, &response) != nil || response.Version != Version {
			t.Errorf("%q: %q %v", line, answer, err)
		}
	})
}
