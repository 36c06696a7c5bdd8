package main

import (
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"goinetd/inetd/portowner"
)

// systemctlLimit is how long systemctl may take while we are being stopped.
const systemctlLimit = time.Second

// restarting reports whether systemd stops us to start us again (systemctl
// restart): the sockets that it has copies of are served on.
func (m *notifier) restarting() bool {
	if m == nil || m.storeSize == 0 {
		return false
	}
	unit := portowner.UnitOf(os.Getpid())
	if unit == "" {
		return false
	}
	for line := range strings.Lines(systemctl("list-jobs", "--no-legend", "--plain", unit)) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == unit { // JOB UNIT TYPE STATE
			return f[2] == "restart" && m.stores(unit)
		}
	}
	return false
}

// stores reports whether the service manager keeps copies of our sockets.
func (m *notifier) stores(unit string) bool {
	if m.storeSizeKnown {
		return m.storeSize > 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(systemctl("show", "-P", "FileDescriptorStoreMax", unit)))
	return err == nil && n > 0
}

// systemctl returns what systemctl(1) prints, of the manager that started us.
func systemctl(args ...string) string {
	if os.Geteuid() != 0 {
		args = slices.Insert(args, 0, "--user")
	}
	return outputOf("/usr/bin/systemctl", slices.Insert(args, 0, "systemctl"))
}

// outputOf returns what a program prints; nothing where it takes too long.
func outputOf(path string, args []string) string {
	r, w, err := os.Pipe()
	if err != nil {
		return ""
	}
	defer r.Close()
	p, err := os.StartProcess(path, args, &os.ProcAttr{Files: []*os.File{nil, w, nil}})
	w.Close()
	if err != nil {
		return ""
	}
	late := time.AfterFunc(systemctlLimit, func() { p.Kill() })
	defer late.Stop()
	text, _ := io.ReadAll(io.LimitReader(r, maxOutput))
	p.Wait()
	return string(text)
}
