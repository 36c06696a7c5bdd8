//go:build (amd64 || arm64) && !portable

// Package nofile remembers the limit of open files that the process was
// started with. Package syscall raises the soft limit when it is
// initialized, and children are to have what it was before.
// syscall.ForkExec puts it back by a variable of its own, which nobody else
// can see.
//
// It works because packages are initialized in the order of their import
// paths once their own imports are (Go specification, "Program
// initialization"), and this one imports nothing and sorts before syscall.
// Hence the few lines of assembly. TestChildAttributes would catch its breaking.
package nofile

// A Limit is struct rlimit of prlimit64(2).
type Limit struct{ Soft, Hard uint64 }

// AtStart is RLIMIT_NOFILE as it was; zero where it could not be read.
var AtStart = read()

func read() (l Limit) {
	prlimit(&l)
	return l
}

// prlimit is prlimit64(0, RLIMIT_NOFILE, NULL, l).
//
//go:noescape
func prlimit(l *Limit)
