//go:build (amd64 || arm64) && !portable

package spawn

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxMarks is more than there are steps of a child.
const maxMarks = 64

// marks are when the steps of a child were over, as the child has written
// them into our memory, on CLOCK_MONOTONIC.
type marks struct {
	n  int
	at [maxMarks]unix.Timespec
}

// add notes the time, in a child.
//
//go:norace
//go:nosplit
//go:nocheckptr
func (m *marks) add() {
	if m == nil || uint(m.n) >= maxMarks {
		return
	}
	syscall.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&m.at[m.n])), 0)
	m.n++
}

func (m *marks) reset() {
	if m != nil {
		m.n = 0
	}
}

// Trace has the times of the child's steps kept at the next start; Steps
// returns them.
func (s *Scratch) Trace() { s.marks = new(marks) }

// Steps returns the steps that the child of the last start has taken between
// the fork and the exec, in their order, and ends what Trace began. It returns
// none for a program that was forked (Fork).
func (im *Image) Steps(s *Scratch) []Step {
	m := s.marks
	s.marks, s.vfork.marks = nil, nil
	if m == nil {
		return nil
	}
	names := []string{"close_range CLOSE_RANGE_UNSHARE", "sigprocmask SIG_SETMASK none", "dup3 0, 1, 2"}
	for i := range im.attr.steps {
		names = append(names, im.attr.steps[i].name)
	}
	var list []Step
	for i := range min(m.n, len(names)) {
		list = append(list, Step{Name: names[i], At: m.at[i].Nano()})
	}
	return list
}
