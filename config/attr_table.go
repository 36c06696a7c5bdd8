package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// An attribute is a setting of xinetd.conf(5), or an extension in its manner.
type attribute struct {
	name       string
	kind       attrKind
	min, max   int  // values; max -1: any number
	additive   bool // += and -= change what the defaults say
	perService bool // a service's own: it means nothing in defaults
	extension  bool // xinetd does not know it
	security   bool // says who may come in, where, or how many: never to be lost
	hint       string
	set        func(b *builder, v []word) *fault
	get        func(s *Service) []string // nil: written by hand in each writer
}

// An attrKind is the type of a setting's value in TOML.
type attrKind int

const (
	kindText attrKind = iota
	kindNumber
	kindBool
	kindList
	kindScalarOrList // one or several: text or list
	kindBoolOrText
	kindNumbers
)

type table []attribute

// find returns the attribute of a name, nil for none.
func (t table) find(name string) *attribute {
	for i := range t {
		if t[i].name == name {
			return &t[i]
		}
	}
	return nil
}

// nearest returns the attribute whose name is most similar, or nil.
func (t table) nearest(name string) *attribute {
	names := make([]string, len(t))
	for i := range t {
		names[i] = t[i].name
	}
	if name = nearest(name, names); name != "" {
		return t.find(name)
	}
	return nil
}

// restrictive are parts of names that a setting has which says who may come
// in, where, or how many.
var restrictive = []string{"from", "acce", "allow", "deny", "only", "host", "addr", "client", "source", "src", "block", "ban", "refuse", "reject", "restrict",
	"filter", "wrap", "acl", "auth", "bind", "interface", "listen", "limit", "max", "inst", "cps", "rate", "conn", "per_", "perm", "time", "load",
	"user", "group", "root", "mask", "priv", "jail", "flag", "sensor"}

// unknownHint says what to do about a setting that is not known. It never
// proposes to remove one that may have been meant to restrict the service.
func unknownHint(name string) string {
	near := attributes.nearest(name)
	restricts := slices.ContainsFunc(restrictive, func(part string) bool { return strings.Contains(name, part) })
	switch {
	case near != nil && (near.security || restricts):
		return "write " + near.name + ", if that is meant"
	case near != nil:
		return "write " + near.name + ", or remove it"
	case restricts:
		return "it looks like a restriction: find the setting that is meant in the manual page"
	}
	return "remove it"
}

// synonyms are other names of settings.
var synonyms = map[string]string{"interface": "bind"}

// obsolete are settings that xinetd itself passes over.
var obsolete = map[string]string{
	"mdns": "xinetd has dropped it",
}

// optional are the settings that, with no value in xinetd.conf, are not set, as
// in xinetd. An empty one of any other kind may have been meant to close or to
// limit something, or says what the service is.
var optional = []string{"id", "group", "groups", "nice", "banner", "banner_success", "banner_fail", "deny_time",
	"rlimit_as", "rlimit_cpu", "rlimit_data", "rlimit_rss", "rlimit_stack", "rlimit_files"}

// attributes is every setting, in the order in which they are given to a
// service and written to a file.
var attributes table

func init() { // the readers' functions refer to the table
	attributes = slices.Concat(identityAttributes, builtinAttributes, programAttributes, accessAttributes, limitAttributes, logAttributes)
}

var programAttributes = table{
	{name: "user", perService: true, min: 1, max: 1, hint: "write a name or a number", set: setText(func(s *Service) *string { return &s.User }),
		get: getText(func(s *Service) string { return s.User })},
	{name: "group", perService: true, min: 1, max: 1, hint: "write a name or a number", set: setText(func(s *Service) *string { return &s.Group }),
		get: getText(func(s *Service) string { return s.Group })},
	{name: "groups", kind: kindBool, min: 1, max: 1, hint: yesNo, set: setBool(func(s *Service) *bool { return &s.Groups }),
		get: getBool(func(s *Service) bool { return s.Groups })},
	{name: "server", perService: true, min: 1, max: 1, hint: "write the program's absolute path", set: setServer,
		get: getText(func(s *Service) string { return s.Server })},
	{name: "server_args", perService: true, kind: kindList, min: 0, max: -1, hint: "write the arguments", set: setArgs, get: getArgs},
	{name: "redirect", perService: true, kind: kindList, min: 1, max: 2, hint: "write host and port: redirect = 192.0.2.1 80", set: setRedirect, get: getRedirect},
	{name: "umask", security: true, min: 1, max: 1, hint: "write it in octal: 022", set: setUmask, get: getUmask},
	{name: "nice", perService: true, kind: kindNumber, min: 1, max: 1, hint: "write a number from -20 to 19", set: setNice,
		get: getInt(func(s *Service) int { return s.Nice })},
	{name: "env", perService: true, kind: kindList, additive: true, max: -1, hint: "write NAME=value", set: setEnv,
		get: func(s *Service) []string { return s.Env }},
	{name: "passenv", kind: kindList, additive: true, max: -1, hint: "write names of variables, or * for all", set: setPassEnv,
		get: func(s *Service) []string { return s.PassEnv }},
	rlimit("as"), rlimit("core"), rlimit("cpu"), rlimit("data"), rlimit("fsize"), rlimit("memlock"), rlimit("files"), rlimit("nproc"), rlimit("rss"), rlimit("stack"),
	{name: "chdir", extension: true, min: 1, max: 1, hint: "write a directory's absolute path", set: setPath(func(s *Service) *string { return &s.Chdir }),
		get: getText(func(s *Service) string { return s.Chdir })},
	{name: "chroot", extension: true, security: true, min: 1, max: 1, hint: "write a directory's absolute path", set: setPath(func(s *Service) *string { return &s.Chroot }),
		get: getText(func(s *Service) string { return s.Chroot })},
	{name: "no_new_privs", extension: true, security: true, kind: kindBool, min: 1, max: 1, hint: yesNo, set: setBool(func(s *Service) *bool { return &s.NoNewPrivs }),
		get: getBool(func(s *Service) bool { return s.NoNewPrivs })},
}

var accessAttributes = table{
	{name: "only_from", security: true, kind: kindList, additive: true, max: -1, hint: addressHint, set: setSources(func(s *Service) *[]Source { return &s.OnlyFrom }),
		get: getSources(func(s *Service) []Source { return s.OnlyFrom })},
	{name: "no_access", security: true, kind: kindList, additive: true, max: -1, hint: addressHint, set: setSources(func(s *Service) *[]Source { return &s.NoAccess }),
		get: getSources(func(s *Service) []Source { return s.NoAccess })},
	{name: "access_times", security: true, kind: kindList, min: 1, max: -1, hint: "write hours as 8:00-18:30, local time", set: setTimes, get: getTimes},
	{name: "libwrap", kind: kindBoolOrText, perService: true, security: true, min: 1, max: 1, hint: "write a daemon name for hosts_access(5), yes or no", set: setLibwrap, get: getLibwrap},
	{name: "libwrap_fail_closed", extension: true, security: true, kind: kindBool, min: 1, max: 1, hint: yesNo,
		set: setBool(func(s *Service) *bool { return &s.LibwrapFailClosed }), get: getBool(func(s *Service) bool { return s.LibwrapFailClosed })},
	{name: "deny_time", min: 1, max: 1, hint: "write minutes, FOREVER or NEVER", set: setDenyTime, get: getDenyTime},
	{name: "banner", min: 1, max: 1, hint: "write a file's absolute path", set: setPath(func(s *Service) *string { return &s.Banner }),
		get: getText(func(s *Service) string { return s.Banner })},
	{name: "banner_success", min: 1, max: 1, hint: "write a file's absolute path", set: setPath(func(s *Service) *string { return &s.BannerSuccess }),
		get: getText(func(s *Service) string { return s.BannerSuccess })},
	{name: "banner_fail", min: 1, max: 1, hint: "write a file's absolute path", set: setPath(func(s *Service) *string { return &s.BannerFail }),
		get: getText(func(s *Service) string { return s.BannerFail })},
}

const (
	yesNo       = "write yes or no"
	limitHint   = "write a number, or UNLIMITED"
	addressHint = "write addresses as 192.0.2.7, 192.0.2.0/24, 192.0.2.{1,2}, 2001:db8::/32, host.example.org or .example.org"
	periodHint  = "write it with a unit: 90s, 10m, 2h"
)

var limitAttributes = table{
	{name: "instances", security: true, kind: kindNumber, min: 1, max: 1, hint: limitHint, set: setLimit(func(s *Service) *int { return &s.Instances }),
		get: getLimit(func(s *Service) int { return s.Instances })},
	{name: "queue", extension: true, kind: kindBool, min: 1, max: 1, hint: yesNo, set: setBool(func(s *Service) *bool { return &s.Queue }),
		get: getBool(func(s *Service) bool { return s.Queue })},
	{name: "per_source", security: true, kind: kindNumber, min: 1, max: 1, hint: limitHint, set: setLimit(func(s *Service) *int { return &s.PerSource }),
		get: getLimit(func(s *Service) int { return s.PerSource })},
	{name: "cps", security: true, kind: kindNumbers, min: 2, max: 2, hint: "write starts a second and the pause in seconds: cps = 50 10", set: setCPS,
		get: getRate(func(s *Service) Rate { return s.CPS })},
	{name: "cps_per_source", extension: true, security: true, kind: kindNumbers, min: 2, max: 2, hint: "write starts a second and the pause in seconds: cps_per_source = 5 60",
		set: setRate(func(s *Service) *Rate { return &s.CPSPerSource }), get: getRate(func(s *Service) Rate { return s.CPSPerSource })},
	{name: "per_minute", extension: true, security: true, kind: kindNumber, min: 1, max: 1, hint: limitHint, set: setLimit(func(s *Service) *int { return &s.PerMinute }),
		get: getLimit(func(s *Service) int { return s.PerMinute })},
	{name: "per_source_per_minute", extension: true, security: true, kind: kindNumber, min: 1, max: 1, hint: limitHint,
		set: setLimit(func(s *Service) *int { return &s.PerSourcePerMinute }), get: getLimit(func(s *Service) int { return s.PerSourcePerMinute })},
	{name: "per_source_prefix", extension: true, security: true, kind: kindNumbers, min: 2, max: 2, hint: "write the lengths of networks of IPv4 and IPv6: per_source_prefix = 32 64",
		set: setPrefixes, get: getPrefixes},
	{name: "max_load", security: true, kind: kindNumber, min: 1, max: 1, hint: "write a load average above 0, as 2.5", set: setMaxLoad, get: getMaxLoad},
	{name: "start_timeout", extension: true, min: 1, max: 1, hint: periodHint, set: setPeriod(func(s *Service) *time.Duration { return &s.StartTimeout }),
		get: getPeriod(func(s *Service) time.Duration { return s.StartTimeout })},
	{name: "idle_timeout", extension: true, min: 1, max: 1, hint: periodHint + ", or UNLIMITED", set: setUnlimitedPeriod(func(s *Service) *time.Duration { return &s.IdleTimeout }),
		get: getPeriod(func(s *Service) time.Duration { return s.IdleTimeout })},
	{name: "session_timeout", extension: true, min: 1, max: 1, hint: periodHint, set: setPeriod(func(s *Service) *time.Duration { return &s.SessionTimeout }),
		get: getPeriod(func(s *Service) time.Duration { return s.SessionTimeout })},
	{name: "sndbuf", extension: true, min: 1, max: 1, hint: "write a size as 64k", set: setBuffer(func(s *Service) *int { return &s.SendBuffer }),
		get: getBuffer(func(s *Service) int { return s.SendBuffer })},
	{name: "rcvbuf", extension: true, min: 1, max: 1, hint: "write a size as 64k", set: setBuffer(func(s *Service) *int { return &s.ReceiveBuffer }),
		get: getBuffer(func(s *Service) int { return s.ReceiveBuffer })},
}

var logAttributes = table{
	{name: "log_type", kind: kindScalarOrList, min: 1, max: 4, hint: "write SYSLOG facility [level], or FILE path [soft [hard]]", set: setLogType, get: getLogType},
	{name: "log_on_success", kind: kindList, additive: true, max: -1, hint: "known: PID, HOST, USERID, EXIT, DURATION, RUSAGE, TRAFFIC, PORT", set: setLogSet(func(s *Service) *LogSet { return &s.LogOnSuccess }, successWords),
		get: getLogSet(func(s *Service) LogSet { return s.LogOnSuccess }, successWords)},
	{name: "log_on_failure", kind: kindList, additive: true, max: -1, hint: "known: HOST, USERID, ATTEMPT, PORT", set: setLogSet(func(s *Service) *LogSet { return &s.LogOnFailure }, failureWords),
		get: getLogSet(func(s *Service) LogSet { return s.LogOnFailure }, failureWords)},
}

// rlimit makes the attribute of a resource limit.
func rlimit(name string) attribute {
	a := attribute{name: "rlimit_" + name, min: 1, max: 1, hint: "write a size as 64M, or UNLIMITED"}
	unit := int64(1)
	switch name {
	case "cpu":
		a.hint = "write seconds, or UNLIMITED"
	case "files", "nproc":
		a.hint = "write a number, or UNLIMITED"
		unit = 0 // no k, M
	}
	a.extension = slices.Contains([]string{"core", "fsize", "memlock", "nproc"}, name)
	a.set = func(b *builder, v []word) *fault {
		n := Infinity
		if !strings.EqualFold(v[0].text, "unlimited") {
			size, ok := sizeOf(v[0].text)
			if d, isTime := periodOf(v[0].text, time.Second); name == "cpu" && isTime {
				size, ok = int64(d/time.Second), true
			}
			if !ok || unit == 0 && strings.ContainsFunc(v[0].text, isLetter) {
				return faultf(a.hint, "%q is not a value of %s", v[0].text, a.name).atWord(v[0])
			}
			n = uint64(size)
		}
		if n == 0 && name != "core" {
			b.warn(v[0].pos, "remove it, or write a limit", "%s = 0 limits nothing", a.name)
			return nil
		}
		if b.s.Rlimits == nil {
			b.s.Rlimits = map[string]uint64{}
		}
		b.s.Rlimits[name] = n
		return nil
	}
	a.get = func(s *Service) []string {
		n, ok := s.Rlimits[name]
		switch {
		case !ok:
			return nil
		case n == Infinity:
			return []string{"UNLIMITED"}
		}
		return []string{fmt.Sprint(n)}
	}
	return a
}

// atWord names the value that is wrong.
func (b *fault) atWord(w word) *fault {
	b.value = w.text
	return b
}
