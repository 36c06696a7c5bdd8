package inetd

import (
	"cmp"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/socket"
	"goinetd/inetd/spawn"
)

// connectLimit is how long the other end of a redirect may take to accept.
const connectLimit = 30 * time.Second

// relay carries a client's connection to the place that its service
// redirects to. The name is looked up for each, so that it may move. The
// bytes go from socket to socket by splice(2), which package net does; where
// one side ends, the other is told, and may go on.
func (s *Server) relay(c *client) {
	r := &relaying{s: s, c: *c, since: s.now()}
	r.c.fd = socket.Raise(c.fd)
	go r.run()
}

// A relaying is one connection of a redirect.
type relaying struct {
	s            *Server
	c            client
	since        time.Duration
	inner, outer *net.TCPConn // the client's, and the other
	in, out      int64        // bytes from the client, and to it
}

func (r *relaying) run() {
	w := &worker{server: r.s}
	def := r.c.def
	if err := r.connect(); err != nil {
		r.s.mu.Lock()
		r.s.release(r.c.svc, r.c.from)
		r.s.mu.Unlock()
		r.s.fail(w, &r.c, "redirect: "+err.Error(), "")
		if r.c.fd >= 0 {
			r.s.farewell(w, r.c.fd, nil)
		}
		return
	}
	if def.success&startParts != 0 {
		w.startLine(def, 0, r.c.from)
		def.log.log.Tell(cmp.Or(r.c.severity, def.log.success), w.line, r.c.fields())
	}
	timers := r.timeOut()
	r.carry()
	for _, t := range timers {
		t.Stop()
	}
	r.s.mu.Lock()
	r.s.release(r.c.svc, r.c.from)
	r.s.mu.Unlock()
	if def.success&config.LogTraffic != 0 {
		line := append(append([]byte("TRAFFIC: "), def.name...), " in="...)
		line = append(strconv.AppendInt(line, r.in, 10), "(bytes) out="...)
		line = append(strconv.AppendInt(line, r.out, 10), "(bytes)"...)
		def.log.log.Tell(def.log.success, line, r.c.fields())
	}
	if def.success&exitParts != 0 {
		def.log.log.Tell(cmp.Or(r.c.severity, def.log.success), exitLine(nil, def, 0, 0, r.s.now()-r.since), r.c.fields())
	}
}

// connect opens the way to the other end, and takes the client's connection
// into package net. On an error the client's descriptor is as it was.
func (r *relaying) connect() error {
	d := net.Dialer{Timeout: connectLimit, KeepAlive: -1}
	outer, err := d.Dial("tcp", r.c.def.terms.redirect)
	if err != nil {
		return err
	}
	if keep, err := unix.GetsockoptInt(r.c.fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE); err == nil && keep != 0 {
		outer.(*net.TCPConn).SetKeepAlive(true)
	}
	f := os.NewFile(uintptr(r.c.fd), "client")
	inner, err := net.FileConn(f)
	if err != nil {
		outer.Close()
		r.c.fd, _ = unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
		f.Close()
		return err
	}
	f.Close()
	r.outer = outer.(*net.TCPConn)
	if r.inner, _ = inner.(*net.TCPConn); r.inner == nil { // a Unix socket of systemd's
		outer.Close()
		inner.Close()
		r.c.fd = -1
		return errors.New("the client's connection is not TCP")
	}
	r.inner.SetNoDelay(true)
	return nil
}

// carry carries both ways until both are at their end, or one fails.
func (r *relaying) carry() {
	defer r.inner.Close()
	defer r.outer.Close()
	one := func(to, from *net.TCPConn, count *int64) {
		n, err := io.Copy(to, from)
		*count = n
		if err != nil { // reset, or shut down by a timer: nothing more can come of it
			to.SetLinger(0)
			from.Close()
			to.Close()
			return
		}
		to.CloseWrite()
	}
	var done sync.WaitGroup
	done.Go(func() { one(r.outer, r.inner, &r.in) })
	one(r.inner, r.outer, &r.out)
	done.Wait()
}

// timeOut sets the clocks of the connection.
func (r *relaying) timeOut() (timers []*time.Timer) {
	t := r.c.def.terms
	end := func() {
		r.inner.Close()
		r.outer.Close()
	}
	if t.session > 0 {
		timers = append(timers, time.AfterFunc(t.session, end))
	}
	if t.idle > 0 {
		timers = append(timers, whenIdle(t.idle, r.quiet, end))
	}
	return timers
}

// quiet tells for how long nothing has come or gone.
func (r *relaying) quiet() (d time.Duration, known bool) {
	raw, err := r.inner.SyscallConn()
	if err != nil {
		return 0, false
	}
	raw.Control(func(fd uintptr) { d, known = spawn.Quiet(int(fd)) })
	return d, known
}
