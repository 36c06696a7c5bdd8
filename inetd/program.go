package inetd

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/inetd/service"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// serveProgram runs a program for a client.
func (s *Server) serveProgram(sc *scratch, c *client, image *spawn.Image) {
	sc.setEnvironment(c)
	err := s.startProgram(sc, c.def, c.fd, image, s.newTask(c))
	if err == nil {
		unix.Close(c.fd)
		return
	}
	if step, retry := temporary(err); retry && (c.def.Policy == nil || !c.def.Policy.NoRetry) {
		s.retryLater(c, image, step)
		return
	}
	s.startFailed(sc, c, err)
}

// startProgram forks and executes a program with fd as its descriptors 0, 1
// and 2, and writes the START line.
func (s *Server) startProgram(sc *scratch, def *service.Definition, fd int, image *spawn.Image, t task) error {
	p, err := image.Start(fd, &sc.spawn)
	if err != nil {
		return err
	}
	sc.logStart(def, p.PID, t.from, t.severity)
	s.limitTime(p.PID, &t)
	s.children.Add(p, t) // last: from here on childExited can be called
	return nil
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
	s.release(c.svc, c.from)
	s.logFail(sc, c, err.Error(), "")
	s.closeGracefully(sc, c.fd, nil)
}

// maxStarts is how often a program is tried to be started for one client,
// and retryPause the time between two tries.
const (
	maxStarts  = 5
	retryPause = time.Second
)

// retryLater keeps a client whose program could not be started for want of
// processes or memory, and retries. Its listener is paused meanwhile, so that
// the clients behind it wait in the queue.
func (s *Server) retryLater(c *client, image *spawn.Image, why *spawn.StepError) {
	s.log.Printf(syslog.Warning, "%s: %v; the client waits, retrying every second", c.def.Name, why)
	s.mu.Lock()
	s.pauseLocked(c.l, retryPause)
	s.mu.Unlock()
	waiting := *c
	tries := 1
	var retry func()
	retry = func() {
		sc := new(scratch)
		sc.setEnvironment(&waiting)
		err := s.startProgram(sc, waiting.def, waiting.fd, image, s.newTask(&waiting))
		if err == nil {
			unix.Close(waiting.fd)
			return
		}
		if tries++; tries <= maxStarts {
			if _, ok := temporary(err); ok {
				time.AfterFunc(retryPause, retry)
				return
			}
		}
		s.startFailed(sc, &waiting, err)
	}
	time.AfterFunc(retryPause, retry)
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
	setAddr(e, "REMOTE_HOST", c.from.Addr())
	setAddr(e, "REMOTE_ADDR", c.from.Addr())
	setPort(e, "REMOTE_PORT", c.from.Port())
	e.Done(append(e.Var("PROTO"), "TCP"...))
	setAddr(e, "TCPREMOTEIP", c.from.Addr())
	setPort(e, "TCPREMOTEPORT", c.from.Port())
	setAddr(e, "TCPLOCALIP", local.Addr())
	setPort(e, "TCPLOCALPORT", local.Port())
}

func setAddr(e *spawn.Scratch, name string, a netip.Addr) { e.Done(a.AppendTo(e.Var(name))) }

func setPort(e *spawn.Scratch, name string, port uint16) {
	e.Done(strconv.AppendUint(e.Var(name), uint64(port), 10))
}
