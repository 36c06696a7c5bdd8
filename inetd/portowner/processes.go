package portowner

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Processes knows which process has which socket open. One walk through /proc
// answers any number of questions: on a busy host it takes tens of
// milliseconds. Without root it sees only the processes of its own user.
type Processes struct {
	bySocket map[string][]int    // pids, by inode
	own      map[string]int      // our own descriptors, by inode
	tables   map[string][]string // lines of /proc/net's files
	bound    map[string]map[uint16][]boundSocket
	owners   map[ownerKey]Owner
}

type ownerKey struct {
	pid     int
	network string
	port    uint16
}

func newProcesses() *Processes {
	return &Processes{bySocket: map[string][]int{}, own: map[string]int{}, tables: map[string][]string{},
		bound: map[string]map[uint16][]boundSocket{}, owners: map[ownerKey]Owner{}}
}

// ownerOf returns a process as the owner of a port. What is said of one that
// has thousands of addresses is found out once.
func (p *Processes) ownerOf(pid int, network string, port uint16) Owner {
	key := ownerKey{pid, network, port}
	who, known := p.owners[key]
	if !known {
		who = hostRoot.describe(pid, network, port)
		p.owners[key] = who
	}
	return who
}

// Scan walks through /proc.
func Scan() *Processes {
	p := newProcesses()
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		fds, err := os.ReadDir(dir + "/fd")
		if err != nil {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(dir))
		for _, fd := range fds {
			link, err := os.Readlink(dir + "/fd/" + fd.Name())
			if err != nil {
				continue
			}
			inode, ok := strings.CutPrefix(link, "socket:[")
			if !ok {
				continue
			}
			inode = strings.TrimSuffix(inode, "]")
			if pid == os.Getpid() {
				p.own[inode], _ = strconv.Atoi(fd.Name())
			}
			if pids := p.bySocket[inode]; len(pids) == 0 || pids[len(pids)-1] != pid {
				p.bySocket[inode] = append(pids, pid)
			}
		}
	}
	return p
}

// isIPv6Only reports whether a socket is one of ours that leaves IPv4 to
// others. /proc/net does not have that, and of other processes' sockets it is
// not known.
func (p *Processes) isIPv6Only(inode string) bool {
	fd, mine := p.own[inode]
	if !mine {
		return false
	}
	v6only, err := unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
	return err == nil && v6only == 1
}

// with returns the processes that have one of the sockets open, in the order
// of their pids.
func (p *Processes) with(inodes map[string]bool) (pids []int) {
	for inode := range inodes {
		pids = append(pids, p.bySocket[inode]...)
	}
	slices.Sort(pids)
	return slices.Compact(pids)
}

// table returns the lines of a file of /proc/net.
func (p *Processes) table(file string) []string {
	lines, known := p.tables[file]
	if !known {
		text, _ := os.ReadFile("/proc/net/" + file)
		lines = strings.Split(string(text), "\n")
		p.tables[file] = lines
	}
	return lines
}

// SharedWith returns another process that has our socket open. It looks for a
// program that we or a process before us started, so service managers that
// keep a copy do not count: our parent, and PID 1. Of several programs it is
// the leader of a process group.
func (p *Processes) SharedWith(fd int) (pid int, ok bool) {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return 0, false
	}
	for _, other := range p.bySocket[strconv.FormatUint(st.Ino, 10)] {
		if other == os.Getpid() || other == os.Getppid() || other == 1 {
			continue
		}
		if group, err := unix.Getpgid(other); pid == 0 || err == nil && group == other {
			pid = other
		}
	}
	return pid, pid != 0
}
