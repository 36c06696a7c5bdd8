package main

import (
	"strings"

	"goinetd/inetd/handover"
)

// personalVariables are what programs do not get unless -E is given: variables
// that belong to the person who started the daemon, or steer where programs
// look (Debian's inetd removes the same). A name stands for all variables that
// begin with it.
var personalVariables = []string{"CVS", "DISPLAY", "EDITOR", "GROUP", "HOME", "IFS", "LD_", "LOGNAME", "MAIL", "PATH", "PRINTER",
	"PWD", "OLDPWD", "SHELL", "SHLVL", "SSH", "SUDO_", "TERM", "TMP", "USER", "VISUAL", "XDG_", "XAUTHORITY", "DBUS_", "_="}

// daemonVariables are meant for the daemon alone, by its service manager
// (systemd.exec(5)), its unit or another super-server.
var daemonVariables = []string{"NOTIFY_SOCKET=", "LISTEN_PID=", "LISTEN_PIDFDID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", "WATCHDOG_USEC=", "WATCHDOG_PID=", "INVOCATION_ID=",
	"JOURNAL_STREAM=", "SYSTEMD_EXEC_PID=", "MAINPID=", "MANAGERPID=", "MEMORY_PRESSURE_", "CREDENTIALS_DIRECTORY=", "FDSTORE=",
	"RUNTIME_DIRECTORY=", "STATE_DIRECTORY=", "CACHE_DIRECTORY=", "LOGS_DIRECTORY=", "CONFIGURATION_DIRECTORY=",
	"OPTIONS=", "REMOTE_", "PROTO=", "TCPREMOTE", "TCPLOCAL", readyFDVariable + "=", handover.Variable + "=", streamsVariable + "="}

// childEnviron returns what every program's environment begins with.
func childEnviron(environ []string, keepAll bool) []string {
	drop := daemonVariables
	if !keepAll {
		drop = append(drop[:len(drop):len(drop)], personalVariables...)
	}
	var retained []string
next:
	for _, v := range environ {
		for _, prefix := range drop {
			if strings.HasPrefix(v, prefix) {
				continue next
			}
		}
		retained = append(retained, v)
	}
	return retained
}
