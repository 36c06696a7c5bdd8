package config

import (
	"strings"
	"testing"
)

// What libwrap says against a flag, or only seems to say, is warned of.
func TestLibwrapDoubts(t *testing.T) {
	const wins, name = "the flag NOLIBWRAP wins over libwrap", "is taken for the daemon's name"
	for _, c := range []struct{ settings, want string }{
		{`flags = ["NOLIBWRAP"]` + "\nlibwrap = true", "x:6:" + wins},
		{`flags = ["NOLIBWRAP"]` + "\nlibwrap = false", ""},
		{`libwrap = "ture"`, "x:5:libwrap = ture " + name},
		{`libwrap = "flase"`, "x:5:libwrap = flase " + name},
		{`libwrap = "Yess"`, "x:5:libwrap = Yess " + name},
		{`libwrap = "0"`, "x:5:libwrap = 0 " + name},
		{`libwrap = "in.tftpd"`, ""},
		{`libwrap = "cat"`, ""},
		{`libwrap = "sshd"`, ""},
		{`libwrap = "ntpd"`, ""},
		{`libwrap = "ftpd"`, ""},
		{`libwrap = "yes"`, ""},
	} {
		text := "\n\n\n[service.one]\n" + c.settings + "\nlisten = \"tcp:7\"\nserver = \"/bin/cat\"\nuser = \"root\"\n"
		services, problems := ReadTOML("x", text, Options{})
		got := ""
		for _, p := range problems {
			got += p.Pos.String() + ":" + p.Text
		}
		if len(services) != 1 || (got == "") != (c.want == "") || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", c.settings, got, c.want)
		}
	}
}
