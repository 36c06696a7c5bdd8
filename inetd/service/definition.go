// Package service turns a service of the configuration into what the server
// runs: a [Definition], which never changes. A reload makes new ones.
package service

import (
	"slices"

	"goinetd/config"
	"goinetd/inetd/admit"
	"goinetd/inetd/builtin"
	"goinetd/inetd/socket"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// A Definition is a service by one reading of the configuration. It does not
// change once it is built. There can be thousands, so it has pointers to what
// several of them share, and keeps nothing of the configuration's text.
type Definition struct {
	Pos  config.Pos // where it is written
	Key  string     // config.Service.Key
	Hash uint64     // KeyHash of it
	Name string     // what the logs call it; where it can be, a part of Key

	Addresses []Address

	Builtin *builtin.Handler // what inetd serves itself; nil: Image or Policy.Redirect
	Image   *spawn.Image     // the program; nil: none

	*Shared
}

// Clone returns a copy that lies alone in memory: of a service that is removed,
// as its programs may need it for long, but none of the definitions beside it.
func (d *Definition) Clone() *Definition {
	own := *d
	own.Addresses = slices.Clone(d.Addresses)
	return &own
}

// Shared are the parts of a definition that many services have in common.
type Shared struct {
	Type    config.SocketType
	Mux     string // name behind tcpmux; empty: it has a socket
	Wait    bool   // the program gets the listening socket
	MuxPlus bool   // inetd sends "+Go" before the program starts
	Socket  *socket.Options

	Attr *spawn.Attr // of the program, and of commands of hosts_options(5)
	User string

	Limits admit.Limits
	Policy *Policy // nil: none

	Log       *Log
	OnSuccess config.LogSet
	OnFailure config.LogSet
}

// An Address is one address of a service.
type Address struct {
	socket.Address
	Shared       bool // one of two families, either of which the host may not have
	MappedAsIPv6 bool // tcp46: the program wants IPv4 clients as ::ffff:a.b.c.d
}

// A Log is where the lines of a service are written, and with which priority.
type Log struct {
	Logger           *syslog.Logger
	Success, Failure syslog.Priority
}

// NameKey returns the part of Key that stays when the service gets another
// address.
func (d *Definition) NameKey() string { return d.Name + "/" + string(d.Type) }

// Redirects reports whether connections are forwarded to another address.
func (d *Definition) Redirects() bool { return d.Policy != nil && d.Policy.Redirect != "" }

// NamesUnixSocket reports whether the configuration has the service listen on
// a Unix socket. Another one may come from the service manager.
func (d *Definition) NamesUnixSocket() bool {
	return slices.ContainsFunc(d.Addresses, func(a Address) bool { return a.Network == "unix" })
}

// Accepts reports whether inetd accepts the service's connections.
func (d *Definition) Accepts() bool { return socket.Accepts(d.Type) && !d.Wait }

// AsksUser reports whether the client's ident server is asked for the user.
func (d *Definition) AsksUser() bool {
	return d.Policy != nil && d.Policy.IDOnly || d.OnSuccess&config.LogUserID != 0
}

// Problem returns a problem of the service, at its position in the file.
func (d *Definition) Problem(sev config.Severity, hint, format string, args ...any) config.Problem {
	conf := config.Service{Pos: d.Pos, ID: d.Name}
	return conf.Problem(sev, hint, format, args...)
}
