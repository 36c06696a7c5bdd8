package service

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd/admit"
	"goinetd/inetd/builtin"
	"goinetd/inetd/encode"
	"goinetd/inetd/socket"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// Options are what definitions take from the server.
type Options struct {
	Root         bool       // programs run as their services' users
	Session      bool       // each program gets a session, not only a process group
	ResetOOM     bool       // the daemon is protected from the kernel's OOM killer, and its programs are not to be
	Env          *spawn.Env // of a program whose service changes nothing of it
	Environ      []string   // the same, as strings
	WholeEnviron []string   // what passenv chooses from
	Backlog      int        // of listen(2)
	Log          *syslog.Logger

	// MayRefuse reports whether hosts.allow and hosts.deny can refuse a client
	// of a daemon that they know by this name; nil: they are not consulted.
	MayRefuse func(daemon string) bool

	// LogFile returns the log in a file, which all services that name the
	// file share.
	LogFile func(config.LogType) *syslog.Logger
}

// A Builder makes the definitions of one reading of the configuration. Equal
// parts are made once and shared, so that 5,000 services stay small. It looks
// up users and names and may take seconds. It must not be used by two
// goroutines at once.
type Builder struct {
	o         Options
	accounts  *spawn.Accounts
	hosts     socket.Hosts
	plain     *socket.Options // of a service without options of its own
	unchecked bool            // services are not checked: they have been served
	files     FileProblems
	encoder   encode.Encoder

	definitions Slab[Definition]
	addresses   Slab[Address]

	settings *config.Settings // of the service before, which the next one may share
	attr     *spawn.Attr      // that they mean
	attrs    map[string]*spawn.Attr
	envs     map[string]*spawn.Env
	lists    map[string]*admit.List
	logs     map[config.LogType]*Log
	builtins map[builtinKey]*builtin.Handler
	policies map[Settings]*Policy // without access_times
	images   map[imageKey]*spawn.Image
	words    map[string]string
	shared   map[Shared]*Shared
	scratch  Shared // of the definition that is being built
}

type imageKey struct {
	attr         *spawn.Attr
	server, args string
}

type builtinKey struct {
	name     string
	settings config.BuiltinSettings
}

// NewBuilder returns a Builder for services. It looks up the host names that
// they are bound to, all at once: a name that nobody answers for does not
// delay the others.
func NewBuilder(o Options, confs []*config.Service) *Builder {
	b := newBuilder(o, len(confs))
	var names []string
	for _, conf := range confs {
		for _, l := range conf.Listen {
			if l.Host != "" && l.Network != "unix" && l.Network != "systemd" {
				names = append(names, l.Host)
			}
		}
	}
	b.hosts = socket.Resolve(names)
	b.accounts.Prefetch(users(confs))
	b.files = CheckFiles(confs)
	return b
}

// users returns the users that services name.
func users(confs []*config.Service) (names []string) {
	seen := map[string]bool{}
	add := func(name string) {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	for _, conf := range confs {
		add(userOf(conf))
		for _, l := range conf.Listen {
			add(l.Owner)
		}
	}
	return names
}

func newBuilder(o Options, services int) *Builder {
	b := &Builder{o: o, accounts: spawn.NewAccounts(), plain: &socket.Options{Backlog: o.Backlog, UID: -1, GID: -1},
		attrs: map[string]*spawn.Attr{}, envs: map[string]*spawn.Env{}, lists: map[string]*admit.List{},
		logs: map[config.LogType]*Log{}, builtins: map[builtinKey]*builtin.Handler{}, policies: map[Settings]*Policy{}, shared: map[Shared]*Shared{},
		images: map[imageKey]*spawn.Image{}, words: map[string]string{}}
	b.definitions.Expect(services)
	b.addresses.Expect(services)
	return b
}

// Build returns the definition of a service, or nil where it cannot run, and
// the problems of either.
func (b *Builder) Build(conf *config.Service) (*Definition, []config.Problem) {
	var problems []config.Problem
	if !b.unchecked {
		problems = Check(conf, b.accounts, b.files)
	}
	if !b.unchecked {
		problems = append(problems, b.unenforceable(conf)...)
	}
	if config.Errors(problems) {
		return nil, problems
	}
	d, key := &b.definitions.Take(1)[0], conf.Key()
	*d = Definition{Pos: conf.Pos, Key: key, Hash: KeyHash(key)}
	if name, _, _ := strings.Cut(key, "/"); name == conf.ID {
		d.Name = name
	} else {
		d.Name = strings.Clone(conf.ID) // cloned, lest the whole file's text be kept
	}
	b.scratch = Shared{Type: config.SocketType(b.word(string(conf.SocketType))), Mux: strings.Clone(conf.Mux), Wait: conf.Wait, MuxPlus: conf.MuxPlus,
		Limits: admit.Limits{Instances: conf.Instances, Queue: conf.Queue, PerSource: conf.PerSource, PerMinute: conf.PerMinute,
			PerSourcePerMinute: conf.PerSourcePerMinute, CPS: conf.CPS, CPSPerSource: conf.CPSPerSource, PerSourcePrefix: conf.PerSourcePrefix},
		Log: b.log(conf.LogType), OnSuccess: conf.LogOnSuccess, OnFailure: conf.LogOnFailure,
	}
	d.Shared = &b.scratch
	hint, err := b.addProgram(d, conf)
	if err == nil {
		hint, err = b.addAddresses(d, conf)
	}
	if err == nil {
		hint, err = b.addSocketOptions(d, conf)
	}
	if err != nil {
		return nil, append(problems, conf.Problem(config.Error, hint, "%v", err))
	}
	problems = append(problems, severalRPC(conf, d)...)
	d.Policy = b.policy(conf, d.Addresses)
	d.Shared = b.shared[b.scratch]
	if d.Shared == nil {
		shared := b.scratch
		d.Shared = &shared
		b.shared[shared] = d.Shared
	}
	return d, problems
}

// word returns a copy of a word that many services have, without the text of
// the configuration that it is part of.
func (b *Builder) word(text string) string {
	word, known := b.words[text]
	if !known {
		word = strings.Clone(text)
		b.words[word] = word
	}
	return word
}

// defaultUser is whom builtins name where the configuration does not: no
// program runs for them but the commands of hosts_options(5).
const defaultUser = "nobody"

func userOf(conf *config.Service) string {
	if conf.User == "" {
		return defaultUser
	}
	return conf.User
}

// addProgram adds who serves, and as whom.
func (b *Builder) addProgram(d *Definition, conf *config.Service) (hint string, err error) {
	account, err := b.accounts.Lookup(userOf(conf), conf.Group)
	if err != nil {
		return "add it, or correct " + conf.Field("user"), err
	}
	d.User = account.Name
	if conf.Settings != b.settings {
		attr, err := b.attrOf(conf, account)
		if err != nil {
			return "correct " + conf.Field("env"), err
		}
		b.settings, b.attr = conf.Settings, attr
	}
	d.Attr = b.attr
	switch {
	case conf.Internal != "":
		key := builtinKey{conf.Internal, conf.BuiltinSettings}
		if b.builtins[key] == nil {
			b.builtins[key] = builtin.New(conf.Internal, conf.BuiltinSettings)
		}
		if d.Builtin = b.builtins[key]; d.Builtin == nil {
			return "correct " + conf.Field("type"), fmt.Errorf("no internal service %q", conf.Internal)
		}
	case conf.Server != "":
		key := imageKey{d.Attr, conf.Server, strings.Join(conf.Args, "\x00")} // no argument has a NUL
		if b.images[key] == nil {
			if b.images[key], err = d.Attr.Prepare(conf.Server, conf.Args); err != nil {
				return "correct " + conf.Field("server"), err
			}
		}
		d.Image = b.images[key]
	}
	return "", nil
}

// addAddresses adds where the service listens.
func (b *Builder) addAddresses(d *Definition, conf *config.Service) (hint string, err error) {
	for _, l := range conf.Listen {
		found, err := socket.Addresses(l, conf.SocketType, b.hosts)
		if err != nil {
			return "correct " + conf.Field("service") + ", or reload when the name can be resolved", err
		}
		list := b.addresses.Take(len(found))
		for i, a := range found {
			a.Network, a.Type = b.word(a.Network), b.scratch.Type
			list[i] = Address{Address: a, Shared: l.Family == config.Both && l.Host == "", MappedAsIPv6: l.Family == config.Mapped}
		}
		if d.Addresses == nil {
			d.Addresses = list
		} else {
			d.Addresses = append(d.Addresses, list...)
		}
	}
	return "", nil
}

// addSocketOptions adds how its sockets are opened.
func (b *Builder) addSocketOptions(d *Definition, conf *config.Service) (hint string, err error) {
	o := socket.Options{Backlog: b.o.Backlog, SendBuffer: conf.SendBuffer, ReceiveBuffer: conf.ReceiveBuffer,
		NoDelay: conf.NoDelay, KeepAlive: conf.KeepAlive, UID: -1, GID: -1}
	for _, l := range conf.Listen {
		if l.Network == "unix" {
			if err := b.setUnixOwner(&o, l); err != nil {
				return "add it, or correct " + conf.Field("service"), err
			}
		}
	}
	if d.Socket = b.plain; o != *b.plain {
		d.Socket = &o
	}
	return "", nil
}

// setUnixOwner sets who may connect to a Unix socket.
func (b *Builder) setUnixOwner(o *socket.Options, l config.Listen) error {
	o.Mode = l.Mode
	if l.Owner != "" {
		owner, err := b.accounts.Lookup(l.Owner, "")
		if err != nil {
			return fmt.Errorf("owner of the socket: %w", err)
		}
		o.UID = int(owner.UID)
	}
	if l.Group != "" {
		gid, err := b.accounts.GroupID(l.Group)
		if err != nil {
			return fmt.Errorf("group of the socket: %w", err)
		}
		o.GID = int(gid)
	}
	return nil
}

// IsDaemonUser reports whether a user is the one that we run as.
func (b *Builder) IsDaemonUser(user string) bool {
	a, err := b.accounts.Lookup(user, "")
	return err == nil && int(a.UID) == os.Geteuid()
}

// attrOf returns the process attributes of a service's programs.
func (b *Builder) attrOf(conf *config.Service, account *spawn.Account) (*spawn.Attr, error) {
	env, err := b.env(conf)
	if err != nil {
		return nil, err
	}
	key := fmt.Sprintf("%s %p %p %v %d %d %v %q %q %v", conf.Dialect, account, env, conf.Groups, conf.Umask, conf.Nice, conf.Rlimits, conf.Chdir, conf.Chroot, conf.NoNewPrivs)
	if a := b.attrs[key]; a != nil {
		return a, nil
	}
	a := &spawn.Attr{Env: env, Session: b.o.Session, Rlimits: rlimits(conf), Nice: conf.Nice,
		Dir: conf.Chdir, Chroot: conf.Chroot, NoNewPrivs: conf.NoNewPrivs, ResetOOM: b.o.ResetOOM}
	if conf.Umask >= 0 {
		mask := uint16(conf.Umask)
		a.Umask = &mask
	}
	if b.o.Root {
		a.User = b.credentials(conf, account)
	}
	b.attrs[key] = a
	return a, nil
}

// credentials returns an account with the supplementary groups that the
// service's program gets.
func (b *Builder) credentials(conf *config.Service, account *spawn.Account) *spawn.Account {
	c := *account
	if !conf.Groups {
		c.Groups = nil
	} else if user, err := b.accounts.Lookup(userOf(conf), ""); err == nil && conf.Dialect == config.Xinetd {
		c.Groups = user.Groups // in xinetd they are the user's, whatever group says
	}
	return &c
}

// rlimitNumbers are the resources of setrlimit(2), by the names that
// configurations have for them.
var rlimitNumbers = map[string]int{
	"as": unix.RLIMIT_AS, "core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA, "files": unix.RLIMIT_NOFILE,
	"fsize": unix.RLIMIT_FSIZE, "memlock": unix.RLIMIT_MEMLOCK, "nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS, "stack": unix.RLIMIT_STACK,
}

// rlimits returns the limits of a service's program: those of the
// configuration, soft and hard alike, and for open files the limit that the
// daemon was started with.
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

// env returns the environment of a service's program.
func (b *Builder) env(conf *config.Service) (*spawn.Env, error) {
	if conf.PassEnv == nil && conf.Env == nil {
		return b.o.Env, nil
	}
	key := fmt.Sprintf("%q %v %q", conf.PassEnv, conf.PassEnv == nil, conf.Env)
	if e := b.envs[key]; e != nil {
		return e, nil
	}
	e, err := spawn.NewEnv(environ(b.o.Environ, b.o.WholeEnviron, conf))
	b.envs[key] = e
	return e, err
}

// environ returns the variables of a service's program: those that passenv
// names of the whole environment, else the usual ones, with those of env in
// the place of others of the same name.
func environ(usual, whole []string, conf *config.Service) []string {
	passed := usual
	if conf.PassEnv != nil {
		passed = slices.DeleteFunc(slices.Clone(whole), func(v string) bool {
			name, _, _ := strings.Cut(v, "=")
			return !slices.Contains(conf.PassEnv, "*") && !slices.Contains(conf.PassEnv, name)
		})
	}
	var list []string
	for _, v := range passed {
		name, _, _ := strings.Cut(v, "=")
		if !slices.ContainsFunc(conf.Env, func(set string) bool { return strings.HasPrefix(set, name+"=") }) {
			list = append(list, v)
		}
	}
	return append(list, conf.Env...)
}

// list returns an address list.
func (b *Builder) list(sources []config.Source, ipv4only bool) *admit.List {
	var key strings.Builder
	fmt.Fprint(&key, ipv4only)
	for _, s := range sources {
		key.WriteString(" " + s.Text + "@" + s.Pos.String())
	}
	l := b.lists[key.String()]
	if l == nil {
		l = admit.NewList(sources, ipv4only)
		b.lists[key.String()] = l
	}
	return l
}

// log returns where a service's lines are written.
func (b *Builder) log(t config.LogType) *Log {
	if l := b.logs[t]; l != nil {
		return l
	}
	l := &Log{b.o.Log, syslog.Info, syslog.Notice}
	switch {
	case t.Path != "":
		l.Logger = b.o.LogFile(t)
	case t.Facility != "":
		p := syslog.PriorityOf(t.Facility, t.Level)
		l.Success, l.Failure = p, p
	}
	b.logs[t] = l
	return l
}
