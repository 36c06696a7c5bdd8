package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Unit is a file for systemd.
type Unit struct {
	Name string // "tftp.socket"
	Text string
}

// Units writes services as pairs of systemd units, a socket and what it
// starts (systemd.socket(5), systemd.exec(5)), and returns what these cannot
// say.
func Units(services []*Service) (units []Unit, lost []Loss) {
	taken := map[string]bool{}
	for _, s := range services {
		if s.Internal != "" || s.Mux != "" {
			lost = append(lost, Loss{Pos: s.Pos, Service: s.ID, Setting: "the whole service: systemd serves nothing itself"})
			continue
		}
		name := unitName(s.ID)
		for n := 2; taken[name]; n++ {
			name = fmt.Sprintf("%s-%d", unitName(s.ID), n)
		}
		taken[name] = true
		u := &unitWriter{s: s, losses: &lost}
		accept := !s.Wait && s.Redirect == "" && (s.SocketType == Stream || s.SocketType == Seqpacket)
		program := name
		if accept {
			program += "@"
		}
		units = append(units, Unit{name + ".socket", u.socket(accept)}, Unit{program + ".service", u.service(accept)})
		u.reportLosses(accept)
	}
	return units, lost
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
	s      *Service
	losses *[]Loss
	b      strings.Builder
}

func (u *unitWriter) line(format string, args ...any) { fmt.Fprintf(&u.b, format+"\n", args...) }

func (u *unitWriter) lost(setting, text string) {
	*u.losses = append(*u.losses, Loss{Pos: u.s.PosOf(setting), Service: u.s.ID, Setting: text})
}

func (u *unitWriter) begin(what string) {
	u.b.Reset()
	for _, c := range u.s.comments[""] {
		u.b.WriteString(c + "\n")
	}
	u.line("[Unit]\nDescription=%s of %s (from %s)\n", what, strings.ReplaceAll(u.s.ID, "%", "%%"), u.s.Pos)
}

// socket writes the socket unit.
func (u *unitWriter) socket(accept bool) string {
	s := u.s
	u.begin("Socket")
	u.line("[Socket]")
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
		u.line("%s=%s", listenWords[s.SocketType], unitAddress(l))
		six = six || l.Family == IPv6
		both = both || l.Family != IPv6 && l.Network != "unix"
		if l.Network == "unix" {
			u.optional("SocketUser", l.Owner)
			u.optional("SocketGroup", l.Group)
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
	u.line("\n[Install]\nWantedBy=sockets.target")
	return u.b.String()
}

func (u *unitWriter) optional(name, value string) {
	if value != "" {
		u.line("%s=%s", name, value)
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
	u.line("[Service]")
	switch {
	case s.Redirect != "":
		u.line("ExecStart=/usr/lib/systemd/systemd-socket-proxyd %s", s.Redirect)
	case s.nameInArgs():
		u.line("ExecStart=%s@%s %s", forgiven, unitWord(s.Server), unitWords(s.Args))
	default:
		u.line("ExecStart=%s%s", forgiven, strings.TrimSpace(unitWord(s.Server)+" "+unitWords(s.Args[1:])))
	}
	if s.Redirect == "" {
		u.line("StandardInput=socket")
	}
	if accept {
		u.line("StandardError=journal")
	}
	u.execSettings()
	return u.b.String()
}

// execSettings writes the process attributes of the program.
func (u *unitWriter) execSettings() {
	s := u.s
	u.optional("User", s.User)
	u.optional("Group", s.Group)
	if s.Umask >= 0 {
		u.line("UMask=%04o", s.Umask)
	}
	if s.Nice != 0 {
		u.line("Nice=%d", s.Nice)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Rlimits)) {
		if n := s.Rlimits[name]; n == Infinity {
			u.line("Limit%s=infinity", limitWords[name])
		} else {
			u.line("Limit%s=%d", limitWords[name], n)
		}
	}
	for _, v := range s.Env {
		u.line("Environment=%s", unitQuoted(v))
	}
	u.optional("WorkingDirectory", s.Chdir)
	u.optional("RootDirectory", s.Chroot)
	if s.NoNewPrivs {
		u.line("NoNewPrivileges=yes")
	}
	if s.SessionTimeout > 0 {
		u.line("RuntimeMaxSec=%d", int(s.SessionTimeout/time.Second))
	}
	u.addresses()
}

// addresses writes only_from and no_access, which systemd enforces by dropping
// packets. There, what is allowed wins over what is denied.
func (u *unitWriter) addresses() {
	s := u.s
	if s.OnlyFrom == nil && s.NoAccess == nil {
		return
	}
	words := func(setting string, sources []Source) []string {
		var list []string
		for _, src := range sources {
			for _, p := range src.Prefixes {
				list = append(list, p.String())
			}
			if src.Name != "" {
				*u.losses = append(*u.losses, Loss{Pos: src.Pos, Service: s.ID, Setting: setting + " = " + src.Text})
			}
		}
		return list
	}
	if s.OnlyFrom != nil {
		if s.NoAccess != nil {
			u.lost("no_access", "no_access beside only_from: systemd lets in what is in both")
		}
		u.line("IPAddressDeny=any")
		if list := words("only_from", s.OnlyFrom); list != nil {
			u.line("IPAddressAllow=%s", strings.Join(list, " "))
		}
		return
	}
	if list := words("no_access", s.NoAccess); list != nil {
		u.line("IPAddressDeny=%s", strings.Join(list, " "))
	}
}

// unitWord quotes a word of a command line as systemd reads it.
func unitWord(text string) string {
	text = strings.NewReplacer(`%`, `%%`, `$`, `$$`).Replace(text)
	if text != "" && !strings.ContainsAny(text, " \t\n\"'\\;") {
		return text
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`).Replace(text) + `"`
}

func unitWords(list []string) string {
	words := make([]string, len(list))
	for i, w := range list {
		words[i] = unitWord(w)
	}
	return strings.Join(words, " ")
}

func unitQuoted(text string) string {
	return `"` + strings.NewReplacer(`%`, `%%`, `\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// reportLosses notes the settings that a unit has no equivalent of.
func (u *unitWriter) reportLosses(accept bool) {
	s := u.s
	noted := map[string]bool{"user": true, "group": true, "server": true, "server_args": true, "umask": true, "nice": true, "env": true,
		"chdir": true, "chroot": true, "no_new_privs": true, "session_timeout": true, "only_from": true, "no_access": true, "sndbuf": true, "rcvbuf": true,
		"redirect": true, "groups": s.Groups, "queue": !s.Queue || s.Instances == 0, "instances": accept, "per_source": accept, "passenv": len(s.PassEnv) == 1 && s.PassEnv[0] == "*"}
	usual := &Service{Umask: -1, Libwrap: s.Libwrap}
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
	if s.Redirect != "" && s.OnlyFrom != nil {
		u.lost("only_from", "only_from of a redirect: it would keep the proxy from its target, too; check it")
	}
}
