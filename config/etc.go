package config

import (
	"bufio"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
)

// builtinPorts are the ports of the services that inetd answers itself, for
// hosts whose /etc/services is missing or short (RFC 862 to 868, RFC 1078).
var builtinPorts = map[string]int{
	"tcpmux": 1, "echo": 7, "discard": 9, "daytime": 13, "chargen": 19, "time": 37,
}

// builtinAliases are the other names that /etc/services has always had.
var builtinAliases = map[string]string{
	"sink": "discard", "null": "discard", "ttytst": "chargen", "source": "chargen", "timserver": "time",
}

// builtinName gives the builtin that a service name stands for, or "".
func builtinName(service string) string {
	name := strings.ToLower(service)
	if alias, ok := builtinAliases[name]; ok {
		name = alias
	}
	if _, ok := builtinPorts[name]; ok {
		return name
	}
	for known, port := range builtinPorts {
		if service == strconv.Itoa(port) {
			return known
		}
	}
	return ""
}

// A services is the content of /etc/services: "name/protocol" to port, the
// aliases too (services(5)).
type services map[string]int

// port finds a service of a protocol by name or number.
func (s services) port(name, protocol string) (int, bool) {
	if n, err := strconv.Atoi(name); err == nil {
		return n, n > 0 && n <= 65535
	}
	if n, ok := s[name+"/"+protocol]; ok {
		return n, true
	}
	if b := builtinName(name); b != "" {
		return builtinPorts[b], true
	}
	return 0, false
}

// An etc is what the host's databases say that readers ask.
type etc struct {
	ports        services
	networks     map[string]netip.Prefix // nil: not read yet
	networksFile string
	hostsFile    string
}

func readEtc(o Options) *etc {
	path := o.Services
	if path == "" {
		path = "/etc/services"
	}
	return &etc{ports: readServices(path), networksFile: "/etc/networks", hostsFile: "/etc/hosts"}
}

// database reads one of the /etc files of three columns and aliases
// (services(5), protocols(5)). A file that cannot be read is an empty one:
// numbers and the builtins' names work without it.
func database(path string, entry func(name string, fields []string)) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
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

func readServices(path string) services {
	s := services{}
	database(path, func(name string, fields []string) {
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

// protocolNumber looks a name up in /etc/protocols.
var protocolNumber = sync.OnceValue(func() func(string) (int, bool) {
	table := map[string]int{"icmp": 1, "ipv6-icmp": 58, "icmp6": 58}
	database("/etc/protocols", func(name string, fields []string) {
		if n, err := strconv.Atoi(fields[1]); err == nil {
			table[name] = n
		}
	})
	return func(name string) (int, bool) {
		n, ok := table[name]
		return n, ok
	}
})
