// Package rpcbind registers services of ONC RPC (RFC 5531) with the rpcbind(8)
// of the host, by version 4 of its protocol (RFC 1833).
//
// A [Registrar] has a goroutine of its own: rpcbind may be absent, hang, or be
// restarted, and nobody waits for it.
package rpcbind

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Registration is one program in one version at one address.
type Registration struct {
	Program uint32
	Version uint32
	NetID   string         // "udp", "tcp", "udp6" or "tcp6"
	Addr    netip.AddrPort // that the socket is bound to
	Service string         // what the log calls it
}

// A Program is an RPC program at an address, in whichever versions.
type Program struct {
	Number uint32
	NetID  string
	Addr   netip.AddrPort
}

// A key is what rpcbind has one address for.
type key struct {
	program, version uint32
	netID            string
}

func (r Registration) key() key { return key{r.Program, r.Version, r.NetID} }

func (r Registration) entry() entry {
	return entry{r.Program, r.Version, r.NetID, universal(r.Addr), "superuser"}
}

// Options are what a Registrar is made with.
type Options struct {
	Notice, Warn func(format string, args ...any) // log a line

	// Owners looks at the processes of the host, and returns what tells who has a
	// port.
	Owners func() Owner

	Socket string         // of rpcbind; empty: /run/rpcbind.sock
	UDP    netip.AddrPort // where it is asked if not there; zero: 127.0.0.1:111
	Retry  time.Duration  // the first pause while it is absent; 0: a second
	Poll   time.Duration  // how often all is looked at again; 0: pollInterval
}

// An Owner describes who has a port of "tcp" or "udp", with a hint how to end
// that; false: nobody.
type Owner func(network string, at netip.AddrPort) (desc, advice string, ok bool)

// A Registrar keeps registered what is wanted. The zero value is not usable.
type Registrar struct {
	o       Options
	changed chan struct{} // wanted is another
	ended   chan struct{} // closed when the goroutine has

	mu         sync.Mutex
	wanted     []Registration
	adopted    []Program // of a process before us; they are taken once
	registered []Program // that rpcbind has, or may have
	running    bool
	closing    chan struct{} // closed when nothing is registered any more; nil: Close has not been called
	stopped    bool

	// Only the goroutine uses these.
	conn     *conn                // nil: not connected
	ours     map[key]Registration // that rpcbind has
	before   []Program            // of a process before us, not looked at yet
	held     map[key]string       // not registered: why, as it was logged
	tries    int                  // in a row in vain
	reported bool                 // that rpcbind does not answer
}

// New returns a Registrar. It does nothing until something is to be registered.
func New(o Options) *Registrar {
	o.Socket = cmp.Or(o.Socket, socketPath)
	o.Retry, o.Poll = cmp.Or(o.Retry, time.Second), cmp.Or(o.Poll, pollInterval)
	if !o.UDP.IsValid() {
		o.UDP = udpAddress
	}
	return &Registrar{o: o, changed: make(chan struct{}, 1), ended: make(chan struct{}), ours: map[key]Registration{}, held: map[key]string{}}
}

// Adopt notes what a process before us has registered: it is removed where it
// is not wanted.
func (r *Registrar) Adopt(list []Program) {
	r.mu.Lock()
	r.adopted = append(r.adopted, list...)
	r.mu.Unlock()
}

// Set sets what is to be registered from now on. Of two registrations that
// exclude each other the first counts. It does not wait. After Close or Stop it
// does nothing.
func (r *Registrar) Set(list []Registration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped || r.closing != nil || !r.running && len(list) == 0 && len(r.adopted) == 0 {
		return
	}
	r.wanted = list
	if !r.running {
		r.running = true
		go r.run()
	}
	r.wake()
}

func (r *Registrar) wake() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// Registered returns what rpcbind has of ours, or may have, in any order: what
// is to be removed and is not yet is in it.
func (r *Registrar) Registered() []Program {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Concat(r.registered, r.adopted)
}

// Running reports whether anything is, or was, to be registered or removed.
func (r *Registrar) Running() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running
}

// Close removes all registrations, and ends the goroutine. It waits no longer
// than the limit. After Stop it does nothing.
func (r *Registrar) Close(limit time.Duration) {
	r.mu.Lock()
	if !r.running || r.stopped || r.closing != nil {
		r.mu.Unlock()
		return
	}
	closed := make(chan struct{})
	r.wanted, r.closing = nil, closed
	r.wake()
	r.mu.Unlock()
	select {
	case <-closed:
	case <-time.After(limit):
	}
	r.Stop()
}

// Stop ends the goroutine. What is registered stays so, for the process after
// this one.
func (r *Registrar) Stop() {
	r.mu.Lock()
	r.stopped = true
	r.wake()
	r.mu.Unlock()
}

// pollInterval is how often we look whether rpcbind still has what is ours: a
// program that somebody starts by hand replaces it. What somebody else has is
// tried again then.
const pollInterval = 30 * time.Second

// soonRetries is how many pauses of Options.Retry are made while rpcbind is
// absent. The ones after that are lateFactor times as long.
const (
	soonRetries = 60
	lateFactor  = 5
)

func (r *Registrar) run() {
	defer close(r.ended)
	for {
		pause := r.sync()
		for ready := false; !ready; {
			var retry <-chan time.Time
			if pause > 0 {
				retry = time.After(pause)
			}
			var gone chan struct{}
			if r.conn != nil {
				gone = r.conn.gone
			}
			select {
			case <-r.changed:
				ready = true
			case <-retry:
				ready = true
			case <-gone: // rpcbind ends, or is restarted
				r.disconnect()
				pause = r.o.Retry
			}
		}
		r.mu.Lock()
		stopped := r.stopped
		r.mu.Unlock()
		if stopped {
			r.disconnect()
			return
		}
	}
}

func (r *Registrar) disconnect() {
	if r.conn != nil {
		r.conn.Close()
		r.conn = nil
	}
}

// sync makes rpcbind have what is wanted. It returns when to look again; 0: when
// something changes.
func (r *Registrar) sync() (pause time.Duration) {
	r.mu.Lock()
	wanted, closing := r.wanted, r.closing
	r.before = append(r.before, r.adopted...)
	r.adopted = nil
	r.mu.Unlock()
	defer func() {
		r.publish()
		if closing != nil {
			close(closing)
			r.mu.Lock()
			r.stopped = true
			r.wake()
			r.mu.Unlock()
		}
	}()
	if len(wanted) == 0 && len(r.ours) == 0 && r.before == nil {
		r.disconnect()
		return 0
	}
	connected := r.conn != nil
	err := r.attempt(wanted)
	if err != nil && connected { // it may have been restarted a moment ago
		err = r.attempt(wanted)
	}
	if err != nil {
		return r.failed(err, wanted)
	}
	if r.tries, r.reported = 0, false; len(wanted) == 0 {
		return 0
	}
	return r.o.Poll
}

// attempt connects, if that is needed, and registers and removes what is to be.
func (r *Registrar) attempt(wanted []Registration) error {
	err := r.connect()
	if err == nil {
		err = r.register(wanted)
	}
	if err != nil || !r.conn.stream { // nothing would be seen of the end of rpcbind
		r.disconnect()
	}
	return err
}

// publish sets what Registered returns.
func (r *Registrar) publish() {
	list := slices.Clone(r.before)
	for k, one := range r.ours {
		list = append(list, Program{k.program, k.netID, one.Addr})
	}
	r.mu.Lock()
	r.registered = list
	r.mu.Unlock()
}

func (r *Registrar) connect() (err error) {
	if r.conn == nil {
		r.conn, err = dial(r.o.Socket, r.o.UDP)
	}
	return err
}

// failed logs, once, that nothing can be registered.
func (r *Registrar) failed(err error, wanted []Registration) (pause time.Duration) {
	r.tries++
	// A connection that has ended may be that of a rpcbind that is being restarted.
	if r.tries > 1 && !r.reported && len(wanted) > 0 {
		r.reported = true
		what, hint := "does not answer", "not registered until it does; install or start rpcbind"
		if errors.As(err, new(refusal)) {
			what, hint = "answers with an error", "not registered until it does not; it has to be version 4 of the protocol, and to permit this user to register"
		}
		r.o.Warn("rpcbind(8) %s: %v (%s: %s)", what, err, strings.Join(names(wanted), ", "), hint)
	}
	switch {
	case r.tries <= soonRetries:
		return r.o.Retry
	case len(wanted) == 0: // something is left to be removed, if rpcbind comes again
		return r.o.Poll
	}
	return r.o.Retry * lateFactor
}

// names returns the names of services, each once.
func names(list []Registration) (names []string) {
	for _, one := range list {
		if !slices.Contains(names, one.Service) {
			names = append(names, one.Service)
		}
	}
	return names
}
