package socket

import (
	"golang.org/x/sys/unix"

	"goinetd/config"
)

// QueueLength returns how many clients wait in the queue of a listening TCP
// socket; false: that is not known.
func QueueLength(fd int, t config.SocketType) (n int, ok bool) {
	if fd < 0 || t != config.Stream {
		return 0, false
	}
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil { // a Unix socket
		return 0, false
	}
	return int(info.Unacked), true // of a listener: sk_ack_backlog
}
