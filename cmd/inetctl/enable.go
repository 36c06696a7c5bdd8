package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"goinetd/config"
	"goinetd/inetd/control"
)

// enableCommand is enable, or disable.
func enableCommand(off bool) *cobra.Command {
	verb, short := "enable", "Switch services on in the file that they stand in"
	if off {
		verb, short = "disable", "Switch services off in the file that they stand in"
	}
	var dialect string
	c := &cobra.Command{
		Use:   verb + " [--now] [-f dialect] [--file file ...] service ...",
		Short: short,
		Long: short + `: with "#<off>#" before a
line of inetd.conf, as update-inetd does, and with disable in xinetd.conf and TOML.
Nothing else of the file changes; what it was before is in the file of that name
with a ~ behind it. It takes effect at the next reload, with --now at once.
` + filesHelp,
		Args: cobra.MinimumNArgs(1),
	}
	socket := addSocket(c)
	addDialect(c, &dialect)
	files := c.Flags().StringArray("file", nil, "a configuration, instead of the one that inetd reads")
	now := c.Flags().Bool("now", false, "have the running inetd reload its configuration")
	c.RunE = func(cmd *cobra.Command, names []string) error {
		for _, name := range names {
			if err := setDisabled(cmd.OutOrStdout(), *files, dialect, name, off); err != nil {
				return err
			}
		}
		if !*now {
			return nil
		}
		r, err := ask(*socket, control.Request{Verb: control.VerbReload})
		if err != nil {
			return err
		}
		report := reportOf(r.Problems)
		for _, p := range report.Problems {
			fmt.Fprintln(cmd.ErrOrStderr(), p.Text)
		}
		return report.status()
	}
	return c
}

// setDisabled switches a service in the files that it stands in.
func setDisabled(stdout io.Writer, files []string, dialect, name string, off bool) error {
	conf, err := load(files, dialect, func(o *config.Options) { o.Disabled = true })
	if err != nil {
		return err
	}
	done := 0
	for _, file := range candidates(conf, files) {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		edited, err := config.SetDisabled(file, string(text), name, off, conf.o)
		switch {
		case errors.Is(err, config.ErrNotOn) || errors.Is(err, config.ErrNotOff):
			continue
		case err != nil:
			return err
		}
		if err := replaceFile(file+"~", string(text)); err != nil {
			return err
		}
		if err := replaceFile(file, edited); err != nil {
			return err
		}
		done++
		fmt.Fprintf(stdout, "%s: %s is %s\n", file, name, map[bool]string{true: "off", false: "on"}[off])
	}
	if done == 0 {
		return fmt.Errorf("there is no service %q that is %s", name, map[bool]string{true: "on", false: "off"}[off])
	}
	return nil
}

// candidates returns the files that a service may stand in: those with services,
// and those whose services may all be off.
func candidates(conf configuration, files []string) []string {
	all := map[string]bool{}
	for _, s := range conf.services {
		all[s.Pos.File] = true
	}
	if files == nil && !conf.own {
		files = []string{filepath.Join(etcRoot, "etc/inetd.conf"), filepath.Join(etcRoot, "etc/inetd.d")}
	}
	for _, path := range files {
		path, _ = filepath.Abs(path)
		info, err := os.Stat(path)
		switch {
		case err != nil:
		case info.IsDir():
			list, _ := filepath.Glob(path + "/*")
			for _, file := range list {
				if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && file[len(file)-1] != '~' {
					all[file] = true
				}
			}
		default:
			all[path] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}
