package rpcbind

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Where rpcbind is reached. Its Unix socket comes first: there it knows who
// registers something.
const socketPath = "/run/rpcbind.sock"

var udpAddress = netip.MustParseAddrPort("127.0.0.1:111")

// callTimeout is how long rpcbind may take to answer.
const callTimeout = 5 * time.Second

// maxReply is how many bytes a reply may have: some 10,000 registrations.
const maxReply = 1 << 20

// A conn is a connection to rpcbind. A goroutine reads it, so that its end is
// seen at once.
type conn struct {
	net.Conn
	stream  bool // a message has a record mark (RFC 5531, section 11)
	replies chan []byte
	gone    chan struct{} // closed when the connection has ended
	err     error         // why; to be read when gone is closed
	xid     uint32
}

// dial connects to rpcbind by its Unix socket, else by UDP, as where a container
// shares the network of the host and not its /run.
func dial(path string, udp netip.AddrPort) (*conn, error) {
	c, err := net.DialTimeout("unix", path, callTimeout)
	if err == nil {
		return newConn(c, true), nil
	}
	var viaUDP *conn
	u, udpErr := dialUDP(udp)
	if udpErr == nil {
		viaUDP = newConn(u, false)
		_, udpErr = viaUDP.call(procNull, nil) // only an answer shows that it is there
	}
	if udpErr != nil {
		if viaUDP != nil {
			viaUDP.Close()
		}
		return nil, fmt.Errorf("%s: %w; UDP %s: %w", path, cause(err), udp, cause(udpErr))
	}
	return viaUDP, nil
}

// cause returns the error of the system call, without the addresses that package
// net adds.
func cause(err error) error {
	if errno := unix.Errno(0); errors.As(err, &errno) {
		return errno
	}
	return err
}

// dialUDP connects from a port below 1024, by which rpcbind knows root, where
// that is permitted.
func dialUDP(to netip.AddrPort) (net.Conn, error) {
	for port := uint16(1023); port >= 512; port-- {
		c, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(to.Addr(), port)), net.UDPAddrFromAddrPort(to))
		if err == nil {
			return c, nil
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			break
		}
	}
	return net.DialTimeout("udp4", to.String(), callTimeout)
}

func newConn(c net.Conn, stream bool) *conn {
	n := &conn{Conn: c, stream: stream, replies: make(chan []byte, 1), gone: make(chan struct{})}
	go n.read()
	return n
}

// read passes replies on until the connection ends.
func (c *conn) read() {
	defer close(c.gone)
	for {
		reply, err := c.readMessage()
		if err != nil {
			c.err = err
			return
		}
		select {
		case c.replies <- reply:
		default: // nobody waits for it any more
		}
	}
}

func (c *conn) readMessage() (message []byte, err error) {
	if !c.stream {
		buf := make([]byte, 64<<10)
		n, err := c.Read(buf)
		return buf[:n], err
	}
	for last := false; !last; {
		var mark [4]byte
		if _, err := io.ReadFull(c, mark[:]); err != nil {
			return nil, err
		}
		n := binary.BigEndian.Uint32(mark[:])
		last = n&lastFragment != 0
		n &^= lastFragment
		if int(n) > maxReply-len(message) {
			return nil, fmt.Errorf("reply has more than %d bytes", maxReply)
		}
		start := len(message)
		message = append(message, make([]byte, n)...)
		if _, err := io.ReadFull(c, message[start:]); err != nil {
			return nil, err
		}
	}
	return message, nil
}

const lastFragment = 1 << 31

// call calls a procedure, and returns its results.
func (c *conn) call(procedure uint32, args []byte) (results []byte, err error) {
	c.xid++
	message := make([]byte, 4, 256)
	message = appendCall(message, c.xid, procedure, args)
	if c.stream {
		binary.BigEndian.PutUint32(message, lastFragment|uint32(len(message)-4))
	} else {
		message = message[4:]
	}
	c.SetWriteDeadline(time.Now().Add(callTimeout))
	if _, err := c.Write(message); err != nil {
		return nil, err
	}
	timeout := time.NewTimer(callTimeout)
	defer timeout.Stop()
	for {
		select {
		case reply := <-c.replies:
			xid, results, err := readReply(reply)
			if xid == c.xid {
				return results, err
			}
		case <-c.gone:
			return nil, c.err
		case <-timeout.C:
			return nil, fmt.Errorf("no answer within %v", callTimeout)
		}
	}
}

// set registers an entry. It reports false where rpcbind has another address
// for it.
func (c *conn) set(e entry) (bool, error) { return c.callBool(procSet, e) }

// unset removes an entry.
func (c *conn) unset(e entry) (bool, error) { return c.callBool(procUnset, e) }

func (c *conn) callBool(procedure uint32, e entry) (bool, error) {
	results, err := c.call(procedure, e.append(nil))
	if err != nil {
		return false, err
	}
	d := decoder{data: results}
	return d.bool(), d.err
}

// dump returns all that is registered.
func (c *conn) dump() ([]entry, error) {
	results, err := c.call(procDump, nil)
	if err != nil {
		return nil, err
	}
	return readDump(results)
}
