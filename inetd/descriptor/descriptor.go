// Package descriptor has what several packages do with plain file
// descriptors.
package descriptor

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// lowest is the number from which descriptors that live long are kept, so
// that connections get low ones: package spawn says why.
const lowest = 256

// Raise moves a descriptor to a number of at least 256. Where the limit of
// open files does not allow that, it returns the descriptor as it is.
func Raise(fd int) int {
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, lowest)
	if err != nil {
		return fd
	}
	unix.Close(fd)
	return high
}

// NewEvent returns a non-blocking eventfd(2).
func NewEvent() (int, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return -1, fmt.Errorf("eventfd: %w", err)
	}
	return fd, nil
}

// Signal makes an eventfd readable. Nobody has to read it: it counts to 2^64.
func Signal(event int) { unix.Write(event, one) }

var one = binary.NativeEndian.AppendUint64(nil, 1)

// Inherited reports whether a descriptor was open when the program was
// executed. Descriptors that Go's runtime opens are closed by an exec, and so
// are our own: those that were there have no FD_CLOEXEC. It is to be asked
// while packages are initialized; later we have set that ourselves.
func Inherited(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil && flags&unix.FD_CLOEXEC == 0
}
