package builtin

import (
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"goinetd/inetd/sockaddr"
)

const (
	batchSize   = 16    // datagrams taken in one system call
	maxDatagram = 65536 // bytes; more than UDP can carry
	maxBatches  = 32    // taken before others have their turn
)

// Datagrams replies to datagrams. It holds the buffers of one worker and must
// not be used by two goroutines at once.
//
// A source address can be forged, so there is no reply to a datagram that
// could start a loop or whose reply would reach more than one host: from a
// port below 1024 or 2049, and from or to a broadcast or multicast address.
// Replies to other ports are bounded, too (loopGuard). No reply is longer than
// its datagram, except daytime's 26 bytes and time's 4.
type Datagrams struct {
	memory []byte
	in     [batchSize]mmsghdr
	out    [batchSize]mmsghdr
	names  [batchSize]unix.RawSockaddrInet6 // room for either family
	infos  [batchSize][64]byte              // control messages
	iovIn  [batchSize]unix.Iovec
	iovOut [batchSize]unix.Iovec
	guard  *loopGuard
	now    time.Duration
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// Serve replies to what is queued in a socket, up to some hundred datagrams.
// It looks once more after a batch that was not full: under load the next ones
// have come meanwhile, and looking costs less than being woken for them.
// refused reports whether a source gets no reply; now is a time on a monotonic
// clock.
func (d *Datagrams) Serve(fd int, h *Handler, now time.Duration, refused func(netip.AddrPort) bool) {
	if d.memory == nil {
		// The kernel touches only the pages that it fills, so this is far
		// less than it looks unless somebody sends long datagrams.
		memory, err := unix.Mmap(-1, 0, batchSize*maxDatagram, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			return
		}
		d.memory, d.guard = memory, newLoopGuard()
	}
	d.now = now
	for range maxBatches {
		n := d.receive(fd)
		if n <= 0 {
			return
		}
		replies := 0
		for i := range n {
			if d.reply(i, replies, h, refused) {
				replies++
			}
		}
		d.send(fd, replies)
	}
}

// receive fills the buffers and returns the number of datagrams, -1 for none.
func (d *Datagrams) receive(fd int) int {
	for i := range d.in {
		d.iovIn[i] = unix.Iovec{Base: &d.memory[i*maxDatagram]}
		d.iovIn[i].SetLen(maxDatagram)
		h := &d.in[i].hdr
		*h = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&d.names[i])), Namelen: unix.SizeofSockaddrInet6, Iov: &d.iovIn[i], Control: &d.infos[i][0]}
		h.SetIovlen(1)
		h.SetControllen(len(d.infos[i]))
	}
	for {
		n, _, e := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&d.in[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)
		switch e {
		case 0:
			return int(n)
		case unix.EINTR:
		default:
			return -1
		}
	}
}

// reply makes the reply to the i-th datagram the k-th to be sent, and reports
// whether there is one.
func (d *Datagrams) reply(i, k int, handler *Handler, refused func(netip.AddrPort) bool) bool {
	h := &d.in[i].hdr
	from := sockaddr.FromRaw6(&d.names[i])
	if !isUnicast(from) || isServicePort(from.Port()) || refused(from) {
		return false
	}
	if !handler.silent && !d.guard.allow(from, d.now) || !localInfo(d.infos[i][:h.Controllen]) {
		return false
	}
	room := d.memory[i*maxDatagram : (i+1)*maxDatagram]
	reply := handler.reply(room, int(d.in[i].len))
	if reply == nil {
		return false
	}
	d.iovOut[k] = unix.Iovec{Base: unsafe.SliceData(reply)}
	d.iovOut[k].SetLen(len(reply))
	d.out[k].hdr = unix.Msghdr{Name: h.Name, Namelen: h.Namelen, Iov: &d.iovOut[k], Control: h.Control}
	d.out[k].hdr.SetIovlen(1)
	d.out[k].hdr.SetControllen(int(h.Controllen))
	return true
}

// reply returns a handler's reply to the datagram that is the first n bytes
// of room, or nil for none. This is the one place that bounds its length.
func (h *Handler) reply(room []byte, n int) []byte {
	limit := max(n, h.fixedReply)
	b := h.datagram(&h.settings, question{room, n, limit})
	if len(b) > limit {
		return nil
	}
	return b
}

// isUnicast reports whether a reply to the address would reach one host.
func isUnicast(from netip.AddrPort) bool {
	a := from.Addr()
	return a.IsValid() && !a.IsMulticast() && !a.IsUnspecified() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// localInfo turns the control message that says where a datagram was sent to
// into one that sets the reply's source address. It returns false for a
// datagram that was sent to a broadcast or multicast address.
func localInfo(info []byte) bool {
	if len(info) < unix.SizeofCmsghdr {
		return true
	}
	c := (*unix.Cmsghdr)(unsafe.Pointer(&info[0]))
	data := unsafe.Pointer(&info[unix.CmsgLen(0)])
	switch {
	case c.Level == unix.IPPROTO_IP && c.Type == unix.IP_PKTINFO:
		p := (*unix.Inet4Pktinfo)(data)
		switch {
		case p.Spec_dst == [4]byte{}:
			// It was queued before IP_PKTINFO was set, by the service manager
			// for one. As the source of a reply the kernel takes no broadcast
			// address.
			if netip.AddrFrom4(p.Addr).IsMulticast() {
				return false
			}
			p.Spec_dst = p.Addr
		case p.Addr != p.Spec_dst: // broadcast or multicast (ip(7))
			return false
		}
		p.Ifindex = 0 // the route back may be another
	case c.Level == unix.IPPROTO_IPV6 && c.Type == unix.IPV6_PKTINFO:
		p := (*unix.Inet6Pktinfo)(data)
		a := netip.AddrFrom16(p.Addr)
		if a.IsMulticast() {
			return false
		}
		if !a.IsLinkLocalUnicast() {
			p.Ifindex = 0
		}
	}
	return true
}

// send sends the replies. One that cannot be sent is dropped.
func (d *Datagrams) send(fd, n int) {
	for at := 0; at < n; {
		k, _, e := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&d.out[at])), uintptr(n-at), unix.MSG_DONTWAIT, 0, 0)
		switch e {
		case 0:
			at += int(k)
		case unix.EINTR:
		case unix.EAGAIN:
			return
		default:
			at++
		}
	}
}
