package config

import (
	"strings"
	"testing"
)

const disabledServices = `defaults
{
	disabled = third
}
# of first
service first
{
	# off
	disable = yes
	type = UNLISTED
	port = 7001
	socket_type = stream
	wait = no
	user = root
	# inner
	server = /bin/cat
	only_from = 192.0.2.1
}
# of second
service second
{
	disable = yes
	# of x
	socket_type = wrong
}
service third
{
	type = UNLISTED
	port = 7001
	socket_type = stream
	wait = no
	user = root
	server = /bin/dog
}
`

// Disabled services go through TOML and xinetd.conf with what they have, and
// stay disabled; none is returned to who does not want them.
func TestDisabledIsKept(t *testing.T) {
	o := Options{Disabled: true}
	services, problems := ReadXinetd("x", disabledServices, o)
	if len(services) != 2 || problems != nil || !services[0].Disabled || !services[1].Disabled {
		t.Fatal(services, problems)
	}
	for _, d := range []Dialect{TOML, Xinetd, TOML} {
		text, lost := Write(d, services, o)
		for _, want := range []string{"# of first\n", "# off\n", "# inner\n", "# of second\n", "# of x\n", "192.0.2.1", "/bin/dog", "wrong"} {
			if strings.Count(text, want) != 1 {
				t.Errorf("%s: %q is not there once:\n%s", d, want, text)
			}
		}
		again := Options{Disabled: true, Dialect: d}
		if services, problems = Read("y", text, again); len(services) != 2 || problems != nil || lost != nil || !services[0].Disabled || !services[1].Disabled {
			t.Fatalf("%s: %v %v %v\n%s", d, services, problems, lost, text)
		}
		if running, problems := Read("y", text, Options{Dialect: d}); len(running) != 0 || problems != nil {
			t.Errorf("%s: %v %v\n%s", d, running, problems, text)
		}
	}
}

// A disabled service takes no socket from one that runs, and is a comment in
// inetd.conf and no unit.
func TestDisabledElsewhere(t *testing.T) {
	services, _ := ReadXinetd("x", strings.Replace(disabledServices, "\tdisabled = third\n", "", 1), Options{Disabled: true})
	retained, problems := rejectConflictsOfEnabled(services)
	if len(retained) != 2 || problems != nil {
		t.Fatal(retained, problems)
	}
	text, _ := Write(Inetd, retained[:1], Options{Disabled: true})
	if text != "# of first\n# first is disabled (x:5)\n" {
		t.Errorf("%q", text)
	}
	if units, lost := Units(retained[:1], nil); units != nil || lost != nil {
		t.Error(units, lost)
	}
}
