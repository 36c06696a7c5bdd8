package handover

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/inetd/socket"
)

func TestRoundTrip(t *testing.T) {
	want := State{
		Services:  []json.RawMessage{json.RawMessage(`{"Key":"a"}`), json.RawMessage(`{"Key":"b \"x\""}`)},
		Inputs:    map[string]int{"/etc/inetd.conf": 3},
		Bans:      []Ban{{Addr: netip.MustParseAddr("192.0.2.7")}, {netip.MustParseAddr("2001:db8::1"), time.Unix(1700000000, 0).UTC()}},
		Suspended: []Suspension{{"a", time.Unix(1700000000, 0).UTC(), "Activating service %s"}},
	}
	var b bytes.Buffer
	if err := want.Encode(&b); err != nil {
		t.Fatal(err)
	}
	got, err := Decode(&b)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
	for _, text := range []string{"", "nonsense", `{"Version":99}`, `{"Version":1,"Services":[`} {
		if s, err := Decode(strings.NewReader(text)); err == nil || s.Services != nil {
			t.Errorf("%q: %+v, %v", text, s, err)
		}
	}
}

// store returns a file as the service manager passes it.
func store(t *testing.T, name string, write func(*os.File) error) *socket.Inherited {
	t.Helper()
	file, err := NewFile()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := write(file); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	return &socket.Inherited{FD: fd, Name: name}
}

// Of several states, the newest that is whole counts: a crash can leave one
// half written.
func TestFromStore(t *testing.T) {
	state := func(service string) func(*os.File) error {
		s := State{Services: []json.RawMessage{json.RawMessage(`"` + service + `"`)}}
		return func(f *os.File) error { return s.Encode(f) }
	}
	half := func(f *os.File) error {
		_, err := f.WriteString(`{"Version":1,"Services":["c`)
		return err
	}
	web := &socket.Inherited{FD: -1, Name: "web"}
	s, sockets, err := FromStore([]*socket.Inherited{store(t, StateName(9), state("a")), web, store(t, StateName(10), state("b")), store(t, StateName(11), half)})
	if err != nil || len(s.Services) != 1 || string(s.Services[0]) != `"b"` {
		t.Errorf("%+v, %v", s, err)
	}
	if len(sockets) != 1 || sockets[0] != web || !slices.Equal(s.StoreNames, []string{"inetd-state-9", "inetd-state-10", "inetd-state-11"}) {
		t.Errorf("sockets %+v, names %q", sockets, s.StoreNames)
	}
	if s, _, err := FromStore([]*socket.Inherited{store(t, StateName(1), half)}); err == nil || s.Services != nil {
		t.Errorf("half a state: %+v, %v", s, err)
	}
}

// A table that another process opens has the programs that still run: not
// those that ended, nor others that have their pids.
func TestTable(t *testing.T) {
	cmd := exec.Command("sleep", "100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	table, err := NewTable()
	if err != nil {
		t.Fatal(err)
	}
	now := Uptime().Truncate(1)
	running := []Child{
		{PID: cmd.Process.Pid, Service: KeyHash("a"), Client: netip.MustParseAddrPort("192.0.2.7:40112"), Start: now},
		{PID: cmd.Process.Pid, Service: KeyHash("b"), Client: netip.MustParseAddrPort("[2001:db8::1]:9"), Start: now},
		{PID: os.Getppid(), Service: KeyHash("c"), Start: startOf(t, os.Getppid()), Socket: 812},
	}
	ended := table.Add(Child{PID: cmd.Process.Pid, Service: KeyHash("ended"), Start: now})
	for _, c := range running {
		table.Add(c)
	}
	table.Add(Child{PID: 1 << 30, Start: now})
	table.Add(Child{PID: os.Getppid(), Start: startOf(t, os.Getppid()) - time.Hour}) // another one had that pid
	table.Remove(ended)
	fd, err := unix.FcntlInt(uintptr(table.FD()), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	next, err := OpenTable(fd)
	if err != nil {
		t.Fatal(err)
	}
	got := next.Running()
	slices.SortFunc(got, func(a, b Child) int { return slices.Index(running, a) - slices.Index(running, b) })
	if !slices.Equal(got, running) {
		t.Errorf("\n got %+v\nwant %+v", got, running)
	}
	if again := next.Running(); len(again) != 0 {
		t.Errorf("taken twice: %+v", again)
	}
	// It grows, and reuses what is free.
	slots := map[int]bool{}
	for i := range 5000 {
		slot := next.Add(Child{PID: i + 1})
		if slot < 0 || slots[slot] {
			t.Fatalf("record %d", slot)
		}
		slots[slot] = true
	}
	for slot := range slots {
		next.Remove(slot)
	}
	size := len(next.data)
	for i := range 5000 {
		next.Add(Child{PID: i + 1})
	}
	if len(next.data) != size {
		t.Errorf("%d bytes, before %d", len(next.data), size)
	}
	for _, text := range []string{"", "short", strings.Repeat("x", 4096)} {
		in := store(t, TableName, func(f *os.File) error { _, err := f.WriteString(text); return err })
		if _, err := OpenTable(in.FD); err == nil {
			t.Errorf("%.10q is a table", text)
		}
	}
}

// startOf returns when a process was started, since the host was booted.
func startOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	for at := Uptime(); at > 0; at -= startSlack {
		if (Child{PID: pid, Start: at}).runs() {
			return at
		}
	}
	t.Fatal("no start time")
	return 0
}
