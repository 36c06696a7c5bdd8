package handover

import (
	"fmt"
	"iter"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/inetd/reliability"
	"goinetd/inetd/socket"
)

// lines returns records.
func lines(list ...string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, one := range list {
			if !yield([]byte(one)) {
				return
			}
		}
	}
}

// records returns the records of a state.
func records(s State) (list []string) {
	for r := range s.Records() {
		list = append(list, string(r))
	}
	return list
}

func TestRoundTrip(t *testing.T) {
	want := State{
		Number: 7, Inputs: map[string]int{"/etc/inetd.conf": 3}, Files: []string{"/etc/inetd.conf"},
		Bans:      []Ban{{Network: netip.MustParsePrefix("192.0.2.7/32")}, {netip.MustParsePrefix("2001:db8::/64"), time.Unix(1700000000, 0).UTC()}},
		Suspended: []Suspension{{Service: "a", Until: time.Unix(1700000000, 0).UTC(), Resumed: "Activating service %s"}, {Service: "b", Paused: true}},
	}
	long := `{"Key":"` + strings.Repeat("x", 100_000) + `"}`
	if err := want.Write(lines(`{"Key":"a"}`, long, `{"Key":"c"}`)); err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	got, err := read(want.File())
	if list := records(got); err != nil || !slices.Equal(list, []string{`{"Key":"a"}`, long, `{"Key":"c"}`}) {
		t.Errorf("%d records, %v", len(list), err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	for range got.Records() { // which may stop early
		break
	}
	var empty State
	if records(empty) != nil || empty.FD() != -1 {
		t.Error("a state without a file has records")
	}
	for _, text := range []string{"", "nonsense", "nonsense\nend\n", "{Version:99 }\nend\n", "{Version:1 }\n{Key:", "{Version:1 }\n{}\n", "{Version:1 Bogus:2 }\nend\n"} {
		if s, err := read(file(t, text)); err == nil || s.Version != 0 {
			t.Errorf("%q: %+v, %v", text, s, err)
		}
	}
}

func file(t *testing.T, text string) *os.File {
	t.Helper()
	f, err := NewFile()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	return f
}

// stored returns a copy of a file, as the service manager passes it.
func stored(t *testing.T, name string, fd int) *socket.Inherited {
	t.Helper()
	two, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	return &socket.Inherited{FD: two, Name: name}
}

// Of several states, the newest that is whole counts: a crash can leave one
// half written.
func TestFromStore(t *testing.T) {
	state := func(record string) int {
		var s State
		if err := s.Write(lines(record)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s.FD()
	}
	half := int(file(t, "{Version:1 }\n{Key:").Fd())
	web := &socket.Inherited{FD: -1, Name: "web"}
	s, sockets, err := FromStore([]*socket.Inherited{stored(t, StateName(9), state("a")), web, stored(t, StateName(10), state("b")), stored(t, StateName(11), half)})
	if list := records(s); err != nil || !slices.Equal(list, []string{"b"}) || s.Number != 10 {
		t.Errorf("%q, number %d, %v", list, s.Number, err)
	}
	if len(sockets) != 1 || sockets[0] != web || !slices.Equal(s.StoreNames, []string{"inetd-state-9", "inetd-state-10", "inetd-state-11"}) {
		t.Errorf("sockets %+v, names %q", sockets, s.StoreNames)
	}
	if s, _, err := FromStore([]*socket.Inherited{stored(t, StateName(1), half)}); err == nil || records(s) != nil {
		t.Errorf("half a state: %+v, %v", s, err)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Managers, Did: "a crash while the state for the next process is written",
		Saw: "the state before is used"})
}

// What an exec leaves is received with the number under which the service
// manager has a copy, lest that stay there for ever.
func TestReceive(t *testing.T) {
	s := State{Number: 7}
	if err := s.Write(lines("a")); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	t.Setenv(Variable, strconv.Itoa(stored(t, "", s.FD()).FD))
	got, err := Receive()
	if err != nil || !slices.Equal(got.StoreNames, []string{"inetd-state-7"}) || !slices.Equal(records(got), []string{"a"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if again, err := Receive(); err != nil || again.Version != 0 {
		t.Errorf("received twice: %+v, %v", again, err)
	}
	got.Close()
}

// The sockets of a version before this form are received all the same.
func TestReceiveUnversioned(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	fd := stored(t, "", int(f.Fd())).FD
	f.Close()
	text := fmt.Sprintf("socket %d \"left-\"\nchild 812 1700000000 192.0.2.7:40112 \"echo/stream tcp0 \"\n", fd)
	t.Setenv(Variable, strconv.Itoa(stored(t, "", int(file(t, text).Fd())).FD))
	got, err := Receive()
	if err != nil || len(got.Sockets) != 1 || got.Sockets[0].Address.Addr.String() != l.Addr().String() || !got.Sockets[0].Retained() || records(got) != nil || len(got.Children) != 1 || got.Children[0].PID != 812 {
		t.Errorf("%+v, %v", got, err)
	}
	unix.Close(fd)
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
		{PID: cmd.Process.Pid, Service: 11, Client: netip.MustParseAddrPort("192.0.2.7:40112"), Start: now},
		{PID: cmd.Process.Pid, Service: 12, Client: netip.MustParseAddrPort("[2001:db8::1]:9"), Start: now},
		{PID: os.Getppid(), Service: 13, Start: startOf(t, os.Getppid()), Socket: 812},
	}
	ended := table.Add(Child{PID: cmd.Process.Pid, Service: 14, Start: now})
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
		if _, err := OpenTable(int(file(t, text).Fd())); err == nil {
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
