package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Real files of xinetd.d, unchanged, on a host that has their users, and
// programs by the names that they want which tell how they were started.

const telling = "#!/bin/sh\necho \"$0 $* as $(id -un) in $(id -Gn)\"\n"

// stanzaHost makes namespaces such a host.
func stanzaHost(t *testing.T, files map[string]string) {
	t.Helper()
	command(t, "ip", "link", "set", "lo", "up")
	for _, a := range []string{"192.0.2.1/32", "192.0.2.77/32", "198.51.100.10/32", "10.0.0.5/32", "203.0.113.9/32"} {
		command(t, "ip", "addr", "add", a, "dev", "lo")
	}
	users, groups := "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\nbackup:x:34:34::/:/bin/sh\n", "root:x:0:\nnogroup:x:65534:\ndisk:x:6:amandabackup,backup\nbackup:x:34:\n"
	for i, name := range []string{"nagios", "git", "cvs", "amandabackup", "ident", "dicod", "firebird", "_gophernicus", "_tang"} {
		users += fmt.Sprintf("%s:x:%d:%d::/:/bin/sh\n", name, 900+i, 900+i)
		groups += fmt.Sprintf("%s:x:%d:\n", name, 900+i)
	}
	host := map[string]string{
		"passwd": users, "group": groups, "hosts": "127.0.0.1 localhost\n192.0.2.77 backup.example.org\n", "nsswitch.conf": "hosts: files\npasswd: files\ngroup: files\n",
		"resolv.conf": "", "hosts.allow": "", "hosts.deny": "", "banners/welcome": "welcome\n", "banners/denied": "denied\n", "banner_fail": "fail\n",
		"services": "tftp 69/udp\nrsync 873/tcp\ngit 9418/tcp\ncvspserver 2401/tcp\namanda 10080/tcp\nauth 113/tcp\ntelnet 23/tcp\nftp 21/tcp\n" +
			"chargen 19/tcp\nchargen 19/udp\ndaytime 13/tcp\ndaytime 13/udp\ndiscard 9/tcp\ndiscard 9/udp\necho 7/tcp\necho 7/udp\ntime 37/tcp\ntime 37/udp\n" +
			"dict 2628/tcp\ngds_db 3050/tcp\ngopher 70/tcp\ngsiftp 2811/tcp\n",
	}
	for name, text := range files {
		host[name] = text
	}
	etc(t, host)
	command(t, "mount", "-t", "tmpfs", "tmpfs", "/run") // no rpcbind of the host's is to be told of rstatd
	programs := map[string]string{}
	for _, p := range []string{"sbin/in.tftpd", "bin/rsync", "sbin/nrpe", "bin/check_mk_agent", "bin/clustercheck", "bin/git", "bin/cvs", "lib/amanda/amandad", "bin/Xvnc",
		"sbin/tcpd", "sbin/in.telnetd", "sbin/rpc.rstatd", "sbin/csync2", "bin/dicod", "sbin/firebird", "sbin/gophernicus", "libexec/tangdw", "sbin/globus-gridftp-server"} {
		programs[p] = telling
	}
	programs["sbin/in.tftpd"] = "#!/bin/sh\ndd bs=2000 count=1 status=none >/dev/null\necho \"$0 $*\" >> /mnt/tftpd-was-here\n"
	programs["sbin/in.identd"] = "#!/usr/bin/perl\nopen(my $l, '<&=', 0); accept(my $c, $l); print $c \"@ARGV\\n\"; close $c;\n"
	programs["sbin/chroot"] = telling
	over(t, "/usr", programs, 0o755)
	command(t, "mount", "-t", "tmpfs", "tmpfs", "/mnt")
}

// say connects from one address to another and returns the reply.
func say(t *testing.T, from, to string) string {
	t.Helper()
	c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}).Dial("tcp", to)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	c.(*net.TCPConn).CloseWrite()
	text, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("from %s to %s: %v", from, to, err)
	}
	return string(text)
}

// The stanzas that people run.
func TestStanzas(t *testing.T) {
	t.Parallel()
	wantsLimits(t)
	if !inside(t) {
		return
	}
	files := map[string]string{"xinetd.conf": "defaults\n{\n log_type = SYSLOG daemon info\n log_on_success = HOST PID\n}\nincludedir /etc/xinetd.d\n"}
	list, err := filepath.Glob("../../config/testdata/xinetd.d/*")
	if err != nil || len(list) != 15 {
		t.Fatal(list, err)
	}
	for _, file := range list {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		files["xinetd.d/"+filepath.Base(file)] = string(text)
	}
	stanzaHost(t, files)
	// git is refused at a load of 8, which this host may have.
	load := filepath.Join(folder(t), "loadavg")
	write(t, load, "7.90 1.00 1.00 1/100 1000\n", 0o644)
	command(t, "mount", "--bind", load, "/proc/loadavg")
	behind, err := net.Listen("tcp", "10.0.0.5:443")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := behind.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "the web\n")
			c.Close()
		}
	}()
	d := setup{conf: files["xinetd.conf"]}.start(t)
	for _, c := range []struct{ from, to, want string }{
		{"127.0.0.1", "127.0.0.1:873", `^/usr/bin/rsync --daemon as root in root\n$`},
		{"127.0.0.1", "127.0.0.1:5666", `^/usr/sbin/nrpe -c /etc/nagios/nrpe.cfg --inetd as nagios in nagios\n$`},
		{"192.0.2.77", "192.0.2.1:5666", `^/usr/sbin/nrpe `},
		{"203.0.113.9", "127.0.0.1:5666", `^$`},
		{"198.51.100.10", "127.0.0.1:6556", `^/usr/bin/check_mk_agent  as root`},
		{"127.0.0.1", "127.0.0.1:6556", `^$`},
		{"203.0.113.9", "127.0.0.1:9200", `^/usr/bin/clustercheck  as nobody`},
		{"127.0.0.1", "127.0.0.1:9418", `^/usr/bin/git daemon --inetd --export-all --base-path=/srv/git as git in git\n$`},
		{"127.0.0.1", "127.0.0.1:2401", `^/usr/bin/cvs -f --allow-root=/srv/cvs pserver as cvs`},
		{"192.0.2.77", "127.0.0.1:10080", `^/usr/lib/amanda/amandad -auth=bsdtcp amdump as amandabackup in disk amandabackup\n$`},
		{"127.0.0.1", "127.0.0.1:10080", `^$`},
		{"127.0.0.1", "127.0.0.1:5901", `^/usr/bin/Xvnc -inetd -query localhost -once -geometry 1024x768 as nobody`},
		{"203.0.113.9", "127.0.0.1:23", `^denied\n$`},
		{"127.0.0.1", "192.0.2.1:8443", `^the web\n$`},
		{"127.0.0.1", "127.0.0.1:31337", `^/usr/sbin/chroot --userspec=1000:1000 /home/ctf ./pwn as root`},
		{"127.0.0.1", "127.0.0.1:113", `^-w -e\n$`},
		{"127.0.0.9", "127.0.0.1:21", `^$`}, // the sensor, and from there on:
		{"127.0.0.9", "127.0.0.1:873", `^$`},
	} {
		if got := say(t, c.from, c.to); !regexp.MustCompile(c.want).MatchString(got) {
			t.Errorf("%s to %s: %q, want %s", c.from, c.to, got, c.want)
		}
	}
	write(t, load, "8.10 1.00 1.00 1/100 1000\n", 0o644)
	until(t, func() bool { return say(t, "127.0.0.1", "127.0.0.1:9418") == "" })
	// telnet is open from 7:00 to 19:30, by the clock of whoever tests.
	want := "^denied\n$"
	if now := time.Now(); now.Hour()*60+now.Minute() >= 7*60 && now.Hour()*60+now.Minute() <= 19*60+30 {
		want = `^welcome\n/usr/sbin/tcpd -h as root` // argv[0] is /usr/sbin/in.telnetd, which a script does not see
	}
	if got := say(t, "127.0.0.1", "127.0.0.1:23"); !regexp.MustCompile(want).MatchString(got) {
		t.Errorf("telnet: %q, want %s", got, want)
	}
	u, err := net.Dial("udp", "127.0.0.1:69")
	if err != nil {
		t.Fatal(err)
	}
	u.Write([]byte("x"))
	until(t, func() bool {
		text, _ := os.ReadFile("/mnt/tftpd-was-here")
		return string(text) == "/usr/sbin/in.tftpd -s /srv/tftp\n"
	})
	text := d.text()
	if n := strings.Count(text, "skipped"); n != 0 {
		t.Errorf("%d services skipped:\n%s", n, text)
	}
}

// What Debian's packages install below /etc/xinetd.d: as it is, and with
// everything switched on.
func TestPackagedFiles(t *testing.T) {
	t.Parallel()
	wantsLimits(t)
	top := filepath.Dir(server(t, "xinetd.d/xinetd", "/echo"))
	if !inside(t) {
		return
	}
	files := map[string]string{"xinetd.conf": "defaults\n{\n\n\n}\n\nincludedir /etc/xinetd.d\n"}
	on := map[string]string{}
	list, _ := filepath.Glob(filepath.Dir(top) + "/*/*")
	for _, file := range list {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := "xinetd.d/" + filepath.Base(file)
		files[name] = string(text)
		on[name] = regexp.MustCompile(`(disable\s*=\s*)yes`).ReplaceAllString(string(text), "${1}no")
	}
	if len(list) < 15 {
		t.Fatalf("%d files", len(list))
	}
	stanzaHost(t, files)
	d := setup{conf: files["xinetd.conf"]}.start(t)
	if got := say(t, "127.0.0.1", "127.0.0.1:10080"); !strings.HasPrefix(got, "/usr/lib/amanda/amandad -auth=bsdtcp amdump amindexd amidxtaped senddiscover as backup in disk backup") {
		t.Errorf("amanda, which is not disabled: %q", got)
	}
	if text := d.text(); strings.Contains(text, "skipped") || !strings.Contains(text, "2 services") {
		t.Errorf("as they are:\n%s", text)
	}
	for name, text := range on {
		write(t, "/etc/"+name, text, 0o644)
	}
	d.reload(files["xinetd.conf"])
	for port, want := range map[int]string{7: "", 9: "", 13: "20", 19: "abc", 37: "", 30865: "/usr/sbin/csync2 -i -l as root", 2628: "/usr/bin/dicod --inetd as dicod",
		3050: "/usr/sbin/firebird  as firebird", 70: "/usr/sbin/gophernicus -r/srv/gopher as _gophernicus", 8888: "/usr/libexec/tangdw /var/lib/tang as _tang", 2811: "/usr/sbin/globus-gridftp-server -i as root"} {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Errorf("port %d: %v", port, err)
			continue
		}
		c.SetDeadline(time.Now().Add(patience))
		if port != 19 {
			c.(*net.TCPConn).CloseWrite()
		}
		text, _ := io.ReadAll(io.LimitReader(c, 3000))
		c.Close()
		if !strings.Contains(string(text), want) {
			t.Errorf("port %d: %q, want %q", port, text, want)
		}
	}
	for _, port := range []int{7, 13, 19, 37} {
		u, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		u.SetDeadline(time.Now().Add(patience))
		u.Write([]byte("hello"))
		if n, err := u.Read(make([]byte, 600)); err != nil || n == 0 {
			t.Errorf("udp port %d: %v", port, err)
		}
		u.Close()
	}
	text := d.text()
	if n := strings.Count(text, "xinetd has dropped servers"); n != 2 {
		t.Errorf("%d of servers and services are known to be gone:\n%s", n, text)
	}
	for line := range strings.Lines(text) {
		if strings.Contains(line, "skipped") && !strings.Contains(line, "xinetd has dropped") && !strings.Contains(line, "-dgram is defined already") { // by two files each

			t.Errorf("%s", line)
		}
	}
}
