//go:build (amd64 || arm64) && !portable

package spawn

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The way for kernels without clone3 makes the same world.
func TestOldKernel(t *testing.T) {
	legacyClone.Store(true)
	defer legacyClone.Store(false)
	TestStepErrors(t)
	TestEnvironment(t)
	TestChildren(t)
	unix.CloseRange(3, 1<<32-1, unix.CLOSE_RANGE_CLOEXEC)    // as the daemon does when it starts
	mine, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 100) // which the child's copy of the table has, too
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(mine)
	for _, start := range []starter{byStart, byFork} {
		testCleanChild(t, start)
	}
}

// testCleanChild tests that a program has its three descriptors and no other,
// and default signals.
func testCleanChild(t *testing.T, start starter) {
	t.Helper()
	out, _, err := runBy(start, t, &Attr{}, "/bin/sh", "sh", "-c", "ls /proc/self/fd; cat /proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	if want := "0\n1\n2\n3\n"; !strings.HasPrefix(out, want) || strings.Count(out, ":\t0000000000000000\n") < 5 || !strings.Contains(out, "SigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n") {
		t.Errorf("descriptors and signals of a program: %s", out)
	}
}

// What the world says is what the program sees.
func TestAttrSteps(t *testing.T) {
	umask := uint16(0o27)
	w := &Attr{Umask: &umask, Nice: 3, Dir: "/usr", NoNewPrivs: true, Session: true,
		Rlimits: []Rlimit{{unix.RLIMIT_CORE, 0, 0}, {unix.RLIMIT_NOFILE, 99, 100}}}
	out, _, err := run(t, w, "/bin/sh", "sh", "-c",
		"umask; pwd; nice; ulimit -Sn; ulimit -Hn; grep NoNewPrivs /proc/self/status; set -- $(cat /proc/$$/stat); [ $5 = $$ ] && [ $6 = $$ ] && echo leads its session")
	if err != nil {
		t.Fatal(err)
	}
	self, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	nice := min(20-self+3, 19) // the system call counts the other way round
	if want := fmt.Sprintf("0027\n/usr\n%d\n99\n100\nNoNewPrivs:\t1\nleads its session\n", nice); out != want {
		t.Errorf("got %q, want %q", out, want)
	}
	if unix.Geteuid() == 0 {
		w = &Attr{User: &Account{UID: 47110, GID: 47111, Groups: []uint32{47111, 47112}}, Chroot: "/"}
		out, _, err = run(t, w, "/bin/sh", "sh", "-c", "id -u; id -G; pwd")
		if want := "47110\n47111 47112\n/\n"; err != nil || out != want {
			t.Errorf("got %q, %v, want %q", out, err, want)
		}
	}
}

// A program does not inherit the daemon's protection from the OOM killer, and
// the daemon keeps it: for a moment they share their memory.
func TestResetOOM(t *testing.T) {
	const file = "/proc/self/oom_score_adj"
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("500"), 0); err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile(file, before, 0)
	for _, start := range []starter{byStart, byFork} {
		out, _, err := runBy(start, t, &Attr{ResetOOM: true}, "/bin/cat", "cat", file)
		if err != nil || out != "0\n" {
			t.Errorf("a program's is %q, %v", out, err)
		}
		if own, _ := os.ReadFile(file); string(own) != "500\n" {
			t.Errorf("the daemon's is %q", own)
		}
	}
}

// A program has a session keyring of its own, and no key of the one that the
// daemon has.
func TestSessionKeyring(t *testing.T) {
	if unix.Geteuid() != 0 {
		t.Skip("needs root")
	}
	runtime.LockOSThread() // and the thread ends with the test, as its keyring does
	if _, _, e := unix.Syscall(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0); e != 0 {
		t.Skip("no keyrings: ", e)
	}
	if _, err := unix.AddKey("user", "goinetd:secret", []byte("x"), unix.KEY_SPEC_SESSION_KEYRING); err != nil {
		t.Skip("no keys: ", err)
	}
	own := fmt.Sprintf("%08x ", sessionKeyring(t))
	if out := askAgain(t); !strings.HasPrefix(out, "true") {
		t.Errorf("hasSessionKeyring of a process with one: %s", out)
	}
	defer func(f func() bool) { hasSessionKeyring = f }(hasSessionKeyring)
	hasSessionKeyring = func() bool { return true }
	for _, start := range []starter{byStart, byFork} {
		out, _, err := runBy(start, t, &Attr{User: &Account{UID: 47110, GID: 47110}}, "/bin/cat", "cat", "/proc/keys")
		if err != nil || strings.Contains(out, "goinetd:secret") || strings.Contains(out, own) {
			t.Errorf("a program of another user has the key: %s, %v", out, err)
		}
		if !strings.Contains(out, " _ses") {
			t.Errorf("no session keyring: %s", out)
		}
	}
	if now := fmt.Sprintf("%08x ", sessionKeyring(t)); now != own {
		t.Errorf("the daemon's session keyring was %s and is %s", own, now)
	}
}

// askAgain runs this test in a process that has our thread's session keyring,
// and returns what it prints.
func askAgain(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestHasSessionKeyring$")
	cmd.Env = append(os.Environ(), "GOINETD_ASK=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// A program gets no session keyring where the daemon has none. Asking gives
// the daemon none.
func TestHasSessionKeyring(t *testing.T) {
	if os.Getenv("GOINETD_ASK") != "" {
		fmt.Println(hasSessionKeyring())
		return
	}
	if hasSessionKeyring() {
		t.Skip("the tests were started with a session keyring")
	}
	if unix.Geteuid() != 0 {
		t.Skip("needs root")
	}
	out, _, err := run(t, &Attr{User: &Account{UID: 47111, GID: 47111}}, "/bin/cat", "cat", "/proc/keys")
	if err != nil || strings.Contains(out, " _ses") {
		t.Errorf("%s, %v", out, err)
	}
}

func sessionKeyring(t *testing.T) int {
	t.Helper()
	id, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// A program inherits no capabilities, and the daemon keeps its own.
func TestInheritableCapabilities(t *testing.T) {
	if unix.Geteuid() != 0 {
		t.Skip("needs root")
	}
	runtime.LockOSThread() // and the thread ends with the test
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	const chown = 1 << unix.CAP_CHOWN
	data[0].Inheritable |= chown
	if err := unix.Capset(&header, &data[0]); err != nil {
		t.Skip("capset: ", err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_CHOWN, 0, 0); err != nil {
		t.Fatal(err)
	}
	for _, start := range []starter{byStart, byFork} {
		for _, user := range []*Account{nil, {UID: 47110, GID: 47110}} {
			out, _, err := runBy(start, t, &Attr{User: user}, "/bin/grep", "grep", "-E", "^Cap(Inh|Amb)", "/proc/self/status")
			if want := "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000\n"; err != nil || out != want {
				t.Errorf("user %+v: %s, %v", user, out, err)
			}
		}
	}
	if unix.Capget(&header, &data[0]); data[0].Inheritable&chown == 0 {
		t.Error("the daemon has lost them")
	}
}
