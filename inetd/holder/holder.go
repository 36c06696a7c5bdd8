// Package holder finds who has something that we want, a port or a lock, and
// says how that process came to run, as an administrator needs it to end it
// for good.
package holder

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
)

// Describe says who a process is and what started it: `pid 812 (nginx, user
// www-data, unit nginx.service)`.
func Describe(pid int) string {
	dir := fmt.Sprintf("/proc/%d", pid)
	about := []string{}
	if comm, err := os.ReadFile(dir + "/comm"); err == nil {
		about = append(about, visible(strings.TrimSpace(string(comm))))
	}
	if info, err := os.ReadFile(dir + "/status"); err == nil {
		if uid, ok := field(string(info), "Uid:"); ok {
			about = append(about, "user "+userName(uid))
		}
	}
	if origin := origin(dir); origin != "" {
		about = append(about, origin)
	}
	if pid == 1 {
		about = append(about, "perhaps for a socket unit: systemctl list-sockets")
	}
	if len(about) == 0 {
		return fmt.Sprintf("pid %d", pid)
	}
	return fmt.Sprintf("pid %d (%s)", pid, strings.Join(about, ", "))
}

// origin says what started a process: its unit, its user's unit, or its
// terminal.
func origin(dir string) string {
	if groups, err := os.ReadFile(dir + "/cgroup"); err == nil {
		if unit := unitOf(string(groups)); unit != "" {
			return unit
		}
	}
	if stat, err := os.ReadFile(dir + "/stat"); err == nil {
		return terminal(string(stat))
	}
	return ""
}

// unitOf reads the unit out of /proc/PID/cgroup, as systemd names control
// groups: .../user@1000.service/app.slice/x.service is the unit x.service of
// the user manager of uid 1000.
func unitOf(groups string) string {
	for _, line := range strings.Split(groups, "\n") {
		part := strings.SplitN(line, ":", 3)
		if len(part) != 3 || part[0] != "0" && part[1] != "name=systemd" {
			continue
		}
		user := ""
		unit := ""
		for _, c := range strings.Split(part[2], "/") {
			if uid, ok := strings.CutPrefix(c, "user@"); ok && strings.HasSuffix(uid, ".service") {
				user = userName(strings.TrimSuffix(uid, ".service"))
			}
			if uid, ok := strings.CutPrefix(c, "user-"); ok && user == "" && strings.HasSuffix(uid, ".slice") {
				user = userName(strings.TrimSuffix(uid, ".slice"))
			}
			if strings.HasSuffix(c, ".service") || strings.HasSuffix(c, ".scope") {
				unit = c
			}
		}
		managed := strings.Contains(part[2], "/user@") && !strings.HasPrefix(unit, "user@")
		switch {
		case unit == "" || unit == "init.scope":
		case strings.HasPrefix(unit, "session-"):
			return "login " + strings.TrimSuffix(unit, ".scope") + " of " + user
		case managed:
			return "user unit " + unit + " of " + user
		default:
			return "unit " + unit
		}
	}
	return ""
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
		return fmt.Sprintf("terminal pts/%d", (major-136)<<8|minor)
	case major == 4:
		return fmt.Sprintf("terminal tty%d", minor)
	}
	return fmt.Sprintf("terminal %d:%d", major, minor)
}

// visible takes out of a name, which any process can give itself, what a
// terminal would obey.
func visible(name string) string {
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, name)
}

func field(text, name string) (string, bool) {
	for _, line := range strings.Split(text, "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			return f[1], true
		}
	}
	return "", false
}

func userName(uid string) string {
	passwd, _ := os.ReadFile("/etc/passwd")
	for _, line := range strings.Split(string(passwd), "\n") {
		if f := strings.Split(line, ":"); len(f) > 2 && f[2] == uid {
			return f[0]
		}
	}
	return uid
}

// byInode finds the processes that have one of the sockets open. Without root
// it sees only those of its own user.
func byInode(inodes map[string]bool) (pids []int) {
	procs, _ := filepath.Glob("/proc/[0-9]*")
next:
	for _, dir := range procs {
		fds, err := os.ReadDir(dir + "/fd")
		if err != nil {
			continue
		}
		for _, fd := range fds {
			link, err := os.Readlink(dir + "/fd/" + fd.Name())
			if err != nil {
				continue
			}
			if inode, ok := strings.CutPrefix(link, "socket:["); ok && inodes[strings.TrimSuffix(inode, "]")] {
				pid, _ := strconv.Atoi(filepath.Base(dir))
				pids = append(pids, pid)
				continue next
			}
		}
	}
	return pids
}

// Sharing finds another process that has a socket of ours open. One that we
// or a predecessor started is wanted, so it is not a service manager that
// keeps a copy of the socket: ours, or PID 1. Where there are several, it is
// the leader of its process group.
func Sharing(fd int) (pid int, ok bool) {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return 0, false
	}
	for _, other := range byInode(map[string]bool{strconv.FormatUint(st.Ino, 10): true}) {
		if other == os.Getpid() || other == os.Getppid() || other == 1 {
			continue
		}
		if group, err := unix.Getpgid(other); pid == 0 || err == nil && group == other {
			pid = other
		}
	}
	return pid, pid != 0
}
