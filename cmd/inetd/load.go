package main

import (
	"errors"
	"os"
	"slices"
	"strings"

	"goinetd/config"
	"goinetd/inetd/builtin"
	"goinetd/inetd/hosts"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// A reading is what the configuration says at one moment.
type reading struct {
	services []*config.Service // the Server's once they are prepared
	problems []config.Problem
	served   config.Served // what was read, where the command line names no file
	notes    []string      // lines for the log

	consultsHosts bool // hosts.allow and hosts.deny, for some service
	unprotected   bool // some service of an inetd.conf is not protected by them
}

// noteHosts sets consultsHosts and unprotected while the services are there.
func (r *reading) noteHosts() *reading {
	for _, s := range r.services {
		r.consultsHosts = r.consultsHosts || s.Libwrap != ""
		r.unprotected = r.unprotected || s.Libwrap == "" && s.Dialect == config.Inetd
	}
	return r
}

// read reads the files that the command line names, or those that are there.
// It changes nothing.
func (d *daemon) read() (*reading, error) {
	o := d.o.inetd
	o.KnownUser = spawn.NewAccounts().Known
	o.Builtins, o.WarnWritable = builtin.Known(), true
	o.Served = func(file string) bool { return slices.Contains(d.before, file) }
	if d.server != nil {
		files := d.server.Files()
		o.Served = func(file string) bool { return files[file] }
	}
	if len(d.o.files) == 0 { // at each reload: there may be other files since
		c, err := config.Choose("/", *d.served.Load(), o)
		r := &reading{services: c.Services, problems: c.Problems, served: c.Served(), notes: c.Notes}
		return r.noteHosts(), err
	}
	var notes []string
	if d.server != nil {
		notes = d.o.streams.notes(d.o.files)
	}
	services, problems, err := config.Load(d.o.files, o)
	if d.o.compat && err == nil {
		for _, p := range d.loadCompat(&services, o) {
			if !slices.Contains(problems, p) { // of two services that are both xinetd.conf's
				problems = append(problems, p)
			}
		}
	}
	r := &reading{services: services, problems: problems, notes: notes}
	return r.noteHosts(), err
}

// use notes a reading that is about to be served.
func (d *daemon) use(r *reading) {
	for _, text := range r.notes {
		d.log.Printf(syslog.Notice, "%s", text)
	}
	served := r.served // not a pointer into r, which would keep all of it
	d.served.Store(&served)
	d.server.SetInputs(served)
	d.checkHosts(r)
}

// loadCompat adds the services of /etc/inetd.conf whose ids xinetd.conf does
// not have (-inetd_compat).
func (d *daemon) loadCompat(services *[]*config.Service, o config.Options) []config.Problem {
	o.Dialect, o.PerMinute = config.Inetd, 0
	more, problems, err := config.Load([]string{"/etc/inetd.conf"}, o)
	if err != nil {
		severity := config.Error // so that a reload removes no service
		if errors.Is(err, os.ErrNotExist) && (o.Served == nil || !o.Served("/etc/inetd.conf")) {
			severity = config.Warning
		}
		return []config.Problem{{Severity: severity, Text: "-inetd_compat: " + err.Error()}}
	}
	ids := map[string]bool{}
	for _, s := range *services {
		ids[strings.ToLower(s.ID)] = true
	}
	for _, s := range more {
		if !ids[strings.ToLower(s.ID)] {
			*services = append(*services, s)
		}
	}
	var clashes []config.Problem
	*services, clashes = config.RejectConflicts(*services)
	return append(problems, clashes...)
}

// The files of hosts_access(5).
const (
	hostsAllow = "/etc/hosts.allow"
	hostsDeny  = "/etc/hosts.deny"
)

// checkHosts logs what is wrong with hosts.allow and hosts.deny, and that
// they are not consulted where an administrator may expect it.
func (d *daemon) checkHosts(r *reading) {
	if !d.hostsDenyChecked && r.unprotected && !d.o.inetd.Libwrap && hosts.HasRules(hostsDeny) {
		d.log.Printf(syslog.Notice, "%s has rules and is not consulted for the services of inetd.conf (start inetd with -l, or name tcpd(8) in their lines)", hostsDeny)
	}
	d.hostsDenyChecked = true
	if !r.consultsHosts {
		return
	}
	for _, p := range hosts.FileProblems(hostsAllow, hostsDeny) {
		d.log.Printf(syslog.Warning, "%v", p)
	}
}
