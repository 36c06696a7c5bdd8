// Package config is what the administrator wrote: one model of a service,
// whichever dialect described it. It knows nothing of sockets, users or
// processes; it reads text and says what is wrong with it.
//
// Each dialect has a reader of its own: inetdconf.go, xinetdconf.go and
// toml_read.go. A reader applies the conventions of its dialect, such as where argv
// begins or what an unwritten limit means, so that nobody behind it has to
// know them. xinetd.conf and TOML share their settings: attr_*.go are the
// table of them, by xinetd.conf(5)'s names.
package config

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"
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

// A Listen is one address where a service is reached.
type Listen struct {
	Network string // "tcp", "udp", "unix", "systemd", or a name of /etc/protocols for a raw socket
	Family  Family // not for unix and systemd
	Host    string // address or name; empty: every address; systemd: the socket's FileDescriptorName=
	Port    int    // tcp and udp; 0: any, of an RPC service
	Proto   int    // IP protocol number, where Network is none of the others
	RPC     RPC    // what rpcbind(8) is told is served here; zero: nothing

	Path  string      // unix: the socket's file
	Owner string      // unix: its owner; empty: the daemon's user
	Group string      // unix: its group; empty: the daemon's group
	Mode  fs.FileMode // unix: its permissions
}

// String returns the listener as the logs name it: "tcp:7", "tcp6:[::1]:7",
// "unix:/run/x.sock", "rpc/udp:100001/1-3".
func (l Listen) String() string {
	switch l.Network {
	case "unix":
		return "unix:" + l.Path
	case "systemd":
		return "systemd:" + l.Host
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
	if l.RPC != (RPC{}) {
		if l.Port != 0 {
			host += strconv.Itoa(l.Port) + ":"
		}
		return "rpc/" + name + ":" + host + l.RPC.String()
	}
	return name + ":" + host + strconv.Itoa(l.Port)
}

// An RPC is a program of ONC RPC (RFC 5531), in the versions from Low to High.
type RPC struct{ Program, Low, High uint32 }

// String returns it as inetd.conf has it: "100001/1-3".
func (r RPC) String() string { return fmt.Sprintf("%d/%s", r.Program, r.versions()) }

// versions returns the versions as configurations have them: "1-3", or "2".
func (r RPC) versions() string {
	if r.Low == r.High {
		return fmt.Sprint(r.Low)
	}
	return fmt.Sprintf("%d-%d", r.Low, r.High)
}

// protocol returns the network with its family, as inetd.conf has it: "tcp6".
func (l Listen) protocol() string {
	return l.Network + [...]string{Both: "", IPv4: "4", IPv6: "6", Mapped: "46"}[l.Family]
}

// A LogSet is a set of the parts that a START, EXIT or FAIL line can have, by
// the values of xinetd's log_on_success and log_on_failure.
type LogSet uint16

// The members of a LogSet.
const (
	LogPID LogSet = 1 << iota
	LogHost
	LogExit
	LogDuration
	LogUserID  // ask the client's ident server (RFC 1413)
	LogTraffic // bytes of a redirect
	LogAttempt // that a client was refused
	LogPort    // the client's port: not xinetd's, whose readers want lines to end with the address
	LogRUsage  // CPU time and memory of a program: not xinetd's
)

// A Pos is a position in a configuration file.
type Pos struct {
	File   string
	Line   int // from 1
	Column int // from 1; 0: not known
}

// String returns it as the logs have it, with the directory that the file is in:
// "xinetd.d/tftp:9".
func (p Pos) String() string {
	file := filepath.Base(p.File)
	if dir := filepath.Base(filepath.Dir(p.File)); strings.HasSuffix(dir, ".d") {
		file = dir + "/" + file
	}
	if p.Line > 0 {
		file += ":" + strconv.Itoa(p.Line)
	}
	return file
}

// A Span is a part of the day in minutes of local time. It includes both
// ends, the last to its end; it goes over midnight where To is less than
// From.
type Span struct{ From, To int }

// None is a limit that lets nobody in: xinetd's "instances = 0".
const None = -1

// A Rate is xinetd's cps: more than Max starts a second, and there are none
// for the length of Pause. The zero value is no limit.
type Rate struct {
	Max   int
	Pause time.Duration
}

// A LogType is where START, EXIT and FAIL lines of a service go. The zero
// value is the daemon's own log.
type LogType struct {
	Facility string // syslog(3), in lower case
	Level    string
	Path     string // of a file; the two above are empty then
	Soft     int64  // bytes; a warning is logged when the file gets larger; 0: none
	Hard     int64  // bytes; nothing more is written then; 0: none
}

// Forever is a DenyTime or an IdleTimeout without end.
const Forever time.Duration = -1

// Prefixes are the lengths of the networks whose addresses count as one client.
// The zero value means those of [DefaultPrefixes].
type Prefixes struct{ IPv4, IPv6 uint8 }

// DefaultPrefixes count each IPv4 address, and each /64 of IPv6: a host has
// all addresses of one (RFC 4291).
var DefaultPrefixes = Prefixes{32, 64}

// A Service is one service as it was configured.
type Service struct {
	Pos     Pos // where it was written
	Dialect Dialect

	Name       string // as written
	ID         string // what the logs call it
	SocketType SocketType
	Listen     []Listen // none for a service behind tcpmux

	Disabled bool // it is not to run, and is there because of Options.Disabled
	Wait     bool // the program gets the listening socket itself
	MuxPlus  bool // inetd answers "+Go" before the program starts

	Mux      string   // name behind tcpmux; empty for a service with a socket
	Server   string   // path of the program; empty for a builtin
	Args     []string // argv, beginning with argv[0]
	Internal string   // name of the builtin; empty for a program
	Redirect string   // "host:port" to forward connections to; empty: none

	*Settings

	written  map[string]Pos      // setting name to where it is
	comments map[string][]string // what stood before a setting; "": before the service
}

// Settings are what many services have in common. Lines of an inetd.conf with
// the same words share one value, so that a file of thousands stays small:
// whoever changes it makes a copy first (Own).
type Settings struct {
	User   string // name or number; empty where inetd itself serves
	Group  string // name or number; empty: the user's own
	Groups bool   // the program gets the user's supplementary groups

	BuiltinSettings

	// Who may come, and when.
	OnlyFrom    []Source // nil: everybody; empty: nobody
	NoAccess    []Source
	AccessTimes []Span // none: always
	Libwrap     string // daemon name for hosts_access(5); empty: not consulted

	LibwrapFailClosed bool // hosts.deny refuses by name where the name service does not answer

	IDOnly   bool          // only clients whose ident server answers
	Sensor   bool          // nobody is served, and who comes is banned from every service
	DenyTime time.Duration // of that ban: 0: none, Forever

	// Limits; 0 is no limit.
	Instances          int // at once
	PerSource          int // at once for one client address
	PerMinute          int // starts in a minute before the service is taken for looping
	PerSourcePerMinute int // starts in a minute for one client address

	PerSourcePrefix Prefixes // which addresses count as one client

	CPS            Rate
	CPSPerSource   Rate
	MaxLoad        float64       // average over one minute
	Queue          bool          // clients over Instances wait in the accept queue; else they are refused
	NoRetry        bool          // a fork that fails for want of something is not tried again
	StartTimeout   time.Duration // from the fork to the exec; 0: ten seconds
	IdleTimeout    time.Duration // 0: none, but ten minutes for builtins; Forever
	SessionTimeout time.Duration

	Banner        string // file that every client gets
	BannerSuccess string // file for those who may come in
	BannerFail    string // file for those who are refused

	// The program's world.
	Env        []string // "NAME=value", added to what it gets anyway
	PassEnv    []string // the daemon's variables it gets; nil: all but those of who started the daemon; "*": all
	Umask      int      // -1: the daemon's
	Nice       int
	Rlimits    map[string]uint64 // "as", "cpu" (seconds), "files", ...; Infinity
	Chdir      string
	Chroot     string
	NoNewPrivs bool

	SendBuffer    int // SO_SNDBUF of the listening socket in bytes; 0: the kernel's
	ReceiveBuffer int // SO_RCVBUF likewise
	NoDelay       bool
	KeepAlive     bool

	LogType      LogType
	LogOnSuccess LogSet // parts of START and EXIT lines; 0: no lines
	LogOnFailure LogSet // parts of FAIL lines; 0: no lines

	fields map[string]string // setting name to what the dialect calls it
}

// Own makes a copy of the settings, which no other service shares, so that they
// can be changed. A service without settings has empty ones then.
func (s *Service) Own() {
	if s.Settings == nil {
		s.Settings = new(Settings)
		return
	}
	own := *s.Settings
	s.Settings = &own
}

// Infinity is an Rlimit that limits nothing (RLIM_INFINITY).
const Infinity = ^uint64(0)

// Field returns what a setting is called in the service's dialect, for hints:
// "field 5" for the user of an inetd.conf line, "user" elsewhere.
func (s *Service) Field(setting string) string {
	if f, ok := s.fields[setting]; ok {
		return f
	}
	return setting
}

// PosOf returns the position of a setting, or of the service where the setting
// is not written.
func (s *Service) PosOf(setting string) Pos {
	if at, ok := s.written[setting]; ok {
		return at
	}
	return s.Pos
}

// Key identifies a service across reloads: its name and where it is served.
func (s *Service) Key() string {
	if s.Mux != "" {
		return "tcpmux/" + strings.ToLower(s.Mux)
	}
	key := s.NameKey()
	for _, l := range s.Listen {
		key += " " + l.Network + strconv.Itoa(int(l.Family)) + " " + l.Host
		switch {
		case l.Port != 0:
			key += " " + strconv.Itoa(l.Port)
		case l.RPC != (RPC{}): // more versions are no other service, a program with other ones is
			key += fmt.Sprintf(" rpc %d/%d", l.RPC.Program, l.RPC.Low)
		case l.Path != "":
			key += " " + l.Path
		}
	}
	return key
}

// NameKey returns the part of Key that stays when a service gets another
// address. Several services can share it.
func (s *Service) NameKey() string { return s.ID + "/" + string(s.SocketType) }

// Problem returns a problem of this service, at its position.
func (s *Service) Problem(sev Severity, hint, format string, args ...any) Problem {
	return s.problem(s.Pos, sev, hint, format, args...)
}

// ProblemOf returns a problem of one of its settings.
func (s *Service) ProblemOf(setting string, sev Severity, hint, format string, args ...any) Problem {
	return s.problem(s.PosOf(setting), sev, hint, format, args...)
}

func (s *Service) problem(at Pos, sev Severity, hint, format string, args ...any) Problem {
	return Problem{Pos: at, Severity: sev, Service: s.ID, Text: fmt.Sprintf(format, args...), Hint: hint}
}
