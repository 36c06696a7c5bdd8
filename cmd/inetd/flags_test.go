package main

import (
	"slices"
	"strings"
	"testing"

	"goinetd/config"
)

// The options of every inetd's manual page do what they say there, or are
// passed over with a word.
func TestOtherInetdsOptions(t *testing.T) {
	for line, wrong := range map[string]func(*options) bool{
		// FreeBSD: -d -l -w -W -c -C -a -p -R -s
		"-wW -l -c 5 -C 60 -R 100 -s 3 -a 127.0.0.1 -p /run/x conf": func(o *options) bool {
			return !o.inetd.Libwrap || !o.inetd.LogStarts || o.inetd.Instances != 5 || o.inetd.PerSourcePerMinute != 60 || o.inetd.PerSource != 3 || o.pidfile != "/run/x"
		},
		"-w": func(o *options) bool { return !o.inetd.Libwrap || o.inetd.LogStarts },
		"-W": func(o *options) bool { return !o.inetd.Libwrap },
		// OpenBSD, Debian and NetBSD
		"-d -E -R 10 conf":    func(o *options) bool { return !o.debug || !o.keepEnv || o.inetd.PerMinute != 10 },
		"-i -l -q 128":        func(o *options) bool { return !o.foreground || o.backlog != 128 || o.facility != "" },
		"-dl /etc/inetd.conf": func(o *options) bool { return !o.debug || len(o.files) != 1 },
		// busybox: -f -e -q -R
		"-f": func(o *options) bool { return !o.foreground || o.facility != "daemon" || o.inetd.Dialect != config.Any },
		"-fe -q 5 -R0 /x/conf": func(o *options) bool {
			return !o.foreground || o.facility != "" || o.backlog != 5 || !slices.Equal(o.files, []string{"/x/conf"})
		},
		"-f /x/conf": func(o *options) bool { return !o.foreground || !slices.Equal(o.files, []string{"/x/conf"}) },
		"-e": func(o *options) bool {
			return o.foreground || len(o.passedOver) != 1 || !strings.Contains(o.passedOver[0], "-e has no effect")
		},
		"-f toml /x/conf": func(o *options) bool { return o.foreground || o.inetd.Dialect != config.TOML || len(o.files) != 1 },
		"-ifinetd":        func(o *options) bool { return !o.foreground || o.inetd.Dialect != config.Inetd },
		// GNU: -d -p -R -V -?, and the long ones
		"--debug --environment --pidfile=/run/x --rate=7 /x/conf /x/d": func(o *options) bool {
			return !o.debug || o.pidfile != "/run/x" || o.inetd.PerMinute != 7 || len(o.passedOver) != 0 || !slices.Equal(o.files, []string{"/x/conf", "/x/d"})
		},
		"--rate 7 --resolve":  func(o *options) bool { return o.inetd.PerMinute != 7 || len(o.passedOver) != 1 },
		"--pidfile /x/conf":   func(o *options) bool { return !o.pidfileSet || o.pidfile != "" || len(o.files) != 1 },
		"--pid=/run/x --ra=3": func(o *options) bool { return o.pidfile != "/run/x" || o.inetd.PerMinute != 3 },
		"--usage":             func(o *options) bool { return !o.help },
		"-?":                  func(o *options) bool { return !o.help },
		"--version":           func(o *options) bool { return !o.version },
		"-- -x":               func(o *options) bool { return len(o.files) != 1 || !strings.HasSuffix(o.files[0], "/-x") },
		"-i -":                func(o *options) bool { return !slices.Equal(o.files, []string{"/dev/stdin"}) },
	} {
		o, err := parseFlags(strings.Fields(line))
		if err != nil || wrong(o) {
			t.Errorf("%s: %+v %v", line, o, err)
		}
	}
	for _, line := range []string{"--loud", "--re=3", "--debug=3", "--rate=x", "--rate", "--=3", "-x"} {
		if _, err := parseFlags(strings.Fields(line)); err == nil {
			t.Errorf("%s is accepted", line)
		}
	}
}
