package netdb

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestServices(t *testing.T) {
	s := ReadServices(file(t, "# comment\nftp 21/tcp\nhttp\t80/tcp www # alias\nhttp 8080/tcp\nshort\nbad x/tcp\n"))
	for _, c := range []struct {
		name, protocol string
		port           int
		ok             bool
	}{
		{"ftp", "tcp", 21, true}, {"www", "tcp", 80, true}, {"http", "tcp", 80, true}, {"ftp", "udp", 0, false}, {"bad", "tcp", 0, false},
		{"7", "udp", 7, true}, {"65535", "tcp", 65535, true}, {"65536", "tcp", 65536, false}, {"0", "tcp", 0, false}, {"-1", "tcp", -1, false},
	} {
		if port, ok := s.Port(c.name, c.protocol); port != c.port || ok != c.ok {
			t.Errorf("%s/%s: %d, %v", c.name, c.protocol, port, ok)
		}
	}
	if s := ReadServices("/nonexistent"); len(s) != 0 {
		t.Errorf("a missing file has %v", s)
	}
}

func TestNetworks(t *testing.T) {
	n := ReadNetworks(file(t, "loopback 127\nlan 192.168.7.0 office\nbad 300.1\nboth 10.0.0.0\n"), file(t, "192.0.2.1 both.example both\n"))
	for name, want := range map[string]string{"loopback": "127.0.0.0/8", "lan": "192.168.7.0/24", "office": "192.168.7.0/24"} {
		if n[name] != netip.MustParsePrefix(want) {
			t.Errorf("%s: %v, want %s", name, n[name], want)
		}
	}
	if len(n) != 3 {
		t.Errorf("%v", n)
	}
}

func TestParseAton(t *testing.T) {
	for text, want := range map[string]string{"192.0.2.1": "192.0.2.1", "10": "0.0.0.10", "127.1": "127.0.0.1", "1.2.3": "1.2.0.3", "0x7f.1": "127.0.0.1", "010.0.0.1": "8.0.0.1", "4294967295": "255.255.255.255"} {
		if a, _, ok := ParseAton(text); !ok || a.String() != want {
			t.Errorf("%s: %v %v, want %s", text, a, ok, want)
		}
	}
	for _, text := range []string{"", "1.2.3.4.5", "256.1.1.1", "1..2", "a.b.c.d", "1_0.0.0.1", "09.1.1.1", "4294967296"} {
		if a, _, ok := ParseAton(text); ok {
			t.Errorf("%q: %v", text, a)
		}
	}
}

// What is added to a database counts without a restart.
func TestTableChanges(t *testing.T) {
	path := file(t, "rstatd 100001 rup # comment\nbad x\n")
	programs := table{path: path, known: map[string]uint32{"always": 7}}
	want := func(name string, number uint32, known bool) {
		t.Helper()
		if n, ok := programs.number(name); n != number || ok != known {
			t.Errorf("%s: %d %v", name, n, ok)
		}
	}
	want("rstatd", 100001, true)
	want("rup", 100001, true)
	want("bad", 0, false)
	want("always", 7, true)
	if err := os.WriteFile(path, []byte("rstatd 100001\nmine 300001\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	want("mine", 300001, true)
	want("rup", 0, false)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	want("mine", 0, false)
	want("always", 7, true)
}
