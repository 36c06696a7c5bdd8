package inetd

import (
	"cmp"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
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
// socket to socket (splice.go); where one side ends, the other side is told, and
// may go on.
type redirect struct {
	s              *Server
	c              client
	start          time.Duration
	client, target *net.TCPConn
	in, out        atomic.Int64 // bytes from the client, and to it
	end            sync.Once
}

func (s *Server) startRedirect(sc *scratch, c *client) {
	if !s.conns.take(redirectFDs) {
		s.refuseForDescriptors(sc, c)
		return
	}
	r := &redirect{s: s, c: *c, start: s.now()}
	r.c.fd = descriptor.Raise(c.fd)
	go r.run()
}

func (r *redirect) run() {
	sc, s, def := new(scratch), r.s, r.c.def
	defer s.conns.give(redirectFDs)
	if err := r.connect(); err != nil {
		s.release(r.c.svc, def, r.c.from)
		s.logFail(sc, &r.c, "redirect: "+err.Error(), "")
		if r.c.fd >= 0 {
			s.refuse(sc, &r.c, nil)
		}
		return
	}
	s.logStart(sc, def, 0, r.c.from, r.c.severity)
	r.c.trace.internal("redirect", r.target.RemoteAddr().String())
	s.conns.add(r)
	timers := r.limitTime()
	r.copyBoth()
	for _, t := range timers {
		t.Stop()
	}
	s.conns.remove(r)
	r.logEnd()
}

func (r *redirect) logEnd() { r.end.Do(r.release) }

// release frees the client's slot and writes its TRAFFIC and EXIT lines.
func (r *redirect) release() {
	s, def := r.s, r.c.def
	s.release(r.c.svc, def, r.c.from)
	s.publishEnd(def, r.c.from, r.start)
	r.c.trace.end("closed", "both sides are closed")
	priority := cmp.Or(r.c.severity, def.Log.Success)
	if def.OnSuccess&config.LogTraffic != 0 {
		def.Log.Logger.Log(priority, logline.Traffic(nil, def.Name, r.in.Load(), r.out.Load()), r.c.fields())
	}
	if logline.HasExit(def.OnSuccess) {
		def.Log.Logger.Log(priority, logline.Exit(nil, def.Name, def.OnSuccess, 0, 0, s.now()-r.start), r.c.fields())
	}
}

// connect connects to the target, and makes a net.TCPConn of the client's
// descriptor. After an error the descriptor is open, or -1.
func (r *redirect) connect() error {
	local := r.c.localAddr()
	d := net.Dialer{Timeout: connectTimeout, Control: func(_, address string, _ syscall.RawConn) error { return r.refuseLoop(local, address) }}
	target, err := d.Dial("tcp", r.c.def.Policy.Redirect)
	if err != nil {
		return err
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
	for _, conn := range []*net.TCPConn{r.client, r.target} {
		detectLoss(conn)
	}
	return nil
}

// errLoop says that a redirect would connect to its own service, which would
// connect to itself again until there are no descriptors.
var errLoop = errors.New("it leads to the service itself")

// refuseLoop is called before each attempt to connect, with the address that the
// name of the target stands for. local is where the client came to. Two
// attempts can be made at the same time.
func (r *redirect) refuseLoop(local netip.AddrPort, address string) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if to == local { // on a socket of the service manager's, too
		return errLoop
	}
	for _, a := range r.c.def.Addresses {
		if a.Reaches(to) {
			return errLoop
		}
	}
	return nil
}

// keepAlive is when the kernel asks a peer that is silent whether it is still
// there. How long it waits for a reply is userTimeout.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 2 * time.Minute, Interval: time.Minute}

// userTimeout is how long anything may stay unacknowledged, or the peer's window
// closed (TCP_USER_TIMEOUT, tcp(7)): about as long as the kernel retransmits.
const userTimeout = 15 * time.Minute

// detectLoss has the connection end when its peer is gone without a word.
func detectLoss(conn *net.TCPConn) {
	conn.SetKeepAliveConfig(keepAlive)
	if raw, err := conn.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) {
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout/time.Millisecond))
		})
	}
}

// halfOpenTimeout is how long nothing may be sent or received once one side
// has ended: an answer may take its time, but a target that does not close
// would keep its clients' descriptors for good.
const halfOpenTimeout = 5 * time.Minute

// copyBoth copies in both directions until both have ended, or one failed.
func (r *redirect) copyBoth() {
	defer r.client.Close()
	defer r.target.Close()
	r.s.pipes.ref()
	defer r.s.pipes.unref()
	half := make(chan *time.Timer, 2)
	copyOne := func(to, from *net.TCPConn, count *atomic.Int64) {
		if err := r.s.pipes.splice(to, from, count); err != nil { // reset, or closed by a timer: nothing more can follow
			to.SetLinger(0)
			from.Close()
			to.Close()
			return
		}
		to.CloseWrite()
		half <- afterIdle(r.s.o.HalfOpenTimeout, r.idleTime, r.close)
	}
	var done sync.WaitGroup
	done.Go(func() { copyOne(r.target, r.client, &r.in) })
	copyOne(r.client, r.target, &r.out)
	done.Wait()
	for len(half) > 0 {
		(<-half).Stop()
	}
}

func (r *redirect) close() {
	r.client.Close()
	r.target.Close()
}

// limitTime starts the timers of the service's time limits.
func (r *redirect) limitTime() (timers []*time.Timer) {
	p := r.c.def.Policy
	if p.SessionTimeout > 0 {
		timers = append(timers, time.AfterFunc(p.SessionTimeout, r.close))
	}
	if p.IdleTimeout > 0 {
		timers = append(timers, afterIdle(p.IdleTimeout, r.idleTime, r.close))
	}
	return timers
}

// idleTime returns for how long nothing has been sent or received on either
// side.
func (r *redirect) idleTime() (idle time.Duration, known bool) {
	for i, conn := range []*net.TCPConn{r.client, r.target} {
		raw, err := conn.SyscallConn()
		if err != nil {
			return 0, false
		}
		d := time.Duration(0)
		if raw.Control(func(fd uintptr) { d, known = spawn.IdleTime(int(fd)) }) != nil || !known {
			return 0, false
		}
		if i == 0 || d < idle {
			idle = d
		}
	}
	return idle, true
}

func (r *redirect) served() (string, netip.AddrPort) { return r.c.def.Name, r.c.from }

func (r *redirect) shutdown() { r.close() }

// shutdownIdle does nothing: a redirect is idle for as long as its service
// allows.
func (r *redirect) shutdownIdle(time.Duration) {}
