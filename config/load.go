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

// Load reads configuration files and directories in the order given. A
// directory stands for the files in it, in byte order; names that editors
// and package managers leave behind are not read, and said so. An error
// means that a file could not be read at all; the problems tell what is
// wrong inside.
func Load(paths []string, o InetdOptions) ([]*Service, []Problem, error) {
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
			s, p := ReadInetd(file, string(text), o)
			services, problems = append(services, s...), append(problems, p...)
		}
	}
	services, clashes := withoutClashes(services)
	return services, append(problems, clashes...), nil
}

// DefaultPaths gives what is read when no file is named: /etc/inetd.conf and
// /etc/inetd.d (inetutils), where they are there.
func DefaultPaths() []string {
	var paths []string
	for _, path := range []string{"/etc/inetd.conf", "/etc/inetd.d"} {
		if _, err := os.Stat(path); err == nil {
			paths = append(paths, path)
		}
	}
	if paths == nil {
		return []string{"/etc/inetd.conf"} // the one to name in the error
	}
	return paths
}

// filesOf gives the files that a path on the command line stands for.
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
			skipped = append(skipped, Problem{File: file, Text: "not read: it leads nowhere", Hint: "remove the link, or mend it"})
		case err != nil:
			return nil, nil, err
		case leftover(e.Name()):
			skipped = append(skipped, Problem{File: file, Text: "not read: by its name it is hidden or a leftover", Hint: "rename it if it is meant"})
		case info.Mode().IsRegular():
			files = append(files, file)
		}
	}
	return files, skipped, nil
}

// leftover knows the names that editors, dpkg and rpm give to files that are
// not meant any more, or not yet.
func leftover(name string) bool {
	return strings.HasPrefix(name, ".") || slices.ContainsFunc(
		[]string{"~", ".bak", ".swp", ".dpkg-old", ".dpkg-new", ".dpkg-dist", ".dpkg-tmp", ".rpmsave", ".rpmnew", ".rpmorig", ".ucf-dist"},
		func(suffix string) bool { return strings.HasSuffix(name, suffix) })
}

// withoutClashes drops the services that want a place which an earlier one
// has. A service on both families leaves IPv6 to a line that names it: in
// 4.4BSD's files tcp is IPv4, and a line with tcp6 stands beside it.
func withoutClashes(services []*Service) (kept []*Service, problems []Problem) {
	leaveFamilies(services)
	taken := map[string]*Service{}
	for _, s := range services {
		places := s.places()
		var first *Service
		for _, p := range places {
			if taken[p] != nil {
				first = taken[p]
			}
		}
		if first != nil {
			problems = append(problems, s.Problem(Error, "give one of them another address or port, or remove one",
				"%s is already served by %s:%d", s.Name, filepath.Base(first.File), first.Line))
			continue
		}
		for _, p := range places {
			taken[p] = s
		}
		kept = append(kept, s)
	}
	return kept, problems
}

// leaveFamilies narrows tcp and udp to IPv4 where another service is on IPv6
// alone.
func leaveFamilies(services []*Service) {
	six := map[string]bool{}
	for _, s := range services {
		for _, l := range s.Listen {
			if l.Family == IPv6 {
				six[l.place(s.SocketType, IPv6)] = true
			}
		}
	}
	for _, s := range services {
		for i := range s.Listen {
			if l := &s.Listen[i]; l.Family == Both && six[l.place(s.SocketType, IPv6)] {
				l.Family = IPv4
			}
		}
	}
}

// place names a socket of one family.
func (l Listen) place(t SocketType, f Family) string {
	return fmt.Sprint(l.Network, t, f, l.Host, " ", l.Port, l.Proto, l.Path)
}

// places names each socket of a service, one family at a time.
func (s *Service) places() []string {
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
			places = append(places, l.place(s.SocketType, f))
		}
	}
	return places
}
