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
