// Package nofile remembers the limit of open files that the process was
// started with. Package os raises the soft limit to the hard one when it is
// initialized, and children are to have what it was before.
//
// It works because packages are initialized in the order of their import
// paths once their own imports are (Go specification, "Program
// initialization"), and this one imports less than os and sorts before it.
// So it must import nothing but syscall. TestChildWorld would catch its
// breaking.
package nofile

import "syscall"

// AtStart is RLIMIT_NOFILE as it was; zero where it could not be read.
var AtStart = func() (l syscall.Rlimit) {
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return syscall.Rlimit{}
	}
	return l
}()
