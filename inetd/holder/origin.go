package holder

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// An origin is how a process came to run, and how to end it for good.
type origin struct{ text, stop string }

// originOf finds what started a process: its unit, its user's unit, cron, a
// SysV script, or a terminal.
func (h host) originOf(p process) origin {
	name := strings.TrimSuffix(p.unit, ".service")
	kill := fmt.Sprintf("kill %d", p.pid)
	switch {
	case p.pid == 1:
		return origin{}
	case p.unit == "" || p.unit == "init.scope":
		return h.withoutUnit(p, kill)
	case strings.HasPrefix(p.unit, "session-"):
		o := origin{"login " + strings.TrimSuffix(p.unit, ".scope") + " of " + h.userName(p.slice), kill}
		if p.tty != "" {
			o.text += ", terminal " + p.tty
		}
		return o
	case p.managed:
		return h.userUnit(p)
	case isCron(name) && !isCron(p.comm):
		return h.cron(p, kill)
	case strings.HasPrefix(p.unit, "docker-"):
		id := strings.TrimSuffix(strings.TrimPrefix(p.unit, "docker-"), ".scope")
		id = id[:min(len(id), 12)]
		return origin{"container " + id, "docker stop " + id + " (and docker update --restart=no " + id + ")"}
	case strings.HasSuffix(p.unit, ".scope"):
		return origin{p.unit, "systemctl stop " + quote(p.unit)}
	case h.exists("/run/systemd/generator.late/"+p.unit) && h.exists("/etc/init.d/"+name):
		// disable --now does not stop a unit that was made of a script.
		return h.script(name, "systemctl stop "+quote(p.unit)+" && systemctl disable "+quote(p.unit))
	}
	return h.systemUnit(p.unit)
}

// withoutUnit finds the origin of a process that no systemd manages.
func (h host) withoutUnit(p process, kill string) origin {
	for up, i := p.parent, 0; up > 1 && i < 32; i++ {
		q := h.process(up)
		if isCron(q.comm) {
			return h.cron(p, kill)
		}
		up = q.parent
	}
	if p.tty != "" {
		return origin{"terminal " + p.tty, kill}
	}
	if p.parent <= 1 {
		if name := h.scriptOf(p); name != "" {
			return h.script(name, "service "+quote(name)+" stop && update-rc.d "+quote(name)+" disable")
		}
		if where, line := h.crontab(p); where != "" {
			return origin{fmt.Sprintf("perhaps by %s: %q", where, line), kill}
		}
		return origin{"", kill}
	}
	return origin{fmt.Sprintf("started by %s, pid %d", visible(h.process(p.parent).comm), p.parent), kill}
}

// unitOf reads the unit out of /proc/PID/cgroup, as systemd names control
// groups: .../user@1000.service/app.slice/x.service is the unit x.service of
// the user manager of uid 1000.
func unitOf(groups string) (unit, uid string, managed bool) {
	for line := range strings.Lines(groups) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) != 3 || part[0] != "0" && part[1] != "name=systemd" {
			continue
		}
		unit, uid, managed = "", "", false
		for c := range strings.SplitSeq(part[2], "/") {
			if id, ok := strings.CutPrefix(c, "user@"); ok && strings.HasSuffix(id, ".service") {
				uid, managed = strings.TrimSuffix(id, ".service"), true
			}
			if id, ok := strings.CutPrefix(c, "user-"); ok && uid == "" && strings.HasSuffix(id, ".slice") {
				uid = strings.TrimSuffix(id, ".slice")
			}
			if (strings.HasSuffix(c, ".service") || strings.HasSuffix(c, ".scope")) && isUnitName(c) {
				unit = c
			}
		}
		if unit != "" {
			return unit, uid, managed && !strings.HasPrefix(unit, "user@")
		}
	}
	return "", "", false
}

// isUnitName tells whether systemd could have given the name (systemd.unit(5)).
// A user can make control groups of any name below those of his own.
func isUnitName(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@") == ""
}

// quote makes a word of a name in a shell command that an administrator is to
// paste.
func quote(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.@/") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(visible(s), "'", `'\''`) + "'"
}

// Where systemd reads units from and keeps who wants which (systemd.unit(5)).
var (
	systemDirs = []string{"/etc/systemd/system", "/run/systemd/system", "/run/systemd/generator", "/run/systemd/generator.late",
		"/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}
	globalDirs  = []string{"/etc/systemd/user", "/run/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user"}
	privateDirs = []string{".config/systemd/user", ".local/share/systemd/user"}
)

// wantedBy gives the units that pull a unit in.
func (h host) wantedBy(unit string, dirs []string) (list []string) {
	for _, dir := range dirs {
		for _, kind := range []string{".wants", ".requires"} {
			links, _ := filepath.Glob(string(h) + dir + "/*" + kind + "/" + unit)
			for _, link := range links {
				if by := strings.TrimSuffix(filepath.Base(filepath.Dir(link)), kind); !slices.Contains(list, by) {
					list = append(list, by)
				}
			}
		}
	}
	return list
}

// systemUnit tells of a unit of the system. Where there is a socket of its
// name that is wanted, stopping the service alone would not last.
func (h host) systemUnit(unit string) origin {
	also := ""
	by := h.wantedBy(unit, systemDirs)
	socket := strings.TrimSuffix(unit, ".service") + ".socket"
	if sockets := h.wantedBy(socket, systemDirs); len(sockets) > 0 && strings.HasSuffix(unit, ".service") {
		also = quote(socket) + " "
		by = append(by, socket)
	}
	if len(by) == 0 {
		return origin{unit, "systemctl stop " + quote(unit)}
	}
	return origin{unit + wanted(by), "systemctl disable --now " + also + quote(unit)}
}

func wanted(by []string) string { return ", wanted by " + strings.Join(by, " and ") }

// userUnit tells of a unit of a user's systemd.
func (h host) userUnit(p process) origin {
	user, unit := h.userName(p.slice), quote(p.unit)
	systemctl := "systemctl --user -M " + quote(user+"@") + " "
	var private []string
	for _, dir := range privateDirs {
		private = append(private, filepath.Join("/", h.passwd(p.slice, 5), dir))
	}
	text := p.unit + " of user " + user
	if by := h.wantedBy(p.unit, private); len(by) > 0 {
		return origin{text + wanted(by), systemctl + "disable --now " + unit}
	}
	if by := h.wantedBy(p.unit, globalDirs); len(by) > 0 {
		return origin{text + wanted(by) + " for every user",
			"systemctl --global disable " + unit + " && " + systemctl + "stop " + unit}
	}
	return origin{text, systemctl + "stop " + unit}
}

// socketUnit tells for which unit a systemd holds a port.
func (h host) socketUnit(p process, network string, port uint16) origin {
	dirs, systemctl, of := systemDirs, "systemctl ", ""
	if p.pid != 1 {
		user := h.userName(p.slice)
		dirs, systemctl, of = slices.Clone(globalDirs), "systemctl --user -M "+quote(user+"@")+" ", " of user "+user
		for _, dir := range privateDirs {
			dirs = append(dirs, filepath.Join("/", h.passwd(p.slice, 5), dir))
		}
	}
	setting := "ListenStream"
	if network == "udp" {
		setting = "ListenDatagram"
	}
	var found []string
	for _, dir := range dirs {
		for _, pattern := range []string{"/*.socket", "/*.socket.d/*.conf"} {
			files, _ := filepath.Glob(string(h) + dir + pattern)
			for _, file := range files {
				unit := filepath.Base(strings.TrimSuffix(filepath.Dir(file), ".d"))
				if strings.HasSuffix(file, ".socket") {
					unit = filepath.Base(file)
				}
				if isUnitName(unit) && listens(h.read(strings.TrimPrefix(file, string(h))), setting, port) && !slices.Contains(found, unit) {
					found = append(found, unit)
				}
			}
		}
	}
	if len(found) == 0 {
		return origin{"for a socket unit" + of, systemctl + "list-sockets, and disable --now what has it"}
	}
	stop := systemctl + "disable --now"
	for _, unit := range found {
		stop += " " + quote(unit)
	}
	return origin{"for " + strings.Join(found, " or ") + of, stop}
}

// listens tells whether a socket unit has a port.
func listens(unit, setting string, port uint16) bool {
	for line := range strings.Lines(unit) {
		name, value, _ := strings.Cut(line, "=")
		value = strings.TrimSpace(value)
		if strings.TrimSpace(name) == setting && value[strings.LastIndexByte(value, ':')+1:] == strconv.Itoa(int(port)) {
			return true
		}
	}
	return false
}

func isCron(name string) bool {
	return name == "cron" || name == "crond" || name == "anacron" || name == "atd" || name == "fcron" || name == "bcron"
}

// cron tells of a process that cron started, and of the line in which.
func (h host) cron(p process, kill string) origin {
	user := h.userName(p.uid)
	where, line := h.crontab(p)
	switch {
	case where == "":
		return origin{"started by cron", "crontab -u " + quote(user) + " -e (or a file of /etc/cron.d), and " + kill}
	case strings.HasPrefix(where, "/etc/"):
		return origin{fmt.Sprintf("started by cron, %s: %q", where, line), "remove that line, and " + kill}
	}
	return origin{fmt.Sprintf("started by cron, %s: %q", where, line), "crontab -u " + quote(user) + " -e, and " + kill}
}

// crontab finds the line of a crontab(5) that names a process's program.
func (h host) crontab(p process) (where, line string) {
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

// names are what a process may be called by in a file: its program, and that
// of the script which it interprets.
func (h host) names(p process) (list []string) {
	if strings.HasPrefix(p.exe, "/") {
		list = append(list, p.exe)
	}
	args := strings.Split(h.read("/proc", strconv.Itoa(p.pid), "cmdline"), "\x00")
	for _, arg := range args[:min(len(args), 3)] {
		if strings.HasPrefix(arg, "/") && !slices.Contains(list, arg) {
			list = append(list, arg)
		}
	}
	if scripts := slices.DeleteFunc(slices.Clone(list), interprets); len(scripts) > 0 {
		return scripts
	}
	return list
}

// interprets tells of a program that is known by the script which it runs.
func interprets(path string) bool {
	name := strings.TrimRight(filepath.Base(path), "0123456789.")
	return slices.Contains([]string{"sh", "bash", "dash", "ksh", "zsh", "perl", "python", "ruby", "env"}, name)
}

// scriptOf finds the SysV script that starts a process's program: the one
// that names it, or its pidfile.
func (h host) scriptOf(p process) string {
	wanted := h.names(p)
	pidfiles, _ := filepath.Glob(string(h) + "/run/*.pid")
	more, _ := filepath.Glob(string(h) + "/run/*/*.pid")
	for _, file := range append(pidfiles, more...) {
		file = strings.TrimPrefix(file, string(h))
		if strings.TrimSpace(h.read(file)) == strconv.Itoa(p.pid) {
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

// script tells of a SysV script, and of the runlevels that start it.
func (h host) script(name, stop string) origin {
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
