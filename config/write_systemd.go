package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A Unit is a file for systemd.
type Unit struct {
	Name string // "tftp.socket"
	Text string
}

// Units writes services as pairs of systemd units, a socket and what it
// starts (systemd.socket(5), systemd.exec(5)), and returns what these cannot
// say. A service that units would open to more than it is open to has none.
// primaryGroup returns a user's own group; nil: nobody's is known.
func Units(services []*Service, primaryGroup func(user string) (group string, known bool)) (units []Unit, lost []Loss) {
	taken := map[string]bool{}
	for _, s := range services {
		if s.Disabled {
			continue
		}
		if why := noUnit(s); why != "" {
			lost = append(lost, Loss{Pos: s.Pos, Service: s.ID, Setting: "the whole service: " + why})
			continue
		}
		name := unitName(s.ID)
		for n := 2; taken[name]; n++ {
			name = fmt.Sprintf("%s-%d", unitName(s.ID), n)
		}
		taken[name] = true
		u := &unitWriter{s: s, primaryGroup: primaryGroup}
		accept := !s.Wait && s.Redirect == "" && (s.SocketType == Stream || s.SocketType == Seqpacket)
		program := name
		if accept {
			program += "@"
		}
		pair := []Unit{{name + ".socket", u.socket(accept)}, {program + ".service", u.service(accept)}}
		u.reportLosses(accept)
		if u.refused != "" {
			u.losses = []Loss{{Pos: s.Pos, Service: s.ID, Setting: "the whole service: " + u.refused}}
			pair = nil
		}
		units, lost = append(units, pair...), append(lost, u.losses...)
	}
	return units, lost
}

// noUnit returns why a service cannot have units, "" where it can.
func noUnit(s *Service) string {
	switch {
	case s.Internal != "" || s.Mux != "":
		return "systemd serves nothing itself"
	case s.rpc() != (RPC{}):
		return "systemd registers nothing with rpcbind(8)"
	case s.Instances == None || s.PerSource == None || s.PerMinute == None || s.PerSourcePerMinute == None:
		return "a limit of 0 lets nobody in"
	case s.clearsGroups() && s.Chroot != "":
		return "groups = no with chroot: setpriv(1), which clears the groups, is not below " + s.Chroot
	}
	return ""
}

// unitName makes a name that systemd takes of a service's.
func unitName(id string) string {
	return strings.Map(func(c rune) rune {
		if isLetter(c) || c >= '0' && c <= '9' || c == '_' || c == '-' {
			return c
		}
		return '-'
	}, strings.Trim(id, "/"))
}

type unitWriter struct {
	s            *Service
	primaryGroup func(string) (string, bool)
	losses       []Loss
	refused      string   // why there is no unit
	access       []string // the lines of only_from and no_access
	b            strings.Builder
}

func (u *unitWriter) line(format string, args ...any) { fmt.Fprintf(&u.b, format+"\n", args...) }

// value writes a setting whose value systemd does not unquote. One that would
// be read as something else, or as several lines, is no unit's.
func (u *unitWriter) value(name, value string) {
	if value == "" {
		return
	}
	if !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) || strings.TrimSpace(value) != value || strings.HasSuffix(value, `\`) {
		u.refused = fmt.Sprintf("%s=%q cannot be written in a unit", name, value)
		return
	}
	u.line("%s=%s", name, strings.ReplaceAll(value, "%", "%%"))
}

func (u *unitWriter) lost(setting, text string) { u.lostAt(u.s.PosOf(setting), text) }

func (u *unitWriter) lostAt(at Pos, text string) {
	u.losses = append(u.losses, Loss{Pos: at, Service: u.s.ID, Setting: text})
}

func (u *unitWriter) begin(what string) {
	u.b.Reset()
	for _, c := range u.s.comments[""] {
		u.b.WriteString(c + "\n")
	}
	u.line("[Unit]")
	u.value("Description", what+" of "+visible(u.s.ID)+" (from "+visible(u.s.Pos.String())+")")
}

// visible returns a text in which nothing ends a line.
func visible(text string) string {
	quoted := strconv.Quote(text)
	return quoted[1 : len(quoted)-1]
}

// socket writes the socket unit.
func (u *unitWriter) socket(accept bool) string {
	s := u.s
	u.begin("Socket")
	access := u.addresses()
	if access != nil { // elsewhere systemd enforces no list, and says so in the log alone
		u.line("AssertControlGroupController=v2")
	}
	u.line("\n[Socket]")
	six, both := false, false
	for _, l := range s.Listen {
		if l.Host != "" && !literal(l.Host) && l.Network != "systemd" {
			u.lost("bind", "bind = "+l.Host+": systemd takes addresses alone")
			continue
		}
		if l.Network != "tcp" && l.Network != "udp" && l.Network != "unix" {
			u.lost("listen", "listen = "+l.String())
			continue
		}
		u.value(listenWords[s.SocketType], unitAddress(l))
		six = six || l.Family == IPv6
		both = both || l.Family != IPv6 && l.Network != "unix"
		if l.Network == "unix" {
			u.value("SocketUser", l.Owner)
			u.value("SocketGroup", l.Group)
			u.line("SocketMode=%04o", l.Mode)
		}
	}
	if six && !both {
		u.line("BindIPv6Only=ipv6-only")
	}
	u.line("Accept=%s", yesOrNo(accept))
	if s.Instances > 0 && accept {
		u.line("MaxConnections=%d", s.Instances)
	}
	if s.PerSource > 0 && accept {
		u.line("MaxConnectionsPerSource=%d", s.PerSource)
	}
	if s.CPS != (Rate{}) && !accept {
		u.line("TriggerLimitIntervalSec=1s\nTriggerLimitBurst=%d", max(s.CPS.Max, 1))
	}
	if s.KeepAlive {
		u.line("KeepAlive=yes")
	}
	if s.NoDelay {
		u.line("NoDelay=yes")
	}
	if s.SendBuffer > 0 {
		u.line("SendBuffer=%d", s.SendBuffer)
	}
	if s.ReceiveBuffer > 0 {
		u.line("ReceiveBuffer=%d", s.ReceiveBuffer)
	}
	u.lines(access) // what the service has does not apply to the sockets that are passed to it
	u.line("\n[Install]\nWantedBy=sockets.target")
	if s.Redirect == "" { // the proxy's connection to its target is not the clients'
		u.access = access
	}
	return u.b.String()
}

func (u *unitWriter) lines(list []string) {
	for _, text := range list {
		u.line("%s", text)
	}
}

var listenWords = map[SocketType]string{Stream: "ListenStream", Dgram: "ListenDatagram", Seqpacket: "ListenSequentialPacket", RDM: "ListenDatagram", Raw: "ListenDatagram"}

func unitAddress(l Listen) string {
	switch {
	case l.Network == "unix":
		return l.Path
	case l.Host == "" && l.Family == IPv4:
		return "0.0.0.0:" + strconv.Itoa(l.Port)
	case l.Host == "" && l.Family == IPv6:
		return "[::]:" + strconv.Itoa(l.Port)
	case l.Host == "":
		return strconv.Itoa(l.Port)
	case strings.Contains(l.Host, ":"):
		return fmt.Sprintf("[%s]:%d", l.Host, l.Port)
	}
	return fmt.Sprintf("%s:%d", l.Host, l.Port)
}

// limitWords are systemd's names of resource limits.
var limitWords = map[string]string{"as": "AS", "core": "CORE", "cpu": "CPU", "data": "DATA", "files": "NOFILE", "fsize": "FSIZE",
	"memlock": "MEMLOCK", "nproc": "NPROC", "rss": "RSS", "stack": "STACK"}

// service writes the unit that the socket unit starts. An instance for one
// connection that fails is not kept.
func (u *unitWriter) service(accept bool) string {
	s := u.s
	what, forgiven := "Program", ""
	if accept {
		forgiven = "-"
	}
	if s.Redirect != "" {
		what = "Redirect"
	}
	u.begin(what)
	u.line("\n[Service]")
	if s.Redirect != "" {
		u.line("ExecStart=/usr/lib/systemd/systemd-socket-proxyd %s", unitWord(s.Redirect))
	} else {
		u.line("ExecStart=%s%s", forgiven, u.command())
	}
	if s.Redirect == "" {
		u.line("StandardInput=socket\nIgnoreSIGPIPE=no")
	}
	if accept {
		u.line("StandardError=journal")
	}
	u.execSettings()
	return u.b.String()
}

// clearsGroups reports whether a program is to have no supplementary groups
// although systemd would give it some: it does that for every group but root's.
func (s *Service) clearsGroups() bool {
	root := func(name string) bool { return name == "" || name == "root" || name == "0" }
	return s.Redirect == "" && !s.Groups && !(root(s.User) && root(s.Group))
}

// command returns the command line. systemd has no setting for a user without
// supplementary groups: setpriv(1) clears them, by a capability that it drops.
// It names a program by its path, and bash(1) by another name.
func (u *unitWriter) command() string {
	s := u.s
	if !s.clearsGroups() {
		return "@" + unitWords(append([]string{s.Server}, s.Args...))
	}
	argv := append([]string{s.Server}, s.Args[1:]...)
	if filepath.Base(s.Args[0]) != filepath.Base(s.Server) {
		argv = append([]string{"/bin/bash", "-c", `exec -a "$0" "$@"`, s.Args[0]}, argv...)
	} else if s.Args[0] != s.Server {
		u.lost("server_args", "argv[0] = "+s.Args[0]+": it is "+s.Server+" where groups = no")
	}
	return "/usr/bin/setpriv --clear-groups --inh-caps=-all --ambient-caps=-all -- " + unitWords(argv)
}

// groups writes what the program has of groups beside its user's.
func (u *unitWriter) groups() {
	s := u.s
	switch {
	case s.Redirect != "":
	case s.clearsGroups():
		u.line("AmbientCapabilities=CAP_SETGID")
	case s.Groups && s.Group != "" && s.Dialect == Xinetd:
		// There, the supplementary groups are the user's, whatever group says;
		// systemd has group in the place of the user's own one.
		if u.primaryGroup != nil {
			if own, known := u.primaryGroup(s.User); known {
				u.value("SupplementaryGroups", own)
				return
			}
		}
		u.lost("group", "group = "+s.Group+": the own group of "+s.User+" is not among the supplementary ones")
	}
}

// environment writes env. systemd takes no control characters there but tabs
// and line feeds, and UTF-8 alone.
func (u *unitWriter) environment() {
	for _, v := range u.s.Env {
		odd := func(c rune) bool { return unicode.IsControl(c) && c != '\n' && c != '\t' }
		if !utf8.ValidString(v) || strings.ContainsFunc(v, odd) {
			u.lost("env", fmt.Sprintf("env = %q", v))
			continue
		}
		u.line("Environment=%s", unitQuoted(v))
	}
}

// execSettings writes the process attributes of the program.
func (u *unitWriter) execSettings() {
	s := u.s
	u.value("User", s.User)
	u.value("Group", s.Group)
	u.groups()
	if s.Umask >= 0 {
		u.line("UMask=%04o", s.Umask)
	}
	if s.Nice != 0 {
		u.line("Nice=%d", min(max(s.Nice, -20), 19)) // as the kernel does
	}
	for _, name := range slices.Sorted(maps.Keys(s.Rlimits)) {
		if n := s.Rlimits[name]; n == Infinity {
			u.line("Limit%s=infinity", limitWords[name])
		} else {
			u.line("Limit%s=%d", limitWords[name], n)
		}
	}
	u.environment()
	u.value("WorkingDirectory", s.Chdir)
	u.value("RootDirectory", s.Chroot)
	if s.NoNewPrivs {
		u.line("NoNewPrivileges=yes")
	}
	if s.SessionTimeout > 0 {
		u.line("RuntimeMaxSec=%d", int((s.SessionTimeout+time.Second-1)/time.Second))
	}
	u.lines(u.access)
}

// reportLosses notes the settings that a unit has no equivalent of.
func (u *unitWriter) reportLosses(accept bool) {
	s := u.s
	noted := map[string]bool{"user": true, "group": true, "server": true, "server_args": true, "umask": true, "nice": true, "env": true,
		"chdir": true, "chroot": true, "no_new_privs": true, "session_timeout": true, "only_from": true, "no_access": true, "sndbuf": true, "rcvbuf": true,
		"redirect": true, "groups": true, "libwrap": s.Dialect == Xinetd, "queue": !s.Queue || s.Instances == 0, "instances": accept, "per_source": accept, "passenv": len(s.PassEnv) == 1 && s.PassEnv[0] == "*"}
	usual := &Service{Settings: &Settings{Umask: -1, Libwrap: s.Libwrap}}
	for setting, habit := range map[string]func(){ // what was not written is nobody's wish
		"cps":            func() { usual.CPS = s.CPS },
		"log_on_success": func() { usual.LogOnSuccess = s.LogOnSuccess },
		"log_on_failure": func() { usual.LogOnFailure = s.LogOnFailure },
	} {
		if _, written := s.written[setting]; !written {
			habit()
		}
	}
	if s.Dialect != Xinetd {
		usual.Libwrap = ""
	}
	for i := range attributes {
		a := &attributes[i]
		if a.get == nil || noted[a.name] || strings.HasPrefix(a.name, "rlimit_") {
			continue
		}
		if values := a.get(s); values != nil && !slices.Equal(values, a.get(usual)) {
			u.lost(a.name, a.name+" = "+strings.Join(values, " "))
		}
	}
	if s.Libwrap != "" && s.Dialect == Xinetd {
		u.lost("libwrap", "hosts.allow and hosts.deny: name tcpd(8) in ExecStart to have them consulted")
	}
	if s.IDOnly {
		u.lost("flags", "flags = IDONLY")
	}
	if s.NoRetry {
		u.lost("flags", "flags = NORETRY")
	}
	if inet := func(l Listen) bool { return l.Network != "unix" }; accept && slices.ContainsFunc(s.Listen, inet) {
		u.lost("", "variables of the program: REMOTE_HOST, PROTO, TCPREMOTEIP, TCPREMOTEPORT, TCPLOCALIP and TCPLOCALPORT (REMOTE_ADDR and REMOTE_PORT are set)")
	}
	for _, l := range s.Listen {
		if l.Network == "unix" && u.access != nil {
			u.lost("only_from", "only_from and no_access for "+l.String()+", which has no addresses")
		}
	}
}
