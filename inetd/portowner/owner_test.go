package portowner

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestUnitOf(t *testing.T) {
	for groups, want := range map[string]string{
		"0::/system.slice/nginx.service\n":                                               "nginx.service  false",
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/fetchmail.service\n": "fetchmail.service 1000 true",
		"0::/user.slice/user-1000.slice/user@1000.service/init.scope\n":                  "init.scope 1000 true",
		"0::/user.slice/user-1000.slice/session-3.scope\n":                               "session-3.scope 1000 false",
		"12:pids:/x\n1:name=systemd:/system.slice/cron.service\n0::/\n":                  "cron.service  false",
		"0::/init.scope\n": "init.scope  false",
		"0::/\n":           "  false",
		"":                 "  false",
	} {
		unit, uid, managed := unitOf(groups)
		if got := fmt.Sprint(unit, " ", uid, " ", managed); got != want {
			t.Errorf("%q: %q, want %q", groups, got, want)
		}
	}
}

// Whatever started a process is named, with the command that ends it for
// good.
func TestOrigins(t *testing.T) {
	const pid = 812
	user := map[string]string{"/etc/passwd": "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n"}
	for _, c := range []struct {
		name       string
		comm, uid  string
		group      string
		tty        int
		files      map[string]string // "-> PATH" is a link, an empty text one to nothing
		who, stop  string
		network    string
		port       uint16
		parent     int
		parentComm string
	}{
		{name: "a unit that is wanted", comm: "nginx", uid: "0", group: "/system.slice/nginx.service",
			files: map[string]string{"/etc/systemd/system/multi-user.target.wants/nginx.service": ""},
			who:   "nginx, user root, nginx.service, wanted by multi-user.target", stop: "systemctl disable --now nginx.service"},
		{name: "with a socket unit", comm: "sshd", uid: "0", group: "/system.slice/ssh.service",
			files: map[string]string{"/etc/systemd/system/sockets.target.wants/ssh.socket": ""},
			who:   "sshd, user root, ssh.service, wanted by ssh.socket", stop: "systemctl disable --now ssh.socket ssh.service"},
		{name: "started by hand", comm: "nginx", uid: "0", group: "/system.slice/nginx.service",
			who: "nginx, user root, nginx.service", stop: "systemctl stop nginx.service"},
		{name: "a user's unit", comm: "fetchmail", uid: "1000", group: "/user.slice/user-1000.slice/user@1000.service/app.slice/fetchmail.service",
			files: map[string]string{"/home/alice/.config/systemd/user/default.target.wants/fetchmail.service": ""},
			who:   "fetchmail, user alice, fetchmail.service of user alice, wanted by default.target",
			stop:  "systemctl --user -M alice@ disable --now fetchmail.service"},
		{name: "every user's unit", comm: "fetchmail", uid: "1000", group: "/user.slice/user-1000.slice/user@1000.service/app.slice/fetchmail.service",
			files: map[string]string{"/etc/systemd/user/default.target.wants/fetchmail.service": ""},
			who:   "fetchmail, user alice, fetchmail.service of user alice, wanted by default.target for every user",
			stop:  "systemctl --global disable fetchmail.service && systemctl --user -M alice@ stop fetchmail.service"},
		{name: "a socket of systemd", comm: "systemd", uid: "0", group: "/init.scope", network: "tcp", port: 7, parent: -1,
			files: map[string]string{"/etc/systemd/system/a.socket": "[Socket]\nListenStream=17\n", "/usr/lib/systemd/system/echo.socket": "[Socket]\nListenStream=127.0.0.1:7\n"},
			who:   "systemd, user root, for echo.socket", stop: "systemctl disable --now echo.socket"},
		{name: "a socket of a user's systemd", comm: "systemd", uid: "1000", group: "/user.slice/user-1000.slice/user@1000.service/init.scope", network: "udp", port: 7007,
			files: map[string]string{"/home/alice/.config/systemd/user/echo.socket.d/ports.conf": "ListenDatagram=7007\n"},
			who:   "systemd, user alice, for echo.socket of user alice", stop: "systemctl --user -M alice@ disable --now echo.socket"},
		{name: "a control group with a command for a name", comm: "x", uid: "1000", group: "/user.slice/user-1000.slice/user@1000.service/app.slice/a.service/;reboot #.service",
			who: "x, user alice, a.service of user alice", stop: "systemctl --user -M alice@ stop a.service"},
		{name: "an escaped name", comm: "x", uid: "0", group: `/system.slice/dev-a\x2db.service`,
			who: `x, user root, dev-a\x2db.service`, stop: `systemctl stop 'dev-a\x2db.service'`},
		{name: "a login", comm: "nc", uid: "1000", group: "/user.slice/user-1000.slice/session-3.scope", tty: 34816,
			who: "nc, user alice, login session-3 of alice, terminal pts/0", stop: "kill 812"},
		{name: "cron below systemd", comm: "poll", uid: "1000", group: "/system.slice/cron.service",
			files: map[string]string{"/proc/812/exe": "-> /usr/bin/dash", "/proc/812/cmdline": "/bin/sh\x00/home/alice/bin/poll\x00", "/var/spool/cron/crontabs/alice": "# x\n@reboot /home/alice/bin/poll -d\n"},
			who:   `poll, program /usr/bin/dash, user alice, started by cron, probably crontab of alice:2: "@reboot /home/alice/bin/poll -d"`, stop: "crontab -u alice -e, and kill 812"},
		{name: "cron alone", comm: "poll", uid: "0", group: "/", parent: 700, parentComm: "cron",
			files: map[string]string{"/proc/812/exe": "-> /usr/bin/poll", "/etc/cron.d/poll": "@reboot root /usr/bin/poll\n"},
			who:   `poll, user root, started by cron, /etc/cron.d/poll:1: "@reboot root /usr/bin/poll"`, stop: "remove that line, and kill 812"},
		{name: "a script below systemd", comm: "nrpe", uid: "0", group: "/system.slice/nrpe.service",
			files: map[string]string{"/run/systemd/generator.late/nrpe.service": "x", "/etc/init.d/nrpe": "#!/bin/sh\n", "/etc/rc2.d/S01nrpe": "", "/etc/rc3.d/S01nrpe": ""},
			who:   "nrpe, user root, SysV script /etc/init.d/nrpe, started at runlevel 2 3", stop: "systemctl stop nrpe.service && systemctl disable nrpe.service"},
		{name: "a script", comm: "nrpe", uid: "0", group: "/", parent: 1,
			files: map[string]string{"/run/nrpe.pid": "812\n", "/etc/init.d/other": "#!/bin/sh\n", "/etc/init.d/nagios": "#!/bin/sh\nPIDFILE=/var/run/nrpe.pid\n", "/etc/rc2.d/S01nagios": ""},
			who:   "nrpe, user root, SysV script /etc/init.d/nagios, started at runlevel 2", stop: "service nagios stop && update-rc.d nagios disable"},
		{name: "a script's program", comm: "sshd", uid: "0", group: "/", parent: 1,
			files: map[string]string{"/proc/812/exe": "-> /usr/sbin/sshd", "/proc/812/cmdline": "sshd: listener\x00", "/etc/init.d/ssh": "#!/bin/sh\n/usr/sbin/sshd\n"},
			who:   "sshd, user root, SysV script /etc/init.d/ssh", stop: "service ssh stop && update-rc.d ssh disable"},
		{name: "a user's process with another's argv", comm: "sshd", uid: "1000", group: "/", parent: 1,
			files: map[string]string{"/proc/812/exe": "-> /home/alice/x", "/proc/812/cmdline": "/usr/sbin/sshd\x00", "/etc/init.d/ssh": "#!/bin/sh\n/usr/sbin/sshd\n"},
			who:   "sshd, program /home/alice/x, user alice", stop: "kill 812"},
		{name: "an interpreter with another's argv", comm: "python3", uid: "1000", group: "/", parent: 1,
			files: map[string]string{"/proc/812/exe": "-> /usr/bin/python3.11", "/proc/812/cmdline": "/usr/sbin/sshd\x00/usr/sbin/sshd\x00", "/etc/init.d/ssh": "#!/bin/sh\n/usr/sbin/sshd\n"},
			who:   "python3, program /usr/bin/python3.11, user alice", stop: "kill 812"},
		{name: "a shell", comm: "sh", uid: "0", group: "/", parent: 1,
			files: map[string]string{"/proc/812/exe": "-> /usr/bin/dash", "/proc/812/cmdline": "/bin/sh\x00-c\x00nc -l 7\x00", "/etc/init.d/ssh": "#!/bin/sh\n/usr/sbin/sshd\n"},
			who:   "sh, program /usr/bin/dash, user root", stop: "kill 812"},
		{name: "a script that a user runs", comm: "poll", uid: "1000", group: "/", parent: 1,
			files: map[string]string{"/proc/812/exe": "-> /usr/bin/perl", "/proc/812/cmdline": "/usr/bin/perl\x00/usr/sbin/poll\x00", "/etc/init.d/poll": "#!/bin/sh\n/usr/sbin/poll\n"},
			who:   "poll, program /usr/bin/perl, user alice, probably SysV script /etc/init.d/poll",
			stop:  "kill 812, and if it was that script, service poll stop && update-rc.d poll disable"},
		{name: "a user's parent called cron", comm: "x", uid: "1000", group: "/", parent: 700, parentComm: "cron",
			who: "x, user alice, probably started by cron", stop: "crontab -u alice -e (or a file of /etc/cron.d), and kill 812"},
		{name: "a terminal", comm: "nc\x1b[2J", uid: "0", group: "/", tty: 1025, parent: 700, parentComm: "sh",
			who: "nc?[2J, user root, terminal tty1", stop: "kill 812"},
		{name: "a parent", comm: "nc", uid: "0", group: "/", parent: 700, parentComm: "supervise",
			who: "nc, user root, started by supervise, pid 700", stop: "kill 812"},
		{name: "a container", comm: "web", uid: "33", group: "/system.slice/docker-0123456789abcdef.scope",
			who: "web, user 33, container 0123456789ab", stop: "docker stop 0123456789ab (and docker update --restart=no 0123456789ab)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := root(t.TempDir())
			who := pid
			if c.parent < 0 {
				who, c.parent = 1, 0
			}
			dir := fmt.Sprintf("/proc/%d", who)
			files := maps.Clone(user)
			files[dir+"/comm"] = c.comm + "\n"
			files[dir+"/status"] = fmt.Sprintf("Name:\tx\nPPid:\t%d\nUid:\t%s\t0\n", c.parent, c.uid)
			files[dir+"/cgroup"] = "0::" + c.group + "\n"
			files[dir+"/stat"] = fmt.Sprintf("%d (x) S 1 1 1 %d 1", who, c.tty)
			files[fmt.Sprintf("/proc/%d/comm", c.parent)] = c.parentComm + "\n"
			maps.Copy(files, c.files)
			for name, text := range files {
				path := string(h) + name
				os.MkdirAll(filepath.Dir(path), 0o755)
				if target, isLink := strings.CutPrefix(text, "-> "); isLink {
					os.Symlink(target, path)
				} else if text == "" {
					os.Symlink("/nowhere", path)
				} else if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want := Owner{Desc: fmt.Sprintf("pid %d (%s)", who, c.who), StopCmd: c.stop}
			if got := h.describe(who, c.network, c.port); got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestTerminal(t *testing.T) {
	for stat, want := range map[string]string{
		"1 (a) b) S 1 1 1 34816 1":  "pts/0",
		"1 (sh) S 1 1 1 34817 1":    "pts/1",
		"1 (sh) S 1 1 1 1025 1":     "tty1",
		"1 (sh) S 1 1 1 0 -1":       "",
		"1 (sh) S 1 1 1 35072 1":    "pts/256",
		"nonsense without brackets": "",
	} {
		if got := terminal(stat); got != want {
			t.Errorf("%q: %q, want %q", stat, got, want)
		}
	}
}

func TestHexAddr(t *testing.T) {
	for s, want := range map[string]string{
		"0100007F:0007":                         "127.0.0.1:7",
		"00000000:FFFF":                         "0.0.0.0:65535",
		"00000000000000000000000001000000:1F90": "[::1]:8080",
		"B80D0120000000000000000001000000:0007": "[2001:db8::1]:7",
		"0000000000000000FFFF00000100007F:0007": "127.0.0.1:7",
	} {
		if got, ok := hexAddr(s); !ok || got.String() != want {
			t.Errorf("%s: %v %v, want %s", s, got, ok, want)
		}
	}
	for _, s := range []string{"", "zz:00", "0100007F", "010000:0007"} {
		if got, ok := hexAddr(s); ok {
			t.Errorf("%q: %v", s, got)
		}
	}
}

// What users have put where their units should be does not hold us up.
func TestUsersFiles(t *testing.T) {
	h := root(t.TempDir())
	if err := unix.Mkfifo(string(h)+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	os.Symlink("/dev/zero", string(h)+"/zero")
	for _, name := range []string{"fifo", "zero", "nothing"} {
		if got := h.read("/", name); got != "" {
			t.Errorf("%s: %d bytes", name, len(got))
		}
	}
}

// The owner of a port is found among processes. It is never this one: there
// is nobody to end. What we have on IPv6 alone keeps nobody from IPv4.
func TestPortOfThisProcess(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := netip.MustParseAddrPort(l.Addr().String())
	if got, ok := Scan().OfPort("tcp", at); !ok || got != (Owner{Desc: "another service of this inetd", Self: true}) {
		t.Errorf("got %+v", got)
	}
	if got, ok := Scan().OfPort("udp", at); ok {
		t.Errorf("over udp: %+v", got)
	}
	if got := Describe(os.Getpid()); !strings.HasPrefix(got.Desc, "pid "+strconv.Itoa(os.Getpid())+" (portowner.test, user ") {
		t.Errorf("got %+v", got)
	}
	six, err := net.Listen("tcp6", "[::]:0") // package net sets IPV6_V6ONLY for tcp6
	if err != nil {
		t.Skip(err)
	}
	defer six.Close()
	port := uint16(six.Addr().(*net.TCPAddr).Port)
	if got, ok := Scan().OfPort("tcp", netip.AddrPortFrom(netip.IPv4Unspecified(), port)); ok {
		t.Errorf("an IPv4 port that is free: %+v", got)
	}
	if _, ok := Scan().OfPort("tcp", netip.AddrPortFrom(netip.IPv6Unspecified(), port)); !ok {
		t.Error("an IPv6 port that we have is said to be free")
	}
}

// Another process on a port is named although we have it on IPv6.
func TestPortOfAnotherProcess(t *testing.T) {
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	six, err := net.Listen("tcp6", fmt.Sprintf("[::]:%d", port))
	if err != nil {
		t.Skip(err)
	}
	defer six.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command("/bin/cat")
	child.ExtraFiles = []*os.File{file}
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer stdin.Close()
	file.Close()
	l.Close() // now the child alone has it
	got, _ := Scan().OfPort("tcp", netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(port)))
	if !strings.HasPrefix(got.Desc, fmt.Sprintf("pid %d (cat, ", child.Process.Pid)) {
		t.Errorf("got %+v", got)
	}
}
