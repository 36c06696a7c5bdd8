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
// FreeBSD, OpenBSD and Debian, NetBSD and GNU inetutils. An entry that is wrong
// is a problem; the others are served.
func ReadInetd(file, text string, o Options) ([]*Service, []Problem) {
	r := &inetdReader{file: file, stack: []string{filepath.Clean(file)}, o: o, etc: readEtc(o), shared: map[sharedKey]lineSettings{}}
	if o.Address != "" {
		r.hosts = []string{o.Address}
	}
	r.read(text)
	return r.services, r.problems
}

// read reads the text of a file.
func (r *inetdReader) read(text string) {
	for _, l := range joinLines(strings.TrimPrefix(text, "\ufeff")) { // a byte order mark, of an editor's
		r.line = l.number
		if l.keys {
			r.keyEntry(l.text, l.closed)
		} else if text := strings.TrimSpace(l.text); text != "" { // a lone backslash leaves nothing
			r.entry(text, l.odd)
		}
	}
	attachTrailing(r.services, r.comments)
	r.comments = nil
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
	stack    []string // files that include each other, down to this one
	line     int
	o        Options
	etc      *etc
	hosts    []string // the default address list; nil: everywhere
	comments []string // since the last service
	services []*Service
	problems []Problem
	odd      bool     // the file's odd blanks are reported
	fields   []string // of the line; only for as long as it is read

	shared map[sharedKey]lineSettings
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
			r.report(Warning, "", noIPsec)
		}
		return
	}
	if text[0] == '#' {
		r.comments = append(r.comments, text)
		return // a comment; "#<off># ..." is a service that update-inetd(8) switched off
	}
	f, oddWithin, err := splitFields(r.fields[:0], text)
	r.fields = f
	r.reportOdd(odd || oddWithin)
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
	if f[0] == ".include" {
		r.include(f[1:])
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
	r.add(s)
}

// reportOdd reports the file's first blank that is no space.
func (r *inetdReader) reportOdd(odd bool) {
	if odd && !r.odd {
		r.odd = true
		r.problems = append(r.problems, oddBlanks(Pos{File: r.file, Line: r.line}))
	}
}

// add adds a service, with the comments before it.
func (r *inetdReader) add(s *Service) {
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
	if len(f) < len(names) {
		return nil, faultf("a line is: service type protocol wait|nowait user program argv[0] ...",
			"field %d (%s) is missing", len(f)+1, names[len(f)])
	}
	s := &Service{Pos: Pos{File: r.file, Line: r.line}, Dialect: Inetd, Name: f[0]}
	most, b := r.socketType(s, f[1])
	if b != nil {
		return nil, b
	}
	if b := r.settings(s, f[3], f[4]); b != nil {
		return nil, b
	}
	if most > 0 {
		r.acceptMax(s, most)
	}
	if s.acceptsItself() && (s.PerSource != 0 || s.PerSourcePerMinute != 0) {
		if strings.Contains(f[3], "/") {
			r.report(Warning, s.Name, faultf("write nowait, or "+strings.SplitAfter(f[3], "/")[0]+"CHILDREN", "limits for one client have no effect: the program of a wait service accepts for itself"))
		}
		s.Own()
		s.PerSource, s.PerSourcePerMinute = 0, 0
	}
	if b := r.listen(s, f[0], f[2]); b != nil {
		return nil, b
	}
	s.ID = s.Name
	if b := r.program(s, f[5], f[6:]); b != nil {
		return nil, b
	}
	if r.o.Libwrap && s.SocketType == Stream && !s.Wait {
		r.consultLibwrap(s)
	}
	return s, nil
}

// A sharedKey is what the settings of a line are made of, so that lines with
// the same words share them.
type sharedKey struct {
	wait, user string    // fields 4 and 5
	before     *Settings // else: of which these are a copy with Libwrap
	libwrap    string
}

type lineSettings struct {
	wait bool
	*Settings
}

// settings reads fields 4 and 5.
func (r *inetdReader) settings(s *Service, wait, user string) *fault {
	who, class, classed := strings.Cut(user, "/")
	if known, ok := r.shared[sharedKey{wait: wait, user: who}]; ok {
		s.Wait, s.Settings = known.wait, known.Settings
	} else {
		s.Settings = r.newSettings()
		if b := readWait(s, wait); b != nil {
			return b
		}
		if b := r.user(s, who); b != nil {
			return b
		}
		r.shared[sharedKey{wait: wait, user: who}] = lineSettings{s.Wait, s.Settings}
	}
	if zeroMax(wait) {
		r.report(Warning, s.Name, faultf("write no number, or a higher one; to close the service, write # before its line",
			"0 starts in a minute are no limit here; to NetBSD they are none, so that nobody is served"))
	}
	if classed {
		r.report(Warning, s.Name, faultf("the service runs without it", "login class %q has no effect on Linux", class))
	}
	return nil
}

// newSettings returns the settings of a service that says nothing.
func (r *inetdReader) newSettings() *Settings {
	n := &Settings{fields: inetdFields, Groups: true, Umask: -1, Queue: true,
		PerMinute: r.o.PerMinute, Instances: r.o.Instances, PerSource: r.o.PerSource, PerSourcePerMinute: r.o.PerSourcePerMinute,
		LogOnFailure: LogHost | LogPort}
	if r.o.LogStarts {
		n.LogOnSuccess = LogPID | LogHost | LogPort | LogExit | LogDuration
	}
	return n
}

// zeroMax reports whether field 4 has a limit of 0 starts in a minute.
func zeroMax(field string) bool {
	i := strings.IndexAny(field, ".:")
	if i < 0 {
		return false
	}
	number, _, _ := strings.Cut(field[i+1:], "/")
	return number != "" && strings.Trim(number, "0") == ""
}

// consultLibwrap has hosts_access(5) consulted for a service.
func (r *inetdReader) consultLibwrap(s *Service) {
	key := sharedKey{before: s.Settings, libwrap: s.daemonName()}
	known, ok := r.shared[key]
	if !ok {
		s.Own()
		s.Libwrap = key.libwrap
		known.Settings = s.Settings
		r.shared[key] = known
	}
	s.Settings = known.Settings
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

// socketType reads "stream", NetBSD's "stream,5" for as many programs at once,
// which it returns, 0 for none, and "stream:filter".
func (r *inetdReader) socketType(s *Service, field string) (most int, b *fault) {
	kind, filter, filtered := strings.Cut(field, ":")
	kind, number, limited := strings.Cut(kind, ",")
	switch t := SocketType(strings.ToLower(kind)); t {
	case Stream, Dgram, Seqpacket, RDM, Raw:
		s.SocketType = t
	default:
		return 0, faultf("correct field 2: stream, dgram, seqpacket, rdm or raw", "unknown socket type %q", kind)
	}
	if filtered {
		r.report(Warning, s.Name, acceptFilter(filter))
	}
	if limited {
		var err error
		if most, err = strconv.Atoi(number); err != nil || most < 0 {
			return 0, faultf("write it as stream,5", "%q is not a number of programs", number)
		}
	}
	return most, nil
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

// user reads "user", "user:group" and "user.group".
func (r *inetdReader) user(s *Service, who string) *fault {
	var grouped bool
	if s.User, s.Group, grouped = strings.Cut(who, ":"); !grouped {
		if i := strings.LastIndexByte(who, '.'); i > 0 && (r.o.KnownUser == nil || !r.o.KnownUser(who)) {
			s.User, s.Group, grouped = who[:i], who[i+1:], true
		}
	}
	if s.User == "" || grouped && s.Group == "" {
		return faultf("correct field 5: user, user:group or user.group", "%q does not name a user", who)
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
	case s.rpc() != (RPC{}):
		return faultf("write "+s.Listen[0].Network+" in field 3, or the program's path in field 6", "an RPC service is a program")
	}
	s.Wait = false
	return nil
}
