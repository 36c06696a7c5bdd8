// Package spawn runs one program with one descriptor as one user: fork, exec
// and, when it ends, reaping.
//
// A World is what a child finds when its program begins: who it is, its
// limits, its environment. Many programs share one. An Image is a program in
// its world, with every string and every system call that the child will
// need lying ready, because a child that shares its parent's memory may
// neither allocate nor ask Go's runtime for anything. A start then costs one
// clone and the child's own system calls. Children keeps the table of who
// runs, and its Reap empties it.
//
// The order of the child's calls is: signal mask, descriptors, session or
// process group, session keyring, inheritable capabilities, limits, priority, umask, root and working directory,
// supplementary groups, group, user, no_new_privs, exec.
package spawn

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Rlimit is a resource limit for the child, in setrlimit(2)'s terms.
type Rlimit struct {
	Resource int
	Soft     uint64
	Hard     uint64
}

// limitNames are those of setrlimit(2).
var limitNames = map[int]string{unix.RLIMIT_AS: "AS", unix.RLIMIT_CORE: "CORE", unix.RLIMIT_CPU: "CPU", unix.RLIMIT_DATA: "DATA",
	unix.RLIMIT_FSIZE: "FSIZE", unix.RLIMIT_LOCKS: "LOCKS", unix.RLIMIT_MEMLOCK: "MEMLOCK", unix.RLIMIT_MSGQUEUE: "MSGQUEUE",
	unix.RLIMIT_NICE: "NICE", unix.RLIMIT_NOFILE: "NOFILE", unix.RLIMIT_NPROC: "NPROC", unix.RLIMIT_RSS: "RSS",
	unix.RLIMIT_RTPRIO: "RTPRIO", unix.RLIMIT_RTTIME: "RTTIME", unix.RLIMIT_SIGPENDING: "SIGPENDING", unix.RLIMIT_STACK: "STACK"}

func (l *Rlimit) String() string {
	number := func(n uint64) string {
		if n == unix.RLIM_INFINITY {
			return "unlimited"
		}
		return strconv.FormatUint(n, 10)
	}
	return cmp.Or(limitNames[l.Resource], strconv.Itoa(l.Resource)) + " " + number(l.Soft) + ":" + number(l.Hard)
}

// An Attr has the process attributes of a child. Zero values leave them as the
// daemon has them. It must not be changed once it has been used.
type Attr struct {
	Env        *Env     // a start adds the connection's own; nil: nothing else
	User       *Account // nil: the daemon's own user
	Rlimits    []Rlimit
	Nice       int     // added to the daemon's own; negative needs root
	Umask      *uint16 // nil: the daemon's own
	Session    bool    // setsid(2); else a process group of its own
	Dir        string  // working directory; empty: the daemon's
	Chroot     string  // root directory; empty: the daemon's
	NoNewPrivs bool    // prctl(2), PR_SET_NO_NEW_PRIVS
	ResetOOM   bool    // oom_score_adj of proc(5) becomes 0

	steps []step
}

// An Image is a program prepared to be started, any number of times and by
// several threads at once.
type Image struct {
	attr *Attr
	path *byte
	argv []*byte // ends with nil
}

// A step is one system call of the child, and what an error of it is called.
// keep keeps the pointers among its arguments alive.
type step struct {
	trap, a1, a2, a3 uintptr
	keep             unsafe.Pointer
	name             string
	optional         bool // an error is nothing to end the child for
}

// openedFD stands for what the step before has returned.
const openedFD = ^uintptr(0)

// An Env is an environment, which any number of programs can share.
type Env struct {
	list []string
	envv []*byte // C strings; without the nil at the end, because Start appends
}

// NewEnv makes an environment of "NAME=value" strings. It fails for strings
// that C cannot hold.
func NewEnv(list []string) (*Env, error) {
	envv, err := cStrings(list, 0)
	if err != nil {
		return nil, fmt.Errorf("environment: %w", err)
	}
	return &Env{list, envv}, nil
}

// Without returns an environment without the variables that a list of
// "NAME=value" strings sets.
func (e *Env) Without(set []string) *Env {
	other := new(Env)
	for i, variable := range e.list {
		name, _, _ := strings.Cut(variable, "=")
		if !slices.ContainsFunc(set, func(s string) bool { return strings.HasPrefix(s, name+"=") }) {
			other.list, other.envv = append(other.list, variable), append(other.envv, e.envv[i])
		}
	}
	return other
}

// A StepError says which step towards a running program failed.
type StepError struct {
	Step  string // "fork", "setgid 65534", "exec /usr/sbin/in.tftpd"
	Errno syscall.Errno
}

func (e *StepError) Error() string {
	s := e.Step + ": " + e.Errno.Error()
	switch {
	case e.Errno == syscall.ENOEXEC:
		s += " (neither a program nor a script that begins with #!)"
	case e.Errno == syscall.ENOENT:
		if path, isExec := strings.CutPrefix(e.Step, "exec "); isExec {
			if problem := ScriptProblem("/", path); problem != "" {
				s += " (" + problem + ")"
			}
		}
	case e.Errno == syscall.EAGAIN:
		s += " (RLIMIT_NPROC of the user, or the pids limit of the daemon's cgroup)"
	}
	return s
}

func (e *StepError) Unwrap() error { return e.Errno }

// Temporary reports whether the host was short of something, so that the same
// start may work in a moment.
func (e *StepError) Temporary() bool {
	switch e.Errno {
	case syscall.EAGAIN, syscall.ENOMEM, syscall.ENFILE, syscall.EMFILE, syscall.ETXTBSY:
		return true
	}
	return false
}

// Prepare returns an image of a program, an absolute path, and its argv, which
// begins with argv[0]. It fails for strings that C cannot hold.
func (w *Attr) Prepare(path string, args []string) (*Image, error) {
	if w.Env == nil {
		w.Env = new(Env)
	}
	if w.steps == nil {
		list, err := w.buildSteps()
		if err != nil {
			return nil, err
		}
		w.steps = list
	}
	im := &Image{attr: w}
	var err error
	if im.path, err = unix.BytePtrFromString(path); err != nil {
		return nil, fmt.Errorf("program %q: %w", path, err)
	}
	if im.argv, err = cStrings(args, 1); err != nil {
		return nil, fmt.Errorf("arguments of %s: %w", path, err)
	}
	return im, nil
}

// WithAttr returns the same program with other attributes.
func (im *Image) WithAttr(w *Attr) (*Image, error) {
	other, err := w.Prepare(im.Path(), nil)
	if err != nil {
		return nil, err
	}
	other.argv = im.argv
	return other, nil
}

// Clone returns attributes that may be changed before they are used.
func (w *Attr) Clone() *Attr {
	other := *w
	other.steps = nil
	return &other
}

// Path returns the program's path.
func (im *Image) Path() string { return unix.BytePtrToString(im.path) }

// CommandLine returns the program's path and its arguments, for people.
func (im *Image) CommandLine() string {
	text := im.Path()
	for _, arg := range im.argv[1 : len(im.argv)-1] {
		if word := unix.BytePtrToString(arg); word == "" || strings.ContainsAny(word, " \t\n\"") {
			text += " " + strconv.Quote(word)
		} else {
			text += " " + word
		}
	}
	return text
}

// cStrings copies strings into one block of memory with a NUL after each.
func cStrings(list []string, extra int) ([]*byte, error) {
	block, err := unix.ByteSliceFromString(strings.Join(list, ""))
	if err != nil {
		return nil, err
	}
	block = make([]byte, len(block)-1+len(list))
	pointers := make([]*byte, 0, len(list)+extra)
	for _, s := range list {
		copy(block, s)
		pointers = append(pointers, &block[0])
		block = block[len(s)+1:]
	}
	return pointers[:len(list)+extra], nil
}

// buildSteps returns the system calls between the descriptors and the exec.
func (w *Attr) buildSteps() ([]step, error) {
	var list []step
	add := func(name string, trap, a1, a2, a3 uintptr, keep unsafe.Pointer) {
		list = append(list, step{trap: trap, a1: a1, a2: a2, a3: a3, keep: keep, name: name})
	}
	if w.Session {
		add("setsid", unix.SYS_SETSID, 0, 0, 0, nil)
	} else {
		add("setpgid 0, 0", unix.SYS_SETPGID, 0, 0, 0, nil)
	}
	if hasSessionKeyring() {
		// A new one: programs of several users would read each other's keys in
		// that of the daemon, and those of who started it. A user other than
		// root may have 200 keys (keyrings(7)); above that the programs are
		// still started.
		add("keyctl", unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, nil)
		list[len(list)-1].optional = true
	}
	if err := addCapabilities(add); err != nil {
		return nil, err
	}
	for i := range w.Rlimits {
		l := &w.Rlimits[i]
		p := unsafe.Pointer(&l.Soft)
		add("setrlimit "+l.String(), unix.SYS_PRLIMIT64, 0, uintptr(l.Resource), uintptr(p), p)
	}
	if w.Nice != 0 {
		now, err := unix.Getpriority(unix.PRIO_PROCESS, 0) // the kernel's form: 20-nice
		if err != nil {
			return nil, fmt.Errorf("getpriority: %w", err)
		}
		add(fmt.Sprintf("nice %d", w.Nice), unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 0, uintptr(20-now+w.Nice), nil)
	}
	if w.ResetOOM { // as sshd does: the daemon may be protected, and its programs are not
		path, err := unix.BytePtrFromString("/proc/self/oom_score_adj")
		if err != nil {
			return nil, err
		}
		cwd := unix.AT_FDCWD
		add("oom_score_adj", unix.SYS_OPENAT, uintptr(cwd), uintptr(unsafe.Pointer(path)), unix.O_WRONLY|unix.O_CLOEXEC, unsafe.Pointer(path))
		zero := []byte("0")
		add("oom_score_adj", unix.SYS_WRITE, openedFD, uintptr(unsafe.Pointer(&zero[0])), 1, unsafe.Pointer(&zero[0]))
		list[len(list)-1].optional, list[len(list)-2].optional = true, true
	}
	if w.Umask != nil {
		add(fmt.Sprintf("umask %03o", *w.Umask), unix.SYS_UMASK, uintptr(*w.Umask), 0, 0, nil)
	}
	if w.Chroot != "" {
		if err := addPath(&list, "chroot", unix.SYS_CHROOT, w.Chroot); err != nil {
			return nil, err
		}
	}
	dir := w.Dir
	if dir == "" && w.Chroot != "" {
		dir = "/"
	}
	if dir != "" {
		if err := addPath(&list, "chdir", unix.SYS_CHDIR, dir); err != nil {
			return nil, err
		}
	}
	if u := w.User; u != nil {
		var first unsafe.Pointer
		if len(u.Groups) > 0 {
			first = unsafe.Pointer(&u.Groups[0])
		}
		add(fmt.Sprint("setgroups ", u.Groups), unix.SYS_SETGROUPS, uintptr(len(u.Groups)), uintptr(first), 0, first)
		add(fmt.Sprintf("setgid %d", u.GID), unix.SYS_SETGID, uintptr(u.GID), 0, 0, nil)
		add(fmt.Sprintf("setuid %d", u.UID), unix.SYS_SETUID, uintptr(u.UID), 0, 0, nil)
	}
	if w.NoNewPrivs {
		add("no_new_privs", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, nil)
	}
	return list, nil
}

// addCapabilities adds the step that clears the inheritable capabilities, where
// the daemon has any, and with them the ambient ones (capabilities(7)): the file
// of a program could give them to its user. The daemon keeps its own, which
// it needs after an upgrade.
func addCapabilities(add func(name string, trap, a1, a2, a3 uintptr, keep unsafe.Pointer)) error {
	caps := &struct {
		header unix.CapUserHeader
		data   [2]unix.CapUserData
	}{header: unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}}
	if err := unix.Capget(&caps.header, &caps.data[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	if caps.data[0].Inheritable|caps.data[1].Inheritable == 0 {
		return nil
	}
	caps.data[0].Inheritable, caps.data[1].Inheritable = 0, 0
	add("capset", unix.SYS_CAPSET, uintptr(unsafe.Pointer(&caps.header)), uintptr(unsafe.Pointer(&caps.data[0])), 0, unsafe.Pointer(caps))
	return nil
}

func addPath(list *[]step, name string, trap uintptr, path string) error {
	p, err := unix.BytePtrFromString(path)
	if err != nil {
		return fmt.Errorf("%s %q: %w", name, path, err)
	}
	*list = append(*list, step{trap: trap, a1: uintptr(unsafe.Pointer(p)), keep: unsafe.Pointer(p), name: name + " " + path})
	return nil
}
