package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A server is one that is measured.
type server struct {
	name string
	port int
	cmd  *exec.Cmd
}

// A starter starts one that runs a program as nobody for each client of a port
// of 127.0.0.1.
type starter struct {
	name  string
	start func(b *bench, port int, program []string) (*exec.Cmd, error)
}

// superServers are the floor, inetd and its peers.
var superServers = []starter{
	{"floor", func(b *bench, port int, program []string) (*exec.Cmd, error) {
		return exec.Command(b.path("floor"), append([]string{"tcp", fmt.Sprint(port), processors(), "65534"}, program...)...), nil
	}},
	{"inetd", startInetd},
	{"tcpserver", func(b *bench, port int, program []string) (*exec.Cmd, error) {
		peer, err := peer("ucspi-tcp-ipv6", "usr/bin/tcpserver")
		args := []string{"-c", "10000", "-b", "4096", "-u", "65534", "-g", "65534", "-H", "-R", "-l", "localhost", "127.0.0.1", fmt.Sprint(port)}
		return exec.Command(peer, append(args, program...)...), err
	}},
	{"rlinetd", func(b *bench, port int, program []string) (*exec.Cmd, error) {
		conf := b.write("rlinetd", fmt.Sprintf("service \"word\" { port \"%d\"; interface 127.0.0.1; protocol tcp; user \"nobody\"; backlog 4096; instances 100000; exec \"%s\"; }\n",
			port, strings.Join(program, " ")))
		peer, err := peer("rlinetd", "usr/sbin/rlinetd")
		parser, _ := filepath.Glob(filepath.Dir(filepath.Dir(peer)) + "/lib/*/rlinetd/libparse.so")
		return exec.Command(peer, append([]string{"-d", "-f", conf, "-p"}, parser...)...), err
	}},
	{"xinetd", func(b *bench, port int, program []string) (*exec.Cmd, error) {
		settings := []string{"user = nobody", "server = " + program[0]}
		if len(program) > 1 {
			settings = append(settings, "server_args = "+strings.Join(program[1:], " "))
		}
		conf := b.write("xinetd.conf", xinetdService(port, settings...))
		return xinetd(b, conf)
	}},
	{"openbsd-inetd", func(b *bench, port int, program []string) (*exec.Cmd, error) {
		conf := b.write("openbsd.conf", inetdLine(fmt.Sprintf("127.0.0.1:%d", port), "nowait.999999", program))
		peer, err := peer("openbsd-inetd", "usr/sbin/inetd")
		return exec.Command(peer, "-i", "-q", "4096", "-R", "999999", conf), err
	}},
}

func startInetd(b *bench, port int, program []string) (*exec.Cmd, error) {
	conf := b.write("inetd.conf", inetdLine(fmt.Sprintf("127.0.0.1:%d", port), "nowait", program))
	return exec.Command(b.path("inetd"), "-i", "-l", "-R", "0", conf), nil
}

func xinetd(b *bench, conf string) (*exec.Cmd, error) {
	peer, err := peer("xinetd", "usr/sbin/xinetd")
	return exec.Command(peer, "-dontfork", "-f", conf, "-pidfile", conf+".pid", "-filelog", "/dev/null"), err
}

// inetdLine returns a line of inetd.conf.
func inetdLine(service, wait string, program []string) string {
	return fmt.Sprintf("%s stream tcp %s nobody %s %s %s\n", service, wait, program[0], filepath.Base(program[0]), strings.Join(program[1:], " "))
}

// xinetdService returns a service of xinetd.conf.
func xinetdService(port int, settings ...string) string {
	return fmt.Sprintf("service s%d\n{\n\ttype = UNLISTED\n\tsocket_type = stream\n\tprotocol = tcp\n\tport = %d\n\tbind = 127.0.0.1\n\twait = no\n\tcps = 1000000 1\n\t%s\n}\n",
		port, port, strings.Join(settings, "\n\t"))
}

// write writes a configuration file.
func (b *bench) write(name, text string) string {
	f, err := os.CreateTemp(b.dir, name)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	f.WriteString(text)
	return f.Name()
}

// peer returns a program of a Debian package, which is unpacked and not
// installed: the packages conflict.
func peer(name, file string) (string, error) {
	dir := os.Getenv("GOINETD_BENCH_PEERS")
	if dir == "" {
		dir = "/var/cache/goinetd-bench"
	}
	program := filepath.Join(dir, name, file)
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	cmd := exec.Command("sh", "-ec", fmt.Sprintf("apt-get download -q %s; dpkg -x %s_*.deb %s", name, name, name))
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return program, nil
}

// begin starts a server with the environment of a service, and waits until it
// listens.
func (b *bench) begin(name string, port int, cmd *exec.Cmd) (*server, error) {
	log, err := os.Create(filepath.Join(b.dir, fmt.Sprintf("%s.%d.log", name, port)))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Env, cmd.Dir, cmd.Stderr = []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}, "/", log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{name, port, cmd}
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			return s, nil
		}
	}
	s.end()
	return nil, fmt.Errorf("%s does not listen on port %d; %s has its log", name, port, log.Name())
}

func (s *server) end() {
	s.cmd.Process.Signal(os.Interrupt)
	done := time.AfterFunc(3*time.Second, func() { s.cmd.Process.Kill() })
	s.cmd.Wait()
	done.Stop()
}

// pid is that of the server.
func (s *server) pid() int { return s.cmd.Process.Pid }
