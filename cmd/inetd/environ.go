package main

import (
	"strings"

	"goinetd/inetd/handover"
)

// harmful are the variables that programs do not get unless -E asks for it:
// what belongs to the person who happened to start the daemon, or steers
// where programs look (the names that Debian's inetd takes out; a name here
// stands for all that begin with it).
var personalVariables = []string{"CVS", "DISPLAY", "EDITOR", "GROUP", "HOME", "IFS", "LD_", "LOGNAME", "MAIL", "PATH", "PRINTER",
	"PWD", "OLDPWD", "SHELL", "SHLVL", "SSH", "SUDO_", "TERM", "TMP", "USER", "VISUAL", "XDG_", "XAUTHORITY", "DBUS_", "_="}

// ours are the variables that were meant for the daemon alone, by its
// service manager (systemd.exec(5)), in its unit or by another super-server.
var daemonVariables = []string{"NOTIFY_SOCKET=", "LISTEN_PID=", "LISTEN_PIDFDID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", "WATCHDOG_USEC=", "WATCHDOG_PID=", "INVOCATION_ID=",
	"JOURNAL_STREAM=", "SYSTEMD_EXEC_PID=", "MAINPID=", "MANAGERPID=", "MEMORY_PRESSURE_", "CREDENTIALS_DIRECTORY=", "FDSTORE=",
	"RUNTIME_DIRECTORY=", "STATE_DIRECTORY=", "CACHE_DIRECTORY=", "LOGS_DIRECTORY=", "CONFIGURATION_DIRECTORY=",
	"OPTIONS=", "REMOTE_", "PROTO=", "TCPREMOTE", "TCPLOCAL", readyFDVariable + "=", handover.Variable + "="}

// childEnviron gives what every program's environment begins with.
func childEnviron(environ []string, keepAll bool) []string {
	drop := daemonVariables
	if !keepAll {
		drop = append(drop[:len(drop):len(drop)], personalVariables...)
	}
	var kept []string
next:
	for _, v := range environ {
		for _, prefix := range drop {
			if strings.HasPrefix(v, prefix) {
				continue next
			}
		}
		kept = append(kept, v)
	}
	return kept
}
