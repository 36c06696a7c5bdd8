package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// inetdFields is what an inetd.conf line calls the settings of the model.
var inetdFields = map[string]string{
	"service": "field 1", "socket_type": "field 2", "protocol": "field 3",
	"wait": "field 4", "user": "field 5", "group": "field 5", "server": "field 6", "server_args": "field 7",
}

// ReadInetd reads an inetd.conf, in the union of the dialects of 4.4BSD,
// FreeBSD, OpenBSD and Debian, NetBSD (positional) and GNU inetutils. A line
// that is wrong is a problem; the others are served.
func ReadInetd(file, text string, o Options) ([]*Service, []Problem) {
	r := &inetdReader{file: file, o: o, etc: readEtc(o)}
	if o.Address != "" {
		r.hosts = []string{o.Address}
	}
	for _, l := range joinLines(strings.TrimPrefix(text, "\ufeff")) { // a byte order mark, of an editor's
		r.line = l.number
		if text := strings.TrimSpace(l.text); text != "" { // a lone backslash leaves nothing
			r.entry(text, l.odd)
		}
	}
	attachTrailing(r.services, r.comments)
	return r.services, r.problems
}

// attachTrailing attaches the comments at the end of a file to its last
// service.
func attachTrailing(services []*Service, comments []string) {
	if len(services) == 0 || comments == nil {
		return
	}
	last := services[len(services)-1]
	if last.comments == nil {
		last.comments = map[string][]string{}
	}
	last.comments["~"] = comments
}

type inetdReader struct {
	file     string
	line     int
	o        Options
	etc      *etc
	hosts    []string // the default address list; nil: everywhere
	comments []string // since the last service
	services []*Service
	problems []Problem
	odd      bool // the file's odd blanks are reported
}

// A fault is why an entry or a setting is invalid, with a hint what to do.
type fault struct {
	text, hint string
	value      string // the value at fault, where it is one
	setting    string // the setting at fault, where others were read since
}

// inSetting names the setting that is wrong.
func (b *fault) inSetting(setting string) *fault {
	b.setting = setting
	return b
}

func faultf(hint, format string, args ...any) *fault {
	return &fault{text: fmt.Sprintf(format, args...), hint: hint}
}

func (r *inetdReader) report(sev Severity, service string, b *fault) {
	r.problems = append(r.problems, Problem{Pos: Pos{File: r.file, Line: r.line}, Severity: sev, Service: service, Text: b.text, Hint: b.hint})
}

// entry reads one logical line. odd is set if it begins with an odd blank.
func (r *inetdReader) entry(text string, odd bool) {
	if strings.HasPrefix(text, "#@") {
		if strings.TrimSpace(text[2:]) != "" {
			r.report(Warning, "", faultf("the services below run without it; protect them with the kernel's own policies, ip-xfrm(8)",
				"IPsec policies are not supported yet"))
		}
		return
	}
	if text[0] == '#' {
		r.comments = append(r.comments, text)
		return // a comment; "#<off># ..." is a service that update-inetd(8) switched off
	}
	f, oddWithin, err := splitFields(text)
	if (odd || oddWithin) && !r.odd {
		r.odd = true
		r.problems = append(r.problems, oddBlanks(Pos{File: r.file, Line: r.line}))
	}
	if err != nil {
		name := ""
		if len(f) > 0 {
			name = f[0]
		}
		r.report(Error, name, faultf("close the quote, or do not begin the argument with one", "%v", err))
		return
	}
	if len(f) == 0 { // only odd blanks
		return
	}
	if len(f) == 1 && strings.HasSuffix(f[0], ":") {
		r.defaultHosts(strings.TrimSuffix(f[0], ":"))
		return
	}
	s, b := r.service(f)
	if b != nil {
		r.report(Error, f[0], b)
		return
	}
	if r.comments != nil {
		s.comments = map[string][]string{"": r.comments}
		r.comments = nil
	}
	r.services = append(r.services, s)
}

// defaultHosts takes a line of "address:" alone, which holds for the lines
// below it that name no address.
func (r *inetdReader) defaultHosts(list string) {
	if hosts, b := splitHosts(list); b != nil {
		r.report(Error, "", b)
	} else {
		r.hosts = hosts
	}
}

// service reads the fields of a line that describes a service.
func (r *inetdReader) service(f []string) (*Service, *fault) {
	names := []string{"service name", "socket type", "protocol", "wait/nowait", "user", "program"}
	switch {
	case f[0] == ".include":
		return nil, faultf("name the files on the command line, or put them into /etc/inetd.d", "NetBSD's .include is not supported")
	case len(f) > 2 && (f[1] == "on" || f[1] == "off") && slices.ContainsFunc(f[2:], func(field string) bool { return strings.Contains(field, "=") }):
		return nil, faultf("write it as: service type protocol wait|nowait user program argv[0] ...", "NetBSD's form of a service, with key = value, is not supported")
	}
	if len(f) < len(names) {
		return nil, faultf("a line is: service type protocol wait|nowait user program argv[0] ...",
			"field %d (%s) is missing", len(f)+1, names[len(f)])
	}
	s := &Service{Pos: Pos{File: r.file, Line: r.line}, Dialect: Inetd, Name: f[0], fields: inetdFields, Groups: true, Umask: -1, Queue: true,
		PerMinute: r.o.PerMinute, Instances: r.o.Instances, PerSource: r.o.PerSource, PerSourcePerMinute: r.o.PerSourcePerMinute,
		LogOnFailure: LogHost | LogPort}
	if r.o.LogStarts {
		s.LogOnSuccess = LogPID | LogHost | LogPort | LogExit | LogDuration
	}
	steps := []func() *fault{
		func() *fault { return r.socketType(s, f[1]) },
		func() *fault { return readWait(s, f[3]) },
		func() *fault { return r.user(s, f[4]) },
		func() *fault { return r.listen(s, f[0], f[2]) },
		func() *fault { return r.program(s, f[5], f[6:]) },
	}
	for _, step := range steps {
		if b := step(); b != nil {
			return nil, b
		}
	}
	s.ID = s.Name
	if r.o.Libwrap && s.SocketType == Stream && !s.Wait {
		s.Libwrap = s.daemonName()
	}
	return s, nil
}

// daemonName is what hosts_access(5) knows a service as: the process name of
// its program, as tcpd(8) has it, or the name of a service that is served
// here.
func (s *Service) daemonName() string {
	if len(s.Args) > 0 {
		return filepath.Base(s.Args[0])
	}
	return s.Name
}

func (r *inetdReader) socketType(s *Service, field string) *fault {
	kind, filter, filtered := strings.Cut(field, ":")
	switch t := SocketType(strings.ToLower(kind)); t {
	case Stream, Dgram, Seqpacket, RDM, Raw:
		s.SocketType = t
	default:
		return faultf("correct field 2: stream, dgram, seqpacket, rdm or raw", "unknown socket type %q", kind)
	}
	if filtered {
		r.report(Warning, s.Name, faultf("the service runs without it", "accept filter %q has no effect on Linux", filter))
	}
	return nil
}

// readWait reads wait or nowait with the limits of every dialect: ".N" or
// ":N" starts a minute (OpenBSD, NetBSD, inetutils), and
// "/children[/per source and minute[/per source]]" (FreeBSD).
func readWait(s *Service, field string) *fault {
	end := strings.IndexAny(field, ".:/")
	if end < 0 {
		end = len(field)
	}
	switch strings.ToLower(field[:end]) {
	case "wait":
		s.Wait = true
	case "nowait":
	default:
		return faultf("correct field 4: wait or nowait", "%q is neither wait nor nowait", field)
	}
	limits := []*int{&s.Instances, &s.PerSourcePerMinute, &s.PerSource}
	for remainder := field[end:]; remainder != ""; {
		next := strings.IndexAny(remainder[1:], ".:/") + 1
		if next == 0 {
			next = len(remainder)
		}
		n, err := strconv.Atoi(remainder[1:next])
		if err != nil || n < 0 {
			return faultf("correct field 4, as in nowait.60 or nowait/10/30/5", "%q is not a limit", remainder[:next])
		}
		switch {
		case remainder[0] != '/':
			s.PerMinute = n
		case len(limits) > 0:
			*limits[0], limits = n, limits[1:]
		default:
			return faultf("correct field 4: /children/per-source-per-minute/per-source", "too many limits in %q", field)
		}
		remainder = remainder[next:]
	}
	return nil
}

// user reads "user", "user:group", "user.group" and FreeBSD's "/login-class".
func (r *inetdReader) user(s *Service, field string) *fault {
	who, class, classed := strings.Cut(field, "/")
	if classed {
		r.report(Warning, s.Name, faultf("the service runs without it", "login class %q has no effect on Linux", class))
	}
	var grouped bool
	if s.User, s.Group, grouped = strings.Cut(who, ":"); !grouped {
		if i := strings.LastIndexByte(who, '.'); i > 0 && (r.o.KnownUser == nil || !r.o.KnownUser(who)) {
			s.User, s.Group, grouped = who[:i], who[i+1:], true
		}
	}
	if s.User == "" || grouped && s.Group == "" {
		return faultf("correct field 5: user, user:group or user.group", "%q does not name a user", field)
	}
	return nil
}

// program reads the sixth field and the arguments. "internal" is served by
// inetd itself: the builtin that field 1 names, or the one that a word
// behind "internal" names, for another port than its own.
func (r *inetdReader) program(s *Service, path string, args []string) *fault {
	if path == "internal" {
		return r.internal(s, args)
	}
	if !filepath.IsAbs(path) {
		return faultf("correct field 6: the program's absolute path, or internal", "program %q does not begin with /", path)
	}
	if slices.ContainsFunc(args, func(a string) bool { return strings.ContainsRune(a, 0) }) || strings.ContainsRune(path, 0) {
		return faultf("remove it", "a NUL byte cannot be part of an argument")
	}
	s.Server, s.Args = path, slices.Clone(args)
	if len(args) == 0 {
		s.Args = []string{filepath.Base(path)}
	} else if name := filepath.Base(path); strings.HasPrefix(args[0], "-") && args[0] != "-"+name { // "-sh" is a login shell
		r.report(Warning, s.Name, faultf(fmt.Sprintf("write the name before it: %s %s %s", path, name, args[0]),
			"field 7, argv[0], is %q: the program takes that for its name, and not for an option", args[0]))
	}
	return nil
}

func (r *inetdReader) internal(s *Service, args []string) *fault {
	name := s.Name
	if len(args) > 0 && args[0] != "internal" {
		name = args[0]
	}
	builtin := r.etc.builtins.find(name)
	if builtin == nil {
		return faultf(r.etc.builtins.hint()+"; on another port, write: internal echo", "there is no internal service %q", name)
	}
	s.Internal = builtin.Name
	switch {
	case s.Mux != "" || s.SocketType != Stream && s.SocketType != Dgram:
		return faultf("correct field 2", "an internal service is stream or dgram, with a socket of its own")
	case s.SocketType == Dgram && !builtin.Datagram:
		return faultf("correct field 2", "%s is stream tcp", builtin.Name)
	}
	s.Wait = false
	return nil
}
