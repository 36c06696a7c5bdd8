package main

import (
	"fmt"
	"os"

	"goinetd/config"
	"goinetd/inetd/handover"
	"goinetd/inetd/hosts"
	"goinetd/inetd/service"
	"goinetd/inetd/syslog"
)

// testPassed begins the last line of a test (-t) that has read the
// configuration, whatever is wrong with it. An upgrade looks for it.
const testPassed = "configuration read: "

// testConfiguration is inetd -t: it reads the configuration as a start would,
// prints what is wrong and returns the exit status. Nothing is opened, and no
// daemon is disturbed.
func (d *daemon) testConfiguration() int {
	state, err := handover.Receive() // of a daemon that would be upgraded
	if err != nil {
		return fatalf("%v", err)
	}
	o := service.Options{Root: os.Geteuid() == 0, LogFile: func(config.LogType) *syslog.Logger { return nil }, MayRefuse: hosts.New(hostsAllow, hostsDeny).MayRefuse}
	restorer := service.NewRestorer(o)
	for record := range state.Records() {
		if restorer.Restore(record) == nil {
			return fatalf("the service %s of the daemon cannot be restored", service.RecordKey(record))
		}
	}
	d.served.Store((*config.Served)(&state.Inputs))
	d.before = state.Files
	r, err := d.read()
	if err != nil {
		return fatalf("%v", err)
	}
	problems := r.problems
	b := service.NewBuilder(o, r.services)
	_, found := b.BuildAll(r.services, nil)
	problems = append(problems, found...)
	for _, p := range problems {
		fmt.Fprintf(os.Stderr, "%s: %v\n", ident(), p)
	}
	services := "1 service"
	if n := len(r.services); n != 1 {
		services = fmt.Sprint(n, " services")
	}
	fmt.Println(testPassed + services)
	// For an upgrade the services that are wrong go on as they are.
	if config.Errors(problems) && state.Version == 0 {
		return 1
	}
	return 0
}
