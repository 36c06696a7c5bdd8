package main

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// An rpcHost is a network with Debian's rpcbind and its clients.
type rpcHost struct {
	t        *testing.T
	rpcbind  *exec.Cmd // nil: it does not run
	programs map[string]string
}

// newRPCHost returns a host without rpcbind, in namespaces of the test.
func newRPCHost(t *testing.T) *rpcHost {
	t.Helper()
	command(t, "ip", "link", "set", "lo", "up")
	h := &rpcHost{t: t, programs: map[string]string{
		"rpcbind": server(t, "rpcbind", "/sbin/rpcbind"), "rpcinfo": server(t, "rpcbind", "/usr/bin/rpcinfo"),
		"rpc.rstatd": server(t, "rstatd", "/usr/sbin/rpc.rstatd"), "rup": server(t, "rstat-client", "/usr/bin/rup"),
		"rpc.rusersd": server(t, "rusersd", "/usr/sbin/rpc.rusersd"), "rusers": server(t, "rusers", "/usr/bin/rusers")}}
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	etc(t, map[string]string{"passwd": regexp.MustCompile(`(?m)^_rpc:.*\n`).ReplaceAllString(string(passwd), "") + "_rpc:x:65533:65534::/run/rpcbind:/usr/sbin/nologin\n"})
	command(t, "mount", "-t", "tmpfs", "tmpfs", "/run")
	t.Cleanup(func() {
		h.stop()
		exec.Command("umount", "-l", "/run").Run()
	})
	return h
}

// start starts rpcbind, which knows nothing.
func (h *rpcHost) start() {
	h.t.Helper()
	h.stop()
	os.RemoveAll("/run/rpcbind")
	os.Mkdir("/run/rpcbind", 0o755)
	os.Chown("/run/rpcbind", 65533, 65534)
	h.rpcbind = exec.Command(h.programs["rpcbind"], "-f")
	h.rpcbind.Dir = "/"
	if err := h.rpcbind.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.until("rpcbind answers", func() bool {
		_, err := output(h.programs["rpcinfo"], "-s", "127.0.0.1")
		return err == nil
	})
}

func (h *rpcHost) stop() {
	if h.rpcbind != nil {
		h.rpcbind.Process.Kill()
		h.rpcbind.Wait()
		h.rpcbind = nil
	}
}

// until waits for something that nothing reports.
func (h *rpcHost) until(what string, done func() bool) {
	h.t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("not within %v: %s; rpcbind has\n%s", patience, what, command(h.t, h.programs["rpcinfo"]))
		}
	}
}

// registered returns what rpcbind has of a program: "1 udp 0.0.0.0.3.25".
func (h *rpcHost) registered(program int) (list []string) {
	h.t.Helper()
	for line := range strings.Lines(command(h.t, h.programs["rpcinfo"])) {
		if f := strings.Fields(line); len(f) > 3 && f[0] == fmt.Sprint(program) {
			list = append(list, strings.Join(f[1:4], " "))
		}
	}
	return list
}

// addresses returns where a program is registered.
func (h *rpcHost) addresses(program int) (list []string) {
	h.t.Helper()
	for _, line := range h.registered(program) {
		list = append(list, strings.Fields(line)[2])
	}
	return list
}

// kill kills the processes of a program in our network, and waits until they
// have ended.
func (h *rpcHost) kill(comm string) {
	h.t.Helper()
	network, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		h.t.Fatal(err)
	}
	found, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range found {
		name, _ := os.ReadFile(dir + "/comm")
		where, _ := os.Readlink(dir + "/ns/net")
		pid, err := strconv.Atoi(filepath.Base(dir))
		if strings.TrimSpace(string(name)) != comm || where != network || err != nil {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // it has just ended
		}
		unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(patience.Milliseconds())); n != 1 {
			h.t.Errorf("%s, pid %d, does not end: %v", comm, pid, err)
		}
		unix.Close(fd)
	}
}

func containsAny(list, others []string) bool {
	return slices.ContainsFunc(list, func(one string) bool { return slices.Contains(others, one) })
}

// has reports whether rpcbind has just these versions of a program, by protocol.
func (h *rpcHost) has(program int, versions string) bool {
	h.t.Helper()
	var got []string
	for _, line := range h.registered(program) {
		got = append(got, strings.Join(strings.Fields(line)[:2], " "))
	}
	slices.SortFunc(got, func(a, b string) int {
		x, y := strings.Fields(a), strings.Fields(b)
		return cmp.Or(cmp.Compare(x[1], y[1]), cmp.Compare(x[0], y[0]))
	})
	return strings.Join(got, ", ") == versions
}

// answers runs a client, which has to print a text.
func (h *rpcHost) answers(want, client string, args ...string) {
	h.t.Helper()
	if text := command(h.t, h.programs[client], args...); !strings.Contains(text, want) {
		h.t.Errorf("%s %v: %q", client, args, text)
	}
}

// conf returns the lines of Debian's packages.
func (h *rpcHost) conf(names ...string) (text string) {
	for _, name := range names {
		versions := map[string]string{"rstatd": "1-5", "rusersd": "2-3"}[name]
		text += fmt.Sprintf("%s/%s dgram rpc/udp wait nobody %s rpc.%s\n", name, versions, h.programs["rpc."+name], name)
	}
	return text
}

const (
	rstatd  = 100001
	rusersd = 100002

	allOfRstatd  = "1 udp, 2 udp, 3 udp, 4 udp, 5 udp, 1 udp6, 2 udp6, 3 udp6, 4 udp6, 5 udp6"
	allOfRusersd = "2 udp, 3 udp, 2 udp6, 3 udp6"
)

// Debian's rstatd and rusersd, started by us, with Debian's rpcbind: they are
// registered, whatever is restarted, and not any more when we end.
func TestRPC(t *testing.T) {
	t.Parallel()
	if !inside(t) {
		return
	}
	h := newRPCHost(t)
	echo := port(t)
	other := fmt.Sprintf("127.0.0.1:%d stream tcp nowait nobody internal echo\n", echo)
	d := setup{conf: other + h.conf("rstatd", "rusersd")}.start(t)
	if got := request(t, echo, "x"); got != "x" { // nobody waits for rpcbind
		t.Errorf("echo: %q", got)
	}
	d.find(`rpcbind\(8\) does not answer: /run/rpcbind.sock: no such file or directory; UDP 127.0.0.1:111: connection refused \(rstatd, rusersd: not registered until it does; install or start rpcbind\)`, 1)
	h.start()
	d.find(`registered with rpcbind: rstatd, rusersd`, 1)
	check := func(when string) {
		t.Helper()
		if !h.has(rstatd, allOfRstatd) || !h.has(rusersd, allOfRusersd) {
			t.Errorf("%s: %q %q", when, h.registered(rstatd), h.registered(rusersd))
		}
		for _, version := range []string{"1", "3", "5"} {
			h.answers("ready and waiting", "rpcinfo", "-T", "udp", "127.0.0.1", "100001", version)
		}
		h.answers("ready and waiting", "rpcinfo", "-T", "udp6", "::1", "100001", "3")
		h.answers("ready and waiting", "rpcinfo", "-T", "udp", "127.0.0.1", "100002", "3")
		h.answers("ready and waiting", "rpcinfo", "-T", "udp6", "::1", "100002", "2")
		h.answers(" up ", "rup", "127.0.0.1")
		h.answers("localhost", "rusers", "-a", "127.0.0.1")
	}
	check("rpcbind came later")
	before := h.registered(rstatd)
	for _, line := range before {
		if at := strings.Split(strings.Fields(line)[2], "."); len(at) < 2 || len(at[len(at)-2]) != 1 || at[len(at)-2] > "3" {
			t.Errorf("the port is not below 1024: %s", line)
		}
	}

	h.start()
	d.find(`registered with rpcbind: rstatd, rusersd`, 2)
	check("rpcbind was restarted")
	d.reload(other + h.conf("rstatd", "rusersd") + "# more\n")
	check("reload")
	upgrade(d)
	check("upgrade")
	if after := h.registered(rstatd); strings.Join(after, ",") != strings.Join(before, ",") {
		t.Errorf("other addresses: %q, %q", before, after)
	}

	d.reload(other + strings.Replace(h.conf("rstatd"), "1-5", "1-3", 1))
	h.until("rusersd is unregistered", func() bool { return h.has(rusersd, "") && h.has(rstatd, "1 udp, 2 udp, 3 udp, 1 udp6, 2 udp6, 3 udp6") })
	if after := h.registered(rstatd); after[0] != before[0] {
		t.Errorf("another address: %q, %q", before[0], after[0])
	}
	write(t, d.conf, other+h.conf("rusersd"), 0o644)
	upgrade(d)
	h.until("rstatd is unregistered by the next process", func() bool { return h.has(rstatd, "") && h.has(rusersd, allOfRusersd) })
	d.stop()
	if text := command(t, h.programs["rpcinfo"], "-p"); strings.Contains(text, "10000[12]") || !h.has(rusersd, "") {
		t.Errorf("after SIGTERM:\n%s", text)
	}
}

// upgrade upgrades the daemon in place, and waits until it is ready.
func upgrade(d *daemonProcess) {
	d.t.Helper()
	d.signal(syscall.SIGUSR2)
	d.await("RELOADING=1")
	d.await("READY=1")
}

// A registration that somebody else has stays, and is named with its owner; one
// whose process has ended is replaced, our own after a crash as well.
func TestRPCRegisteredElsewhere(t *testing.T) {
	t.Parallel()
	if !inside(t) {
		return
	}
	h := newRPCHost(t)
	h.start()
	alone := exec.Command(h.programs["rpc.rusersd"])
	if err := alone.Run(); err != nil { // goes into the background
		t.Fatal(err)
	}
	t.Cleanup(func() { h.kill("rpc.rusersd") })
	h.until("rusersd serves alone", func() bool { return len(h.registered(rusersd)) > 0 })
	before := h.addresses(rusersd)
	d := setup{conf: h.conf("rstatd", "rusersd")}.start(t)
	d.find(`rusersd: RPC program 100002 version 2, 3 \(udp\) is registered already at 0\.0\.0\.0:\d+ by pid \d+ \(rpc\.rusersd, user \w+\): clients go there \(.*tried again`, 1)
	if !h.has(rstatd, allOfRstatd) || !containsAny(h.addresses(rusersd), before) {
		t.Errorf("%q %q, before %q", h.registered(rstatd), h.registered(rusersd), before)
	}
	d.reload(h.conf("rstatd", "rusersd"))
	h.kill("rpc.rusersd")
	d.reload(h.conf("rusersd", "rstatd"))
	h.until("ours is registered", func() bool {
		return h.has(rusersd, allOfRusersd) && !containsAny(h.addresses(rusersd), before)
	})
	if n := strings.Count(d.text(), "is registered already"); n != 1 {
		t.Errorf("said %d times:\n%s", n, d.text())
	}
	h.answers("ready and waiting", "rpcinfo", "-T", "udp", "127.0.0.1", "100002", "3")

	d.signal(syscall.SIGKILL)
	d.awaitEnd()
	d = setup{conf: h.conf("rstatd")}.start(t)
	d.find(`registered with rpcbind: rstatd`, 1)
	if !h.has(rstatd, allOfRstatd) {
		t.Errorf("after a crash: %q", h.registered(rstatd))
	}
	h.answers("ready and waiting", "rpcinfo", "-T", "udp", "127.0.0.1", "100001", "3")

	d.signal(syscall.SIGKILL)
	d.awaitEnd()
	h.kill("rpc.rstatd") // it has the socket still
	need(t, "setpriv")
	d = setup{conf: h.conf("rstatd") + "300001/1 dgram rpc/udp4 wait nobody /bin/cat cat\n", before: []string{"setpriv", "--reuid=65532", "--regid=65532", "--clear-groups"}}.start(t)
	d.find(`rstatd: RPC program 100001 version 1, 2, 3, 4, 5 \(udp\) is registered already at "0.0.0.0.\d.\d+" by the user "superuser", whose registration rpcbind does not let us remove \(rpcinfo -d 100001 VERSION removes one; `, 1)
	d.find(`registered with rpcbind: 300001`, 1)
	d.stop()
	if !h.has(300001, "") {
		t.Errorf("a user's registration is left: %q", h.registered(300001))
	}
}

// callOnce answers a call of a program over TCP, as the procedure 0 of any does.
const callOnce = `#!/usr/bin/perl
$| = 1;
while (read(STDIN, my $mark, 4) == 4) {
	read(STDIN, my $call, unpack("N", $mark) & 0x7fffffff);
	print pack("N", 0x80000000 | 24), substr($call, 0, 4), pack("N5", 1, 0, 0, 0, 0);
}
`

// RPC over TCP, by TOML and xinetd.conf, with a port that is chosen; and rpcbind
// is reached by UDP where its socket is not to be seen.
func TestRPCOverTCP(t *testing.T) {
	t.Parallel()
	if !inside(t) {
		return
	}
	need(t, "perl")
	h := newRPCHost(t)
	h.start()
	if err := os.Remove("/run/rpcbind.sock"); err != nil {
		t.Fatal(err)
	}
	program := write(t, filepath.Join(folder(t), "call"), callOnce, 0o755)
	fixed := port(t)
	d := setup{conf: fmt.Sprintf(`[service.any]
type = "rpc"
rpc_number = 300001
rpc_version = "1-2"
listen = "tcp:0"
user = "nobody"
server = %q
[service.fixed]
type = "rpc"
rpc_number = 300002
rpc_version = 7
protocol = "tcp"
port = %d
user = "nobody"
server = %q
`, program, fixed, program)}.start(t)
	d.find(`registered with rpcbind: any, fixed`, 1)
	list := command(t, h.programs["rpcinfo"], "-p", "127.0.0.1")
	if !regexp.MustCompile(fmt.Sprintf(`300001 +1 +tcp +\d+\s+300001 +2 +tcp +\d+\s+300002 +7 +tcp +%d\s`, fixed)).MatchString(list) {
		t.Errorf("%s", list)
	}
	h.answers("ready and waiting", "rpcinfo", "-T", "tcp", "127.0.0.1", "300001", "2")
	h.answers("ready and waiting", "rpcinfo", "-T", "tcp6", "::1", "300002", "7")
	d.reload(fmt.Sprintf("service fixed\n{\ntype = RPC UNLISTED\nrpc_number = 300002\nrpc_version = 7\nsocket_type = stream\nprotocol = tcp\nport = %d\nwait = no\nuser = nobody\nserver = %s\n}\n", fixed, program))
	d.find(`configuration read: 1 service`, 1)
	h.until("any is unregistered", func() bool { return !strings.Contains(command(t, h.programs["rpcinfo"], "-p", "127.0.0.1"), "300001") })
	h.answers("ready and waiting", "rpcinfo", "-T", "tcp", "127.0.0.1", "300002", "7")
	d.signal(syscall.SIGUSR1)
	d.find(fmt.Sprintf(`STATE: fixed rpc/tcp 0\.0\.0\.0:%d 300002/7 \(listening\) rpc/tcp \[::\]:%d 300002/7 \(listening\)`, fixed, fixed), 1)
	d.stop()
	if list := command(t, h.programs["rpcinfo"], "-p", "127.0.0.1"); strings.Contains(list, "30000") {
		t.Errorf("after SIGTERM:\n%s", list)
	}
}

// A rpcbind that does not answer, or answers nonsense, keeps nobody waiting.
func TestRPCHangs(t *testing.T) {
	t.Parallel()
	if !inside(t) {
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	command(t, "mount", "-t", "tmpfs", "tmpfs", "/run")
	defer exec.Command("umount", "-l", "/run").Run()
	l, err := net.Listen("unix", "/run/rpcbind.sock") // it never accepts
	if err != nil {
		t.Fatal(err)
	}
	echo := port(t)
	conf := fmt.Sprintf("127.0.0.1:%d stream tcp nowait nobody internal echo\n300001/1 dgram rpc/udp wait nobody /bin/cat cat\n", echo)
	d := setup{conf: conf}.start(t)
	if got := request(t, echo, "x"); got != "x" {
		t.Errorf("echo: %q", got)
	}
	d.reload(conf)
	upgrade(d)
	begun := time.Now()
	d.stop()
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("the end took %v", took)
	}

	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.CopyN(io.Discard, c, 4)
				c.Write([]byte("\x80\x00\x00\x05hello"))
				io.Copy(io.Discard, c)
			}()
		}
	}()
	d = setup{conf: conf}.start(t)
	d.find(`rpcbind\(8\) does not answer: no answer within|rpcbind\(8\) does not answer: reply is cut short`, 1)
	if got := request(t, echo, "x"); got != "x" {
		t.Errorf("echo: %q", got)
	}
}
