package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Options are what the command line says about services that do not say it
// themselves, and what a reader must ask others.
type Options struct {
	PerMinute          int    // -R: starts in a minute; 0: no limit
	Instances          int    // -c: at once; 0: no limit
	PerSourcePerMinute int    // -C: starts in a minute for one client; 0: no limit
	PerSource          int    // -s: at once for one client; 0: no limit
	Address            string // -a: where services without an address listen; empty: everywhere
	LogStarts          bool   // -l: START and EXIT lines
	Libwrap            bool   // -l: hosts_access(5) is consulted for inetd.conf's services
	Services           string // services(5) to look names up in; empty: /etc/services
	Dialect            Dialect
	Builtins           []Builtin // the services that inetd serves itself; nil: none

	// KnownUser reports whether there is such a user; it decides what
	// "user.group" means. Nil: there is none with a dot in the name.
	KnownUser func(name string) bool
}

// A Dialect is a language that a configuration is written in.
type Dialect string

// The dialects. Any means that DetectDialect decides.
const (
	Any    Dialect = ""
	Inetd  Dialect = "inetd"
	Xinetd Dialect = "xinetd"
	TOML   Dialect = "toml"
)

// Load reads configuration files and directories in the order given. A
// directory stands for the files in it, in byte order; names that editors
// and package managers leave behind are not read, and said so. An error
// means that a file could not be read at all; the problems say what is
// wrong inside.
func Load(paths []string, o Options) ([]*Service, []Problem, error) {
	var services []*Service
	var problems []Problem
	for _, path := range paths {
		files, skipped, err := filesOf(path)
		if err != nil {
			return nil, nil, err
		}
		problems = append(problems, skipped...)
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, nil, err
			}
			s, p := Read(file, string(text), o)
			services, problems = append(services, s...), append(problems, p...)
		}
	}
	services, clashes := rejectConflicts(services)
	return services, append(problems, clashes...), nil
}

// Read reads one file in the dialect that the options name, or else in the
// one that it is written in.
func Read(file, text string, o Options) ([]*Service, []Problem) {
	text = strings.TrimPrefix(text, "\ufeff") // a byte order mark, of an editor's
	d := o.Dialect
	if d == Any {
		d = DetectDialect(file, text)
	}
	switch d {
	case Xinetd:
		return ReadXinetd(file, text, o)
	case TOML:
		return ReadTOML(file, text, o)
	}
	return ReadInetd(file, text, o)
}

// DetectDialect returns the dialect of a file: by its first line that is not a
// comment, or by its name where there is none.
func DetectDialect(file, text string) Dialect {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		words := strings.Fields(line)
		switch first := strings.ToLower(words[0]); {
		case (first == "service" || first == "include" || first == "includedir") && len(words) <= 3,
			first == "defaults" && len(words) <= 2:
			return Xinetd
		case tomlTable(line), len(words) > 1 && words[1] == "=", strings.Contains(words[0], "=") && !strings.Contains(words[0], "/"):
			return TOML
		}
		return Inetd
	}
	switch {
	case strings.HasSuffix(file, ".toml"):
		return TOML
	case strings.Contains(filepath.Base(file), "xinetd"):
		return Xinetd
	}
	return Inetd
}

// tomlTable knows the header of a TOML table. In an inetd.conf, what begins
// with a bracket is an IPv6 address, with a colon behind it.
func tomlTable(line string) bool {
	if line[0] != '[' {
		return false
	}
	body, _, closed := strings.Cut(line[1:], "]")
	return closed && !strings.Contains(body, ":")
}

// DefaultPaths returns what is read when no file is named: the first of
// /etc/inetd.toml, /etc/inetd.conf (with /etc/inetd.d, as inetutils has it)
// and /etc/xinetd.conf that is there.
func DefaultPaths() []string {
	for _, group := range [][]string{{"/etc/inetd.toml"}, {"/etc/inetd.conf", "/etc/inetd.d"}, {"/etc/xinetd.conf"}} {
		var paths []string
		for _, path := range group {
			if _, err := os.Stat(path); err == nil {
				paths = append(paths, path)
			}
		}
		if paths != nil {
			return paths
		}
	}
	return []string{"/etc/inetd.conf"} // the one to name in the error
}

// filesOf returns the files that a path on the command line stands for.
func filesOf(path string) (files []string, skipped []Problem, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if info.Mode().IsRegular() {
		return []string{path}, nil, nil
	}
	if !info.IsDir() {
		return nil, nil, fmt.Errorf("%s is neither a file nor a directory, and could not be read again at a reload", path)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		file := filepath.Join(path, e.Name())
		info, err := os.Stat(file)
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed since, or a link to nothing
			skipped = append(skipped, Problem{Pos: Pos{File: file}, Text: "not read: its target does not exist", Hint: "remove the link, or correct it"})
		case err != nil:
			return nil, nil, err
		case isLeftover(e.Name()):
			skipped = append(skipped, Problem{Pos: Pos{File: file}, Text: "not read: hidden, or a backup by its name", Hint: "rename it if it is to be read"})
		case info.Mode().IsRegular():
			files = append(files, file)
		}
	}
	return files, skipped, nil
}

// isLeftover reports whether a file has a name that editors, dpkg or rpm give
// to files that are not in use.
func isLeftover(name string) bool {
	return strings.HasPrefix(name, ".") || slices.ContainsFunc(
		[]string{"~", ".bak", ".swp", ".dpkg-old", ".dpkg-new", ".dpkg-dist", ".dpkg-tmp", ".rpmsave", ".rpmnew", ".rpmorig", ".ucf-dist"},
		func(suffix string) bool { return strings.HasSuffix(name, suffix) })
}

// rejectConflicts drops services whose socket an earlier service has. A
// service on both families leaves IPv6 to an entry that names it: in 4.4BSD's
// files tcp is IPv4, with an entry for tcp6 beside it.
func rejectConflicts(services []*Service) (retained []*Service, problems []Problem) {
	splitFamilies(services)
	taken := map[string]*Service{}
	for _, s := range services {
		places := s.socketKeys()
		var first *Service
		for _, p := range places {
			if taken[p] != nil {
				first = taken[p]
			}
		}
		if first != nil {
			problems = append(problems, s.Problem(Error, "give one of them another address or port, or remove one",
				"%s is already served by %s", s.ID, first.Pos))
			continue
		}
		for _, p := range places {
			taken[p] = s
		}
		retained = append(retained, s)
	}
	return retained, problems
}

// splitFamilies narrows tcp and udp to IPv4 where another service is on IPv6
// alone.
func splitFamilies(services []*Service) {
	six := map[string]bool{}
	for _, s := range services {
		for _, l := range s.Listen {
			if l.Family == IPv6 {
				six[l.socketKey(s.SocketType, IPv6)] = true
			}
		}
	}
	for _, s := range services {
		for i := range s.Listen {
			if l := &s.Listen[i]; l.Family == Both && six[l.socketKey(s.SocketType, IPv6)] {
				l.Family = IPv4
			}
		}
	}
}

// socketKey identifies a socket of one family.
func (l Listen) socketKey(t SocketType, f Family) string {
	return fmt.Sprint(l.Network, t, f, l.Host, " ", l.Port, l.Proto, l.Path)
}

// socketKeys returns the keys of a service's sockets, each family apart.
func (s *Service) socketKeys() []string {
	if s.Mux != "" {
		return []string{"tcpmux " + strings.ToLower(s.Mux)}
	}
	var places []string
	for _, l := range s.Listen {
		families := []Family{l.Family}
		if l.Family == Both || l.Family == Mapped && l.Host == "" {
			families = []Family{IPv4, IPv6}
		}
		for _, f := range families {
			places = append(places, l.socketKey(s.SocketType, f))
		}
	}
	return places
}
