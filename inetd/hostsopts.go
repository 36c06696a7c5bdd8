package inetd

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"goinetd/inetd/admit"
	"goinetd/inetd/hosts"
	"goinetd/inetd/logline"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// This file consults hosts.allow and hosts.deny, and does what the options of
// their rules ask for (hosts_options(5)).

// checkHosts decides by hosts_access(5).
func (s *Server) checkHosts(sc *scratch, c *client, d *decision, host *admit.Host, user *string) {
	sc.request = hosts.Request{Daemon: c.def.Policy.Libwrap, Client: c.from, Server: c.localAddr(), User: user}
	if host != nil {
		sc.request.Host = hostname(host)
	}
	v := s.o.Hosts.Check(&sc.request)
	d.NeedName, d.needUser = v.NeedName, v.NeedUser
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
// not.
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
		unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: int32(a.Linger.Seconds())})
	}
	for _, command := range a.Spawn {
		if err := s.spawnCommand(sc, c, command); err != nil {
			s.log.Printf(syslog.Err, "%s: %s: spawn: %v", c.def.Name, d.Rule, err)
		}
	}
	if a.Banner != "" {
		if _, err := os.Stat(a.Banner); err == nil {
			sendNow(c.fd, s.appendBanner(nil, a.Banner))
		}
	}
}

// shellImage returns the image of a shell command. It runs as the service's
// user.
func shellImage(attr *spawn.Attr, command string) (*spawn.Image, error) {
	return attr.Clone().Prepare("/bin/sh", []string{"sh", "-c", command})
}

// spawnCommand runs a command that has nothing to do with the connection.
func (s *Server) spawnCommand(sc *scratch, c *client, command string) error {
	image, err := shellImage(c.def.Attr, command)
	if err != nil {
		return err
	}
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(null)
	sc.setEnvironment(c)
	p, err := image.Start(null, &sc.spawn)
	if err == nil {
		s.children.Add(p, task{auxiliary: true, def: c.def})
	}
	return err
}

// twist runs a command for a refused client in the service's place.
func (s *Server) twist(sc *scratch, c *client, a *hosts.Actions) {
	image, err := shellImage(c.def.Attr, a.Twist)
	if err == nil {
		sc.setEnvironment(c)
		var p spawn.Process
		if p, err = image.Start(c.fd, &sc.spawn); err == nil {
			s.children.Add(p, s.newTask(c))
			unix.Close(c.fd)
			return
		}
	}
	s.releaseRefused(c)
	s.log.Printf(syslog.Err, "%s: twist: %v", c.def.Name, err)
	s.closeRejected(sc, c)
}

// serveWithActions serves an admitted client with what a rule changes for it.
func (s *Server) serveWithActions(sc *scratch, c *client, a *hosts.Actions) {
	if a == nil || a.Twist == "" && a.Env == nil && a.User == "" && a.Group == "" && a.Nice == 0 && a.Umask == nil {
		s.serve(sc, c, c.def.Image)
		return
	}
	image, err := s.imageWithActions(c, a)
	if err != nil {
		s.releaseRefused(c)
		s.logFail(sc, c, logline.ReasonLibwrap+": "+err.Error(), "")
		s.closeRejected(sc, c)
		return
	}
	if image != nil {
		c.env = a.Env
	}
	s.serve(sc, c, image)
}

// imageWithActions returns the program for a client: the service's with other
// attributes, or a shell; nil for a builtin or a redirect.
func (s *Server) imageWithActions(c *client, a *hosts.Actions) (*spawn.Image, error) {
	attr := c.def.Attr.Clone()
	attr.Nice += a.Nice
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
