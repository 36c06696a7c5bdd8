// Package config is what the administrator wrote: one model of a service,
// whichever dialect described it. It knows nothing of sockets, users or
// processes; it reads text and says what is wrong with it.
//
// Each dialect has a reader of its own (inetd.conf: inetdconf.go). A reader
// settles the habits of its dialect, such as where argv begins or what an
// unwritten limit means, so that nobody behind it has to know them.
package config

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// SocketType is the kind of socket a service is reached by, in the words of
// inetd.conf's second field.
type SocketType string

// The socket types of inetd(8).
const (
	Stream    SocketType = "stream"
	Dgram     SocketType = "dgram"
	Seqpacket SocketType = "seqpacket"
	RDM       SocketType = "rdm"
	Raw       SocketType = "raw"
)

// Family says which address families a listener is opened for.
type Family int

// A service on Both is two sockets, one for each family, so that the program
// gets AF_INET for an IPv4 client. Mapped is one IPv6 socket that takes IPv4
// clients as ::ffff:a.b.c.d, for programs that want it so (tcp46).
const (
	Both Family = iota
	IPv4
	IPv6
	Mapped
)

// A Listen is one place where a service is to be reached.
type Listen struct {
	Network string // "tcp", "udp", "unix", or a name of /etc/protocols for a raw socket
	Family  Family // not for unix
	Host    string // address or name; empty: every address
	Port    int    // tcp and udp
	Proto   int    // IP protocol number, where Network is neither tcp, udp nor unix

	Path  string      // unix: the socket's file
	Owner string      // unix: its owner; empty: the daemon's user
	Group string      // unix: its group; empty: the daemon's group
	Mode  fs.FileMode // unix: its permissions
}

// String gives the listener as the logs name it: "tcp:7", "tcp6:[::1]:7",
// "unix:/run/x.sock".
func (l Listen) String() string {
	if l.Network == "unix" {
		return "unix:" + l.Path
	}
	name := l.protocol()
	if l.Network != "tcp" && l.Network != "udp" {
		return name + ":" + l.Host
	}
	host := l.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if host != "" {
		host += ":"
	}
	return name + ":" + host + strconv.Itoa(l.Port)
}

// protocol gives the network with its family, as inetd.conf has it: "tcp6".
func (l Listen) protocol() string {
	return l.Network + [...]string{Both: "", IPv4: "4", IPv6: "6", Mapped: "46"}[l.Family]
}

// LogSet is a set of the things that a START, EXIT or FAIL line can tell, by
// the values of xinetd's log_on_success and log_on_failure.
type LogSet uint8

// The members of a LogSet.
const (
	LogPID LogSet = 1 << iota
	LogHost
	LogExit
	LogDuration
)

// A Service is one service as it was configured.
type Service struct {
	File string // where it was written
	Line int

	Name       string // as written; what the logs call it
	SocketType SocketType
	Listen     []Listen // none for a service behind tcpmux
	Wait       bool     // the program gets the listening socket itself

	User  string // name or number
	Group string // name or number; empty: the user's own

	Server   string   // path of the program; empty for a builtin
	Args     []string // argv, beginning with argv[0]
	Internal string   // name of the builtin; empty for a program

	Mux     string // name behind tcpmux; empty for a service with a socket
	MuxPlus bool   // inetd answers "+Go" before the program starts

	// Limits; 0 is no limit.
	Instances          int // at once; more wait in the accept queue
	PerSource          int // at once for one client address
	PerMinute          int // starts in a minute before the service is taken for looping
	PerSourcePerMinute int // starts in a minute for one client address

	SendBuffer    int // SO_SNDBUF of the listening socket in bytes; 0: the kernel's
	ReceiveBuffer int // SO_RCVBUF likewise

	LogOnSuccess LogSet // what START and EXIT lines tell; 0: there are none
	LogOnFailure LogSet // what FAIL lines tell; 0: there are none

	fields map[string]string // setting name to what the dialect calls it
}

// Field gives the dialect's way to point at a setting, for hints: "field 5"
// where an inetd.conf line says the user, "user" elsewhere.
func (s *Service) Field(setting string) string {
	if f, ok := s.fields[setting]; ok {
		return f
	}
	return setting
}

// Key tells services apart across reloads: the name and what it is served
// over.
func (s *Service) Key() string {
	if s.Mux != "" {
		return "tcpmux/" + strings.ToLower(s.Mux)
	}
	key := s.Name + "/" + string(s.SocketType)
	for _, l := range s.Listen {
		key += " " + l.Network + strconv.Itoa(int(l.Family)) + " " + l.Host
	}
	return key
}

// Problem makes a problem of this service, at its place in the file.
func (s *Service) Problem(sev Severity, hint, format string, args ...any) Problem {
	return Problem{File: s.File, Line: s.Line, Severity: sev, Service: s.Name,
		Text: fmt.Sprintf(format, args...), Hint: hint}
}
