package socket

import "golang.org/x/sys/unix"

// Bytes returns how many bytes have come over a TCP connection that was accepted,
// and how many have been sent without those sent again (TCP_INFO of tcp(7)). It
// reports false for a socket of another kind.
func Bytes(fd int) (in, out uint64, ok bool) {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, 0, false
	}
	out = info.Bytes_sent - info.Bytes_retrans
	if info.Bytes_sent == 0 { // before Linux 4.19
		out = info.Bytes_acked
	}
	in = info.Bytes_received
	if in > 0 && endReceived(info) {
		in-- // a FIN counts as one
	}
	return in, out, true
}

// endReceived reports whether the other side has sent its FIN.
func endReceived(info *unix.TCPInfo) bool {
	switch info.State {
	case unix.BPF_TCP_CLOSE_WAIT, unix.BPF_TCP_LAST_ACK, unix.BPF_TCP_CLOSING, unix.BPF_TCP_TIME_WAIT:
		return true
	case unix.BPF_TCP_CLOSE: // after LAST_ACK or TIME_WAIT, unless it was reset: then our own FIN has not been acknowledged
		return info.Bytes_acked > info.Bytes_sent-info.Bytes_retrans
	}
	return false
}
