package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// do runs a command line and returns its output and its exit status.
func do(args ...string) (stdout, stderr string, status int) {
	var out, err bytes.Buffer
	status = run(args, &out, &err)
	return out.String(), err.String(), status
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

const fineConf = "7007 stream tcp nowait nobody /bin/cat cat\n"

const brokenXinetd = `defaults
{
	log_type = SYSLOG daemon info
}
service one
{
	type        = UNLISTED
	port        = 7001
	socket_type = stream
	wait        = no
	user        = nobody
	server      = /bin/cat
	only_from   = 192.0.2.7 300.1.2.3
}
service two
{
	type        = UNLISTED
	port        = 7002
	socket_type = stream
	wait        = no
	user        = nosuchuser
	server      = /bin/cat
	only_from   = 192.0.2.7
	no_access   = 192.0.2.0/24
	onlyfrom    = 1.2.3.4
}
service three
{
	type        = UNLISTED
	port        = 7003
	socket_type = stream
	wait        = no
	user        = nosuchuser
	server      = /bin/cat
	only_from   = 192.0.2.7
	no_access   = 192.0.2.0/24
}
`

func TestCheck(t *testing.T) {
	if out, err, status := do("check", write(t, "inetd.conf", fineConf)); status != exitOK || out != "1 service, 0 errors, 0 warnings\n" || err != "" {
		t.Errorf("%d %q %q", status, out, err)
	}
	if out, _, status := do("check", write(t, "inetd.conf", strings.Replace(fineConf, "/bin/cat", "/bin/nosuchprogram", 1))); status != exitWarnings || !strings.Contains(out, "0 errors, 1 warning\n") {
		t.Errorf("%d %q", status, out)
	}
	file := write(t, "xinetd.conf", brokenXinetd)
	out, _, status := do("check", file)
	want := file + `:13:26: error: one: "300.1.2.3" is neither an address nor a name
	write addresses as 192.0.2.7, 192.0.2.0/24, 192.0.2.{1,2}, 2001:db8::/32, host.example.org or .example.org
` + file + `:25:2: error: two: unknown setting "onlyfrom"
	write only_from, if that is meant
` + file + `:33:2: error: three: unknown user "nosuchuser"
	add the user, or correct user
` + file + `:35:16: warning: three: only_from 192.0.2.7 lies inside no_access 192.0.2.0/24, which wins
	correct one of them
0 services, 3 errors, 1 warning
`
	if status != exitErrors || out != want {
		t.Errorf("%d\n%s\nwant\n%s", status, out, want)
	}
	out, _, status = do("check", "--json", file)
	var r report
	if err := json.Unmarshal([]byte(out), &r); err != nil || status != exitErrors || r.Errors != 3 || r.Warnings != 1 || r.Services != 0 || len(r.Problems) != 4 {
		t.Errorf("%d %v %+v", status, err, r)
	}
	if p := r.Problems[0]; p.File != file || p.Line != 13 || p.Column != 26 || p.Severity != "error" || p.Service != "one" || p.Hint == "" {
		t.Errorf("%+v", p)
	}
	toml := write(t, "x.toml", "[service.x]\nlisten = \"tcp:7001\"\nserver = [\n")
	if out, _, status := do("check", toml); status != exitErrors || !strings.HasPrefix(out, toml+":3:") {
		t.Errorf("%d %q", status, out)
	}
	for _, args := range [][]string{{}, {"nonsense"}, {"check", "--nonsense"}, {"check", "/nonexistent"}, {"check", "-f", "yaml", file}, {"convert", file}, {"convert", "--to", "yaml", file}} {
		if _, err, status := do(args...); status != exitErrors || err == "" {
			t.Errorf("%q: %d %q", args, status, err)
		}
	}
}

// Without files, the output says which ones are read, and which not.
func TestCheckDefaults(t *testing.T) {
	etcRoot = t.TempDir()
	defer func() { etcRoot = "/" }()
	t.Setenv("XDG_CONFIG_HOME", etcRoot)
	if _, err, status := do("check"); status != exitErrors || !strings.Contains(err, "inetd.toml") || !strings.HasSuffix(err, "(name the file, or create it)\n") {
		t.Errorf("without a configuration: %d %q", status, err)
	}
	os.Mkdir(etcRoot+"/etc", 0o755)
	os.WriteFile(etcRoot+"/etc/inetd.conf", []byte("# none\n"), 0o644)
	os.WriteFile(etcRoot+"/etc/xinetd.conf", []byte(strings.Replace(brokenXinetd[strings.Index(brokenXinetd, "service three"):], "nosuchuser", "root", 1)), 0o644)
	out, _, _ := do("check")
	for _, want := range []string{"reading " + etcRoot + "/etc/xinetd.conf\n", etcRoot + "/etc/inetd.conf has no services and is not read, because " + etcRoot + "/etc/xinetd.conf is\n", "\n1 service, 0 errors"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	os.WriteFile(etcRoot+"/etc/inetd.conf", []byte(fineConf), 0o644)
	out, _, status := do("check")
	if want := "warning: " + etcRoot + "/etc/xinetd.conf has 1 service and is not read, because " + etcRoot + "/etc/inetd.conf is\n\tname both in OPTIONS"; status != exitWarnings || !strings.Contains(out, want) {
		t.Errorf("no %q in\n%s", want, out)
	}
}

// An ordinary user's own configuration is the one that is checked.
func TestCheckAsUser(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	if got := userFile(1000); got != "" {
		t.Errorf("without one: %q", got)
	}
	for _, name := range []string{"inetd.conf", "inetd.toml"} {
		os.WriteFile(home+"/"+name, []byte("# none\n"), 0o644)
		if got := userFile(1000); got != home+"/"+name {
			t.Errorf("%q, want %s", got, name)
		}
	}
	if got := userFile(0); got != "" {
		t.Errorf("root's: %q", got)
	}
}

func TestConvert(t *testing.T) {
	conf := write(t, "inetd.conf", "# serves cats\n7007 stream tcp nowait.60 nobody /bin/cat cat -n \"two words\"\n")
	out, errors, status := do("convert", "--to", "toml", conf)
	want := "# serves cats\n[service.7007]\nlisten = \"tcp:7007\"\nuser = \"nobody\"\nserver = \"/bin/cat\"\nserver_args = [\"-n\", \"two words\"]\nper_minute = 60\n"
	if status != exitOK || out != want || errors != "" {
		t.Errorf("%d %q\n%s", status, errors, out)
	}
	toml := write(t, "x.toml", want)
	out, errors, status = do("convert", "--to", "inetd", toml)
	if status != exitOK || out != "# serves cats\n7007\tstream\ttcp\tnowait.60\tnobody\t/bin/cat\tcat\t-n\t\"two words\"\n" {
		t.Errorf("%d %q\n%s", status, errors, out)
	}
	xinetd := write(t, "xinetd.conf", strings.Replace(brokenXinetd[strings.Index(brokenXinetd, "service three"):], "nosuchuser", "nobody", 1))
	out, errors, status = do("convert", "--to", "inetd", xinetd)
	if status != exitWarnings || out != "" || !strings.Contains(errors, ":9: three: only_from = 192.0.2.7\n") || !strings.Contains(errors, ":10: three: no_access = 192.0.2.0/24\n") {
		t.Errorf("%d %q\n%s", status, out, errors)
	}
	if out, _, status = do("convert", "--to", "inetd", "--lossy", xinetd); status != exitWarnings || !strings.Contains(out, "/bin/cat") {
		t.Errorf("%d %q", status, out)
	}
}

// Units that systemd has nothing to say about.
func TestConvertToSystemd(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("systemd-analyze is missing")
		}
		t.Skip("systemd-analyze is missing")
	}
	conf := write(t, "x.toml", `# a comment
[service.cat]
listen = ["tcp:192.0.2.1:7007", "tcp:[::1]:7007"]
user = "daemon"
server = "/bin/cat"
server_args = ["-n", "two words", "50%", "$HOME"]
only_from = ["192.0.2.0/24", "::1"]
instances = 30
queue = false
per_source = 2
umask = "027"
nice = 5
rlimit_as = "64M"
env = ["A=b c"]
session_timeout = "2h"
keepalive = true
`)
	_, errors, status := do("convert", "--to", "systemd", conf)
	if status != exitErrors && status != exitWarnings {
		t.Errorf("keepalive is a flag: %d %s", status, errors)
	}
	text, _ := os.ReadFile(conf)
	os.WriteFile(conf, []byte(strings.Replace(string(text), "keepalive = true", `flags = ["KEEPALIVE"]`, 1)+`
[service."run/sock"]
listen = "unix:/run/test.sock"
user = "root"
server = "/bin/cat"
flags = ["NAMEINARGS"]
server_args = ["dog"]

[service.forward]
listen = "tcp4:7009"
redirect = "192.0.2.1:80"

[service.dgram]
listen = "udp6:7010"
user = "daemon"
server = "/bin/cat"
`), 0o644)
	dir := t.TempDir()
	if _, errors, status := do("convert", "--to", "systemd", "--lossy", "-o", dir, conf); status != exitWarnings ||
		strings.Count(errors, "lost: ") != 1 || !strings.Contains(errors, "cat: variables of the program: REMOTE_HOST,") {
		t.Fatalf("%d %s", status, errors)
	}
	units, _ := filepath.Glob(dir + "/*")
	if len(units) != 8 {
		t.Fatal(units)
	}
	cmd := exec.Command("systemd-analyze", append([]string{"verify", "--man=no", "--recursive-errors=no"}, units...)...)
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
	if out, err := cmd.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) != 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	if _, errors, status := do("convert", "--to", "systemd", "--lossy", "-o", dir, conf); status != exitErrors || !strings.Contains(errors, "exists") {
		t.Errorf("units that are there are overwritten: %d %s", status, errors)
	}
	if _, errors, status := do("convert", "--to", "systemd", write(t, "inetd.conf", "7007 stream tcp nowait root internal echo\n")); status != exitWarnings || !strings.Contains(errors, "systemd serves nothing itself") {
		t.Errorf("%d %s", status, errors)
	}
}
