package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// An Input is files and directories that are read together.
type Input struct {
	Paths    []string
	Services []*Service
	Problems []Problem
	err      error // it could not be read
}

// Served has the paths that a daemon read last, with the number of services
// that each had.
type Served map[string]int

// A Choice is what is read where the command line names no file. Its Problems
// include warnings about the choice itself.
type Choice struct {
	Input
	Notes []string // lines for the log that are no problems
}

// defaultInputs are the places of a configuration, in the order in which they
// are looked at. /etc/inetd.d is inetutils'.
var defaultInputs = [][]string{{"/etc/inetd.toml"}, {"/etc/inetd.conf", "/etc/inetd.d"}, {"/etc/xinetd.conf"}}

// Choose reads the configuration of a host whose command line names no file:
// the first of the default inputs that has services, or else the first that
// exists. One whose only service is wrong has one. root is the directory
// that the host's /etc is in.
//
// A daemon that runs passes what it has read before, nil at the start. It
// changes to another input only where that has services, and stands before
// its own or in its place: neither a file that comes empty nor one that goes
// takes services away, and the last service that is switched off brings no
// others.
func Choose(root string, served Served, o Options) (Choice, error) {
	inputs, err := existingInputs(root, o)
	if err != nil {
		return Choice{}, err
	}
	chosen, err := chooseInput(inputs, served)
	if err != nil {
		return Choice{}, err
	}
	c := Choice{Input: *chosen, Notes: []string{"reading " + and(chosen.Paths)}}
	c.reportUnread(inputs, chosen)
	c.reportLeft(served)
	return c, nil
}

// existingInputs reads the default inputs. Of one, it takes what exists.
func existingInputs(root string, o Options) (inputs []*Input, err error) {
	var all []string
	for _, group := range defaultInputs {
		in := &Input{}
		for _, path := range group {
			path = filepath.Join(root, path)
			all = append(all, path)
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) { // what cannot be looked at is not passed over
				in.Paths = append(in.Paths, path)
			}
		}
		if in.Paths == nil {
			continue
		}
		in.Services, in.Problems, in.err = Load(in.Paths, o)
		inputs = append(inputs, in)
	}
	if inputs == nil {
		return nil, fmt.Errorf("no configuration in %s: %w", strings.Join(all, ", "), syscall.ENOENT)
	}
	return inputs, nil
}

// serves reports whether services are written in the files. An error may be
// one that is wrong, and what cannot be read may have some.
func (in *Input) serves() bool { return in.enabled() > 0 || Errors(in.Problems) || in.err != nil }

// enabled returns how many services are not disabled.
func (in *Input) enabled() (n int) {
	for _, s := range in.Services {
		if !s.Disabled {
			n++
		}
	}
	return n
}

// chooseInput returns the input that is read. It returns an error where none
// has services and what a daemon has read before is not there any more.
func chooseInput(inputs []*Input, served Served) (*Input, error) {
	before := -1 // the input that the daemon serves
	var gone error
	for _, path := range slices.Sorted(maps.Keys(served)) {
		i := slices.IndexFunc(inputs, func(in *Input) bool { return slices.Contains(in.Paths, path) })
		if i < 0 {
			gone = &fs.PathError{Op: "stat", Path: path, Err: syscall.ENOENT}
			continue
		}
		before = i
	}
	i := slices.IndexFunc(inputs, (*Input).serves)
	switch {
	case before >= 0 && gone == nil && (i < 0 || i > before):
		return inputs[before], nil // what has been switched off there stays off
	case i >= 0:
		return inputs[i], inputs[i].err
	case gone != nil:
		return nil, gone
	}
	return inputs[0], nil
}

// reportUnread reports the inputs that exist and are not read.
func (c *Choice) reportUnread(inputs []*Input, chosen *Input) {
	for _, in := range inputs {
		if in == chosen {
			continue
		}
		has := ""
		if in.err == nil {
			has = plural(in.Paths, "has ", "have ") + in.contents() + " and "
		}
		text := fmt.Sprintf("%s %s%s not read, because %s %s", and(in.Paths), has, plural(in.Paths, "is", "are"), and(c.Paths), plural(c.Paths, "is", "are"))
		if in.err != nil || !in.serves() {
			c.Notes = append(c.Notes, text)
			continue
		}
		c.Problems = append(c.Problems, Problem{Severity: Warning, Text: text, Hint: "name both in OPTIONS of /etc/default/inetd to read both"})
	}
}

// contents returns what an input has: "5 services".
func (in *Input) contents() string {
	switch {
	case in.enabled() > 0:
		return countServices(in.enabled())
	case in.serves():
		return "errors"
	}
	return "no services"
}

// reportLeft reports the paths that a daemon has read before and does not
// read any more.
func (c *Choice) reportLeft(served Served) {
	var left []string
	services := 0
	for _, path := range slices.Sorted(maps.Keys(served)) {
		if !slices.Contains(c.Paths, path) {
			left = append(left, path)
			services += served[path]
		}
	}
	if left != nil {
		c.Problems = append(c.Problems, Problem{Severity: Warning,
			Text: fmt.Sprintf("now reading %s; %s (%s) %s no longer read", and(c.Paths), and(left), countServices(services), plural(left, "is", "are"))})
	}
}

// Served returns what a daemon has read that serves the input.
func (in *Input) Served() Served {
	served := Served{}
	for _, path := range in.Paths {
		served[path] = 0
		for _, s := range in.Services {
			if len(in.Paths) == 1 || s.Pos.File == path || strings.HasPrefix(s.Pos.File, path+"/") {
				served[path]++
			}
		}
	}
	return served
}

func and(paths []string) string { return strings.Join(paths, " and ") }

func plural(paths []string, one, more string) string {
	if len(paths) == 1 {
		return one
	}
	return more
}

func countServices(n int) string {
	if n == 1 {
		return "1 service"
	}
	return fmt.Sprintf("%d services", n)
}
