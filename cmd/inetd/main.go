// How many processors Go uses is set by package inetd. Without this directive,
// Go would keep two files of its cgroup open, which every child would copy.
//
//go:debug containermaxprocs=0

// Command inetd is an internet super-server: it listens on the sockets of the
// services that inetd.conf, xinetd.conf or a TOML file configures, and runs a
// program for each client. See inetd(8).
//
//	inetd [-dEiltV] [-f dialect] [-q length] [-R rate] [-c max] [-C rate]
//	      [-s max] [-a address] [-p pidfile] [file ...]
//
// Under the name xinetd, it takes the options of xinetd(8).
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	_ "goinetd/cmd/inetd/limits" // first of all
	"goinetd/inetd/handover"
)

// version is set by the linker: -X main.version=...
var version = "devel"

// exitUsage is the exit status for a wrong option: EX_USAGE of sysexits.h. It is
// not 2, with which Go's runtime ends a program that failed: a supervisor
// restarts that, and not a wrong option.
const exitUsage = 64

// tunables are times that the tests shorten. Zero values are the defaults.
type tunables struct {
	suspension   time.Duration // of a looping service
	identTimeout time.Duration
	slowReload   time.Duration
	idle         time.Duration // without a start, until memory is released
}

// The kernel delivers a signal to the process's first thread, even while that is
// in a call that only a fatal signal ends (TASK_KILLABLE): an open of
// a file on a server that does not answer, for one. SIGTERM would wait there.
// So the goroutine that handles signals keeps this thread to itself.
func init() { runtime.LockOSThread() }

func main() { os.Exit(runMain(tunables{})) }

// runMain is the program. It returns the exit status.
func runMain(t tunables) int {
	parse, help, usageError := parseFlags, usage, exitUsage
	if ident() == "xinetd" {
		parse, help, usageError = parseXinetdFlags, xinetdUsage, 1
	}
	o, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n%s\n", ident(), err, help)
		return usageError
	}
	if o.help {
		fmt.Println(help)
		return 0
	}
	if o.version {
		out := os.Stdout
		if o.xinetd {
			out = os.Stderr
		}
		fmt.Fprintln(out, ident()+" (goinetd) "+version)
		return 0
	}
	launcher := findLauncher()
	if o.streams, err = readStreams(o.files); err != nil {
		return fatalf("%v", err)
	}
	o.inetd.Texts = o.streams.texts
	if o.test {
		return (&daemon{o: o}).testConfiguration()
	}
	if !o.foreground && launcher == nil && os.Getenv(handover.Variable) == "" {
		return daemonize(&o.streams)
	}
	d := &daemon{o: o, tunables: t, launcher: launcher}
	return d.run()
}

// ident is the daemon's name in logs: that of the program as it was started.
func ident() string { return filepath.Base(os.Args[0]) }
