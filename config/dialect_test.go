package config

import "testing"

func TestDetectDialect(t *testing.T) {
	for text, want := range map[string]Dialect{
		"7000 stream tcp nowait root /bin/x x\n":              Inetd,
		"70=00 stream tcp nowait root /bin/x x\n":             Inetd,
		"7000 stream tcp nowait root /bin/x x a=b\n":          Inetd,
		"[::1]:7000 stream tcp6 nowait root /bin/x x\n":       Inetd,
		"# a comment\n\n[service.echo]\nlisten = \"tcp:7\"\n": TOML,
		"service.echo.listen = \"tcp:7\"\n":                   TOML,
		"service.echo.listen=\"tcp:7\"\n":                     TOML,
		"defaults = { instances = 3 }\n":                      TOML,
		"service echo\n{\n}\n":                                Xinetd,
		"defaults\n{\n}\n":                                    Xinetd,
		"includedir /etc/xinetd.d\n":                          Xinetd,
		"service = stream tcp nowait root /bin/x x\n":         TOML, // of which nothing is used
		"# nothing\n": Inetd,
	} {
		if got := DetectDialect("x", text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
