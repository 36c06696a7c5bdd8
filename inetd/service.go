package inetd

import (
	"fmt"
	"os"
	"strings"
	"time"

	"goinetd/config"
	"goinetd/inetd/admit"
	"goinetd/inetd/socket"
	"goinetd/inetd/spawn"
)

// A service is a configured service while it runs. It outlives its
// definition: a reload gives it another one, and its counts go on.
type service struct {
	def       *definition
	gate      admit.Gate
	listeners []*listener
	rest      *time.Timer // set while it is closed for looping, or by cps
	back      string      // what the log says when it is back
	full      bool        // its listeners wait until an instance ends
}

// A definition is what a service is by one reading of the configuration. It
// does not change. There can be thousands, so it keeps of the configuration
// what is still asked for.
type definition struct {
	at       config.Place // where it was written
	key      string       // config.Service.Key
	name     string       // what the logs call it
	kind     config.SocketType
	wait     bool
	internal string // the builtin; empty: image
	image    *spawn.Image
	user     string
	mux      string // name behind tcpmux
	muxPlus  bool
	limits   admit.Limits
	terms    *terms       // nil: none
	world    *spawn.World // of its program, and of the commands of hosts.allow
	log      *destination
	open     *socket.Options
	places   []place // where it is to listen; nil once it does
	success  config.LogSet
	failure  config.LogSet
}

// A place is one address of a service. shared is set for one that is half of
// a service on both families, which a host may have only one of.
type place struct {
	socket.Address
	shared    bool
	mapped    bool         // tcp46: the program wants IPv4 as ::ffff:a.b.c.d
	inherited *inheritance // systemd's socket for it; nil: our own
}

// A definer makes definitions. Its look-ups of users and names happen before
// any lock is taken.
type definer struct {
	s        *Server
	accounts *spawn.Accounts
	worlds   map[string]*spawn.World
	envs     map[string]*spawn.Env
	lists    map[string]*admit.List
	hosts    socket.Hosts
	logs     map[destinationKey]*destination
	plain    socket.Options // of a service that wants nothing special
}

func (s *Server) definer() *definer {
	return &definer{s: s, accounts: spawn.NewAccounts(), worlds: map[string]*spawn.World{}, envs: map[string]*spawn.Env{},
		lists: map[string]*admit.List{}, logs: map[destinationKey]*destination{}, plain: socket.Options{Backlog: s.o.Backlog, UID: -1, GID: -1}}
}

// define makes a definition of what was configured.
func (r *definer) define(conf *config.Service) (*definition, *config.Problem) {
	// A copy of the name, lest the whole text of the file be kept for it.
	d := &definition{at: conf.At, key: conf.Key(), name: strings.Clone(conf.ID),
		kind: conf.SocketType, wait: conf.Wait, internal: conf.Internal, mux: strings.Clone(conf.Mux), muxPlus: conf.MuxPlus,
		success: conf.LogOnSuccess, failure: conf.LogOnFailure,
		limits: admit.Limits{Instances: conf.Instances, Queue: conf.Queue, PerSource: conf.PerSource, PerMinute: conf.PerMinute, PerSourcePerMinute: conf.PerSourcePerMinute,
			CPS: conf.CPS, CPSPerSource: conf.CPSPerSource},
		terms: r.terms(conf), log: r.destination(conf.LogType),
		open: &r.plain,
	}
	fail := func(hint string, err error) (*definition, *config.Problem) {
		p := conf.Problem(config.Error, hint, "%v", err)
		return nil, &p
	}
	if conf.User == "" { // a builtin: nobody else's programs run for it
		conf.User = "nobody"
	}
	account, err := r.accounts.Lookup(conf.User, conf.Group)
	if err != nil {
		what := "user"
		if r.accounts.Known(conf.User) {
			what = "group"
		}
		return fail(fmt.Sprintf("add the %s, or correct %s", what, conf.Field(what)), err)
	}
	d.user = account.Name
	if d.world, err = r.world(conf, account); err != nil {
		return fail("correct "+conf.Field("env"), err)
	}
	if conf.Server != "" {
		if d.image, err = d.world.Prepare(conf.Server, conf.Args); err != nil {
			return fail("correct "+conf.Field("server"), err)
		}
	}
	if o := (socket.Options{Backlog: r.s.o.Backlog, SendBuffer: conf.SendBuffer, ReceiveBuffer: conf.ReceiveBuffer,
		NoDelay: conf.NoDelay, KeepAlive: conf.KeepAlive, UID: -1, GID: -1}); o != r.plain {
		d.open = &o
	}
	for _, l := range conf.Listen {
		addresses, err := socket.Resolve(l, conf.SocketType, r.hosts)
		if err != nil {
			return fail("correct "+conf.Field("service")+", or reload when the name can be resolved", err)
		}
		for _, a := range addresses {
			d.places = append(d.places, place{Address: a, shared: l.Family == config.Both && l.Host == "", mapped: l.Family == config.Mapped})
		}
		if l.Network == "unix" {
			o := *d.open
			d.open = &o
			if err := r.unixOwner(&o, l); err != nil {
				return fail("add it, or correct "+conf.Field("service"), err)
			}
		}
	}
	return d, nil
}

// unixOwner settles who may connect to a Unix socket.
func (r *definer) unixOwner(o *socket.Options, l config.Listen) error {
	o.Mode = l.Mode
	if l.Owner != "" {
		owner, err := r.accounts.Lookup(l.Owner, "")
		if err != nil {
			return fmt.Errorf("owner of the socket: %w", err)
		}
		o.UID = int(owner.UID)
	}
	if l.Group != "" {
		gid, err := r.accounts.GroupID(l.Group)
		if err != nil {
			return fmt.Errorf("group of the socket: %w", err)
		}
		o.GID = int(gid)
	}
	return nil
}

// problem makes a problem of the service, at its place in the file.
func (d *definition) problem(sev config.Severity, hint, format string, args ...any) config.Problem {
	conf := config.Service{At: d.at, ID: d.name}
	return conf.Problem(sev, hint, format, args...)
}

// warnings are what is odd about a service, although it can run.
func warnings(conf *config.Service) []config.Problem {
	if conf.Server == "" {
		return nil
	}
	info, err := os.Stat(conf.Server)
	switch {
	case err != nil:
		return []config.Problem{conf.Problem(config.Warning, "install it, or correct "+conf.Field("server"),
			"program of %s: %v; each start will fail until it is there", conf.ID, err)}
	case info.IsDir() || info.Mode()&0o111 == 0:
		return []config.Problem{conf.Problem(config.Warning, "chmod +x it, or correct "+conf.Field("server"),
			"program of %s: %s is not executable; each start will fail", conf.ID, conf.Server)}
	}
	return nil
}

// redirects tells whether connections are carried to another place.
func (d *definition) redirects() bool { return d.terms != nil && d.terms.redirect != "" }

// accepts tells whether the daemon accepts the service's connections.
func (d *definition) accepts() bool {
	return socket.Accepts(d.kind) && !d.wait
}
