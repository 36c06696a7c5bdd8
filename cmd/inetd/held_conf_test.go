package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"goinetd/inetd/reliability"
)

// Configurations that are huge, broken from end to end, or include what they
// should not, are read in a bounded time, and what is good in them is served.
func TestHostileConfigurations(t *testing.T) {
	t.Parallel()
	need(t, "root")
	dir := folder(t)
	p := port(t)
	line := fmt.Sprintf("%s stream tcp nowait nobody /bin/echo echo fine\n", at(p))
	d := setup{conf: line}.start(t)
	good := entry(p, "server = /bin/echo", "server_args = fine")
	for i := range 12 {
		write(t, fmt.Sprintf("%s/level%d", dir, i), strings.Repeat(fmt.Sprintf("include %s/level%d\n", dir, i+1), 2), 0o644)
	}
	write(t, dir+"/level12", "# nothing\n", 0o644)
	odd := dir + "/odd.d"
	os.Mkdir(odd, 0o755)
	if err := unix.Mkfifo(odd+"/fifo", 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mknod(odd+"/device", unix.S_IFCHR|0o644, int(unix.Mkdev(1, 5))); err != nil { // /dev/zero
		lacking(t, fmt.Sprintf("mknod(2) of a device (%v)", err))
	}
	socket, err := net.Listen("unix", odd+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	os.Symlink("/nonexistent", odd+"/dangling")
	os.Symlink(odd+"/loop", odd+"/loop")
	os.Mkdir(odd+"/folder", 0o755)
	write(t, odd+"/good", good, 0o644)
	for _, c := range []struct {
		name, conf string
		said       []string
	}{
		{"comments", strings.Repeat("# "+strings.Repeat("x", 98)+"\n", 100_000) + line, nil},
		{"broken lines", strings.Repeat("these are words\n", 30_000) + line, []string{`inetd\.conf:1: field 4 \(wait/nowait\) is missing`}},
		{"a line", "# " + strings.Repeat("x", 5_000_000) + "\n" + line, nil},
		{"a broken line", strings.Repeat("x", 5_000_000) + "\n" + line, []string{`inetd\.conf:1: .*xxx\.\.\. \(50\d+ bytes\)`}},
		{"includes", good + "include " + dir + "/level0\n", nil},
		{"itself", good + "include " + d.conf + "\n", []string{`include`}},
		{"odd files", "includedir " + odd + "\n", []string{`odd\.d/fifo`, `odd\.d/device`, `odd\.d/socket`, `odd\.d/dangling`, `odd\.d/loop`}},
	} {
		before := len(d.text())
		d.reload(c.conf)
		for _, said := range c.said {
			d.find(said, 1)
		}
		if got := request(t, p, ""); got != "fine\n" {
			t.Errorf("%s: %.100q\n%.3000s", c.name, got, d.text()[before:])
		}
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Reloads, Did: "10 MB of comments, 30,000 broken lines, a line of 5 MB, an include of itself, 4,096 includes, an includedir with a FIFO, a device, a socket, dangling and looping links",
		Saw: "served; what is good in the files serves", Log: "inetd.conf:1: read /x/odd.d/fifo: not a file (correct the path, or remove the include)"})
}
