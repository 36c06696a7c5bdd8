package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func readLines(text string, o Options) ([]*Service, []Problem) {
	o.Builtins, o.Services = known, "testdata/services"
	return ReadInetd("inetd.conf", text, o)
}

// NetBSD's key = value entries mean what lines of fields mean.
func TestKeyEntries(t *testing.T) {
	same := Options{PerMinute: netBSDMax}
	for _, c := range []struct{ keys, fields string }{
		{"7001 on protocol = tcp, wait = no, user = bob, exec = /bin/cat, args = cat -u;", "7001 stream tcp nowait bob /bin/cat cat -u"},
		{"7001 on\n\tprotocol = tcp, # all in pieces\n\twait\n=\nno,user=bob,exec=/bin/cat,\n# args\n\targs = cat\n\t\t-u # last\n;", "7001 stream tcp nowait bob /bin/cat cat -u"},
		{"7001 on protocol=tcp,wait=no,user=bob,exec=/bin/cat;7002 on protocol=udp,wait=yes,user=bob,exec=/bin/cat;",
			"7001 stream tcp nowait bob /bin/cat\n7002 dgram udp wait bob /bin/cat"},
		{"7001 on protocol=tcp,wait=no,user=bob,exec=/bin/cat; 7002 dgram udp wait bob /bin/cat", "7001 stream tcp nowait bob /bin/cat\n7002 dgram udp wait bob /bin/cat"},
		{"echo on protocol = tcp, user = nobody;", "echo stream tcp nowait nobody internal"},
		{"echo on protocol = udp6, user = nobody, exec = internal;", "echo dgram udp6 nowait nobody internal"},
		{"7001 on bind = ::1, protocol = tcp, wait = no, user = bob, exec = /bin/cat;", "[::1]:7001 stream tcp nowait bob /bin/cat"},
		{"127.0.0.1:7001 on protocol = tcp, wait = no, user = bob, exec = /bin/cat;", "127.0.0.1:7001 stream tcp nowait bob /bin/cat"},
		{"127.0.0.1:\n7001 on protocol = tcp, wait = no, user = bob, exec = /bin/cat;", "127.0.0.1:\n7001 stream tcp nowait bob /bin/cat"},
		{"7001 on protocol = tcp, wait = no, user = bob, group = mail, exec = /bin/cat, service_max = 7, ip_max = 3, accept_max = 2;",
			"7001 stream tcp nowait.7/2/3 bob:mail /bin/cat"},
		{"7001 on protocol = tcp, sndbuf = 64k, recvbuf = 16384, wait = no, user = bob, exec = /bin/cat;",
			"7001 stream tcp,sndbuf=64k,rcvbuf=16384 nowait bob /bin/cat"},
		{"/run/x on protocol = unix, socktype = stream, wait = no, user = bob, exec = /bin/cat;", "/run/x stream unix nowait bob /bin/cat"},
		{"tcpmux/+x on protocol = tcp, wait = no, user = bob, exec = /bin/cat;", "tcpmux/+x stream tcp nowait bob /bin/cat"},
		{`7001 on protocol = tcp, wait = no, user = bob, exec = /bin/cat, args = cat "a b" 'c"d' e"f g"h "" "\x41\\\n\"";`, "7001 stream tcp nowait bob /bin/cat cat \"a b\" 'c\"d' \"ef gh\" '' \"A\\\\\\n\\\"\""},
		{"7001 stream,2 tcp nowait bob /bin/cat", "7001 stream tcp nowait/2 bob /bin/cat"},
		{"7001 stream,2:dataready tcp nowait bob /bin/cat", "7001 stream tcp nowait/2 bob /bin/cat"},
	} {
		want, problems := readLines(c.fields, same)
		if Errors(problems) {
			t.Fatal(problems)
		}
		got, problems := readLines(c.keys, same)
		if Errors(problems) || len(got) != len(want) {
			t.Errorf("%s: %d services, %v", c.keys, len(got), problems)
			continue
		}
		for i := range got {
			a, b := model(got[i]), model(want[i])
			a.fields, b.fields = nil, nil
			for i := range b.Args {
				b.Args[i] = strings.ReplaceAll(b.Args[i], `\n`, "\n") // which fields do not know
			}
			if !reflect.DeepEqual(a, b) {
				t.Errorf("%s:\n%+v %+v\n%+v %+v", c.keys, a, a.Settings, b, b.Settings)
			}
		}
	}
}

// 0 is nobody, and what is not written is what NetBSD takes for it.
func TestKeyLimits(t *testing.T) {
	services, problems := readLines(`1 on protocol=udp, wait=yes, user=bob, exec=/bin/x, service_max = 0;
2 on protocol=udp, wait=yes, user=bob, exec=/bin/x, ip_max = 0;
3 on protocol=tcp, wait=no, user=bob, exec=/bin/x;
4 stream tcp nowait.0 bob /bin/x
5 stream tcp nowait:0/3 bob /bin/x
`, Options{PerMinute: 256})
	var got []string
	for _, s := range services {
		got = append(got, fmt.Sprint(s.Name, " ", s.PerMinute, " ", s.PerSourcePerMinute))
	}
	if want := "1 -1 0, 2 40 -1, 3 40 0, 4 0 0, 5 0 0"; strings.Join(got, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
	if len(problems) != 2 || problems[0].Line != 4 || problems[1].Line != 5 || problems[0].Severity != Warning || !strings.Contains(problems[0].String(), "NetBSD") {
		t.Error(problems)
	}
	// There and back, as nothing else in an inetd.conf says it.
	text, lost := Write(Inetd, services[:2], Options{Builtins: known, Services: "testdata/services"})
	again, problems := readLines(text, Options{PerMinute: 256})
	if len(lost) > 0 || len(problems) > 0 || len(again) != 2 || again[0].PerMinute != None || again[1].PerSourcePerMinute != None || again[1].PerMinute != netBSDMax {
		t.Errorf("%s: %v %v %v", text, lost, problems, again)
	}
}

// A mistake costs its entry, and no other.
func TestKeyMistakes(t *testing.T) {
	const good = "7009 on protocol = tcp, wait = no, user = bob, exec = /bin/good;\n"
	for keys, want := range map[string]string{
		"7001 on\n\tprotocol = tcp,\n\twait = no\n": `inetd.conf:2: no semicolon ends the service (service 7001 skipped; write ; behind its last value)`,
		"7001 on protocol = tcp, user = bob":        `no semicolon ends`,
		"7001 on protocol = tcp,\n\n# 7002 on x\n":  `no semicolon ends`,
		"7001 on;": `it has no keys`,
		"7001 on protocol = tcp, wait = no, exec = /bin/x;":                                         `the key user is missing`,
		"7001 on protocol = tcp, user = bob, exec = /bin/x;":                                        `the key wait is missing`,
		"7001 on user = bob, wait = no, exec = /bin/x;":                                             `the key protocol is missing`,
		"/x on protocol = unix, user = bob, wait = no, exec = /bin/x;":                              `socktype is missing`,
		"7001 on protocol = tcp,\nwait = no,\nuser = bob,\nservise_max = 3, exec = /bin/x;":         `inetd.conf:5: unknown key "servise_max" (service 7001 skipped; did you mean service_max?)`,
		"7001 on protocol = tcp,\n  wait = maybe, user = bob, exec = /bin/x;":                       `inetd.conf:3: wait = maybe is neither`,
		"7001 on protocol = tcp, wait no, user = bob, exec = /bin/x;":                               `no = follows the key wait`,
		"7001 on protocol = tcp, wait = no,, user = bob, exec = /bin/x;":                            `", user = bob, exec =" is no key`,
		"7001 on protocol = tcp, wait = no, user = bob, user = bob, exec = /bin/x;":                 `user is written twice`,
		"7001 on protocol = tcp, wait = no, user = bob eve, exec = /bin/x;":                         `user wants one value, and has 2`,
		"7001 on protocol = tcp, wait = no, user =, exec = /bin/x;":                                 `user wants one value, and has 0`,
		"7001 on protocol = tcp, wait = no, user = bob, exec = x;":                                  `"x" does not begin with / (service 7001 skipped; correct exec`,
		"7001 on protocol = tcp, wait = no, user = bob, exec = /bin/x, ip_max = many;":              `ip_max = many is not a number`,
		"7001 on protocol = tcp, wait = no, user = bob, exec = /bin/x, service_max = -1;":           `service_max = -1 is not a number`,
		"7001 on protocol = tcp, wait = yes, user = bob, exec = /bin/x, ip_max = 3;":                `ip_max cannot be enforced`,
		"7001 on protocol = tcp, wait = no, user = bob, exec = /bin/x, args = \"x;\n":               `a quote is opened`,
		"7001 on protocol = tcp, wait = no, user = bob, exec = /bin/x, args = \"\\q\";":             `unknown escape "\\q"`,
		"7001 on protocol = tcp, wait = no, user = bob, exec = /bin/x, args = \"\\x4\";":            `is not a byte`,
		"nosuch on protocol = tcp, wait = no, user = bob, exec = /bin/x;":                           `unknown service "nosuch" over tcp (service nosuch skipped; correct the name`,
		"7001 on protocol = tcp, socktype = strem, wait = no, user = bob, exec = /bin/x;":           `unknown socket type "strem" (service 7001 skipped; correct socktype`,
		"7001 on protocol = faith/tcp6, socktype = stream, wait = no, user = bob, exec = /bin/x;":   `faithd(8) is NetBSD's`,
		"127.0.0.1:7001 on bind = 127.0.0.2, protocol = tcp, wait = no, user = bob, exec = /bin/x;": `has an address, too`,
		"7001 stream,x tcp nowait bob /bin/x":                                                       `"x" is not a number of programs`,
	} {
		services, problems := readLines("# first\n"+keys+"\n"+good, Options{})
		if len(services) != 1 || services[0].Server != "/bin/good" {
			t.Errorf("%s: services %v", keys, describe(services, problems))
		}
		if len(problems) != 1 || problems[0].Severity != Error || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%s: got %v, want %s", keys, problems, want)
		}
	}
	for keys, want := range map[string]string{
		"7001 on protocol = tcp, wait = no, user = bob, exec = /bin/x, acceptfilter = httpready;": `accept filter "httpready" has no effect on Linux`,
		"7001 on protocol = tcp, wait = no, user = bob, exec = /bin/x,\nipsec = \"in ipsec\";":    `inetd.conf:2: IPsec policies are not supported yet`,
		"7001 on protocol = udp, wait = yes, user = bob, exec = /bin/x, accept_max = 3;":          `accept_max has no effect`,
		"7001 off protocol = tcp, wait = no, usr = bob, exec = /bin/x;":                           `unknown key "usr"`,
		"7001 stream tcp wait/1/2/3 bob /bin/x":                                                   `limits for one client have no effect`,
	} {
		if _, problems := readLines(keys+"\n"+good, Options{}); len(problems) != 1 || problems[0].Severity != Warning || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%s: got %v, want %s", keys, problems, want)
		}
	}
	services, problems := readLines("7001 on\u00a0protocol\u00a0= tcp,\u00a0wait =\u00a0no, user = bob\u00a0, exec = /bin/x, args = x \"a\u00a0b\";\n", Options{})
	if len(services) != 1 || len(problems) != 1 || Errors(problems) || services[0].Args[1] != "a\u00a0b" {
		t.Errorf("%v", describe(services, problems))
	}
	// What only looks like such an entry: a comment, and an argument.
	services, problems = readLines("# on the other hand\n7001 stream tcp nowait bob /bin/x x\n  turn on it\n", Options{})
	if len(problems) > 0 || len(services) != 1 || len(services[0].Args) != 4 {
		t.Errorf("%v", describe(services, problems))
	}
}

// An entry that is off is there for a conversion only.
func TestKeyOff(t *testing.T) {
	const text = "7001 off protocol = tcp, wait = no, user = bob, exec = /bin/x;\n7002 off protocol = nothing;\n7003 on protocol = tcp, wait = no, user = bob, exec = /bin/x;\n"
	services, problems := readLines(text, Options{})
	if len(services) != 1 || Errors(problems) || len(problems) != 1 {
		t.Errorf("%v", describe(services, problems))
	}
	services, problems = readLines(text, Options{Disabled: true})
	if len(services) != 2 || len(problems) > 0 || !services[0].Disabled || services[1].Disabled || !strings.Contains(fmt.Sprint(services[1].comments), "# 7002 off protocol = nothing;") {
		t.Errorf("%v", describe(services, problems))
	}
}

// .include reads files by their names and by patterns, from where it stands.
func TestNetBSDInclude(t *testing.T) {
	dir := t.TempDir()
	line := func(port int) string { return fmt.Sprintf("%d stream tcp nowait bob /bin/x\n", port) }
	for name, text := range map[string]string{
		"inetd.conf":  "127.0.0.1:\n" + line(7001) + ".include \"d/*.conf\" and so on\n.include other\n.include missing\n.include none/*\n.include\n.include [\n" + line(7005) + ".include gone/*\n",
		"d/b.conf":    line(7003) + "bad line\n",
		"d/a.conf":    "*:\n" + line(7002) + ".include ../deep/file\n",
		"d/.h.conf":   line(7999),
		"d/b.conf~":   line(7999),
		"d/e.conf":    "",
		"deep/file":   "7004 on protocol = tcp, wait = no, user = bob, exec = /bin/x;\n.include ../inetd.conf\n",
		"other":       ".include other\n",
		"none/.empty": "",
	} {
		os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	services, problems, err := Load([]string{dir + "/inetd.conf"}, Options{Builtins: known})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range services {
		got = append(got, s.Listen[0].String()+"@"+filepath.Base(s.Pos.File))
	}
	if want := "tcp4:127.0.0.1:7001@inetd.conf tcp:7002@a.conf tcp:7004@file tcp4:127.0.0.1:7003@b.conf tcp4:127.0.0.1:7005@inetd.conf"; strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
	var texts []string
	for _, p := range problems {
		texts = append(texts, p.String())
	}
	all := strings.Join(texts, "\n")
	for _, want := range []string{"d/b.conf:2: field 3 (protocol) is missing", "e.conf: the file is empty", "file:2: " + dir + "/inetd.conf is included by itself", "other:1: " + dir + "/other is included by itself",
		"inetd.conf:5: stat " + dir + "/missing", "inetd.conf:7: .include names no file", "inetd.conf:8: .include [: syntax error in pattern",
		"inetd.conf:10: open " + dir + "/gone: no such file or directory"} {
		if !strings.Contains(strings.ReplaceAll(all, filepath.Base(dir)+"/", ""), strings.ReplaceAll(want, "d/b", "b")) && !strings.Contains(all, want) {
			t.Errorf("no problem %q:\n%s", want, all)
		}
	}
	if len(problems) != 8 {
		t.Errorf("%d problems:\n%s", len(problems), all)
	}
}

// What is read of key = value entries can be written as such, and read again.
func FuzzKeyEntries(f *testing.F) {
	f.Add("7001 on protocol = tcp, wait = no, user = bob, exec = /bin/cat, args = cat \"\\x41;\" # x\n;\n7002 off protocol=udp;")
	f.Add("7001 on\n\tprotocol = tcp,\n7002 on protocol = udp, wait = yes, service_max = 0, ip_max = 3, user = bob, exec = /x;")
	f.Add("echo on protocol = tcp6, user = bob, bind = ::1, sndbuf = 64k;.include x\n7 stream,3 tcp nowait bob /x")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, ".include") {
			return // of files of this host
		}
		services, problems := readLines(text, Options{PerMinute: 256})
		sane(t, text, services, problems)
		for _, s := range services {
			if len(s.Listen) == 0 || s.PerSource != 0 || s.Instances < 0 {
				continue
			}
			w := writer{d: Inetd, o: &Options{Builtins: known, Services: "testdata/services"}, etc: readEtc(Options{Builtins: known, Services: "testdata/services"})}
			if s.PerMinute == 0 {
				continue // which such an entry cannot say
			}
			where, protocol := w.inetdAddress(s, s.Listen[:1])
			written := keyText(s, where, protocol)
			if s.Internal != "" && where != s.Internal || strings.ContainsAny(where, " \t\"';#") || len(s.Listen) > 1 {
				continue
			}
			again, problems := readLines(written, Options{PerMinute: 256})
			if len(again) != 1 || fmt.Sprintf("%q %v %v", again[0].Args, again[0].PerMinute, again[0].Listen) != fmt.Sprintf("%q %v %v", s.Args, s.PerMinute, s.Listen) {
				t.Errorf("%q\n%s: %v\n%v", text, written, problems, describe(again, nil))
			}
		}
	})
}
