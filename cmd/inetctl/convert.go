package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"goinetd/config"
	"goinetd/inetd/spawn"
)

// A conversion is what the options of convert say.
type conversion struct {
	dialect, to, output string
	lossy               bool
}

func convertCommand() *cobra.Command {
	var v conversion
	c := &cobra.Command{
		Use:   "convert --to toml|xinetd|inetd|systemd [--lossy] [-o file|directory] [-f dialect] [file ...]",
		Short: "Write a configuration in another format",
		Long:  "Prints the services of a configuration in another format, with their comments.\n" + filesHelp,
		RunE: func(cmd *cobra.Command, files []string) error {
			return v.run(files, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	addDialect(c, &v.dialect)
	f := c.Flags()
	f.StringVar(&v.to, "to", "", "toml, xinetd, inetd or systemd")
	f.BoolVar(&v.lossy, "lossy", false, "write it although settings are lost")
	f.StringVarP(&v.output, "output", "o", "", "file to write, or directory for systemd's units; else they are printed")
	c.RegisterFlagCompletionFunc("to", cobra.FixedCompletions([]string{"toml", "xinetd", "inetd", "systemd"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// run writes a configuration in another dialect. Settings that it cannot
// say are listed. Nothing is written where the configuration has errors, or
// where settings would be lost unless they may be: what has replaced a file
// would have fewer services.
func (v *conversion) run(files []string, stdout, stderr io.Writer) error {
	c, err := load(files, v.dialect, func(o *config.Options) { o.Disabled = true })
	if err == nil && v.to != "toml" && v.to != "xinetd" && v.to != "inetd" && v.to != "systemd" {
		err = fmt.Errorf("--to: %q is none of toml, xinetd, inetd and systemd", v.to)
	}
	if err != nil {
		return err
	}
	if n := printProblems(c, stderr); n > 0 {
		return fmt.Errorf("the configuration has %s (nothing is written)", count(n, "error"))
	}
	var text string
	var units []config.Unit
	var lost []config.Loss
	if v.to == "systemd" {
		units, lost = config.Units(c.services, primaryGroup())
		text = printed(units)
	} else {
		text, lost = config.Write(config.Dialect(v.to), c.services, c.o)
	}
	extensions := printLosses(lost, stderr)
	if n := len(lost) - extensions; n > 0 && !v.lossy {
		fmt.Fprintf(stderr, "inetctl: convert: %s has no equivalent of %s (nothing is written; --lossy writes the rest)\n", v.to, count(n, "setting"))
		return statusError(exitWarnings)
	}
	switch {
	case len(c.services) == 0:
		err = errors.New("there is no service to convert (nothing is written)")
	case v.output == "":
		_, err = io.WriteString(stdout, text)
	case v.to == "systemd":
		err = writeUnits(v.output, units)
	default:
		err = replaceFile(v.output, text)
	}
	if err == nil && len(lost) > 0 {
		err = statusError(exitWarnings)
	}
	return err
}

// primaryGroup returns a function that finds the own group of a user.
func primaryGroup() func(user string) (string, bool) {
	accounts := spawn.NewAccounts()
	return func(user string) (string, bool) {
		account, err := accounts.Lookup(user, "")
		if err != nil {
			return "", false
		}
		return strconv.FormatUint(uint64(account.GID), 10), true
	}
}

// printProblems prints which files were read and what is wrong with them. It
// returns the number of errors.
func printProblems(c configuration, stderr io.Writer) (n int) {
	for _, note := range c.notes {
		fmt.Fprintln(stderr, note)
	}
	for _, p := range c.problems {
		fmt.Fprintf(stderr, "%s: %v\n", p.Severity, p)
		if p.Severity == config.Error {
			n++
		}
	}
	return n
}

// printLosses prints the settings that are lost, and those that are written
// although xinetd itself does not know them. It returns the number of these.
func printLosses(lost []config.Loss, stderr io.Writer) (extensions int) {
	for _, l := range lost {
		if l.Extension {
			extensions++
			fmt.Fprintf(stderr, "extension: %v\n", l)
		} else {
			fmt.Fprintf(stderr, "lost: %v\n", l)
		}
	}
	return extensions
}

// replaceFile writes a file as a whole or not at all: a temporary file beside
// it is renamed. A link stays, and the file that it names is replaced.
func replaceFile(path, text string) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	mode := os.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		if !info.Mode().IsRegular() {
			return fmt.Errorf("-o: %s is not a regular file", path)
		}
		mode = info.Mode().Perm()
	}
	// A directory of configuration files is read without names with a dot in
	// front.
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// printed returns units one after the other, each with its name above.
func printed(units []config.Unit) string {
	var b strings.Builder
	for i, u := range units {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "# %s\n%s", u.Name, u.Text)
	}
	return b.String()
}

// writeUnits writes units into a directory, which it makes. What is there
// already is not overwritten, and then none is written.
func writeUnits(directory string, units []config.Unit) error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	for _, u := range units {
		path := filepath.Join(directory, u.Name)
		if _, err := os.Lstat(path); err == nil {
			return &fs.PathError{Op: "open", Path: path, Err: syscall.EEXIST}
		}
	}
	for _, u := range units {
		f, err := os.OpenFile(filepath.Join(directory, u.Name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		_, err = f.WriteString(u.Text)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}
