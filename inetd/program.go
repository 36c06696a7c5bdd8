package inetd

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// serveProgram runs a program for a client.
func (s *Server) serveProgram(sc *scratch, c *client, image *spawn.Image) {
	sc.setEnvironment(c)
	s.start(sc, c, image, s.newTask(c))
}

// start forks and executes a program with the client's descriptor as its
// descriptors 0, 1 and 2, and ends that start: endStart. Only workers call
// it. A program that may hang is forked instead, and its start ends later.
func (s *Server) start(sc *scratch, c *client, image *spawn.Image, t task) {
	if s.watch.expectsHang(c.svc) {
		s.fork(sc, c, image, t)
		return
	}
	c.trace.forking(&sc.spawn)
	s.watch.begin(&sc.start, c)
	p, err := image.Start(c.fd, &sc.spawn)
	if s.watch.end(&sc.start) && err == nil {
		p.Collect()
		err = errStartTimeout
	}
	s.endStart(sc, c, image, &t, p, err)
}

// endStart deals with a program that was started, or could not be: it writes
// the START line, or refuses the client. The client's descriptor is closed, or
// another's then.
func (s *Server) endStart(sc *scratch, c *client, image *spawn.Image, t *task, p spawn.Process, err error) {
	switch {
	case err == nil:
		if !t.auxiliary {
			s.logStart(sc, c.def, p.PID, t.from, t.severity)
			s.limitTime(p.PID, t)
		}
		c.trace.started(image, &sc.spawn, p.PID)
		s.addChild(p, *t) // last: from here on childExited can be called
		unix.Close(c.fd)
		if t.handedOff != nil {
			s.endHandOff(t)
		}
	case t.handedOff != nil:
		unix.Close(c.fd)
		s.handOffFailed(c, t, err)
		s.logFail(sc, c, err.Error(), "")
		c.trace.end("closed", "the socket is served again after a pause")
	case t.command != "":
		s.commandFailed(sc, c, t, err)
	default:
		if step, retry := temporary(err); retry && c.tries < triesFor(step) && (c.def.Policy == nil || !c.def.Policy.NoRetry) {
			s.retryLater(c, image, step)
			return
		}
		s.startFailed(sc, c, err)
	}
}

// temporary reports whether the host was short of something when a program
// could not be started, so that it may work a moment later.
func temporary(err error) (*spawn.StepError, bool) {
	var step *spawn.StepError
	ok := errors.As(err, &step) && step.Temporary()
	return step, ok
}

// startFailed ends a client whose program cannot be started.
func (s *Server) startFailed(sc *scratch, c *client, err error) {
	s.release(c.svc, c.def, c.from)
	s.logFail(sc, c, err.Error(), "")
	s.refuse(sc, c, nil)
}

// maxTries is how often a start is tried again for one client, and retryPause
// the time between two tries.
const (
	maxTries   = 10
	retryPause = 500 * time.Millisecond
)

// maxDescriptorTries is maxTries where we are out of descriptors. The clients
// whose programs run give them back, and nobody in the queue is given up.
const maxDescriptorTries = 120

func triesFor(step *spawn.StepError) int {
	if step.Errno == syscall.EMFILE || step.Errno == syscall.ENFILE {
		return maxDescriptorTries
	}
	return maxTries
}

// retries are the clients whose programs could not be started for want of
// processes or memory. One job tries all of them in turn, so that what the
// host is short of is not used up by trying. They are guarded by Server.mu.
type retries struct {
	waiting   []retry
	scheduled bool
}

type retry struct {
	c     client
	image *spawn.Image
	why   *spawn.StepError
}

// retryLater keeps a client, and tries to start its program again. Its
// service is held meanwhile, so that the clients behind it wait in the queue.
func (s *Server) retryLater(c *client, image *spawn.Image, why *spawn.StepError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.svc.holds == 0 && s.refusalLog.Allow(c.def.Name+" retries", s.now()) {
		s.log.Printf(syslog.Warning, "%s: %v; the client waits, retrying every %v", c.def.Name, why, retryPause)
	}
	if c.trace != nil {
		c.trace.add("waits", "%v; tried again after %v", why, retryPause)
	}
	s.holdLocked(c.svc)
	s.retries.waiting = append(s.retries.waiting, retry{*c, image, why})
	if !s.retries.scheduled {
		s.retries.scheduled = true
		time.AfterFunc(retryPause, func() { s.addJob(s.retryStarts) })
	}
}

// retryStarts tries the starts again. Behind one that fails again, those of
// the same service wait for the next round.
func (s *Server) retryStarts(sc *scratch) {
	s.mu.Lock()
	list := s.retries.waiting
	s.retries = retries{}
	s.mu.Unlock()
	failed := map[*activeService]*spawn.StepError{}
	for i := range list {
		c, image := &list[i].c, list[i].image
		c.tries++
		if step := failed[c.svc]; step != nil && c.tries < triesFor(step) {
			s.retryLater(c, image, step)
		} else {
			s.serveProgram(sc, c, image)
			failed[c.svc] = s.lastRetry(c.svc)
		}
		s.mu.Lock()
		s.unholdLocked(c.svc)
		s.mu.Unlock()
	}
}

// lastRetry returns why the client that was last put among those that wait
// does, if it is one of a service; else nil.
func (s *Server) lastRetry(svc *activeService) *spawn.StepError {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.retries.waiting); n > 0 && s.retries.waiting[n-1].c.svc == svc {
		return s.retries.waiting[n-1].why
	}
	return nil
}

// setEnvironment writes the variables that describe a client to its program:
// those of xinetd (REMOTE_HOST), systemd (REMOTE_ADDR, REMOTE_PORT) and
// tcpserver(1) (PROTO, TCP...).
func (sc *scratch) setEnvironment(c *client) {
	e := &sc.spawn
	e.Reset()
	for _, v := range c.env {
		name, value, _ := strings.Cut(v, "=")
		e.Done(append(e.Var(name), value...))
	}
	if !c.from.IsValid() {
		return
	}
	local := c.localAddr()
	setRemote(e, c.from)
	e.Done(append(e.Var("PROTO"), "TCP"...))
	setAddr(e, "TCPREMOTEIP", c.from.Addr())
	setPort(e, "TCPREMOTEPORT", c.from.Port())
	setAddr(e, "TCPLOCALIP", local.Addr())
	setPort(e, "TCPLOCALPORT", local.Port())
}

// setSender writes the variables that describe the sender of the first
// datagram to the program of a wait service, as xinetd does.
func (sc *scratch) setSender(c *client) {
	sc.spawn.Reset()
	if c.from.IsValid() {
		setRemote(&sc.spawn, c.from)
	}
}

func setRemote(e *spawn.Scratch, from netip.AddrPort) {
	setAddr(e, "REMOTE_HOST", from.Addr())
	setAddr(e, "REMOTE_ADDR", from.Addr())
	setPort(e, "REMOTE_PORT", from.Port())
}

func setAddr(e *spawn.Scratch, name string, a netip.Addr) { e.Done(a.AppendTo(e.Var(name))) }

func setPort(e *spawn.Scratch, name string, port uint16) {
	e.Done(strconv.AppendUint(e.Var(name), uint64(port), 10))
}
