package portowner

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

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

// isUnitName reports whether systemd could have given the name (systemd.unit(5)).
// A user can make control groups of any name below those of his own.
func isUnitName(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@") == ""
}

// Where systemd reads units from and keeps who wants which (systemd.unit(5)).
var (
	systemDirs = []string{"/etc/systemd/system", "/run/systemd/system", "/run/systemd/generator", "/run/systemd/generator.late",
		"/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}
	globalDirs  = []string{"/etc/systemd/user", "/run/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user"}
	privateDirs = []string{".config/systemd/user", ".local/share/systemd/user"}
)

// wantedBy returns the units that pull a unit in.
func (h root) wantedBy(unit string, dirs []string) (list []string) {
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

// systemUnit describes a unit of the system. Where there is a socket of its
// name that is wanted, stopping the service alone would not last.
func (h root) systemUnit(unit string) origin {
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

// userUnit describes a unit of a user's systemd.
func (h root) userUnit(p process) origin {
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

// socketUnit finds the unit for which a systemd has a port.
func (h root) socketUnit(p process, network string, port uint16) origin {
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

// listens reports whether a socket unit has a port.
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
