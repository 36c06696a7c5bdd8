// Command inetd is an internet super-server: it listens on the sockets that
// inetd.conf names and starts a program for each client.
//
//	inetd [-dEilV] [-f dialect] [-q length] [-R rate] [-c max] [-C rate]
//	      [-s max] [-a address] [-p pidfile] [file ...]
//
// xinetd.conf and TOML are read as well. By the name xinetd, it takes the
// options of xinetd(8).
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// version is set by the linker: -X main.version=...
var version = "devel"

func main() {
	parse, help, wrong := parseOptions, usage, 2
	if ident() == "xinetd" {
		parse, help, wrong = parseXinetd, xinetdUsage, 1
	}
	o, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n%s\n", ident(), err, help)
		os.Exit(wrong)
	}
	if o.version {
		out := os.Stdout
		if o.xinetd {
			out = os.Stderr
		}
		fmt.Fprintln(out, ident()+" (goinetd) "+version)
		return
	}
	background := takeParent()
	if !o.foreground && background == nil && os.Getenv(estateVariable) == "" {
		os.Exit(intoBackground())
	}
	os.Exit(run(o, background))
}

// ident is what the daemon is called in logs: what it was started as.
func ident() string { return filepath.Base(os.Args[0]) }
