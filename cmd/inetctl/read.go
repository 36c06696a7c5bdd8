package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"goinetd/config"
	"goinetd/inetd/builtin"
	"goinetd/inetd/spawn"
)

// filesHelp says what is read.
const filesHelp = `Without files it reads what inetd reads: the first of /etc/inetd.toml,
/etc/inetd.conf (with /etc/inetd.d) and /etc/xinetd.conf that has services.
Users other than root have ~/.config/inetd.toml or inetd.conf read instead, if
one of them exists.`

// A configuration is what a verb is about.
type configuration struct {
	services []*config.Service
	problems []config.Problem
	o        config.Options
	notes    []string // which files are read, where the command line names none
	own      bool     // the user's own file, which a daemon that is not root reads
}

// options returns those that the configuration is read with: as the daemon
// does without any of its own.
func options(dialect string) (config.Options, error) {
	d := config.Dialect(strings.ToLower(dialect))
	switch d {
	case config.Any, config.Inetd, config.Xinetd, config.TOML:
	default:
		return config.Options{}, fmt.Errorf("-f: %q is none of inetd, xinetd and toml", dialect)
	}
	return config.Options{Dialect: d, KnownUser: spawn.NewAccounts().Known, Builtins: builtin.Known()}, nil
}

// load reads the files that a command line names, or what inetd reads by
// itself. set changes the options.
func load(files []string, dialect string, set func(*config.Options)) (c configuration, err error) {
	if c.o, err = options(dialect); err != nil {
		return c, err
	}
	set(&c.o)
	if len(files) == 0 {
		if own := userFile(os.Geteuid()); own != "" {
			files, c.notes, c.own = []string{own}, []string{"reading " + own}, true
		} else {
			choice, err := config.Choose(etcRoot, nil, c.o)
			c.services, c.problems, c.notes = choice.Services, choice.Problems, choice.Notes
			return c, withAdvice(err)
		}
	}
	paths := make([]string, len(files))
	for i, name := range files {
		if paths[i], err = filepath.Abs(name); err != nil {
			return c, err
		}
	}
	c.services, c.problems, err = config.Load(paths, c.o)
	return c, withAdvice(err)
}

// etcRoot is the directory that /etc is in.
var etcRoot = "/"

// userFile returns the file that the user unit of inetd reads
// (units/user/inetd.service), empty for root and where there is none.
func userFile(uid int) string {
	directory, err := os.UserConfigDir()
	if err != nil || uid == 0 {
		return ""
	}
	for _, name := range []string{"inetd.toml", "inetd.conf"} {
		path := filepath.Join(directory, name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// withAdvice says what to do about a file that does not exist.
func withAdvice(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w (name the file, or create it)", err)
	}
	return err
}
