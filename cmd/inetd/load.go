package main

import (
	"errors"
	"os"
	"strings"

	"goinetd/config"
	"goinetd/inetd/builtin"
	"goinetd/inetd/hosts"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// load reads the configuration.
func (d *daemon) load() ([]*config.Service, []config.Problem, error) {
	o := d.o.inetd
	o.KnownUser = spawn.NewAccounts().Known
	o.Builtins = builtin.Known()
	files := d.o.files
	if len(files) == 0 {
		files = config.DefaultPaths() // at each reload: there may be other files since
		d.log.Printf(syslog.Info, "reading %s", strings.Join(files, " and "))
	}
	services, problems, err := config.Load(files, o)
	if d.o.compat && err == nil {
		problems = append(problems, d.loadCompat(&services, o)...)
	}
	if err == nil {
		d.checkHosts(services)
	}
	return services, problems, err
}

// loadCompat adds the services of /etc/inetd.conf whose ids xinetd.conf does
// not have (-inetd_compat).
func (d *daemon) loadCompat(services *[]*config.Service, o config.Options) []config.Problem {
	o.Dialect, o.PerMinute = config.Inetd, 0
	more, problems, err := config.Load([]string{"/etc/inetd.conf"}, o)
	if err != nil {
		severity := config.Error // so that a reload removes no service
		if errors.Is(err, os.ErrNotExist) {
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
	return problems
}

// The files of hosts_access(5).
const (
	hostsAllow = "/etc/hosts.allow"
	hostsDeny  = "/etc/hosts.deny"
)

// checkHosts logs what is wrong with hosts.allow and hosts.deny, and that
// they are not consulted where an administrator may expect it.
func (d *daemon) checkHosts(services []*config.Service) {
	consulted, unprotected := false, false
	for _, s := range services {
		consulted = consulted || s.Libwrap != ""
		unprotected = unprotected || s.Libwrap == "" && s.Dialect == config.Inetd
	}
	if !d.hostsDenyChecked && unprotected && !d.o.inetd.Libwrap && hosts.Exists(hostsDeny) {
		d.log.Printf(syslog.Notice, "%s exists and is not consulted for the services of inetd.conf (start inetd with -l, or name tcpd(8) in their lines)", hostsDeny)
	}
	d.hostsDenyChecked = true
	if !consulted {
		return
	}
	for _, p := range hosts.FileProblems(hostsAllow, hostsDeny) {
		d.log.Printf(syslog.Warning, "%v", p)
	}
}
