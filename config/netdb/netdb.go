// Package netdb reads the host's databases of names: services(5),
// protocols(5), networks(5) and rpc(5).
//
// A file that is missing or cannot be read is an empty one: numbers work
// without it.
package netdb

import (
	"bufio"
	"maps"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
)

// Services maps "name/protocol" to a port, aliases included.
type Services map[string]int

// ReadServices reads a services(5) file.
func ReadServices(path string) Services {
	s := Services{}
	readDatabase(path, func(name string, fields []string) {
		number, protocol, ok := strings.Cut(fields[1], "/")
		port, err := strconv.Atoi(number)
		if !ok || err != nil {
			return
		}
		if _, taken := s[name+"/"+protocol]; !taken {
			s[name+"/"+protocol] = port
		}
	})
	return s
}

// Port returns the port of a service by name, or by a number from 1 to 65535.
// For a number that is out of range it returns that number and false.
func (s Services) Port(name, protocol string) (int, bool) {
	if n, err := strconv.Atoi(name); err == nil {
		return n, n > 0 && n <= 65535
	}
	n, ok := s[name+"/"+protocol]
	return n, ok
}

// readDatabase calls entry for each name and alias of a file whose lines are
// "name value alias ...".
func readDatabase(path string, entry func(name string, fields []string)) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) < 2 {
			continue
		}
		for i, name := range fields {
			if i != 1 {
				entry(name, fields)
			}
		}
	}
}

// A table has what a database says, and is read again when the file is another
// one: an administrator who is told that a name is missing adds it, and reloads.
type table struct {
	path  string
	known map[string]uint32 // whatever the file says

	mu      sync.Mutex
	numbers map[string]uint32
	file    os.FileInfo // that was read; nil: there was none
	read    bool
}

var (
	protocols = table{path: "/etc/protocols", known: map[string]uint32{"icmp": 1, "ipv6-icmp": 58, "icmp6": 58}}
	programs  = table{path: "/etc/rpc"}
)

func (t *table) number(name string) (uint32, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	file, err := os.Stat(t.path)
	if err != nil {
		file = nil
	}
	if !t.read || !sameFile(file, t.file) {
		t.numbers = map[string]uint32{}
		maps.Copy(t.numbers, t.known)
		readDatabase(t.path, func(name string, fields []string) {
			if n, err := strconv.ParseUint(fields[1], 10, 32); err == nil {
				t.numbers[name] = uint32(n)
			}
		})
		t.file, t.read = file, true
	}
	n, ok := t.numbers[name]
	return n, ok
}

func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// Protocol returns the IP protocol number of a name of /etc/protocols.
func Protocol(name string) (int, bool) {
	n, ok := protocols.number(name)
	return int(n), ok
}

// Program returns the number of an RPC program by its name in /etc/rpc.
func Program(name string) (uint32, bool) { return programs.number(name) }

// ReadNetworks reads a networks(5) file: networks by name in lower case. A
// network is as long as its octets up to the last that is not 0. Names that
// the hosts(5) file has as well are left out.
func ReadNetworks(path, hostsPath string) map[string]netip.Prefix {
	networks := map[string]netip.Prefix{}
	readDatabase(path, func(name string, fields []string) {
		if a, ok := networkAddr(fields[1]); ok {
			networks[strings.ToLower(name)] = netip.PrefixFrom(a, WildcardBits(a))
		}
	})
	hosts, err := os.ReadFile(hostsPath)
	if err != nil {
		return networks
	}
	for line := range strings.Lines(string(hosts)) {
		line, _, _ = strings.Cut(line, "#")
		for _, name := range strings.Fields(line) {
			delete(networks, strings.ToLower(name))
		}
	}
	return networks
}

// networkAddr reads a network's number, where 127 stands for 127.0.0.0.
func networkAddr(text string) (netip.Addr, bool) {
	a, parts, ok := ParseAton(text)
	if !ok || parts == 4 {
		return a, ok
	}
	octets := [4]byte{}
	for i, part := range strings.Split(text, ".") {
		v, err := strconv.ParseUint(part, 10, 8)
		if err != nil {
			return netip.Addr{}, false
		}
		octets[i] = byte(v)
	}
	return netip.AddrFrom4(octets), true
}

// WildcardBits returns how many bits of an IPv4 address count where trailing
// octets of 0 stand for any: 16 for 192.168.0.0.
func WildcardBits(a netip.Addr) int {
	octets := a.As4()
	n := 4
	for n > 0 && octets[n-1] == 0 {
		n--
	}
	return 8 * n
}

// ParseAton reads an IPv4 address in the forms of inet_aton(3): one to four
// parts, the last of which fills the remaining octets, in decimal, octal or
// hexadecimal.
func ParseAton(text string) (_ netip.Addr, parts int, ok bool) {
	words := strings.Split(text, ".")
	if len(words) > 4 {
		return netip.Addr{}, 0, false
	}
	var n uint64
	for i, w := range words {
		if w == "" || w[0] < '0' || w[0] > '9' || strings.Contains(w, "_") {
			return netip.Addr{}, 0, false
		}
		base := 10
		if len(w) > 1 && w[0] == '0' {
			base, w = 8, w[1:]
			if w[0]|0x20 == 'x' {
				base, w = 16, w[1:]
			}
		}
		v, err := strconv.ParseUint(w, base, 32)
		width := 8
		if i == len(words)-1 {
			width = 8 * (5 - len(words))
		}
		if err != nil || v >= 1<<width {
			return netip.Addr{}, 0, false
		}
		n = n<<width | v
	}
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), len(words), true
}
