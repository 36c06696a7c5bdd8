package builtin

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	batch       = 16    // datagrams taken in one system call
	maxDatagram = 65536 // bytes; more than UDP can carry
	maxChargen  = 512   // bytes of a chargen answer (RFC 864)
)

// Datagrams answers the questions that come to UDP sockets. It holds the
// buffers of one worker and must not be used by two goroutines at once.
//
// Anybody can write any source address on a datagram, so none is answered
// that could start a loop or that is not from one host: those from port 0 or
// the port of a service that itself answers anything, and those from or to a
// broadcast or multicast address. An answer is not longer than its question,
// but for daytime's 26 bytes and time's 4, which a question may be empty for.
type Datagrams struct {
	memory []byte
	in     [batch]mmsghdr
	out    [batch]mmsghdr
	names  [batch]unix.RawSockaddrInet6 // room for either family
	infos  [batch][64]byte              // control messages
	iovIn  [batch]unix.Iovec
	iovOut [batch]unix.Iovec
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// LoopPorts are the source ports that are never answered: those of the
// services that answer everything (echo, daytime, qotd, chargen, time).
var LoopPorts = []uint16{0, 7, 13, 17, 19, 37}

// Serve answers what waits at a socket, up to some hundred datagrams. more
// tells that there may be more. refused says whether a source port is one
// not to be answered.
func (d *Datagrams) Serve(fd int, service string, refused func(netip.AddrPort) bool) (more bool) {
	if d.memory == nil {
		// The kernel touches only the pages that it fills, so this is far
		// less than it looks unless somebody sends long datagrams.
		memory, err := unix.Mmap(-1, 0, batch*maxDatagram, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			return false
		}
		d.memory = memory
	}
	for range rounds {
		n := d.receive(fd)
		if n <= 0 {
			return false
		}
		answers := 0
		for i := range n {
			if d.answer(i, answers, service, refused) {
				answers++
			}
		}
		d.send(fd, answers)
		if n < batch {
			return false
		}
	}
	return true
}

// receive fills the buffers and gives the number of datagrams, -1 for none.
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
		n, _, e := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&d.in[0])), batch, unix.MSG_DONTWAIT, 0, 0)
		switch e {
		case 0:
			return int(n)
		case unix.EINTR:
		default:
			return -1
		}
	}
}

// answer makes the i-th question's answer the k-th to be sent, if it has one.
func (d *Datagrams) answer(i, k int, service string, refused func(netip.AddrPort) bool) bool {
	h := &d.in[i].hdr
	from, ok := d.source(i)
	if !ok || !Answerable(from) || refused(from) {
		return false
	}
	if !localInfo(d.infos[i][:h.Controllen]) {
		return false
	}
	room := d.memory[i*maxDatagram : (i+1)*maxDatagram]
	reply := Answer(service, room, int(d.in[i].len))
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

// Answer gives a service's answer to the question that is the first n bytes
// of room, or nil for none. It may be made in room.
func Answer(service string, room []byte, n int) []byte {
	switch service {
	case "echo":
		return room[:n:n]
	case "chargen":
		return pattern[:min(n, maxChargen)]
	case "daytime":
		return daytime(room[:0])
	case "time":
		return timeOfDay(room[:0])
	}
	return nil
}

// Answerable tells whether an answer to the address would go to one host.
// Loopback is: that is where people try it.
func Answerable(from netip.AddrPort) bool {
	a := from.Addr()
	return a.IsValid() && !a.IsMulticast() && !a.IsUnspecified() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func (d *Datagrams) source(i int) (netip.AddrPort, bool) {
	name := &d.names[i]
	port := uint16(name.Port<<8) | name.Port>>8
	if hostBigEndian {
		port = name.Port
	}
	switch name.Family {
	case unix.AF_INET:
		in4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(in4.Addr), port), true
	case unix.AF_INET6:
		return netip.AddrPortFrom(netip.AddrFrom16(name.Addr).Unmap(), port), true
	}
	return netip.AddrPort{}, false
}

var hostBigEndian = func() bool {
	x := uint16(1)
	return *(*byte)(unsafe.Pointer(&x)) == 0
}()

// localInfo makes the control message that told where a datagram was sent to
// one that says where its answer comes from. It is false where the datagram
// was sent to many.
func localInfo(info []byte) bool {
	if len(info) < unix.SizeofCmsghdr {
		return true
	}
	c := (*unix.Cmsghdr)(unsafe.Pointer(&info[0]))
	data := unsafe.Pointer(&info[unix.CmsgLen(0)])
	switch {
	case c.Level == unix.IPPROTO_IP && c.Type == unix.IP_PKTINFO:
		p := (*unix.Inet4Pktinfo)(data)
		if p.Addr != p.Spec_dst { // broadcast or multicast (ip(7))
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

// send sends the answers. One that cannot be sent is left out: UDP promises
// nothing.
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
