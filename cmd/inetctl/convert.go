package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"goinetd/config"
)

// convert writes a configuration in another dialect. Settings that it cannot
// say are listed, and nothing is written unless they may be lost.
func convert(args []string, stdout, stderr io.Writer) int {
	f, dialect := flags("convert", stderr)
	to := f.String("to", "", "toml, xinetd, inetd or systemd")
	lossy := f.Bool("lossy", false, "write it although settings are lost")
	directory := f.String("o", "", "directory for systemd's units; else they are printed")
	c, err := load(f, args, dialect)
	if err == nil && *to != "toml" && *to != "xinetd" && *to != "inetd" && *to != "systemd" {
		err = fmt.Errorf("--to: %q is none of toml, xinetd, inetd and systemd", *to)
	}
	if err == nil && *directory != "" && *to != "systemd" {
		err = errors.New("-o goes with --to systemd")
	}
	if err != nil {
		return fatal("convert", err, stderr)
	}
	for _, p := range c.problems {
		fmt.Fprintf(stderr, "%s: %v\n", p.Severity, p)
	}
	var out string
	var units []config.Unit
	var lost []config.Loss
	if *to == "systemd" {
		units, lost = config.Units(c.services)
		out = printed(units)
	} else {
		out, lost = config.Write(config.Dialect(*to), c.services, c.o)
	}
	extensions := 0
	for _, l := range lost {
		if l.Extension {
			extensions++
			fmt.Fprintf(stderr, "extension: %v\n", l)
		} else {
			fmt.Fprintf(stderr, "lost: %v\n", l)
		}
	}
	if n := len(lost) - extensions; n > 0 && !*lossy {
		fmt.Fprintf(stderr, "inetctl: convert: %s has no equivalent of %s (nothing is written; --lossy writes the rest)\n", *to, count(n, "setting"))
		return exitWarnings
	}
	if *directory != "" {
		err = writeUnits(*directory, units)
	} else {
		_, err = io.WriteString(stdout, out)
	}
	if err != nil {
		return fatal("convert", err, stderr)
	}
	switch {
	case config.Errors(c.problems):
		return exitErrors
	case extensions > 0:
		return exitWarnings
	}
	return exitOK
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

// writeUnits writes units into a directory. What is there already is not
// overwritten.
func writeUnits(directory string, units []config.Unit) error {
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
