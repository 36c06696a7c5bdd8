package inetd

import (
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/inetd/hosts"
	"goinetd/inetd/logline"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// This file consults hosts.allow and hosts.deny, and does what the options of
// their rules ask for (hosts_options(5)).

// checkHosts decides by hosts_access(5).
func (s *Server) checkHosts(sc *scratch, c *client, d *decision, known lookups) {
	p := c.def.Policy
	sc.request = hosts.Request{Daemon: p.Libwrap, Client: c.from, Server: c.localAddr(), User: known.user,
		Host: hostname(known.host), ServerHost: hostname(known.server), FailClosed: p.LibwrapFailClosed}
	v := s.o.Hosts.Check(&sc.request)
	d.NeedName, d.needServer, d.needUser, d.userTimeout = v.NeedName, v.NeedServerName, v.NeedUser, v.UserTimeout
	if v.Problem != "" {
		s.warnOnce("hosts_access: " + v.Rule + ": " + v.Problem + " (clients are refused until it is corrected)")
	}
	if v.Refused {
		d.Reason, d.Rule = logline.ReasonLibwrap, v.Rule
	}
	if !d.pending() && v.Actions.Any() {
		actions := v.Actions
		d.actions = &actions
	}
}

// runActions does what a rule wants done whether the client is refused or
// not, but for its commands.
func (s *Server) runActions(sc *scratch, c *client, d *decision) {
	a := d.actions
	if a.Severity != "" {
		facility, level, both := strings.Cut(a.Severity, ".")
		if !both {
			facility, level = "", a.Severity
		}
		c.severity = syslog.PriorityOf(facility, level)
	}
	if a.KeepAlive {
		unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	}
	if a.Linger != nil {
		l := unix.Linger{Linger: int32(a.Linger.Seconds())}
		if l.Linger > 0 { // with 0 the kernel would reset the connection, and destroy what was sent
			l.Onoff = 1
		}
		unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &l)
	}
	if a.Banner != nil {
		sendNow(c.fd, a.Banner)
	}
}

// shellImage returns the image of a shell command. It runs as the service's
// user.
func shellImage(attr *spawn.Attr, command string) (*spawn.Image, error) {
	return attr.Clone().Prepare("/bin/sh", []string{"sh", "-c", command})
}

// maxCommands is for how many clients of a service spawn commands run at
// once; commandWait is how long a command is waited for.
const (
	maxCommands = 32
	commandWait = 30 * time.Second
)

// runCommands runs the spawn commands of a rule one after another, as the
// library of tcpd(8) does, and goes on then. No worker waits.
func (s *Server) runCommands(sc *scratch, c *client, commands []string, then func(*scratch)) {
	if len(commands) == 0 {
		then(sc)
		return
	}
	begin := func(sc *scratch) { s.runNext(sc, c, commands, then) }
	s.mu.Lock()
	w := c.svc.waitingLocked()
	wait := w.commands >= maxCommands
	if wait {
		w.queue = append(w.queue, func() { s.addJob(begin) })
	} else {
		w.commands++
	}
	s.mu.Unlock()
	if !wait {
		begin(sc)
	}
}

func (s *Server) runNext(sc *scratch, c *client, commands []string, then func(*scratch)) {
	if len(commands) > 0 {
		s.spawnCommand(sc, c, commands[0], func(sc *scratch) { s.runNext(sc, c, commands[1:], then) })
		return
	}
	s.mu.Lock()
	if w := c.svc.waiting; len(w.queue) > 0 {
		next := w.queue[0]
		w.queue = w.queue[1:]
		next()
	} else {
		w.commands--
	}
	s.mu.Unlock()
	then(sc)
}

// spawnCommand runs a command that has nothing to do with the connection, and
// goes on when it has ended, or takes too long.
func (s *Server) spawnCommand(sc *scratch, c *client, command string, then func(*scratch)) {
	var once sync.Once
	next := func() { once.Do(func() { s.addJob(then) }) }
	timer := time.AfterFunc(commandWait, func() {
		s.warnOnce(c.def.Name + ": a spawn command of hosts.allow or hosts.deny still runs after " + commandWait.String() + "; its clients do not wait longer")
		next()
	})
	t := task{auxiliary: true, command: "spawn", svc: c.svc, def: c.def, ended: func() {
		timer.Stop()
		next()
	}}
	other := *c
	other.trace = nil
	image, err := shellImage(c.def.Attr, command)
	if err == nil {
		other.fd, err = unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		other.fd = -1
		s.commandFailed(sc, &other, &t, err)
		return
	}
	sc.setEnvironment(c)
	s.start(sc, &other, image, t)
}

// twist runs a command for a refused client in the service's place.
func (s *Server) twist(sc *scratch, c *client, a *hosts.Actions) {
	t := s.newTask(c)
	t.command = "twist"
	image, err := shellImage(c.def.Attr, a.Twist)
	if err != nil {
		s.commandFailed(sc, c, &t, err)
		return
	}
	sc.setEnvironment(c)
	s.start(sc, c, image, t)
}

// commandFailed deals with a command that could not be started.
func (s *Server) commandFailed(sc *scratch, c *client, t *task, err error) {
	s.log.Printf(syslog.Err, "%s: %s: %v", c.def.Name, t.command, err)
	if t.auxiliary {
		unix.Close(c.fd)
		t.ended()
		return
	}
	s.releaseRefused(c, logline.ReasonLibwrap)
	s.closeRejected(sc, c)
}

// imageFor returns the program for a client: the service's, one with other
// attributes where a rule asks for them, or a shell; nil for a builtin or a
// redirect. It may have to look up a user.
func (s *Server) imageFor(c *client, a *hosts.Actions) (*spawn.Image, error) {
	if a == nil || a.Twist == "" && a.Env == nil && a.User == "" && a.Group == "" && a.Nice == 0 && a.Umask == nil {
		return c.def.Image, nil
	}
	attr := c.def.Attr.Clone()
	attr.Nice += a.Nice
	if a.Env != nil && attr.Env != nil {
		attr.Env = attr.Env.Without(a.Env)
	}
	if a.Umask != nil {
		attr.Umask = a.Umask
	}
	if (a.User != "" || a.Group != "") && s.root {
		user := a.User
		if user == "" {
			user = c.def.User
		}
		account, err := spawn.NewAccounts().Lookup(user, a.Group)
		if err != nil {
			return nil, err
		}
		attr.User = account
	}
	switch {
	case a.Twist != "":
		return shellImage(attr, a.Twist)
	case c.def.Image == nil:
		return nil, nil
	}
	return c.def.Image.WithAttr(attr)
}
