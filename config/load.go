package config

import (
	"errors"
	"fmt"
	"io"
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
	WarnWritable       bool      // warn of files that others than root and our own user may write to

	// Disabled has readers return disabled services, too, for a conversion.
	// What is wrong with one is no problem; it is returned as a comment.
	Disabled bool

	// KnownUser reports whether there is such a user; it decides what
	// "user.group" means. Nil: there is none with a dot in the name.
	KnownUser func(name string) bool

	// Texts are what was read of files that can be read only once, such as a
	// FIFO, by their paths.
	Texts map[string]string

	// Served reports whether services of a file run. Where such a file is
	// suddenly empty, or a link to nothing, that is an error, so that none of
	// them is removed. Nil: no services run.
	Served func(file string) bool
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
		files, skipped, err := o.filesOf(path)
		if err != nil {
			return nil, nil, err
		}
		problems = o.warnWritable(append(problems, skipped...), path)
		for _, file := range files {
			problems = o.warnWritable(problems, file)
			text, err := o.text(file)
			if err != nil {
				return nil, nil, err
			}
			if isBlank(text) {
				problems = append(problems, o.emptyFile(file))
				continue
			}
			s, p := Read(file, text, o)
			services = append(services, s...)
			for _, p := range p {
				if p.Line > 0 || !slices.Contains(problems, p) { // a directory that several files are in
					problems = append(problems, p)
				}
			}
		}
	}
	services, clashes := rejectConflictsOfEnabled(services)
	return services, append(problems, clashes...), nil
}

// text returns what a file says.
func (o *Options) text(file string) (string, error) {
	if text, once := o.Texts[file]; once {
		return text, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var text strings.Builder
	if info, err := f.Stat(); err == nil {
		text.Grow(int(min(info.Size(), maxGrow)) + 1)
	}
	_, err = io.Copy(&text, f)
	return text.String(), err
}

// maxGrow is more than a configuration has: of a file that says it is larger
// as much is read as there is.
const maxGrow = 16 << 20

// rejectConflictsOfEnabled is RejectConflicts for services among which some
// are disabled and want no socket.
func rejectConflictsOfEnabled(services []*Service) ([]*Service, []Problem) {
	isOff := func(s *Service) bool { return s.Disabled }
	if !slices.ContainsFunc(services, isOff) {
		return RejectConflicts(services)
	}
	retained, problems := RejectConflicts(slices.DeleteFunc(slices.Clone(services), isOff))
	return slices.DeleteFunc(services, func(s *Service) bool { return !s.Disabled && !slices.Contains(retained, s) }), problems
}

// isBlank reports whether a file has no text at all. What update-inetd(8) and
// editors leave of a file without services has comments.
func isBlank(text string) bool {
	return strings.TrimSpace(strings.TrimPrefix(text, "\ufeff")) == ""
}

func (o *Options) served(file string) bool { return o.Served != nil && o.Served(file) }

// emptyFile returns the problem of a file without text: a write that failed
// leaves one.
func (o *Options) emptyFile(file string) Problem {
	p := Problem{Pos: Pos{File: file}, Severity: Warning, Text: "the file is empty", Hint: "write services into it, or a comment"}
	if o.served(file) {
		p.Severity, p.Hint = Error, "no service is removed; if it is to have none, write a comment into it"
	}
	return p
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
		line, _ = skipBlanks(line)
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		words := strings.Fields(line)
		switch first := strings.ToLower(words[0]); {
		case (first == "service" || first == "include" || first == "includedir") && len(words) <= 3,
			first == "defaults" && len(words) <= 2:
			return Xinetd
		case len(words) > 3 && slices.Contains(socketTypes, SocketType(strings.ToLower(words[1]))): // a slip with a = makes no TOML of it
			return Inetd
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

var socketTypes = []SocketType{Stream, Dgram, Raw, RDM, Seqpacket}

// tomlTable knows the header of a TOML table. In an inetd.conf, what begins
// with a bracket is an IPv6 address, with a colon behind it.
func tomlTable(line string) bool {
	if line[0] != '[' {
		return false
	}
	body, _, closed := strings.Cut(line[1:], "]")
	return closed && !strings.Contains(body, ":")
}

// filesOf returns the files that a path on the command line stands for.
func (o *Options) filesOf(path string) (files []string, skipped []Problem, err error) {
	if _, once := o.Texts[path]; once {
		return []string{path}, nil, nil
	}
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
	if o.served(path) { // a container engine makes a directory of a file that is not there
		return nil, nil, fmt.Errorf("%s is a directory, and was a file", path)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		file := filepath.Join(path, e.Name())
		info, err := os.Stat(file)
		switch {
		case errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(e.Name(), "..") && !o.served(file):
		case errors.Is(err, fs.ErrNotExist): // removed since, or a link to nothing
			p := Problem{Pos: Pos{File: file}, Text: "not read: its target does not exist", Hint: "remove the link, or correct it"}
			if o.served(file) {
				p.Severity = Error
			}
			skipped = append(skipped, p)
		case err != nil:
			return nil, nil, err
		case info.IsDir(), strings.HasPrefix(e.Name(), ".."): // Kubernetes' ConfigMaps have ..data
		case isLeftover(e.Name()):
			skipped = append(skipped, leftover(file))
		case info.Mode().IsRegular():
			files = append(files, file)
		}
	}
	return files, skipped, nil
}

// leftover returns the warning of a file that is passed over.
func leftover(file string) Problem {
	return Problem{Pos: Pos{File: file}, Text: "not read: hidden, or a backup by its name", Hint: "rename it if it is to be read"}
}

// isLeftover reports whether a file has a name that editors, dpkg or rpm give
// to files that are not in use.
func isLeftover(name string) bool {
	return strings.HasPrefix(name, ".") || slices.ContainsFunc(
		[]string{"~", ".bak", ".swp", ".dpkg-old", ".dpkg-new", ".dpkg-dist", ".dpkg-tmp", ".rpmsave", ".rpmnew", ".rpmorig", ".ucf-dist"},
		func(suffix string) bool { return strings.HasSuffix(name, suffix) })
}
