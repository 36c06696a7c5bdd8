// Command inetd is an internet super-server: it listens on the sockets that
// inetd.conf names and starts a program for each client.
//
//	inetd [-dEilV] [-q length] [-R rate] [-c max] [-C rate] [-s max]
//	      [-a address] [-p pidfile] [file ...]
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// version is set by the linker: -X main.version=...
var version = "devel"

func main() {
	o, err := parseOptions(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "inetd: %v\n%s\n", err, usage)
		os.Exit(2)
	}
	if o.version {
		fmt.Println("inetd (goinetd) " + version)
		return
	}
	background := takeParent()
	if !o.foreground && background == nil {
		os.Exit(intoBackground())
	}
	os.Exit(run(o, background))
}

// ident is what the daemon is called in logs: what it was started as.
func ident() string { return filepath.Base(os.Args[0]) }
