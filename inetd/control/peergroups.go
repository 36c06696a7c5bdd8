package control

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// soPeerGroups is SO_PEERGROUPS of asm-generic/socket.h (Linux 4.13).
const soPeerGroups = 59

// maxGroups is how many groups a process can have (NGROUPS_MAX).
const maxGroups = 1 << 16

// peerGroups returns the supplementary groups of who is at the other end of a
// Unix socket; none where the kernel does not say.
func peerGroups(fd int) (gids []int) {
	list := make([]uint32, 64)
	for {
		size := uint32(len(list) * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, soPeerGroups,
			uintptr(unsafe.Pointer(&list[0])), uintptr(unsafe.Pointer(&size)), 0)
		if errno == unix.ERANGE && len(list) < maxGroups {
			list = make([]uint32, maxGroups)
			continue
		}
		if errno != 0 {
			return nil
		}
		for _, gid := range list[:size/4] {
			gids = append(gids, int(gid))
		}
		return gids
	}
}
