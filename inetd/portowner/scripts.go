package portowner

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func isCron(name string) bool {
	return name == "cron" || name == "crond" || name == "anacron" || name == "atd" || name == "fcron" || name == "bcron"
}

// cron describes a process that cron started, and the crontab line.
func (h root) cron(p process, kill string) origin {
	user := h.userName(p.uid)
	where, line := h.crontab(p)
	from := "started by cron, "
	if p.choosesNames() {
		from += "probably "
	}
	switch {
	case where == "":
		return origin{"started by cron", "crontab -u " + quote(user) + " -e (or a file of /etc/cron.d), and " + kill}
	case strings.HasPrefix(where, "/etc/"):
		return origin{fmt.Sprintf("%s%s: %q", from, where, line), "remove that line, and " + kill}
	}
	return origin{fmt.Sprintf("%s%s: %q", from, where, line), "crontab -u " + quote(user) + " -e, and " + kill}
}

// crontab finds the line of a crontab(5) that names a process's program.
func (h root) crontab(p process) (where, line string) {
	user := h.userName(p.uid)
	files := []string{"/var/spool/cron/crontabs/" + user, "/var/spool/cron/" + user, "/etc/crontab"}
	for _, dir := range []string{"/etc/cron.d"} {
		more, _ := filepath.Glob(string(h) + dir + "/*")
		for _, file := range more {
			files = append(files, strings.TrimPrefix(file, string(h)))
		}
	}
	names := h.names(p)
	for _, file := range files {
		n := 0
		for text := range strings.Lines(h.read(file)) {
			n++
			text = strings.TrimSpace(text)
			if strings.HasPrefix(text, "#") || !slices.ContainsFunc(names, func(name string) bool { return strings.Contains(text, name) }) {
				continue
			}
			if !strings.HasPrefix(file, "/etc/") {
				file = "crontab of " + user
			}
			return file + ":" + strconv.Itoa(n), visible(text)
		}
	}
	return "", ""
}

// scriptOf finds the SysV script that starts a process's program: the one
// that names it, or its pidfile.
func (h root) scriptOf(p process) string {
	wanted := h.names(p)
	pidfiles, _ := filepath.Glob(string(h) + "/run/*.pid")
	more, _ := filepath.Glob(string(h) + "/run/*/*.pid")
	for _, file := range append(pidfiles, more...) {
		file = strings.TrimPrefix(file, string(h))
		if h.isOf(file, p) && strings.TrimSpace(h.read(file)) == strconv.Itoa(p.pid) {
			wanted = append(wanted, file, "/var"+file)
		}
	}
	scripts, _ := filepath.Glob(string(h) + "/etc/init.d/*")
	for _, script := range scripts {
		text := h.read(strings.TrimPrefix(script, string(h)))
		if slices.ContainsFunc(wanted, func(name string) bool { return strings.Contains(text, name) }) {
			return filepath.Base(script)
		}
	}
	return ""
}

// isOf reports whether a file is root's, or of the user of the process: others
// can write any pid into theirs.
func (h root) isOf(file string, p process) bool {
	var st unix.Stat_t
	return unix.Stat(string(h)+file, &st) == nil && (st.Uid == 0 || int(st.Uid) == os.Geteuid() || strconv.Itoa(int(st.Uid)) == p.uid)
}

// script describes a SysV script, and the runlevels that start it.
func (h root) script(name, stop string) origin {
	levels := ""
	for _, level := range "2345S" {
		if links, _ := filepath.Glob(fmt.Sprintf("%s/etc/rc%c.d/S[0-9][0-9]%s", h, level, name)); len(links) > 0 {
			levels += string(level)
		}
	}
	text := "SysV script /etc/init.d/" + name
	if levels != "" {
		text += ", started at runlevel " + strings.Join(strings.Split(levels, ""), " ")
	}
	return origin{text, stop}
}
