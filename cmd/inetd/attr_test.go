package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// attrsProgram builds a program that prints its user, limits and descriptors.
var attrsProgram = sync.OnceValue(func() error {
	return compile("testdata/attrs.c", built.attrs)
})

func compile(source, out string) error {
	_, err := output("cc", "-O1", "-static", "-o", out, source) // it runs in a chroot, too
	return err
}

// facts sorts the lines of a world by their first word.
func facts(text string) map[string][]string {
	m := map[string][]string{}
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		word, remainder, _ := strings.Cut(line, " ")
		m[word] = append(m[word], remainder)
	}
	return m
}

// alice makes copies of the host's databases that know a user alice in two
// extra groups, whatever the host has by these names, and returns a command that
// runs another with them in a mount namespace of its own: the host's files
// stay as they are.
func alice(t *testing.T) (before []string) {
	dir := folder(t)
	add := func(file, text string) string {
		old, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		retained := ""
		for line := range strings.Lines(strings.TrimRight(string(old), "\n") + "\n") {
			f := strings.Split(strings.TrimSpace(line), ":")
			if strings.Contains("\n"+text, "\n"+f[0]+":") {
				continue
			}
			if len(f) == 4 { // a group and its members
				members := slices.DeleteFunc(strings.Split(f[3], ","), func(name string) bool { return name == "alice" })
				line = strings.Join(append(f[:3], strings.Join(members, ",")), ":") + "\n"
			}
			retained += line
		}
		return write(t, filepath.Join(dir, filepath.Base(file)), retained+text, 0o644)
	}
	passwd := add("/etc/passwd", "alice:x:4711:4712:Test:/nonexistent:/bin/sh\n")
	group := add("/etc/group", "alice:x:4712:\nwheelies:x:4713:root,alice\nmodems:x:4714:alice\n")
	return []string{"unshare", "-m", "sh", "-c",
		fmt.Sprintf(`mount --bind %s /etc/passwd && mount --bind %s /etc/group && exec "$@"`, passwd, group), "sh"}
}

func TestChildAttributes(t *testing.T) {
	t.Parallel()
	need(t, "root", "cc", "unshare")
	if err := attrsProgram(); err != nil {
		t.Fatal(err)
	}
	before := alice(t)
	id, err := output(before[0], append(before[1:], "id", "-G", "alice")...)
	if err != nil {
		t.Fatal(err)
	}
	// Signals that are ignored and a soft limit of files are what a shell or
	// nohup(1) leaves; descriptor 9 is one that somebody forgot to close.
	p := port(t)
	d := setup{
		conf:   fmt.Sprintf("%s stream tcp nowait alice %s showme a \"b c\"\n", at(p), built.attrs),
		before: append(before, "sh", "-c", `trap "" HUP INT QUIT TSTP USR2; ulimit -Sn 777; exec 9</dev/null; umask 0; exec "$@"`, "sh"),
		env:    []string{"FOO=bar", "LISTEN_FDNAMES=x", "INVOCATION_ID=1", "WATCHDOG_USEC=9999999", "OPTIONS=-l", "JOURNAL_STREAM=1:2", "HOME=/root", "LD_LIBRARY_PATH=/x"},
	}.start(t)
	c := dial(t, p)
	client := c.LocalAddr().(interface{ String() string }).String()
	attrs := facts(readAll(t, c))

	groups := strings.Fields(id)
	got := strings.Fields(attrs["groups"][0])
	slices.Sort(groups)
	slices.Sort(got)
	if len(groups) != 3 || !slices.Equal(got, groups) {
		t.Errorf("groups %v, id says %v", got, groups)
	}
	_, clientPort, _ := strings.Cut(client, ":")
	_, limit, _ := strings.Cut(attrs["nofile"][0], " ")
	want := map[string][]string{
		"argv":        {"showme", "a", "b c"},
		"uid":         {"4711 4711 4711"},
		"gid":         {"4712 4712 4712"},
		"fd":          {"0 blocking", "1 blocking", "2 blocking"},
		"blocked":     nil,
		"disposition": nil,
		"nofile":      {"777 " + limit},
		"umask":       {"022"},
		"cwd":         {"/"},
		"leads":       {"its group 1"},
	}
	for what, list := range want {
		if !slices.Equal(attrs[what], list) {
			t.Errorf("%s: got %q, want %q", what, attrs[what], list)
		}
	}
	for _, v := range []string{"FOO=bar", "REMOTE_HOST=127.0.0.1", "REMOTE_ADDR=127.0.0.1", "REMOTE_PORT=" + clientPort, "PROTO=TCP",
		"TCPREMOTEIP=127.0.0.1", "TCPREMOTEPORT=" + clientPort, "TCPLOCALIP=127.0.0.1", fmt.Sprintf("TCPLOCALPORT=%d", p)} {
		if !slices.Contains(attrs["env"], v) {
			t.Errorf("no %s in the environment", v)
		}
	}
	for _, name := range []string{"NOTIFY_SOCKET", "LISTEN_FDNAMES", "INVOCATION_ID", "WATCHDOG_USEC", "OPTIONS", "JOURNAL_STREAM", "HOME", "LD_LIBRARY_PATH", "PATH", readyFDVariable} {
		for _, v := range attrs["env"] {
			if strings.HasPrefix(v, name+"=") {
				t.Errorf("%s leaks into the environment", v)
			}
		}
	}
	d.signal(syscall.SIGHUP) // Notify won over the ignored signal
	d.await("RELOADING=1")
}

// With -E the programs get the whole environment, but nothing that was meant
// for the daemon.
func TestKeepEnvironment(t *testing.T) {
	t.Parallel()
	need(t, "root", "cc")
	if err := attrsProgram(); err != nil {
		t.Fatal(err)
	}
	p := port(t)
	setup{conf: fmt.Sprintf("%s stream tcp nowait nobody %s world\n", at(p), built.attrs), flags: []string{"-E"}, env: []string{"HOME=/here"}}.start(t)
	env := facts(request(t, p, ""))["env"]
	if !slices.Contains(env, "HOME=/here") {
		t.Errorf("-E did not keep HOME: %q", env)
	}
	for _, v := range env {
		if strings.HasPrefix(v, "NOTIFY_SOCKET=") {
			t.Errorf("%s leaks", v)
		}
	}
}

// A user without a name, a group of the administrator's choice, and a user
// whose name has a dot.
func TestUsers(t *testing.T) {
	t.Parallel()
	need(t, "root", "cc")
	if err := attrsProgram(); err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]string{"4242": "4242 4242 4242", "nobody:daemon": "1 1 1", "nobody.daemon": "1 1 1"} {
		p := port(t)
		d := setup{conf: fmt.Sprintf("%s stream tcp nowait %s %s world\n", at(p), field, built.attrs)}.start(t)
		if got := facts(request(t, p, ""))["gid"]; len(got) != 1 || got[0] != want {
			t.Errorf("user field %s: gid %q, want %s\n%s", field, got, want, d.text())
		}
	}
}

// RUSAGE has in the EXIT line what the program and its children have used.
func TestRUsage(t *testing.T) {
	t.Parallel()
	p := port(t)
	d := setup{conf: fmt.Sprintf("[service.busy]\nlisten = \"tcp:%s\"\nuser = \"nobody\"\nserver = \"/bin/sh\"\nserver_args = [\"-c\", \"i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done\"]\nlog_on_success = [\"PID\", \"RUSAGE\"]\n", at(p))}.start(t)
	request(t, p, "")
	found := d.find(`EXIT: busy pid=\d+ cpu=(\d+\.\d{3})\(sec\) maxrss=(\d+)\(kB\)`, 1)[0]
	cpu, _ := strconv.ParseFloat(found[1], 64)
	if rss, _ := strconv.Atoi(found[2]); cpu < 0.01 || cpu > 60 || rss < 500 || rss > 100000 {
		t.Error(found[0])
	}
}
