package inetd

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/admit"
	"goinetd/inetd/socket"
	"goinetd/inetd/spawn"
	"goinetd/inetd/spawn/nofile"
)

// A service is a configured service while it runs. It outlives its
// definition: a reload gives it another one, and its counts go on.
type service struct {
	key       string
	def       *definition
	gate      admit.Gate
	listeners []*listener
	rest      *time.Timer // set while it rests from looping
	full      bool        // its listeners wait until an instance ends
}

// A definition is what a service is by one reading of the configuration. It
// does not change.
type definition struct {
	conf    *config.Service
	name    string // what the logs call it
	limits  admit.Limits
	image   *spawn.Image // nil for a builtin
	open    socket.Options
	places  []place
	success config.LogSet
	failure config.LogSet
}

// A place is one address of a service. shared is set for one that is half of
// a service on both families, which a host may have only one of.
type place struct {
	socket.Address
	shared    bool
	mapped    bool         // tcp46: the program wants IPv4 as ::ffff:a.b.c.d
	inherited *inheritance // systemd's socket for it; nil: our own
}

// define makes a definition of what was configured. Look-ups of users and
// names happen here, before any lock is taken.
func (s *Server) define(conf *config.Service, accounts *spawn.Accounts) (*definition, *config.Problem) {
	d := &definition{conf: conf, name: conf.Name, success: conf.LogOnSuccess, failure: conf.LogOnFailure,
		limits: admit.Limits{Instances: conf.Instances, PerSource: conf.PerSource, PerMinute: conf.PerMinute, PerSourcePerMinute: conf.PerSourcePerMinute},
		open:   socket.Options{Backlog: s.o.Backlog, SendBuffer: conf.SendBuffer, ReceiveBuffer: conf.ReceiveBuffer, UID: -1, GID: -1},
	}
	fail := func(hint string, err error) (*definition, *config.Problem) {
		p := conf.Problem(config.Error, hint, "%v", err)
		return nil, &p
	}
	account, err := accounts.Lookup(conf.User, conf.Group)
	if err != nil {
		what := "user"
		if accounts.Known(conf.User) {
			what = "group"
		}
		return fail(fmt.Sprintf("add the %s, or correct %s", what, conf.Field(what)), err)
	}
	if conf.Internal == "" {
		spec := spawn.Spec{Path: conf.Server, Args: conf.Args, Env: s.o.Environ, Session: s.o.Session, Rlimits: originalNofile()}
		if s.root {
			spec.User = account
		}
		if d.image, err = spawn.Prepare(spec); err != nil {
			return fail("correct "+conf.Field("server"), err)
		}
	}
	for _, l := range conf.Listen {
		addresses, err := socket.Resolve(l, conf.SocketType)
		if err != nil {
			return fail("correct "+conf.Field("service")+", or reload when the name can be resolved", err)
		}
		for _, a := range addresses {
			d.places = append(d.places, place{Address: a, shared: l.Family == config.Both && l.Host == "", mapped: l.Family == config.Mapped})
		}
		if l.Network == "unix" {
			if p := d.unixOwner(l, accounts); p != nil {
				return nil, p
			}
		}
	}
	return d, nil
}

// unixOwner settles who may connect to a Unix socket.
func (d *definition) unixOwner(l config.Listen, accounts *spawn.Accounts) *config.Problem {
	d.open.Mode = l.Mode
	hint := "add it, or correct " + d.conf.Field("service")
	if l.Owner != "" {
		owner, err := accounts.Lookup(l.Owner, "")
		if err != nil {
			p := d.conf.Problem(config.Error, hint, "owner of the socket: %v", err)
			return &p
		}
		d.open.UID = int(owner.UID)
	}
	if l.Group != "" {
		gid, err := accounts.GroupID(l.Group)
		if err != nil {
			p := d.conf.Problem(config.Error, hint, "group of the socket: %v", err)
			return &p
		}
		d.open.GID = int(gid)
	}
	return nil
}

// originalNofile gives programs the limit of open files that the daemon was
// started with: Go raises its own.
func originalNofile() []spawn.Rlimit {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now); err != nil || nofile.AtStart == (syscall.Rlimit{}) || now == nofile.AtStart {
		return nil
	}
	return []spawn.Rlimit{{Resource: unix.RLIMIT_NOFILE, Soft: nofile.AtStart.Cur, Hard: nofile.AtStart.Max}}
}

// warnings are what is odd about a definition, although it can run.
func (d *definition) warnings() []config.Problem {
	var list []config.Problem
	if d.image != nil {
		info, err := os.Stat(d.conf.Server)
		switch {
		case err != nil:
			list = append(list, d.conf.Problem(config.Warning, "install it, or correct "+d.conf.Field("server"), "program of %s: %v; each start will fail until it is there", d.name, err))
		case info.IsDir() || info.Mode()&0o111 == 0:
			list = append(list, d.conf.Problem(config.Warning, "chmod +x it, or correct "+d.conf.Field("server"), "program of %s: %s is not executable; each start will fail", d.name, d.conf.Server))
		}
	}
	return list
}

// accepts tells whether the daemon accepts the service's connections.
func (d *definition) accepts() bool {
	return socket.Accepts(d.conf.SocketType) && !d.conf.Wait
}
