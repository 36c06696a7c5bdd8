package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// server finds a server: where .ci/test unpacked it, or where its package
// would have put it.
func server(t *testing.T, pkg, path string) string {
	t.Helper()
	for _, candidate := range []string{filepath.Join(os.Getenv("GOINETD_TEST_SERVERS"), pkg, path), "/var/cache/goinetd-test/" + pkg + path, path} {
		if info, err := os.Stat(candidate); err == nil && !info.IsDir() {
			return candidate
		}
	}
	lacking(t, fmt.Sprintf("%s (package %s)", path, pkg))
	return ""
}

// megabyte writes a file of random bytes.
func megabyte(t *testing.T, path string) []byte {
	t.Helper()
	data := make([]byte, 1<<20)
	rand.New(rand.NewSource(1)).Read(data)
	write(t, path, string(data), 0o644)
	return data
}

func TestRsync(t *testing.T) {
	t.Parallel()
	need(t, "root", "rsync")
	dir := folder(t)
	os.Mkdir(dir+"/module", 0o755)
	data := megabyte(t, dir+"/module/file")
	conf := write(t, dir+"/rsyncd.conf", fmt.Sprintf("use chroot = no\n[m]\npath = %s/module\n", dir), 0o644)
	p := port(t)
	d := setup{conf: fmt.Sprintf("%s stream tcp nowait nobody /usr/bin/rsync rsync --daemon --config=%s\n", at(p), conf)}.start(t)
	var copies sync.WaitGroup
	for i := range 5 {
		copies.Go(func() {
			to := fmt.Sprintf("%s/copy%d", dir, i)
			if _, err := output("rsync", fmt.Sprintf("rsync://%s/m/file", at(p)), to); err != nil {
				t.Errorf("%v\n%s", err, d.text())
				return
			}
			if got, _ := os.ReadFile(to); !bytes.Equal(got, data) {
				t.Errorf("copy %d differs", i)
			}
		})
	}
	copies.Wait()
}

func TestGitDaemon(t *testing.T) {
	t.Parallel()
	need(t, "root", "git")
	dir := folder(t)
	repo := dir + "/repo"
	for _, args := range [][]string{{"init", "-q", repo}, {"-C", repo, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "--allow-empty", "-m", "words"}} {
		command(t, "git", args...)
	}
	p := port(t)
	setup{conf: fmt.Sprintf("%s stream tcp nowait root /usr/bin/git git daemon --inetd --export-all --base-path=%s\n", at(p), dir)}.start(t)
	command(t, "git", "clone", "-q", fmt.Sprintf("git://%s/repo", at(p)), dir+"/clone")
	if got := command(t, "git", "-C", dir+"/clone", "log", "--format=%s"); got != "words\n" {
		t.Errorf("the clone's log says %q", got)
	}
}

// 20 clients at once fetch a megabyte each from tftpd, which is a udp wait
// service that forks for each of them.
func TestTftpd(t *testing.T) {
	t.Parallel()
	need(t, "root", "tftp")
	in := server(t, "tftpd-hpa", "/usr/sbin/in.tftpd")
	dir := folder(t)
	os.Mkdir(dir+"/srv", 0o755)
	data := megabyte(t, dir+"/srv/file")
	want := sha256.Sum256(data)
	p := port(t)
	d := setup{conf: fmt.Sprintf("%s dgram udp wait root %s in.tftpd -u nobody -s %s/srv\n", at(p), in, dir)}.start(t)
	t.Cleanup(func() { exec.Command("pkill", "-f", dir+"/srv").Run() }) // it waits for more
	var clients sync.WaitGroup
	for i := range 20 {
		clients.Go(func() {
			to := fmt.Sprintf("%s/copy%d", dir, i)
			if out, err := output("tftp", "-m", "binary", "127.0.0.1", fmt.Sprint(p), "-c", "get", "file", to); err != nil {
				t.Errorf("client %d: %v %s", i, err, out)
			}
			got, err := os.ReadFile(to)
			if sha256.Sum256(got) != want {
				t.Errorf("client %d has %d bytes, %v\n%s", i, len(got), err, d.text())
			}
		})
	}
	clients.Wait()
}

func TestVsftpd(t *testing.T) {
	t.Parallel()
	need(t, "root", "curl")
	vsftpd := server(t, "vsftpd", "/usr/sbin/vsftpd")
	dir := folder(t)
	os.Mkdir(dir+"/empty", 0o755)
	os.Mkdir(dir+"/ftp", 0o755)
	data := megabyte(t, dir+"/ftp/file")
	conf := write(t, dir+"/vsftpd.conf", fmt.Sprintf(`listen=NO
anonymous_enable=YES
ftp_username=daemon
anon_root=%s/ftp
secure_chroot_dir=%s/empty
seccomp_sandbox=NO
`, dir, dir), 0o644)
	p := port(t)
	d := setup{conf: fmt.Sprintf("%s stream tcp nowait root %s vsftpd %s\n", at(p), vsftpd, conf)}.start(t)
	out, err := exec.Command("curl", "-sS", fmt.Sprintf("ftp://%s/file", at(p))).Output()
	if err != nil || !bytes.Equal(out, data) {
		t.Errorf("%d bytes, %v\n%s", len(out), err, d.text())
	}
}

// finger(1) knows only port 79, so this runs in a network of its own.
func TestFingerd(t *testing.T) {
	t.Parallel()
	need(t, "root", "finger", "ip", "unshare", "nsenter")
	in := server(t, "fingerd", "/usr/sbin/in.fingerd")
	d := setup{conf: fmt.Sprintf("finger stream tcp nowait nobody %s in.fingerd\n", in),
		before: []string{"unshare", "-n", "sh", "-c", `ip link set lo up; exec "$@"`, "sh"}}.start(t)
	out := command(t, "nsenter", "-n", "-t", fmt.Sprint(d.pid()), "finger", "-m", "root@127.0.0.1")
	if !strings.Contains(out, "Login: root") {
		t.Errorf("finger says %q\n%s", out, d.text())
	}
}

// tcpd asks hosts.allow and hosts.deny, and then becomes the program that is
// its argv[0].
func TestTcpd(t *testing.T) {
	t.Parallel()
	tcpd := server(t, "tcpd", "/usr/sbin/tcpd")
	if !inside(t) {
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	etc(t, map[string]string{"hosts.allow": "cat: 127.0.0.1\n", "hosts.deny": "ALL: ALL\n", "hosts": "127.0.0.1 localhost\n", "nsswitch.conf": "hosts: files\npasswd: files\ngroup: files\n"})
	p, q := port(t), port(t)
	d := setup{conf: fmt.Sprintf("%s stream tcp nowait root %s /bin/cat\n%s stream tcp nowait root %s /bin/echo\n", at(p), tcpd, at(q), tcpd)}.start(t)
	if got := request(t, p, "allowed"); got != "allowed" {
		t.Errorf("cat says %q\n%s", got, d.text())
	}
	if c, err := dial(t, q).Read(make([]byte, 10)); c > 0 {
		t.Errorf("echo is denied, and answers %d bytes, %v", c, err)
	}
}
