package inetd

import (
	"bytes"
	"net/netip"
	"os"
	"reflect"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/admit"
	"goinetd/inetd/wrap"
)

// Terms are what a service asks of its clients and tells them, beyond its
// counts. Most services of an inetd.conf have none.
type terms struct {
	access        admit.Access
	times         []config.Span
	maxLoad       float64
	libwrap       string // daemon name; empty: hosts_access(5) is not consulted
	idOnly        bool
	sensor        bool
	denyTime      time.Duration
	banner        string
	bannerSuccess string
	bannerFail    string
	redirect      string
	noRetry       bool
	idle, session time.Duration
}

// terms makes the terms of a service, nil for none.
func (r *definer) terms(conf *config.Service) *terms {
	t := terms{
		times: conf.AccessTimes, maxLoad: conf.MaxLoad, libwrap: conf.Libwrap, idOnly: conf.IDOnly, sensor: conf.Sensor, denyTime: conf.DenyTime,
		banner: conf.Banner, bannerSuccess: conf.BannerSuccess, bannerFail: conf.BannerFail, redirect: conf.Redirect,
		noRetry: conf.NoRetry, idle: conf.IdleTimeout, session: conf.SessionTimeout,
	}
	ipv4only := true
	for _, l := range conf.Listen {
		ipv4only = ipv4only && l.Family == config.IPv4
	}
	t.access = admit.NewAccess(conf, func(sources []config.Source) *admit.List {
		return r.list(sources, ipv4only && len(conf.Listen) > 0)
	})
	if reflect.DeepEqual(t, terms{}) {
		return nil
	}
	return &t
}

// A judgement is what terms say of a client.
type judgement struct {
	reason   string // why it is refused, for the FAIL line; empty: it is not
	rule     string
	needName bool // no judgement: ask again with the client's names
	needUser bool // likewise with its user
	actions  *wrap.Actions
	entered  bool // its place is taken
}

// twists tells whether a command of hosts.deny is to answer a client that is
// refused.
func (j *judgement) twists() bool {
	return j.reason == reasonLibwrap && j.actions != nil && j.actions.Twist != ""
}

func (j *judgement) asks() bool { return j.needName || j.needUser }

// Reasons of terms, in xinetd's words.
const (
	reasonAddress = "address"
	reasonLibwrap = "libwrap"
	reasonTime    = "time"
	reasonLoad    = "load"
	reasonProcess = "process_limit"
)

// judge says what a service's terms make of a client. host and user are what
// is known of it; nil is not known yet. It takes no lock of the server and
// waits for nothing.
func (s *Server) judge(w *worker, c *client, host *admit.Host, user *string) judgement {
	t := c.def.terms
	switch {
	case t.sensor:
		return judgement{reason: reasonAddress, rule: "sensor " + c.def.name}
	case t.maxLoad > 0 && s.load.over(t.maxLoad, s.now()):
		return judgement{reason: reasonLoad}
	case t.times != nil && !admit.Open(t.times, time.Now()):
		return judgement{reason: reasonTime}
	}
	a := t.access.Check(c.from.Addr(), host)
	if a.Refused {
		return judgement{reason: reasonAddress, rule: a.Rule}
	}
	j := judgement{needName: a.Ask}
	if t.libwrap == "" || j.needName || !c.from.IsValid() || s.o.Wrap.Empty() {
		return j
	}
	w.question = wrap.Request{Daemon: t.libwrap, Client: c.from, Server: w.localAddrPort(c), User: user}
	if host != nil {
		w.question.Host = wrapName(host)
	}
	v := s.o.Wrap.Check(&w.question)
	j.needName, j.needUser = v.NeedName, v.NeedUser
	if v.Problem != "" {
		s.warnOnce("hosts_access: " + v.Rule + ": " + v.Problem + " (clients are refused until it is mended)")
	}
	if v.Refused {
		j.reason, j.rule = reasonLibwrap, v.Rule
	}
	if !j.asks() && v.Actions.Any() {
		actions := v.Actions
		j.actions = &actions
	}
	return j
}

// wrapName gives the name of a host as hosts_access(5) understands it.
func wrapName(h *admit.Host) *wrap.Name {
	switch {
	case len(h.Confirmed) > 0:
		return &wrap.Name{Host: h.Confirmed[0]}
	case len(h.Claimed) > 0:
		return &wrap.Name{Host: h.Claimed[0], Paranoid: true}
	}
	return &wrap.Name{}
}

// A loadMeter knows the load average of the last minute. The kernel counts
// it anew every five seconds.
type loadMeter struct {
	mu   sync.Mutex
	at   time.Duration
	load float64
}

func (m *loadMeter) over(limit float64, now time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at == 0 || now-m.at > time.Second {
		m.at = max(now, 1)
		m.load = 0
		if text, err := os.ReadFile("/proc/loadavg"); err == nil {
			first, _, _ := bytes.Cut(text, []byte(" "))
			m.load, _ = strconv.ParseFloat(string(first), 64)
		}
	}
	return m.load >= limit
}

// ban keeps an address out of every service, because it came to a sensor.
// s.mu is held.
func (s *Server) ban(from netip.Addr, d time.Duration) {
	now := s.now()
	until := now + d
	if d == config.Forever {
		until = 1<<63 - 1
	}
	if len(s.banned) >= maxBanned {
		for a, end := range s.banned {
			if end <= now {
				delete(s.banned, a)
			}
		}
	}
	if len(s.banned) >= maxBanned {
		return
	}
	s.banned[from] = max(s.banned[from], until)
	s.bans.Add(1)
}

// maxBanned is how many addresses sensors can keep out, as in xinetd.
const maxBanned = 10240

// isBanned tells whether an address is kept out. s.mu is held.
func (s *Server) isBanned(from netip.Addr) bool {
	if len(s.banned) == 0 {
		return false
	}
	until, in := s.banned[from]
	if in && until <= s.now() {
		delete(s.banned, from)
		return false
	}
	return in
}

// maxBanner is how much of a banner's file is sent, in bytes.
const maxBanner = 64 << 10

// appendBanner adds the text of a banner. It is read for each client, as by
// xinetd, so that a change shows at once.
func (s *Server) appendBanner(b []byte, path string) []byte {
	if path == "" {
		return b
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err == nil {
		defer unix.Close(fd)
		var st unix.Stat_t
		if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
			err = unix.EINVAL
		}
		n := 0
		if err == nil {
			text := make([]byte, min(st.Size, maxBanner))
			n, err = unix.Read(fd, text)
			b = append(b, text[:max(n, 0)]...)
		}
	}
	if err != nil {
		s.warnOnce("banner " + path + ": " + err.Error())
	}
	return b
}
