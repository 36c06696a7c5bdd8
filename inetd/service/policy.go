package service

import (
	"cmp"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"goinetd/config"
	"goinetd/inetd/admit"
)

// A Policy has the settings that decide who may use a service and what
// clients are told, apart from limits. Most services of an inetd.conf have
// none.
type Policy struct {
	Times []config.Span
	Settings
}

// Settings are those of a policy that can be compared.
type Settings struct {
	Access            admit.Access
	MaxLoad           float64
	Libwrap           string // daemon name for hosts_access(5); empty: not consulted
	LibwrapFailClosed bool   // hosts.deny refuses by name where the name service does not answer
	IDOnly            bool   // only clients whose ident server answers
	NoRetry           bool   // a failed fork is not retried

	Sensor   bool
	DenyTime time.Duration // of a sensor's ban

	Banner, BannerSuccess, BannerFail string // paths

	Redirect                    string // "host:port"
	IdleTimeout, SessionTimeout time.Duration
	StartTimeout                time.Duration // 0: the server's
}

// RequiresUser reports whether only clients are served whose ident server
// names a user. It may be called on nil.
func (p *Policy) RequiresUser() bool { return p != nil && p.IDOnly }

// Reasons for which a Policy refuses, in xinetd's words for the log.
const (
	ReasonTime = "time"
	ReasonLoad = "load"
)

// A Decision is what is known about a client's admission.
type Decision struct {
	Reason   string // why it is refused, for the FAIL line; empty: it is not
	Rule     string // which rule refused it; may be empty
	NeedName bool   // nothing is decided: ask again with the client's host name
}

// Check decides about a client, apart from limits and hosts_access(5). host
// is what name services say of the address, nil if they have not been asked.
// It waits for nothing. service is the name for the log; now and uptime are
// the same moment on the wall clock and on a monotonic one.
func (p *Policy) Check(service string, from netip.Addr, host *admit.Host, load *admit.LoadAverage, now time.Time, uptime time.Duration) Decision {
	switch {
	case p.Sensor:
		return Decision{Reason: reasonAddress, Rule: "sensor " + service}
	case p.MaxLoad > 0 && load.Exceeds(p.MaxLoad, uptime):
		return Decision{Reason: ReasonLoad}
	case p.Times != nil && !admit.InTimes(p.Times, now):
		return Decision{Reason: ReasonTime}
	}
	switch r := p.Access.Check(from, host); {
	case r.Refused:
		return Decision{Reason: reasonAddress, Rule: r.Rule}
	case r.NeedName:
		return Decision{NeedName: true}
	}
	return Decision{}
}

// EachCheck calls f for each setting that Check has looked at to come to a
// decision, in its order, with what came of it.
func (p *Policy) EachCheck(d Decision, f func(setting, result string)) {
	if p.Sensor {
		f("sensor", "every client is refused")
		return
	}
	if p.MaxLoad > 0 {
		if d.Reason == ReasonLoad {
			f("max_load", "the load average is above "+strconv.FormatFloat(p.MaxLoad, 'g', -1, 64))
			return
		}
		f("max_load", "the load average is not above "+strconv.FormatFloat(p.MaxLoad, 'g', -1, 64))
	}
	if p.Times != nil {
		if d.Reason == ReasonTime {
			f("access_times", "it is none of them now")
			return
		}
		f("access_times", "it is one of them now")
	}
	switch {
	case p.Access.AdmitsAll():
	case d.Reason == reasonAddress:
		f("only_from", cmp.Or(d.Rule, "the address is in none of its networks"))
	case d.NeedName:
		f("only_from", "the client's name is needed")
	default:
		f("only_from", "the client is let in by only_from and no_access")
	}
}

// reasonAddress is logline.ReasonAddress; packages of one level do not import
// each other for a word.
const reasonAddress = "address"

// policy returns the policy of a service, nil for one that decides and says
// nothing. addresses are where it listens.
func (b *Builder) policy(conf *config.Service, addresses []Address) *Policy {
	s := Settings{
		MaxLoad: conf.MaxLoad, Libwrap: conf.Libwrap, LibwrapFailClosed: conf.LibwrapFailClosed, IDOnly: conf.IDOnly, NoRetry: conf.NoRetry,
		Sensor: conf.Sensor, DenyTime: conf.DenyTime,
		Banner: conf.Banner, BannerSuccess: conf.BannerSuccess, BannerFail: conf.BannerFail,
		Redirect: conf.Redirect, IdleTimeout: conf.IdleTimeout, SessionTimeout: conf.SessionTimeout, StartTimeout: conf.StartTimeout,
	}
	ipv4only := len(addresses) > 0
	for i := range addresses {
		ipv4only = ipv4only && addresses[i].Addr.Addr().Is4()
	}
	s.Access = admit.NewAccess(conf, func(sources []config.Source) *admit.List { return b.list(sources, ipv4only) })
	if s.Libwrap == "" {
		s.LibwrapFailClosed = false
	}
	switch {
	case conf.AccessTimes != nil:
		return &Policy{conf.AccessTimes, s}
	case s == Settings{}:
		return nil
	}
	p := b.policies[s]
	if p == nil {
		p = &Policy{nil, s.clone()}
		b.policies[p.Settings] = p
	}
	return p
}

// clone returns the same settings, without the text of the configuration that
// they are part of.
func (s Settings) clone() Settings {
	for _, text := range []*string{&s.Libwrap, &s.Banner, &s.BannerSuccess, &s.BannerFail, &s.Redirect} {
		*text = strings.Clone(*text)
	}
	return s
}
