package spawn

import (
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// hasSessionKeyring reports whether the daemon has a session keyring
// (session-keyring(7)), which its programs would inherit: from a login, or by
// KeyringMode= of systemd.exec(5). Without one, each program has the
// user-session-keyring(7) of its own user.
var hasSessionKeyring = sync.OnceValue(func() bool {
	result := make(chan bool)
	go func() {
		// The kernel attaches a session keyring to a thread that asks and has
		// none: to this one, which ends with its goroutine.
		runtime.LockOSThread()
		session, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
		user, err2 := unix.KeyctlGetKeyringID(unix.KEY_SPEC_USER_SESSION_KEYRING, false)
		// Where the kernel has no keys, or a seccomp filter forbids the call,
		// there is nothing to inherit.
		result <- err == nil && (err2 != nil || session != user)
	}()
	return <-result
})
