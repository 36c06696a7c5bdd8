package holder

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestUnitOf(t *testing.T) {
	me := userName("0")
	for groups, want := range map[string]string{
		"0::/system.slice/nginx.service\n":                                         "unit nginx.service",
		"0::/user.slice/user-0.slice/user@0.service/app.slice/fetchmail.service\n": "user unit fetchmail.service of " + me,
		"0::/user.slice/user-0.slice/user@0.service/init.scope\n":                  "",
		"0::/user.slice/user-0.slice/session-3.scope\n":                            "login session-3 of " + me,
		"12:pids:/x\n1:name=systemd:/system.slice/cron.service\n0::/\n":            "unit cron.service",
		"0::/init.scope\n": "",
		"0::/\n":           "",
		"":                 "",
	} {
		if got := unitOf(groups); got != want {
			t.Errorf("%q: %q, want %q", groups, got, want)
		}
	}
}

func TestTerminal(t *testing.T) {
	for stat, want := range map[string]string{
		"1 (a) b) S 1 1 1 34816 1":  "terminal pts/0",
		"1 (sh) S 1 1 1 34817 1":    "terminal pts/1",
		"1 (sh) S 1 1 1 1025 1":     "terminal tty1",
		"1 (sh) S 1 1 1 0 -1":       "",
		"1 (sh) S 1 1 1 35072 1":    "terminal pts/256",
		"nonsense without brackets": "",
	} {
		if got := terminal(stat); got != want {
			t.Errorf("%q: %q, want %q", stat, got, want)
		}
	}
}

func TestHexAddr(t *testing.T) {
	for s, want := range map[string]string{
		"0100007F:0007":                         "127.0.0.1:7",
		"00000000:FFFF":                         "0.0.0.0:65535",
		"00000000000000000000000001000000:1F90": "[::1]:8080",
		"B80D0120000000000000000001000000:0007": "[2001:db8::1]:7",
		"0000000000000000FFFF00000100007F:0007": "127.0.0.1:7",
	} {
		if got, ok := hexAddr(s); !ok || got.String() != want {
			t.Errorf("%s: %v %v, want %s", s, got, ok, want)
		}
	}
	for _, s := range []string{"", "zz:00", "0100007F", "010000:0007"} {
		if got, ok := hexAddr(s); ok {
			t.Errorf("%q: %v", s, got)
		}
	}
}

// The holder of a port is found among processes; it can be ourselves.
func TestOwnPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := netip.MustParseAddrPort(l.Addr().String())
	if got := Port("tcp", at); !strings.HasPrefix(got, "pid "+strconv.Itoa(os.Getpid())+" (holder.test, user ") {
		t.Errorf("got %q", got)
	}
	if got := Port("udp", at); got != "" {
		t.Errorf("over udp: %q", got)
	}
	if got := Describe(os.Getpid()); !strings.HasPrefix(got, "pid "+strconv.Itoa(os.Getpid())+" (holder.test, user ") {
		t.Errorf("got %q", got)
	}
}
