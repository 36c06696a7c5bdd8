package service

import (
	"fmt"
	"os"

	"goinetd/config"
)

// BuildAll returns the definitions of services, and the problems that they
// have on this host. The daemon and `inetctl check` report them in the same
// words. built, if it is not nil, is called with the index of each service that
// has a definition now; BuildAll does not use its configuration any more.
func (b *Builder) BuildAll(confs []*config.Service, built func(i int)) (defs []*Definition, problems []config.Problem) {
	others, mux, muxed := false, false, (*config.Service)(nil)
	for i, conf := range confs {
		d, found := b.Build(conf)
		problems = append(problems, found...)
		if d == nil {
			continue
		}
		defs = append(defs, d)
		if built != nil {
			built(i)
		}
		others = others || d.Image != nil && !b.IsDaemonUser(conf.User)
		if p := d.Policy; p != nil && p.Access.HasNames() && conf.SocketType == config.Dgram && !conf.Wait {
			problems = append(problems, conf.ProblemOf("only_from", config.Warning, "write addresses",
				"%s: host names in address lists are not looked up for datagrams of a nowait service: clients that depend on one are refused", conf.ID))
		}
		mux = mux || conf.Internal == "tcpmux"
		if conf.Mux != "" {
			muxed = conf
		}
	}
	if others && !b.o.Root {
		problems = append(problems, config.Problem{Severity: config.Warning,
			Text: fmt.Sprintf("not root: every program runs as uid %d, whatever user its service names", os.Geteuid())})
	}
	if muxed != nil && !mux {
		problems = append(problems, muxed.Problem(config.Warning, "add: tcpmux stream tcp nowait root internal",
			"%s cannot be reached: no tcpmux service is configured", muxed.Name))
	}
	return defs, problems
}

// unenforceable returns the problem of a service whose clients hosts.allow
// and hosts.deny may refuse, and have no address that we would see: those of
// a wait service, whose program accepts them, and of a Unix socket, whom the
// server refuses.
func (b *Builder) unenforceable(conf *config.Service) []config.Problem {
	refuses := func() bool { return conf.Libwrap != "" && b.o.MayRefuse != nil && b.o.MayRefuse(conf.Libwrap) }
	if conf.Wait && conf.SocketType != config.Dgram {
		if !refuses() {
			return nil
		}
		return []config.Problem{conf.ProblemOf("wait", config.Error, "write wait = no; or flags = NOLIBWRAP, and have the program check its clients",
			"%s: hosts.allow and hosts.deny cannot be enforced for clients that the program of a wait service accepts", conf.ID)}
	}
	for _, l := range conf.Listen {
		if l.Network == "unix" && refuses() {
			return []config.Problem{conf.ProblemOf("libwrap", config.Warning, "write libwrap = no, and say who may connect by the owner and the mode of the socket",
				"%s: clients of %s have no address, and are refused where hosts.allow or hosts.deny may refuse anybody", conf.ID, l)}
		}
	}
	return nil
}
