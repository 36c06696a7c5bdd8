package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"goinetd/inetd/reliability"
)

// Whatever it is started with or without, the daemon starts, and its programs
// have three descriptors, no signal blocked or ignored, and its umask.
func TestOddStarts(t *testing.T) {
	t.Parallel()
	need(t, "root", "cc", "perl")
	if err := attrsProgram(); err != nil {
		t.Fatal(err)
	}
	block := `use POSIX; my $s = POSIX::SigSet->new; $s->fillset; sigprocmask(SIG_SETMASK, $s); exec @ARGV`
	for name, before := range map[string][]string{
		"closed":    {"sh", "-c", `exec <&- >&- 2>&-; exec "$@"`, "sh"},
		"cwd gone":  {"sh", "-c", `d=$(mktemp -d); cd "$d"; rmdir "$d"; exec "$@"`, "sh"},
		"blocked":   {"perl", "-e", block, "--"},
		"ignored":   {"perl", "-e", `$SIG{$_} = "IGNORE" for grep { !/^(KILL|STOP|NUM.*|__.*)$/ } keys %SIG; exec @ARGV`, "--"},
		"umask":     {"sh", "-c", `umask 777; exec "$@"`, "sh"},
		"stack":     {"sh", "-c", `ulimit -s 64; exec "$@"`, "sh"},
		"leftovers": {"sh", "-c", `exec 3</dev/null 4</dev/null 7</dev/null 9>/dev/null; exec "$@"`, "sh"},
		"notify":    {"env", "NOTIFY_SOCKET=/nonexistent/\x01junk"},
		"long":      {"env", "NOTIFY_SOCKET=/" + strings.Repeat("x", 5000)},
		"relative":  {"env", "NOTIFY_SOCKET=junk"},
		"variables": {"env", "GOINETD_READY_FD=17", "GOINETD_STATE_FD=18", "LISTEN_FDS=1000000", "WATCHDOG_USEC=x", "FDSTORE=-1"},
		"argv[0]":   {"perl", "-e", `exec { $ARGV[0] } "", @ARGV[1 .. $#ARGV]`, "--"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := port(t)
			d := setup{conf: fmt.Sprintf("%s stream tcp nowait nobody %s attrs\n", at(p), built.attrs), before: before}.launch(t)
			if strings.HasPrefix(before[1], "NOTIFY_SOCKET=") { // READY=1 goes elsewhere
				d.find("configuration read", 1)
				d.signal(syscall.SIGUSR1)
				d.find("STATE: end", 1)
			} else {
				d.await("READY=1")
			}
			got := facts(request(t, p, ""))
			if list := got["fd"]; len(list) != 3 {
				t.Errorf("descriptors: %q", list)
			}
			if portable {
				got["blocked"] = nil // syscall.ForkExec leaves the mask as it is
			}
			if len(got["blocked"]) > 0 || len(got["disposition"]) > 0 {
				t.Errorf("blocked %q, not default %q", got["blocked"], got["disposition"])
			}
			if umask := got["umask"]; len(umask) != 1 || umask[0] != map[bool]string{false: "022", true: "777"}[name == "umask"] {
				t.Errorf("umask %q", umask)
			}
			d.signal(syscall.SIGTERM)
			d.awaitEnd()
			if code := d.cmd.ProcessState.ExitCode(); code != 0 {
				t.Errorf("it ends with %d", code)
			}
		})
	}
	t.Cleanup(func() { // behind the subtests
		reliability.Survived(t, reliability.Fault{Theme: reliability.Hosts, Did: "a start with closed or leftover descriptors, in a folder that is gone, with all signals blocked or ignored, umask 777, a stack of 64 kB, no argv[0], or junk in NOTIFY_SOCKET and LISTEN_FDS",
			Saw: "served; programs have descriptors 0 to 2, no signal blocked or ignored"})
	})
}
