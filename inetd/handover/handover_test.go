package handover

import (
	"bytes"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/socket"
)

func TestRoundTrip(t *testing.T) {
	a := socket.Address{Network: "tcp", Type: config.Stream, Addr: netip.MustParseAddrPort("127.0.0.1:0")}
	fd, err := socket.Open(a, socket.Options{Backlog: 1, UID: -1, GID: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	want := State{
		Sockets: []*socket.Inherited{socket.Retain(fd, ""), socket.Retain(fd, `kept-12 "x"`)},
		Children: []Child{
			{PID: 812, Service: "echo/stream tcp0 ", Client: netip.MustParseAddrPort("192.0.2.7:40112"), Start: time.Unix(1700000000, 123456789)},
			{PID: 813, Service: "name with \"quotes\"\nand a line", Client: netip.MustParseAddrPort("[2001:db8::1]:9"), Start: time.Unix(0, 1)},
			{PID: 814, Service: "local", Start: time.Unix(5, 0)},
		},
	}
	var b bytes.Buffer
	if err := want.Encode(&b); err != nil {
		t.Fatal(err)
	}
	got, err := Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Children, want.Children) {
		t.Errorf("children\n got %+v\nwant %+v", got.Children, want.Children)
	}
	if len(got.Sockets) != len(want.Sockets) {
		t.Fatalf("%d sockets", len(got.Sockets))
	}
	for i, in := range got.Sockets {
		if in.FD != want.Sockets[i].FD || in.Name != want.Sockets[i].Name || in.Address.Network != "tcp" || in.Address.Addr.Port() == 0 {
			t.Errorf("socket %d: %+v, want %+v", i, in, want.Sockets[i])
		}
	}
	if flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
		t.Error("a received socket leaks into programs")
	}
}

func TestDecodeErrors(t *testing.T) {
	for _, text := range []string{"nonsense", "socket x \"y\"", "socket 3", "child 1 2", `child 1 2 nowhere "x"`, `child x 2 - "x"`} {
		if s, err := Decode(strings.NewReader(`child 7 1 - "first"` + "\n" + text + "\n")); err == nil || len(s.Children) != 1 {
			t.Errorf("%q: %+v, %v", text, s, err)
		}
	}
}
