// Package portowner finds which process has a port, a socket's path or a lock
// that we want, what started that process, and which command ends it for
// good.
package portowner

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
)

// An Owner is a process that has something we want.
type Owner struct {
	Desc    string // `pid 812 (nginx, user www-data, nginx.service, wanted by multi-user.target)`
	StopCmd string // the command that ends it for good: `systemctl disable --now nginx.service`; empty: not known
	Self    bool   // it is this process
}

// Advice returns the hint that names StopCmd, empty where that is not known.
func (h Owner) Advice() string {
	if h.StopCmd == "" {
		return ""
	}
	return "to end that for good: " + h.StopCmd
}

// UnitOf returns the systemd unit that a process is in; empty: none is known.
func UnitOf(pid int) string { return hostRoot.process(pid).unit }

// Describe returns what a process is and what started it.
func Describe(pid int) Owner { return hostRoot.describe(pid, "", 0) }

// describe describes a process. network and port are what it has, if that is a
// socket: systemd may have it for another process.
func (h root) describe(pid int, network string, port uint16) Owner {
	about := []string{}
	p := h.process(pid)
	if p.comm != "" {
		about = append(about, visible(p.comm))
	}
	if p.renamed() {
		about = append(about, "program "+visible(p.exe))
	}
	if p.uid != "" {
		about = append(about, "user "+h.userName(p.uid))
	}
	o := h.originOf(p)
	if p.isManager() && port != 0 {
		o = h.socketUnit(p, network, port)
	}
	if o.text != "" {
		about = append(about, o.text)
	}
	if len(about) == 0 {
		return Owner{Desc: fmt.Sprintf("pid %d", pid)}
	}
	return Owner{Desc: fmt.Sprintf("pid %d (%s)", pid, strings.Join(about, ", ")), StopCmd: o.stop}
}

// A root is the directory that a host's files are looked up in.
type root string

const hostRoot = root("")

// read returns the text of a file, or of its beginning. Some files are users',
// who may have put a pipe or a device there.
func (h root) read(path ...string) string {
	f, err := os.OpenFile(string(h)+filepath.Join(path...), os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	text, _ := io.ReadAll(io.LimitReader(f, 1<<20))
	return string(text)
}

func (h root) exists(path string) bool {
	_, err := os.Lstat(string(h) + path)
	return err == nil
}

// A process is what /proc says of it (proc(5)).
type process struct {
	pid, parent    int
	comm, uid, exe string
	tty            string // empty: none
	unit, slice    string // by its control group: the unit, and the uid whose manager or login that belongs to
	managed        bool   // by the user's manager
}

func (h root) process(pid int) process {
	dir := fmt.Sprintf("/proc/%d", pid)
	p := process{pid: pid, comm: strings.TrimSpace(h.read(dir, "comm"))}
	p.uid, _ = field(h.read(dir, "status"), "Uid:")
	if parent, ok := field(h.read(dir, "status"), "PPid:"); ok {
		p.parent, _ = strconv.Atoi(parent)
	}
	p.exe, _ = os.Readlink(string(h) + dir + "/exe")
	p.exe = strings.TrimSuffix(p.exe, " (deleted)")
	p.tty = terminal(h.read(dir, "stat"))
	p.unit, p.slice, p.managed = unitOf(h.read(dir, "cgroup"))
	return p
}

// renamed reports whether a process has another name than its program: that of
// a script, or one that it gave to itself (PR_SET_NAME, prctl(2)).
func (p process) renamed() bool {
	const longest = 15 // TASK_COMM_LEN, without the NUL
	name := filepath.Base(p.exe)
	return p.exe != "" && p.comm != name[:min(len(name), longest)]
}

// isManager reports whether a process is a systemd, the system's or a user's.
func (p process) isManager() bool {
	return p.comm == "systemd" && (p.pid == 1 || p.managed && p.unit == "init.scope")
}

// terminal reads the controlling terminal out of /proc/PID/stat (proc(5),
// field 7).
func terminal(stat string) string {
	i := strings.LastIndexByte(stat, ')')
	f := strings.Fields(stat[i+1:])
	if i < 0 || len(f) < 5 {
		return ""
	}
	n, err := strconv.Atoi(f[4])
	if err != nil || n == 0 {
		return ""
	}
	major, minor := n>>8&0xfff, n&0xff|n>>12&0xfff00
	switch {
	case major >= 136 && major < 144:
		return fmt.Sprintf("pts/%d", (major-136)<<8|minor)
	case major == 4:
		return fmt.Sprintf("tty%d", minor)
	}
	return fmt.Sprintf("%d:%d", major, minor)
}

// visible removes from a name, which any process can choose, what a terminal
// would interpret.
func visible(name string) string {
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, name)
}

func field(text, name string) (string, bool) {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			return f[1], true
		}
	}
	return "", false
}

// passwd returns a field of the entry of a uid in passwd(5); "" where there is
// none.
func (h root) passwd(uid string, n int) string {
	for line := range strings.Lines(h.read("/etc/passwd")) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) > n && len(f) > 2 && f[2] == uid {
			return f[n]
		}
	}
	return ""
}

func (h root) userName(uid string) string {
	if name := h.passwd(uid, 0); name != "" {
		return name
	}
	return uid
}
