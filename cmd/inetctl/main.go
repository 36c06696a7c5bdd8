// Command inetctl is the administrator's tool for inetd.
//
//	inetctl check [--json] [-f dialect] [file ...]
//	inetctl convert --to toml|xinetd|inetd|systemd [--lossy] [-o file|directory] [-f dialect] [file ...]
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"goinetd/config"
	"goinetd/inetd/builtin"
	"goinetd/inetd/spawn"
)

// version is set by the linker: -X main.version=...
var version = "devel"

const usage = `usage: inetctl check [--json] [-f dialect] [file ...]
       inetctl convert --to toml|xinetd|inetd|systemd [--lossy] [-o file|directory] [-f dialect] [file ...]
       inetctl version
Without files it reads what inetd reads: the first of /etc/inetd.toml,
/etc/inetd.conf (with /etc/inetd.d) and /etc/xinetd.conf that has services.
Users other than root have ~/.config/inetd.toml or inetd.conf read instead, if
one of them exists.
The dialect of a file (inetd, xinetd or toml) is detected, or set with -f.`

// Exit statuses.
const (
	exitOK       = 0
	exitWarnings = 1 // warnings only for check; settings lost for convert
	exitErrors   = 2 // errors, or it could not be done
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run runs a command line and returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	verbs := map[string]func([]string, io.Writer, io.Writer) int{"check": check, "convert": convert}
	if len(args) == 0 {
		fmt.Fprintln(stderr, usage)
		return exitErrors
	}
	switch verb := verbs[args[0]]; {
	case verb != nil:
		return verb(args[1:], stdout, stderr)
	case args[0] == "version" || args[0] == "--version" || args[0] == "-V":
		fmt.Fprintln(stdout, "inetctl (goinetd) "+version)
		return exitOK
	case args[0] == "help" || args[0] == "--help" || args[0] == "-h":
		fmt.Fprintln(stdout, usage)
		return exitOK
	}
	fmt.Fprintf(stderr, "inetctl: unknown verb %q\n%s\n", args[0], usage)
	return exitErrors
}

// flags returns the flags that all verbs have.
func flags(verb string, stderr io.Writer) (*flag.FlagSet, *string) {
	f := flag.NewFlagSet(verb, flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() { fmt.Fprintln(stderr, usage) }
	return f, f.String("f", "", "dialect: inetd, xinetd or toml")
}

// parse reads flags, which may stand between the files, too.
func parse(f *flag.FlagSet, args []string) (files []string, err error) {
	for {
		if err := f.Parse(args); err != nil {
			return nil, err
		}
		if f.NArg() == 0 {
			return files, nil
		}
		files = append(files, f.Arg(0))
		args = f.Args()[1:]
	}
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

// A configuration is what a verb is about.
type configuration struct {
	services []*config.Service
	problems []config.Problem
	o        config.Options
	notes    []string // which files are read, where the command line names none
	own      bool     // the user's own file, which a daemon that is not root reads
}

// load reads the files that a command line names, or what inetd reads by
// itself.
func load(f *flag.FlagSet, args []string, dialect *string) (c configuration, err error) {
	return loadWith(f, args, dialect, func(*config.Options) {})
}

// loadWith is load with other options than the daemon's.
func loadWith(f *flag.FlagSet, args []string, dialect *string, set func(*config.Options)) (c configuration, err error) {
	files, err := parse(f, args)
	if err != nil {
		return c, err
	}
	if c.o, err = options(*dialect); err != nil {
		return c, err
	}
	c.o.WarnWritable = f.Name() == "check" // what is converted need not be in use
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
	for i, name := range files {
		if files[i], err = filepath.Abs(name); err != nil {
			return c, err
		}
	}
	c.services, c.problems, err = config.Load(files, c.o)
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

// fatal reports an error that ends a verb, and returns the exit status.
func fatal(verb string, err error, stderr io.Writer) int {
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	fmt.Fprintf(stderr, "inetctl: %s: %v\n", verb, err)
	return exitErrors
}
