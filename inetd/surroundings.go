package inetd

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/admit"
	"goinetd/inetd/socket"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// This file makes what services share: worlds, environments, address lists
// and logs. There are as many as there are different ones.

// lookUp looks up the names that services are bound to, all at once: one that
// nobody answers for costs the others no more than its own limit.
func (r *definer) lookUp(confs []*config.Service) {
	var names []string
	for _, conf := range confs {
		for _, l := range conf.Listen {
			if l.Host != "" && l.Network != "unix" && l.Network != "systemd" {
				names = append(names, l.Host)
			}
		}
	}
	r.hosts = socket.LookUp(names)
}

// world gives the surroundings of a service's programs.
func (r *definer) world(conf *config.Service, account *spawn.Account) (*spawn.World, error) {
	env, err := r.env(conf)
	if err != nil {
		return nil, err
	}
	key := fmt.Sprintf("%s %p %p %v %d %d %v %q %q %v", conf.Dialect, account, env, conf.Groups, conf.Umask, conf.Nice, conf.Rlimits, conf.Chdir, conf.Chroot, conf.NoNewPrivs)
	if w := r.worlds[key]; w != nil {
		return w, nil
	}
	w := &spawn.World{Env: env, Session: r.s.o.Session, Rlimits: rlimits(conf), Nice: conf.Nice,
		Dir: conf.Chdir, Chroot: conf.Chroot, NoNewPrivs: conf.NoNewPrivs}
	if conf.Umask >= 0 {
		mask := uint16(conf.Umask)
		w.Umask = &mask
	}
	if r.s.root {
		w.User = account
		if !conf.Groups {
			alone := *account
			alone.Groups = nil
			w.User = &alone
		} else if own, err := r.accounts.Lookup(conf.User, ""); err == nil && conf.Dialect == config.Xinetd {
			both := *account // xinetd's groups are those of the user, whatever group says
			both.Groups = own.Groups
			w.User = &both
		}
	}
	r.worlds[key] = w
	return w, nil
}

var rlimitNumbers = map[string]int{
	"as": unix.RLIMIT_AS, "core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA, "files": unix.RLIMIT_NOFILE,
	"fsize": unix.RLIMIT_FSIZE, "memlock": unix.RLIMIT_MEMLOCK, "nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS, "stack": unix.RLIMIT_STACK,
}

// rlimits gives the limits of a service's program: those of the
// configuration, soft and hard alike, and the daemon's own for open files.
func rlimits(conf *config.Service) []spawn.Rlimit {
	var list []spawn.Rlimit
	if _, set := conf.Rlimits["files"]; !set {
		list = spawn.NofileAtStart()
	}
	for name, number := range rlimitNumbers {
		if n, set := conf.Rlimits[name]; set {
			list = append(list, spawn.Rlimit{Resource: number, Soft: n, Hard: n})
		}
	}
	slices.SortFunc(list, func(a, b spawn.Rlimit) int { return a.Resource - b.Resource })
	return list
}

// env gives the environment of a service's program.
func (r *definer) env(conf *config.Service) (*spawn.Env, error) {
	if conf.PassEnv == nil && conf.Env == nil {
		return r.s.env, nil
	}
	key := fmt.Sprintf("%q %v %q", conf.PassEnv, conf.PassEnv == nil, conf.Env)
	if e := r.envs[key]; e != nil {
		return e, nil
	}
	base := r.s.o.Environ
	if conf.PassEnv != nil {
		base = nil
		for _, v := range r.s.o.WholeEnviron {
			name, _, _ := strings.Cut(v, "=")
			if slices.Contains(conf.PassEnv, "*") || slices.Contains(conf.PassEnv, name) {
				base = append(base, v)
			}
		}
	}
	var list []string
	for _, v := range base {
		name, _, _ := strings.Cut(v, "=")
		if !slices.ContainsFunc(conf.Env, func(own string) bool { return strings.HasPrefix(own, name+"=") }) {
			list = append(list, v)
		}
	}
	e, err := spawn.NewEnv(append(list, conf.Env...))
	r.envs[key] = e
	return e, err
}

// list gives an address list.
func (r *definer) list(sources []config.Source, ipv4only bool) *admit.List {
	var key strings.Builder
	fmt.Fprint(&key, ipv4only)
	for _, s := range sources {
		key.WriteString(" " + s.Text + "@" + s.At.String())
	}
	l := r.lists[key.String()]
	if l == nil {
		l = admit.NewList(sources, ipv4only)
		r.lists[key.String()] = l
	}
	return l
}

// A destination is where the lines of a service go, and how grave they are.
type destination struct {
	log              *syslog.Logger
	success, failure syslog.Priority
}

type destinationKey = config.LogType

// destination gives the log of a service.
func (r *definer) destination(t config.LogType) *destination {
	if d := r.logs[t]; d != nil {
		return d
	}
	d := &destination{r.s.log, syslog.Info, syslog.Notice}
	switch {
	case t.Path != "":
		d.log = r.s.logFile(t)
	case t.Facility != "":
		p := syslog.PriorityOf(t.Facility, t.Level)
		d.success, d.failure = p, p
	}
	r.logs[t] = d
	return d
}

// logFile gives the log in a file, which all services that name it share.
func (s *Server) logFile(t config.LogType) *syslog.Logger {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := fmt.Sprint(t)
	f := s.logs[key]
	if f == nil {
		f = syslog.NewFile("", t.Path, syslog.Limits{Soft: t.Soft, Hard: t.Hard, Tell: func(text string) {
			s.log.Printf(syslog.Crit, "%s", text)
		}})
		s.logs[key] = f
	}
	return f.Logger
}

// renewLogs has the files of logs opened anew, and closes those that no
// service writes to any more. s.mu is held.
func (s *Server) renewLogs() {
	used := map[*syslog.Logger]bool{}
	for _, svc := range s.services {
		used[svc.def.log.log] = true
	}
	for key, f := range s.logs {
		if used[f.Logger] {
			f.Reopen()
			continue
		}
		f.Close() // programs that still run write their EXIT lines nowhere
		delete(s.logs, key)
	}
}
