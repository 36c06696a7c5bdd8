package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The tests run the built inetd against real sockets and real programs. They
// are built once, by TestMain: the daemon, and a program that prints its
// process attributes. The impatient daemon, which suspends services for two
// seconds instead of ten minutes, is the test binary itself.
var built struct {
	inetd, impatient, attrs string
	err                     error
}

// asDaemon is the environment variable that makes the test binary the daemon.
const asDaemon = "GOINETD_TEST_DAEMON"

var buildFlags []string // of the daemon: files with build tags add to them

// patience bounds every wait for an event; nothing takes that long.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(asDaemon) != "" {
		os.Exit(runMain(tunables{suspension: 2 * time.Second, identTimeout: 2 * time.Second, slowReload: 500 * time.Millisecond, idle: 500 * time.Millisecond}))
	}
	os.Unsetenv("NOTIFY_SOCKET")
	syscall.Umask(0o022) // programs of any user are to get to what the tests make
	if !reachable(os.TempDir()) {
		os.Setenv("TMPDIR", "/tmp")
	}
	flag.Parse()
	requested := false
	flag.Visit(func(f *flag.Flag) { requested = requested || f.Name == "test.parallel" })
	if !requested { // most tests wait for other processes most of the time
		flag.Set("test.parallel", strconv.Itoa(4*runtime.NumCPU()))
	}
	if os.Getenv("GOINETD_TEST_INSIDE") != "" { // a test of ours runs itself again, elsewhere
		dir := os.Getenv("GOINETD_TEST_BUILT")
		built.inetd, built.impatient, built.attrs = dir+"/inetd", dir+"/impatient", dir+"/attrs"
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "inetd-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Chmod(dir, 0o755)
	built.inetd, built.impatient, built.attrs = dir+"/inetd", dir+"/impatient", dir+"/attrs"
	cmd := exec.Command("go", append(append([]string{"build", "-o", built.inetd}, buildFlags...), ".")...)
	if !racing {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as the README builds it
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		built.err = fmt.Errorf("go build: %v\n%s", err, text)
	}
	if self, err := os.Executable(); err == nil {
		err = os.Symlink(self, built.impatient)
		built.err = errors.Join(built.err, err)
	}
	status := 1
	if built.err == nil {
		status = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, built.err)
	}
	os.RemoveAll(dir)
	os.Exit(status)
}

// reachable reports whether any user can reach what is in a directory.
func reachable(dir string) bool {
	for ; ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err != nil || info.Mode()&1 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

// need ends a test that cannot run here: as failed in CI, as skipped
// elsewhere, with what is missing.
func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		missing := ""
		if tool == "root" {
			if os.Geteuid() != 0 {
				missing = "root"
			}
		} else if _, err := exec.LookPath(tool); err != nil {
			missing = tool
		}
		if missing != "" {
			lacking(t, missing)
		}
	}
}

// lacking ends a test for want of something.
func lacking(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing", what)
	}
	t.Skipf("%s is missing", what)
}

// folder makes a directory that any user can read.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "inetd-"+strings.ReplaceAll(t.Name(), "/", "-"))
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o755)
	t.Cleanup(func() {
		evict(dir)
		os.RemoveAll(dir)
	})
	return dir
}

// evict ends the programs of a directory that still run, as those of wait
// services do after their daemon has ended.
func evict(dir string) {
	list, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, exe := range list {
		if to, err := os.Readlink(exe); err == nil && strings.HasPrefix(to, dir+"/") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(exe)))
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	syscall.ForkLock.RLock() // a child of another test with this file open for writing would keep it from being run
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	os.Chmod(path, mode)
	return path
}

// script writes a shell script.
func script(t *testing.T, text string) string {
	t.Helper()
	return write(t, filepath.Join(folder(t), "script"), "#!/bin/sh\n"+text+"\n", 0o755)
}

// port returns a port that is free for TCP and UDP on every address. It is below
// those that the kernel assigns to clients, any of which may take one between
// here and its use. Nobody else who asks here gets it while this process runs,
// be it in another process.
func port(t *testing.T) int {
	t.Helper()
	for range 100 {
		n := 10000 + rand.Intn(20000)
		if !claim("port", n) {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", n))
		if err != nil {
			continue
		}
		l.Close()
		if u, err := net.ListenPacket("udp", fmt.Sprintf(":%d", n)); err == nil {
			u.Close()
			return n
		}
	}
	t.Fatal("no free port")
	return 0
}

// lonely returns the number of a user that has no processes and is no other
// test's: RLIMIT_NPROC counts the processes of a user on the whole machine.
func lonely(t *testing.T) string {
	t.Helper()
	for range 100 {
		n := 40000 + rand.Intn(20000)
		if !claim("user", n) {
			continue
		}
		if _, err := exec.Command("pgrep", "-U", strconv.Itoa(n)).Output(); err != nil { // it found none
			return strconv.Itoa(n)
		}
	}
	t.Fatal("no free user")
	return ""
}

// claim takes a number of some kind for this process, as long as it runs,
// unless it is taken. The name of an abstract Unix socket stands for it: that
// is known in a whole network namespace, as a port is, and leaves no file.
func claim(kind string, n int) bool {
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: fmt.Sprintf("@inetd-test-%s-%d", kind, n), Net: "unixgram"})
	if err != nil {
		return false
	}
	claims.Store(c, true)
	return true
}

// claims keeps the sockets of claim from being collected.
var claims sync.Map

func at(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// A daemon is an inetd that runs in the foreground.
type daemonProcess struct {
	t      *testing.T
	cmd    *exec.Cmd
	conf   string
	notify *net.UnixConn
	states chan string // what it has sent to systemd
	ended  chan struct{}

	mu   sync.Mutex
	more *sync.Cond
	log  bytes.Buffer
}

// A setup says how a daemon is started.
type setup struct {
	conf    string   // text of its inetd.conf
	flags   []string // behind -i
	bare    bool     // by the name xinetd: its options instead of ours
	noFile  bool     // no file is named: it reads what is in /etc
	program string   // built.inetd, unless another is meant
	before  []string // a command that runs it
	env     []string // added to ours
	attr    *syscall.SysProcAttr
}

// start runs a daemon and waits until it serves.
func (s setup) start(t *testing.T) *daemonProcess {
	t.Helper()
	d := s.launch(t)
	d.await("READY=1")
	return d
}

// launch runs a daemon.
func (s setup) launch(t *testing.T) *daemonProcess {
	t.Helper()
	dir := folder(t)
	d := &daemonProcess{t: t, conf: filepath.Join(dir, "inetd.conf"), states: make(chan string, 1000), ended: make(chan struct{})}
	d.more = sync.NewCond(&d.mu)
	write(t, d.conf, s.conf, 0o644)
	socket := filepath.Join(dir, "notify")
	var err error
	if d.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	os.Chmod(socket, 0o666)
	go d.listen()
	if s.program == "" {
		s.program = built.inetd
	}
	args := append(append(s.before, s.program, "-i"), s.flags...)
	if !s.noFile {
		args = append(args, d.conf)
	}
	if s.bare {
		args = append(append(append(s.before, s.program, "-dontfork"), s.flags...), "-f", d.conf)
	}
	d.cmd = exec.Command(args[0], args[1:]...)
	d.cmd.Env = append(append(os.Environ(), "NOTIFY_SOCKET="+socket), s.env...)
	if s.program == built.impatient {
		d.cmd.Env = append(d.cmd.Env, asDaemon+"=1")
	}
	d.cmd.SysProcAttr = s.attr
	stderr, err := d.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go d.read(stderr)
	t.Cleanup(d.stop)
	return d
}

func (d *daemonProcess) listen() {
	buf := make([]byte, 4096)
	for {
		n, err := d.notify.Read(buf)
		if err != nil {
			return
		}
		d.states <- string(buf[:n])
	}
}

func (d *daemonProcess) read(stderr io.Reader) {
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		d.mu.Lock()
		d.log.WriteString(lines.Text() + "\n")
		d.more.Broadcast()
		d.mu.Unlock()
	}
	d.cmd.Wait()
	d.mu.Lock()
	close(d.ended)
	d.more.Broadcast()
	d.mu.Unlock()
}

// await waits for a state that the daemon reports to systemd.
func (d *daemonProcess) await(state string) {
	d.t.Helper()
	for {
		select {
		case got := <-d.states:
			if strings.Contains(got, state) {
				return
			}
		case <-d.ended:
			d.t.Fatalf("inetd ended before %s:\n%s", state, d.text())
		case <-time.After(patience):
			d.t.Fatalf("no %s; the log:\n%s", state, d.text())
		}
	}
}

func (d *daemonProcess) text() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

// find waits until the log has matches of a pattern, and returns them.
func (d *daemonProcess) find(pattern string, count int) [][]string {
	d.t.Helper()
	re := regexp.MustCompile(pattern)
	overdue := false
	timer := time.AfterFunc(patience, func() {
		d.mu.Lock()
		overdue = true
		d.more.Broadcast()
		d.mu.Unlock()
	})
	defer timer.Stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		found := re.FindAllStringSubmatch(d.log.String(), -1)
		if len(found) >= count {
			return found
		}
		over := overdue
		select {
		case <-d.ended:
			over = true
		default:
		}
		if over {
			d.t.Fatalf("%d of %d times %q in the log:\n%s", len(found), count, pattern, tail(d.log.String()))
		}
		d.more.Wait()
	}
}

func tail(log string) string { return log[max(0, len(log)-5000):] }

// reload writes another configuration and waits until the daemon has read it.
func (d *daemonProcess) reload(conf string) {
	d.t.Helper()
	write(d.t, d.conf, conf, 0o644)
	d.signal(syscall.SIGHUP)
	d.await("RELOADING=1")
	d.await("READY=1")
}

func (d *daemonProcess) signal(sig syscall.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(sig); err != nil {
		d.t.Fatal(err)
	}
}

// stop ends the daemon.
func (d *daemonProcess) stop() {
	d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(patience):
		d.cmd.Process.Kill()
		d.t.Errorf("inetd does not end on SIGTERM; the log:\n%s", tail(d.text()))
	}
	d.notify.Close()
	if text := d.text(); strings.Contains(text, "DATA RACE") || strings.Contains(text, "goroutine ") {
		d.t.Errorf("the daemon crashed or races:\n%s", text)
	}
}

// awaitEnd waits until the daemon has ended.
func (d *daemonProcess) awaitEnd() {
	d.t.Helper()
	select {
	case <-d.ended:
	case <-time.After(patience):
		d.t.Errorf("inetd goes on; the log:\n%s", tail(d.text()))
	}
}

// pid returns the daemon's own pid.
func (d *daemonProcess) pid() int { return d.cmd.Process.Pid }

// count returns how many entries a directory of /proc/PID has.
func (d *daemonProcess) count(what string) int {
	d.t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/%s", d.pid(), what))
	if err != nil {
		d.t.Fatal(err)
	}
	return len(list)
}

// status reads a number of /proc/PID/status.
func (d *daemonProcess) status(name string) int {
	d.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.pid()))
	if err != nil {
		d.t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name+":" {
			n, _ := strconv.Atoi(f[1])
			return n
		}
	}
	d.t.Fatalf("no %s in /proc/%d/status", name, d.pid())
	return 0
}

// dial connects to a TCP port of loopback.
func dial(t *testing.T, port int) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp", at(port), patience)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// request sends a text, shuts down the sending side and returns the reply.
func request(t *testing.T, port int, text string) string {
	t.Helper()
	c := dial(t, port)
	io.WriteString(c, text)
	c.CloseWrite()
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("port %d: %v", port, err)
	}
	c.Close()
	return string(answer)
}

// udp opens a UDP socket towards a port of loopback.
func udp(t *testing.T, port int) *net.UDPConn {
	t.Helper()
	c, err := net.Dial("udp", at(port))
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c.(*net.UDPConn)
}

// command runs a command that has to succeed.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := output(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// output runs a command to its end and returns its output.
func output(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// niceness returns the nice value of a program that adds to the daemon's own,
// which is the test's.
func niceness(t *testing.T, add int) int {
	t.Helper()
	self, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	return max(-20, min(20-self+add, 19)) // the system call counts the other way round
}

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
