package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A configuration that can be read only once is read at the start, and goes on
// over reloads and upgrades.
func TestStreams(t *testing.T) {
	t.Parallel()
	need(t, "root", "bash")
	for name, command := range map[string]string{"FIFO": `exec "$@" <(cat %s)`, "stdin": `exec "$@" - < <(cat %s)`, "stdin, a file": `exec "$@" /dev/stdin <%s`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := port(t)
			conf := write(t, folder(t)+"/conf", fmt.Sprintf("%s stream tcp nowait root internal echo\n", at(p)), 0o644)
			d := setup{noFile: true, before: []string{"bash", "-c", fmt.Sprintf(command, conf), "bash"}}.start(t)
			os.Remove(conf)
			for _, sig := range []syscall.Signal{0, syscall.SIGHUP, syscall.SIGUSR2, syscall.SIGHUP, syscall.SIGUSR2} {
				if sig != 0 {
					d.signal(sig)
					d.await("RELOADING=1")
					d.await("READY=1")
				}
				if got := request(t, p, "x"); got != "x" {
					t.Fatalf("after %v: %q\n%s", sig, got, d.text())
				}
			}
			d.find(`/dev/(stdin|fd/\d+) was read at the start and cannot be read again; its services go on`, 2)
		})
	}
}

// So it does into the background.
func TestStreamInBackground(t *testing.T) {
	t.Parallel()
	need(t, "root", "bash")
	p := port(t)
	dir := folder(t)
	line := fmt.Sprintf("%s stream tcp nowait root internal echo", at(p))
	out, err := output("bash", "-c", fmt.Sprintf(`exec %s -p %s/pid <(echo %q)`, built.inetd, dir, line))
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(dir + "/pid")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(pid, syscall.SIGTERM)
	if got := request(t, p, "x"); got != "x" {
		t.Errorf("%q", got)
	}
	if environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid)); !strings.Contains(string(environ), streamsVariable) {
		t.Error("the daemon did not get what was read")
	}
}

// That nobody writes to a FIFO is said; the daemon starts when somebody does.
func TestSilentFIFO(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p := port(t)
	fifo := filepath.Join(folder(t), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	d := setup{noFile: true, flags: []string{fifo}}.launch(t)
	d.find(`fifo: still waiting for its end \(is there a program that writes the configuration to it\?\)`, 1)
	write(t, fifo, fmt.Sprintf("%s stream tcp nowait root internal echo\n", at(p)), 0o600)
	d.await("READY=1")
	d.signal(syscall.SIGHUP) // nobody writes any more
	d.await("RELOADING=1")
	d.await("READY=1")
	if got := request(t, p, "x"); got != "x" {
		t.Errorf("%q\n%s", got, d.text())
	}
}

// What was read goes to the next process as it was.
func TestStreamsFile(t *testing.T) {
	s := streams{texts: map[string]string{"/dev/stdin": "a \"b\" \\\n\xff\x00ü\n", "/a b\n": ""}}
	if err := s.save(); err != nil {
		t.Fatal(err)
	}
	defer s.file.Close()
	text := make([]byte, 4096)
	n, _ := s.file.ReadAt(text, 0)
	if got, err := parseStreams(string(text[:n])); err != nil || !reflect.DeepEqual(got, s.texts) {
		t.Errorf("%q, %v", got, err)
	}
	for _, wrong := range []string{"x", "\"x", "\"x\"", "\"x\" y"} {
		if got, err := parseStreams(wrong); err == nil {
			t.Errorf("%s: %q", wrong, got)
		}
	}
}
