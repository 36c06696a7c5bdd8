package service

import (
	"strings"
	"testing"

	"goinetd/config"
	"goinetd/inetd/syslog"
)

// Whoever runs the services and whoever checks them gets the same problems:
// those of each service on this host, and of all together.
func TestBuildAll(t *testing.T) {
	confs := read(t, `
[service.unix]
listen = "unix:/nonexistent/socket"
builtin = "echo"
[service.mux]
type = "tcpmux"
user = "root"
server = "/bin/true"
[service.named]
listen = "udp:127.0.0.1:7001"
builtin = "echo"
only_from = [".example.org"]
[service.where]
listen = "tcp:no.such.host.invalid:7002"
builtin = "echo"
[service.wait]
listen = "tcp:127.0.0.1:7003"
user = "root"
server = "/bin/true"
wait = true
libwrap = true
[service.mixed]
listen = ["tcp:127.0.0.1:7004", "unix:/tmp/mixed"]
builtin = "echo"
libwrap = "mixed"
[service.other]
listen = "tcp:127.0.0.1:7005"
user = "root"
server = "/bin/true"
wait = true
libwrap = "other"
`)
	o := Options{Root: true, Log: syslog.ToDaemon("test", "daemon"), MayRefuse: func(daemon string) bool { return daemon != "other" }}
	defs, problems := NewBuilder(o, confs).BuildAll(confs, nil)
	if len(defs) != len(confs)-2 {
		t.Errorf("%d of %d services", len(defs), len(confs))
	}
	for _, want := range []struct {
		severity config.Severity
		text     string
	}{
		{config.Warning, "directory of the socket: stat /nonexistent"},
		{config.Warning, "mux cannot be reached: no tcpmux service is configured"},
		{config.Warning, "named: host names in address lists are not looked up for datagrams"},
		{config.Error, "no.such.host.invalid"},
		{config.Error, "wait: hosts.allow and hosts.deny cannot be enforced for clients that the program of a wait service accepts"},
		{config.Warning, "mixed: clients of unix:/tmp/mixed"},
	} {
		n := 0
		for _, p := range problems {
			if strings.Contains(p.Text, want.text) && p.Severity == want.severity {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d times %q", n, want.text)
		}
	}
	if len(problems) != 6 {
		t.Errorf("problems %v", problems)
	}
}
