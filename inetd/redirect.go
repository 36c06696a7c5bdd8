package inetd

import (
	"cmp"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/descriptor"
	"goinetd/inetd/logline"
	"goinetd/inetd/spawn"
)

// connectTimeout is how long the target of a redirect may take to accept.
const connectTimeout = 30 * time.Second

// A redirect is a client's connection that is forwarded to another address.
// The address is looked up for each, so that it may change. Bytes go from
// socket to socket by splice(2), which package net does; where one side ends,
// the other side is told, and may go on.
type redirect struct {
	s              *Server
	c              client
	start          time.Duration
	client, target *net.TCPConn
	in, out        int64 // bytes from the client, and to it
}

func (s *Server) startRedirect(c *client) {
	r := &redirect{s: s, c: *c, start: s.now()}
	r.c.fd = descriptor.Raise(c.fd)
	go r.run()
}

func (r *redirect) run() {
	sc, s, def := new(scratch), r.s, r.c.def
	if err := r.connect(); err != nil {
		s.release(r.c.svc, r.c.from)
		s.logFail(sc, &r.c, "redirect: "+err.Error(), "")
		if r.c.fd >= 0 {
			s.closeGracefully(sc, r.c.fd, nil)
		}
		return
	}
	sc.logStart(def, 0, r.c.from, r.c.severity)
	timers := r.limitTime()
	r.copyBoth()
	for _, t := range timers {
		t.Stop()
	}
	s.release(r.c.svc, r.c.from)
	priority := cmp.Or(r.c.severity, def.Log.Success)
	if def.OnSuccess&config.LogTraffic != 0 {
		def.Log.Logger.Log(priority, logline.Traffic(nil, def.Name, r.in, r.out), r.c.fields())
	}
	if logline.HasExit(def.OnSuccess) {
		def.Log.Logger.Log(priority, logline.Exit(nil, def.Name, def.OnSuccess, 0, 0, s.now()-r.start), r.c.fields())
	}
}

// connect connects to the target, and makes a net.TCPConn of the client's
// descriptor. After an error the descriptor is open, or -1.
func (r *redirect) connect() error {
	d := net.Dialer{Timeout: connectTimeout, KeepAlive: -1}
	target, err := d.Dial("tcp", r.c.def.Policy.Redirect)
	if err != nil {
		return err
	}
	if on, err := unix.GetsockoptInt(r.c.fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE); err == nil && on != 0 {
		target.(*net.TCPConn).SetKeepAlive(true)
	}
	f := os.NewFile(uintptr(r.c.fd), "client")
	client, err := net.FileConn(f)
	if err != nil {
		target.Close()
		r.c.fd, _ = unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
		f.Close()
		return err
	}
	f.Close()
	r.target = target.(*net.TCPConn)
	if r.client, _ = client.(*net.TCPConn); r.client == nil { // a Unix socket of the service manager's
		target.Close()
		client.Close()
		r.c.fd = -1
		return errors.New("the client's connection is not TCP")
	}
	r.client.SetNoDelay(true)
	return nil
}

// copyBoth copies in both directions until both have ended, or one failed.
func (r *redirect) copyBoth() {
	defer r.client.Close()
	defer r.target.Close()
	copyOne := func(to, from *net.TCPConn, count *int64) {
		n, err := io.Copy(to, from)
		*count = n
		if err != nil { // reset, or closed by a timer: nothing more can follow
			to.SetLinger(0)
			from.Close()
			to.Close()
			return
		}
		to.CloseWrite()
	}
	var done sync.WaitGroup
	done.Go(func() { copyOne(r.target, r.client, &r.in) })
	copyOne(r.client, r.target, &r.out)
	done.Wait()
}

// limitTime starts the timers of the service's time limits.
func (r *redirect) limitTime() (timers []*time.Timer) {
	p := r.c.def.Policy
	end := func() {
		r.client.Close()
		r.target.Close()
	}
	if p.SessionTimeout > 0 {
		timers = append(timers, time.AfterFunc(p.SessionTimeout, end))
	}
	if p.IdleTimeout > 0 {
		timers = append(timers, afterIdle(p.IdleTimeout, r.idleTime, end))
	}
	return timers
}

func (r *redirect) idleTime() (d time.Duration, known bool) {
	raw, err := r.client.SyscallConn()
	if err != nil {
		return 0, false
	}
	raw.Control(func(fd uintptr) { d, known = spawn.IdleTime(int(fd)) })
	return d, known
}
