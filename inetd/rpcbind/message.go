package rpcbind

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// This file has the messages: of ONC RPC (RFC 5531), and of rpcbind, which is
// program 100000 (RFC 1833).

const (
	rpcVersion = 2
	program    = 100000
	version    = 4

	procNull  = 0
	procSet   = 1 // RPCBPROC_SET
	procUnset = 2 // RPCBPROC_UNSET
	procDump  = 4 // RPCBPROC_DUMP
)

// An entry is one registration as rpcbind has it: struct rpcb.
type entry struct {
	program, version uint32
	netID            string
	address          string // a universal address: "192.0.2.1.3.17"
	owner            string
}

func (e entry) append(b []byte) []byte {
	b = appendUint32(appendUint32(b, e.program), e.version)
	return appendString(appendString(appendString(b, e.netID), e.address), e.owner)
}

// appendCall appends a call of a procedure, without credentials: rpcbind asks
// the kernel who is at the other end of a Unix socket.
func appendCall(b []byte, xid, procedure uint32, args []byte) []byte {
	for _, n := range []uint32{xid, 0, rpcVersion, program, version, procedure, 0, 0, 0, 0} {
		b = appendUint32(b, n)
	}
	return append(b, args...)
}

// A refusal is an error that is a reply: whoever sent it is there.
type refusal string

func (r refusal) Error() string { return string(r) }

// readReply returns the results that a reply to a call has.
func readReply(data []byte) (xid uint32, results []byte, err error) {
	d := decoder{data: data}
	xid = d.uint32()
	if kind := d.uint32(); d.err == nil && kind != 1 {
		return xid, nil, fmt.Errorf("message of type %d is no reply", kind)
	}
	if status := d.uint32(); status != 0 {
		return xid, nil, refusal(fmt.Sprintf("call denied (status %d, RFC 5531)", d.uint32()))
	}
	d.uint32() // the verifier
	d.bytes()
	status := d.uint32()
	if d.err != nil {
		return xid, nil, d.err
	}
	if status != 0 {
		text := [...]string{1: "program unavailable", 2: "version 4 not supported", 3: "procedure unavailable", 4: "arguments not understood"}
		if status < uint32(len(text)) {
			return xid, nil, refusal(text[status])
		}
		return xid, nil, refusal(fmt.Sprintf("call failed (status %d, RFC 5531)", status))
	}
	return xid, d.data, nil
}

// readDump returns the list that RPCBPROC_DUMP has returned.
func readDump(results []byte) (list []entry, err error) {
	d := decoder{data: results}
	for d.bool() {
		list = append(list, entry{d.uint32(), d.uint32(), d.string(), d.string(), d.string()})
	}
	return list, d.err
}

// universal returns an address and port in the form that rpcbind has them: the
// port as two more numbers behind a dot each (RFC 5665).
func universal(a netip.AddrPort) string {
	return fmt.Sprintf("%s.%d.%d", a.Addr().WithZone(""), a.Port()>>8, a.Port()&0xff)
}

// parseUniversal reads a universal address.
func parseUniversal(text string) (a netip.AddrPort, ok bool) {
	rest, low, ok1 := cutLast(text)
	host, high, ok2 := cutLast(rest)
	addr, err := netip.ParseAddr(host)
	return netip.AddrPortFrom(addr, high<<8|low), ok1 && ok2 && err == nil
}

// cutLast cuts the number behind the last dot off.
func cutLast(text string) (before string, n uint16, ok bool) {
	i := strings.LastIndexByte(text, '.')
	if i < 0 {
		return "", 0, false
	}
	v, err := strconv.ParseUint(text[i+1:], 10, 8)
	return text[:i], uint16(v), err == nil
}
