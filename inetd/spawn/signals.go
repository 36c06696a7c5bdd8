package spawn

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// sigaction is the kernel's struct sigaction, with the room that any
// architecture wants.
type sigaction struct {
	handler   uintptr
	remainder [4]uint64
}

// DefaultSignals stops ignoring the signals that the process was started with
// as ignored (nohup, a shell's background job), so that its children do not
// inherit that. It also sets SIGCHLD to be discarded: the reaper does not wait
// for it, and thousands of them need not interrupt anything. As PID 1 it
// learns of orphans from SIGCHLD. Call it once, at start, after
// os/signal.Notify.
func DefaultSignals() {
	for sig := uintptr(1); sig <= 64; sig++ {
		var now, none sigaction
		if _, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, 0, uintptr(unsafe.Pointer(&now)), 8, 0, 0); e != 0 {
			continue
		}
		if now.handler == 1 || sig == uintptr(unix.SIGCHLD) && unix.Getpid() != 1 { // SIG_IGN
			unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&none)), 0, 8, 0, 0)
		}
	}
}
