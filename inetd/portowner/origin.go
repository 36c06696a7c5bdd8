package portowner

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
func (h root) originOf(p process) origin {
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
func (h root) withoutUnit(p process, kill string) origin {
	for up, i := p.parent, 0; up > 1 && i < 32; i++ {
		q := h.process(up)
		if isCron(q.comm) {
			o := h.cron(p, kill)
			if p.choosesNames() {
				o.text = "probably " + o.text
			}
			return o
		}
		up = q.parent
	}
	if p.tty != "" {
		return origin{"terminal " + p.tty, kill}
	}
	if p.parent <= 1 {
		if name := h.scriptOf(p); name != "" {
			o := h.script(name, "service "+quote(name)+" stop && update-rc.d "+quote(name)+" disable")
			if p.choosesNames() {
				o.text, o.stop = "probably "+o.text, kill+", and if it was that script, "+o.stop
			}
			return o
		}
		if where, line := h.crontab(p); where != "" {
			return origin{fmt.Sprintf("perhaps by %s: %q", where, line), kill}
		}
		return origin{"", kill}
	}
	return origin{fmt.Sprintf("started by %s, pid %d", visible(h.process(p.parent).comm), p.parent), kill}
}

// quote makes a word of a name in a shell command that an administrator is to
// paste.
func quote(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.@/") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(visible(s), "'", `'\''`) + "'"
}

// names are what a process may be called by in a file: its program, or the
// script that it interprets. The kernel says which program that is; argv is what
// the process wants it to be, and says something only of an interpreter.
func (h root) names(p process) []string {
	if !strings.HasPrefix(p.exe, "/") {
		return nil
	}
	if !interprets(p.exe) {
		return []string{p.exe}
	}
	args := strings.Split(h.read("/proc", strconv.Itoa(p.pid), "cmdline"), "\x00")
	if !interprets(args[0]) {
		return nil
	}
	return slices.DeleteFunc(args[:min(len(args), 3)], func(arg string) bool { return !strings.HasPrefix(arg, "/") || interprets(arg) })
}

// interprets reports whether a program is known by the script that it runs.
func interprets(path string) bool {
	name := strings.TrimRight(filepath.Base(path), "0123456789.")
	return slices.Contains([]string{"sh", "bash", "dash", "ash", "ksh", "zsh", "busybox", "perl", "python", "ruby", "env"}, name)
}

// choosesNames reports whether a user other than root has the process. Such a
// user can run any program, with any arguments and parents.
func (p process) choosesNames() bool { return p.uid != "0" }
