package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"goinetd/inetd/reliability"
)

// listening reports whether somebody listens on a port of loopback.
func listening(port int) bool {
	c, err := net.Dial("tcp", at(port))
	if err == nil {
		c.Close()
	}
	return err == nil
}

// A file that is suddenly empty takes no service away, neither at a reload
// nor at an upgrade; one in which nothing but comments is left does.
func TestEmptyFile(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p := port(t)
	conf := fmt.Sprintf("%s stream tcp nowait root internal echo\n", at(p))
	d := setup{conf: conf}.start(t)
	for _, text := range []string{"", " \n\n"} {
		d.reload(text)
		if got := request(t, p, "x"); got != "x" {
			t.Errorf("with %q in the file: %q\n%s", text, got, d.text())
		}
	}
	d.find(`inetd\.conf: the file is empty \(no service is removed; if it is to have none, write a comment into it\)`, 2)
	d.signal(syscall.SIGUSR2)
	d.await("RELOADING=1")
	d.await("READY=1")
	if got := request(t, p, "x"); got != "x" {
		t.Errorf("after an upgrade: %q\n%s", got, d.text())
	}
	d.reload("#<off># " + conf)
	if listening(p) {
		t.Errorf("a service that is switched off is served:\n%s", d.text())
	}
	d.reload("") // there is nothing to keep
	d.find(`the file is empty \(write services into it, or a comment\)`, 1)
	d.reload(conf)
	if got := request(t, p, "x"); got != "x" {
		t.Errorf("it is not back: %q", got)
	}
	setup{conf: ""}.start(t).find("no services are configured; waiting for SIGHUP", 1)
	reliability.Survived(t, reliability.Fault{Theme: reliability.Reloads, Did: "a configuration file that is suddenly empty, at a reload and at an upgrade",
		Saw: "served as before; what is commented out goes off", Log: "inetd.conf: the file is empty (no service is removed; if it is to have none, write a comment into it)"})
}

// A daemon whose command line names no file goes to another one only for its
// services, and says so.
func TestInputsThatComeAndGo(t *testing.T) {
	need(t, "root")
	if !inside(t) {
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	p, q := port(t), port(t)
	etc(t, map[string]string{"inetd.conf": "# none\n", "xinetd.conf": entry(p, "server = /bin/echo", "server_args = one") + entry(q, "server = /bin/echo", "server_args = two")})
	for _, path := range []string{"/etc/inetd.toml", "/etc/inetd.d"} { // of the host
		os.RemoveAll(path)
	}
	d := setup{noFile: true}.start(t)
	d.find(`/etc/inetd\.conf has no services and is not read, because /etc/xinetd\.conf is\n`, 1)
	step := func(what, want string) {
		t.Helper()
		d.signal(syscall.SIGHUP)
		d.await("RELOADING=1")
		d.await("READY=1")
		got := ""
		for _, port := range []int{p, q} {
			if listening(port) {
				got += strings.TrimSpace(request(t, port, "")) + " "
			}
		}
		if strings.TrimSpace(got) != want {
			t.Errorf("%s: %q, want %q\n%s", what, got, want, d.text())
		}
	}
	write(t, "/etc/inetd.toml", "", 0o644)
	step("an empty inetd.toml comes", "one two")
	os.Mkdir("/etc/inetd.d", 0o755)
	step("an empty inetd.d comes", "one two")
	write(t, "/etc/inetd.toml", fmt.Sprintf("[service.a]\nlisten = \"tcp:%s\"\nuser = \"nobody\"\nserver = \"/bin/echo\"\nserver_args = [\"toml\"]\n", at(p)), 0o644)
	step("inetd.toml has a service", "toml")
	d.find(`now reading /etc/inetd\.toml; /etc/xinetd\.conf \(2 services\) is no longer read\n`, 1)
	d.find(`/etc/xinetd\.conf has 2 services and is not read, because /etc/inetd\.toml is \(name both in OPTIONS of /etc/default/inetd to read both\)\n`, 1)
	os.Remove("/etc/xinetd.conf")
	os.Remove("/etc/inetd.toml")
	step("all services are gone", "toml")
	d.find(`reload: stat /etc/inetd\.toml: no such file or directory \(nothing is changed\)`, 1)
	write(t, "/etc/inetd.d/two", fmt.Sprintf("%s stream tcp nowait nobody /bin/echo echo conf\n", at(q)), 0o644)
	step("inetd.d has a service", "conf")
	d.find(`now reading /etc/inetd\.conf and /etc/inetd\.d; /etc/inetd\.toml \(1 service\) is no longer read\n`, 1)
	write(t, "/etc/inetd.d/two", "", 0o644)
	step("its file is empty", "conf")
	reliability.Survived(t, reliability.Fault{Theme: reliability.Reloads, Did: "another default file that comes empty, or goes",
		Saw: "served as before; taken over only with services in it", Log: "now reading /etc/inetd.toml; /etc/xinetd.conf (N services) is no longer read"})
}

// -inetd_compat adds the services of inetd.conf: each of those that share a
// name, and none that xinetd.conf has the port of. They stay when the file is
// moved away.
func TestCompat(t *testing.T) {
	need(t, "root")
	if !inside(t) {
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	p, q, r := port(t), port(t), port(t)
	etc(t, map[string]string{"services": fmt.Sprintf("quiz %d/tcp\n", p), "inetd.conf": fmt.Sprintf(
		"127.0.0.1:quiz stream tcp nowait nobody /bin/echo echo one\n127.0.0.2:quiz stream tcp nowait nobody /bin/echo echo two\n127.0.0.1:%d stream tcp nowait nobody /bin/echo echo three\n", r)})
	dir := folder(t)
	os.Symlink(built.inetd, dir+"/xinetd")
	d := setup{conf: entry(q, "server = /bin/echo", "server_args = xinetd") + entry(r, "server = /bin/echo", "server_args = xinetd"),
		program: dir + "/xinetd", bare: true, flags: []string{"-inetd_compat"}}.start(t)
	d.find(fmt.Sprintf(`inetd\.conf:3: %d is already served by inetd\.conf:\d+ \(service %d skipped`, r, r), 1)
	check := func(when string) {
		t.Helper()
		for _, c := range []struct {
			address string
			port    int
			want    string
		}{{"127.0.0.1", p, "one"}, {"127.0.0.2", p, "two"}, {"127.0.0.1", q, "xinetd"}, {"127.0.0.1", r, "xinetd"}} {
			conn, err := net.Dial("tcp", net.JoinHostPort(c.address, fmt.Sprint(c.port)))
			if err != nil {
				t.Errorf("%s: %v\n%s", when, err, d.text())
				continue
			}
			if got := readAll(t, conn); got != c.want+"\n" {
				t.Errorf("%s: %s:%d says %q, want %s", when, c.address, c.port, got, c.want)
			}
			conn.Close()
		}
	}
	check("at the start")
	os.Remove("/etc/inetd.conf")
	d.signal(syscall.SIGHUP)
	d.await("RELOADING=1")
	d.await("READY=1")
	d.find(`-inetd_compat: .*no such file or directory`, 1)
	check("without inetd.conf")
}
