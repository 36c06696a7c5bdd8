// Package limits ends the program with one line where the host allows it too
// few threads or open files to start. Go's runtime would end it later, with
// a traceback, and at a moment that nobody chooses.
//
// Its init has to run before package os and whatever else starts threads or
// polls descriptors, so it imports nothing but syscall: packages are
// initialized in the order of their import paths once their own imports are
// (Go specification, "Program initialization"). What the runtime needs before
// that cannot be checked by any Go program: about 800 MB of address space
// (RLIMIT_AS), and four threads.
package limits

import (
	"runtime"
	"syscall"
)

const (
	// minFiles are the descriptors of a daemon with one service.
	minFiles = 20
	// spareThreads are the threads of a daemon beside one for each core, and
	// one for each of so many workers as can be replaced.
	spareThreads = 12
	maxReplaced  = 8
	// maxCounted is the largest RLIMIT_NPROC for which the processes of the
	// user are counted; a larger one is not what keeps a daemon from starting.
	maxCounted = 1024

	rlimitNproc = 6
)

func init() {
	if text := problem(); text != "" {
		syscall.Write(2, []byte("inetd: "+text+"\n"))
		syscall.Exit(1)
	}
}

// problem returns what the host has too little of; empty: nothing.
func problem() string {
	// A process that has been upgraded serves clients: better that it tries.
	if _, upgraded := syscall.Getenv("GOINETD_HANDOVER_FD"); upgraded {
		return ""
	}
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err == nil && l.Max < minFiles {
		return "the limit of open files is " + decimal(l.Max) + ", and at least " + decimal(minFiles) + " are needed: raise it (ulimit -Hn, LimitNOFILE= of the unit)"
	}
	// The threads that the runtime has started are counted already.
	need, running := uint64(runtime.NumCPU()+min(runtime.NumCPU(), maxReplaced)+spareThreads), statusField("self", "Threads:\t")
	if running == 0 || running >= need { // no /proc, or there are so many cores
		return ""
	}
	need -= running
	if dir, limit, now, ok := tightestCgroup(); ok && now+need > limit {
		return dir + "/pids.max is " + decimal(limit) + " with " + decimal(now) + " in use, and the daemon needs " + decimal(need) +
			" more threads: raise it (TasksMax= of the unit, --pids-limit of the container)"
	}
	if err := syscall.Getrlimit(rlimitNproc, &l); err == nil && l.Cur <= maxCounted && syscall.Geteuid() != 0 {
		if now := threadsOfUser(syscall.Getuid()); now+need > l.Cur {
			return "the limit of processes of uid " + decimal(uint64(syscall.Getuid())) + " is " + decimal(l.Cur) + " with " + decimal(now) +
				" in use, and the daemon needs " + decimal(need) + " more threads: raise it (ulimit -u, LimitNPROC= of the unit)"
		}
	}
	return ""
}

// tightestCgroup returns the cgroup with the fewest free pids among ours and
// those above it (Documentation/admin-guide/cgroup-v2.rst and
// cgroup-v1/pids.rst of the kernel).
func tightestCgroup() (dir string, limit, now uint64, ok bool) {
	for line := range lines(read("/proc/self/cgroup")) {
		mount, path := "", ""
		switch {
		case has(line, "0::"):
			mount, path = "/sys/fs/cgroup", line[len("0::"):]
		case index(line, ":pids:") > 0:
			mount, path = "/sys/fs/cgroup/pids", line[index(line, ":pids:")+len(":pids:"):]
		default:
			continue
		}
		for {
			max, isNumber := number(read(mount + path + "/pids.max"))
			current, known := number(read(mount + path + "/pids.current"))
			if isNumber && known && (!ok || int64(max-current) < int64(limit-now)) {
				dir, limit, now, ok = mount+path, max, current, true
			}
			if path == "" {
				break
			}
			for path != "" && path[len(path)-1] != '/' {
				path = path[:len(path)-1]
			}
			if path != "" {
				path = path[:len(path)-1]
			}
		}
	}
	return dir, limit, now, ok
}

// threadsOfUser returns the number of threads of a user, which RLIMIT_NPROC
// limits; as many as /proc shows.
func threadsOfUser(uid int) (n uint64) {
	fd, err := syscall.Open("/proc", syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer syscall.Close(fd)
	buf := make([]byte, 16384)
	for {
		size, err := syscall.ReadDirent(fd, buf)
		if err != nil || size <= 0 {
			return n
		}
		_, _, names := syscall.ParseDirent(buf[:size], -1, nil)
		for _, name := range names {
			if _, isPID := number(name); !isPID {
				continue
			}
			if statusField(name, "Uid:\t") == uint64(uid) {
				n += statusField(name, "Threads:\t")
			}
		}
	}
}

// statusField returns a number of /proc/PID/status; 0: unknown.
func statusField(pid, name string) (n uint64) {
	for line := range lines(read("/proc/" + pid + "/status")) {
		if has(line, name) {
			n, _ = number(line[len(name):])
		}
	}
	return n
}

// The rest is what packages strings, strconv and os would do: those are
// initialized later.

// read returns the beginning of a file; empty where it cannot be read.
func read(path string) string {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer syscall.Close(fd)
	buf := make([]byte, 4096)
	n, err := syscall.Read(fd, buf)
	if err != nil || n < 0 {
		return ""
	}
	return string(buf[:n])
}

func lines(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for text != "" {
			line := text
			if i := index(text, "\n"); i >= 0 {
				line, text = text[:i], text[i+1:]
			} else {
				text = ""
			}
			if !yield(line) {
				return
			}
		}
	}
}

func has(s, prefix string) bool { return len(s) >= len(prefix) && s[:len(prefix)] == prefix }

func index(s, part string) int {
	for i := range len(s) - len(part) + 1 {
		if s[i:i+len(part)] == part {
			return i
		}
	}
	return -1
}

// number returns the decimal number that a text begins with.
func number(s string) (n uint64, ok bool) {
	for i := 0; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		n, ok = n*10+uint64(s[i]-'0'), true
	}
	return n, ok
}

func decimal(n uint64) string {
	if n >= 10 {
		return decimal(n/10) + string(rune('0'+n%10))
	}
	return string(rune('0' + n))
}
