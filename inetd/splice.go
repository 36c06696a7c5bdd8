package inetd

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"goinetd/inetd/descriptor"
)

// Bytes of a redirect go from socket to socket through a pipe (splice(2)). A
// connection has a pipe only while bytes are in it, and there are few of them:
// a client that is idle costs the descriptors of its two connections. Where
// every pipe is in use, bytes are copied.

// maxPipes is how many pipes all redirects have.
const maxPipes = 32

// pipeSize is how much goes through a pipe at once, in bytes: as much as one
// holds (pipe(7)).
const pipeSize = 64 << 10

// A pipe is empty while nobody uses it.
type pipe struct{ r, w int }

// A pipePool has the pipes of all redirects.
type pipePool struct {
	conns *connTable // counts their descriptors

	mu    sync.Mutex
	free  []pipe
	made  int
	users int // redirects
}

// ref counts a redirect, and unref its end. Without any, no pipe is kept.
func (p *pipePool) ref() {
	p.mu.Lock()
	p.users++
	p.mu.Unlock()
}

func (p *pipePool) unref() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users--; p.users > 0 {
		return
	}
	for _, one := range p.free {
		p.closeLocked(one)
	}
	p.free = nil
}

// get returns an empty pipe, if one is free or may be made.
func (p *pipePool) get() (one pipe, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		one, p.free = p.free[n-1], p.free[:n-1]
		return one, true
	}
	if p.made == maxPipes || !p.conns.take(pipeFDs) {
		return one, false
	}
	var ends [2]int
	if unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		p.conns.give(pipeFDs)
		return one, false
	}
	p.made++
	return pipe{descriptor.Raise(ends[0]), descriptor.Raise(ends[1])}, true
}

// put takes a pipe back. One that is not empty is closed.
func (p *pipePool) put(one pipe, empty bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if empty {
		p.free = append(p.free, one)
	} else {
		p.closeLocked(one)
	}
}

func (p *pipePool) closeLocked(one pipe) {
	unix.Close(one.r)
	unix.Close(one.w)
	p.made--
	p.conns.give(pipeFDs)
}

// splice copies from one connection to another until the first ends, and
// counts the bytes. The error is of either connection.
func (p *pipePool) splice(to, from *net.TCPConn, count *atomic.Int64) error {
	source, err := from.SyscallConn()
	if err != nil {
		return err
	}
	target, err := to.SyscallConn()
	if err != nil {
		return err
	}
	for {
		n, err := p.spliceOnce(target, source)
		count.Add(n)
		if n == 0 || err != nil {
			return err
		}
	}
}

// spliceOnce waits until there is something to copy, and copies some of it. It
// returns 0 at the end.
func (p *pipePool) spliceOnce(target, source syscall.RawConn) (n int64, err error) {
	if err := waitReadable(source); err != nil {
		return 0, err
	}
	one, ok := p.get()
	if !ok {
		return copyOnce(target, source)
	}
	empty := true
	defer func() { p.put(one, empty) }()
	got, err := transfer(source.Read, func(fd int) (int64, error) {
		return unix.Splice(fd, nil, one.w, nil, pipeSize, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
	})
	for err == nil && n < got {
		var m int64
		m, err = transfer(target.Write, func(fd int) (int64, error) {
			return unix.Splice(one.r, nil, fd, nil, int(got-n), unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		})
		n += m
	}
	empty = n == got
	return n, err
}

// copyOnce is spliceOnce without a pipe.
func copyOnce(target, source syscall.RawConn) (n int64, err error) {
	b := make([]byte, 16<<10)
	got, err := transfer(source.Read, func(fd int) (int64, error) {
		k, err := unix.Read(fd, b)
		return int64(k), err
	})
	for err == nil && n < got {
		var m int64
		m, err = transfer(target.Write, func(fd int) (int64, error) {
			k, err := unix.Write(fd, b[n:got])
			return int64(k), err
		})
		n += m
	}
	return n, err
}

// waitReadable waits until there is something to read, or the end. Unlike a
// read that waits, it needs no pipe meanwhile.
func waitReadable(source syscall.RawConn) error {
	return source.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 || err != nil
	})
}

// transfer calls do, by the Read or Write of a syscall.RawConn, until it need
// not wait any more.
func transfer(by func(func(uintptr) bool) error, do func(fd int) (int64, error)) (n int64, err error) {
	failed := by(func(fd uintptr) bool {
		for {
			if n, err = do(int(fd)); err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	})
	if failed != nil {
		return 0, failed
	}
	return max(n, 0), err
}
