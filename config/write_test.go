package config

import (
	"slices"
	"strings"
	"testing"
)

// Units are the same at every run, whatever the order of maps.
func TestUnitsAreDeterministic(t *testing.T) {
	const text = "service a\n{\ntype = UNLISTED\nport = 7001\nsocket_type = stream\nwait = no\nuser = nobody\nserver = /bin/cat\nflags = KEEPALIVE NODELAY IDONLY NORETRY\nrlimit_as = 1M\nrlimit_cpu = 3\n}\n"
	var first string
	for i := range 50 {
		services, _ := ReadXinetd("x", text, Options{})
		units, lost := Units(services, nil)
		var b strings.Builder
		for _, u := range units {
			b.WriteString(u.Name + "\n" + u.Text)
		}
		for _, l := range lost {
			b.WriteString(l.String() + "\n")
		}
		if i == 0 {
			first = b.String()
		} else if b.String() != first {
			t.Fatalf("run %d differs:\n%s\nfrom the first:\n%s", i, b.String(), first)
		}
	}
	for _, want := range []string{"KeepAlive=yes\nNoDelay=yes\n", "flags = IDONLY\n", "flags = NORETRY\n"} {
		if !strings.Contains(first, want) {
			t.Errorf("no %q in\n%s", want, first)
		}
	}
}

// What xinetd itself would reject is written and listed.
func TestExtensionsAreListed(t *testing.T) {
	services, problems := ReadTOML("x.toml", "[service.a]\nlisten = \"tcp:7001\"\nuser = \"nobody\"\nserver = \"/bin/cat\"\nchroot = \"/srv\"\ncps_per_source = [5, 60]\ninstances = 3\n", Options{})
	if len(services) != 1 {
		t.Fatal(problems)
	}
	text, lost := Write(Xinetd, services, Options{})
	listed := map[string]bool{}
	for _, l := range lost {
		listed[l.Setting] = l.Extension
	}
	if !listed["chroot = /srv"] || !listed["cps_per_source = 5 60"] || listed["instances = 3"] {
		t.Errorf("losses %v", lost)
	}
	if !strings.Contains(text, "chroot           = /srv\n") {
		t.Errorf("not written:\n%s", text)
	}
}

func TestValueCounts(t *testing.T) {
	const service = "service a\n{\ntype = UNLISTED\nport = 7001\nsocket_type = stream\nwait = no\nuser = nobody\nserver = /bin/cat\n"
	for setting, want := range map[string]string{
		"redirect = 192.0.2.1 80 90":        "redirect takes one to two values, not 3",
		"cps = 50":                          "cps takes two values, not 1",
		"log_type = SYSLOG daemon info x y": "log_type takes one to four values, not 5",
		"access_times =":                    "access_times takes at least one value, not 0",
		"umask = 022 077":                   "umask takes one value, not 2",
	} {
		_, problems := ReadXinetd("x", service+setting+"\n}\n", Options{})
		if len(problems) != 1 || problems[0].Text != want {
			t.Errorf("%s: %v, want %q", setting, problems, want)
		}
	}
}

// What inetd.conf says by not saying it: xinetd has other defaults.
func TestInetdToXinetd(t *testing.T) {
	const text = "7000 stream tcp4 nowait.6000 root /bin/cat cat\n7001 stream tcp4 nowait/7 root /bin/cat cat\n7002 dgram udp4 wait root /bin/cat cat\n"
	services, problems := ReadInetd("x", text, Options{})
	if len(services) != 3 {
		t.Fatal(problems)
	}
	converted, lost := Write(Xinetd, services, Options{})
	again, problems := ReadXinetd("y", converted, Options{})
	if len(again) != 3 {
		t.Fatalf("%v\n%s", problems, converted)
	}
	for i, s := range again {
		if want := map[bool]Rate{false: {}, true: loopGuard}[s.Wait]; s.CPS != want || s.PerMinute != services[i].PerMinute || s.Instances != services[i].Instances {
			t.Errorf("%s: cps %v, want %v, per_minute %d, instances %d\n%s", s.ID, s.CPS, want, s.PerMinute, s.Instances, converted)
		}
	}
	if again[1].Queue != true {
		t.Errorf("no queue:\n%s", converted)
	}
	n := 0
	for _, l := range lost {
		if strings.HasPrefix(l.Setting, "passenv: ") && !l.Extension {
			n++
		}
	}
	if n != 3 {
		t.Errorf("passenv is not lost three times: %v", lost)
	}
}

func TestBuffersInInetdConf(t *testing.T) {
	const text = "/run/x\tstream\tunix,sndbuf=16384\tnowait\troot\t/bin/cat\tcat\n:alice:bob:0600:/run/y\tstream\tunix,rcvbuf=4096\tnowait\troot\t/bin/cat\tcat\n" +
		"7000\tstream\ttcp4,sndbuf=1,rcvbuf=2\tnowait\troot\t/bin/cat\tcat\ntcpmux/x\tstream\ttcp,sndbuf=8192\tnowait\troot\t/bin/cat\tcat\n"
	services, problems := ReadInetd("x", text, Options{})
	if converted, lost := Write(Inetd, services, Options{}); converted != text || lost != nil {
		t.Errorf("%v %v\n%s", problems, lost, converted)
	}
}

// inetd.conf has a queue where there are limits, and xinetd has none.
func TestQueueIsLost(t *testing.T) {
	for _, c := range []struct {
		settings string
		lost     bool
	}{{"instances = 5", true}, {"instances = 5\nqueue = yes", false}, {"", false}} {
		services, _ := ReadXinetd("x", "service a\n{\ntype = UNLISTED\nport = 7001\nsocket_type = stream\nwait = no\nuser = nobody\nserver = /bin/cat\n"+c.settings+"\n}\n", Options{})
		_, lost := Write(Inetd, services, Options{})
		if got := slices.ContainsFunc(lost, func(l Loss) bool { return l.Setting == "queue = no" }); got != c.lost {
			t.Errorf("%q: %v", c.settings, lost)
		}
	}
}

// What of the log xinetd does not know is listed: it would reject the service.
func TestLogExtensions(t *testing.T) {
	for values, want := range map[string]int{`["PID", "HOST"]`: 0, `["PORT"]`: 1, `["PID", "RUSAGE"]`: 1} {
		services, problems := Read("x", "[service.a]\nlisten = \"tcp:7001\"\nuser = \"nobody\"\nserver = \"/bin/x\"\nqueue = false\nlog_on_success = "+values+"\n", Options{Builtins: known, Dialect: TOML})
		if len(services) != 1 {
			t.Fatal(problems)
		}
		_, lost := Write(Xinetd, services, Options{Builtins: known})
		if n := len(slices.DeleteFunc(lost, func(l Loss) bool { return !l.Extension })); n != want {
			t.Errorf("%s: %v", values, lost)
		}
	}
}
