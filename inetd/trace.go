package inetd

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/inetd/admit"
	"goinetd/inetd/control"
	"goinetd/inetd/ident"
	"goinetd/inetd/logline"
	"goinetd/inetd/socket"
	"goinetd/inetd/spawn"
)

// This file has the steps of connections told to whoever asks for them. As long
// as nobody does, a client costs the look at a number when it is accepted, and
// each of its steps the look at a nil pointer.

// maxTraced is how many connections are traced for one who asks at a time, and
// tracesPerSecond how many are begun in a second: nobody can read more, and they
// would cost others time.
const (
	maxTraced       = 64
	tracesPerSecond = 25
)

// tracers are those who ask.
type tracers struct {
	wanted atomic.Bool // the next connection is to be traced, unless there are too many

	mu          sync.Mutex
	each        map[*tracer]struct{}
	connections int // that have been traced
}

// A tracer is one of them.
type tracer struct {
	service string // empty: all
	f       func(control.Step)
	live    atomic.Int32 // connections that are traced at the moment
	stopped atomic.Bool

	// Guarded by tracers.mu.
	left     int           // connections that are still to be traced; below 0: all
	missed   int           // connections that were not, as there were too many
	second   time.Duration // when the second began that is counted
	inSecond int           // connections in it
}

// tooMany reports whether another connection would be too many.
func (one *tracer) tooMany(now time.Duration) bool {
	if now-one.second >= time.Second {
		one.second, one.inSecond = now, 0
	}
	return one.live.Load() >= maxTraced || one.inSecond >= tracesPerSecond
}

// Trace has f called with each step of the next n connections of a service, of
// all services where it is empty; with n = 0 of all that come. It must not
// block.
func (s *Server) Trace(name string, n int, f func(control.Step)) (stop func(), err error) {
	if name != "" {
		s.mu.Lock()
		_, err = s.findLocked(name)
		s.mu.Unlock()
		if err != nil {
			return nil, err
		}
	}
	if n <= 0 {
		n = -1
	}
	one := &tracer{service: name, left: n, f: f}
	l := &s.tracers
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.each == nil {
		l.each = map[*tracer]struct{}{}
	}
	l.each[one] = struct{}{}
	l.wanted.Store(true)
	return func() {
		one.stopped.Store(true)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.each, one)
		l.updateLocked()
	}, nil
}

func (l *tracers) updateLocked() {
	wanted := false
	for one := range l.each {
		wanted = wanted || one.left != 0
	}
	l.wanted.Store(wanted)
}

// begin counts a connection of a service, and returns who wants to see it.
func (l *tracers) begin(name string, now time.Duration) (to []*tracer, missed []int, number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for one := range l.each {
		switch {
		case one.left == 0 || one.service != "" && one.service != name:
		case one.tooMany(now):
			one.missed++
		default:
			to, missed = append(to, one), append(missed, one.missed)
			one.missed = 0
			one.inSecond++
			one.live.Add(1)
			if one.left > 0 {
				one.left--
			}
		}
	}
	if to != nil {
		l.connections++
		l.updateLocked()
	}
	return to, missed, l.connections
}

// A trace is that of one connection, or of one hand-off of a socket.
type trace struct {
	s       *Server
	to      []*tracer
	number  int
	service string
	client  string
	began   time.Time     // on the wall clock
	start   time.Duration // the same moment, by clockMonotonic
	running int           // clients of the service once this one was admitted
	forked  time.Duration // when its child was about to be forked

	isRefused bool

	mu      sync.Mutex
	pid     int
	fd      int // a copy of the connection, for its counts of bytes; -1: none
	in, out uint64
	over    bool
}

// clockMonotonic is the clock that the steps of a child are noted by.
func clockMonotonic() time.Duration {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return time.Duration(t.Nano())
}

// beginTrace begins the trace of a client, if somebody wants to see it. ready is
// when there was an event.
func (s *Server) beginTrace(c *client, ready time.Duration) *trace {
	to, missed, number := s.tracers.begin(c.def.Name, s.now())
	if to == nil {
		return nil
	}
	t := &trace{s: s, to: to, number: number, service: c.def.Name, start: ready, fd: -1}
	t.began = time.Now().Add(ready - clockMonotonic())
	if c.from.IsValid() {
		t.client = c.from.String()
	}
	step := t.step(ready, "ready", c.l.String()+" is readable (epoll_wait)")
	for i, one := range to {
		step.Missed = missed[i]
		one.f(step)
	}
	return t
}

// accepted notes that the connection was accepted. The trace keeps a copy of it,
// so that the kernel can be asked for its counts of bytes until its program has
// ended.
func (t *trace) accepted(c *client) {
	if t == nil {
		return
	}
	if high, err := unix.FcntlInt(uintptr(c.fd), unix.F_DUPFD_CLOEXEC, descriptorOfTrace); err == nil {
		t.fd = high
	}
	from := t.client
	if from == "" {
		from = "a Unix socket"
	}
	t.add("accepted", "descriptor %d from %s (accept4)", c.fd, from)
	t.countBytes()
}

// descriptorOfTrace is from where the numbers of those copies begin: a
// connection's own are to be low.
const descriptorOfTrace = 256

// wanted reports whether anybody still looks.
func (t *trace) wanted() bool {
	for _, one := range t.to {
		if !one.stopped.Load() {
			return true
		}
	}
	return false
}

// add tells a step that is over now.
func (t *trace) add(name, format string, args ...any) {
	t.addAt(clockMonotonic(), name, fmt.Sprintf(format, args...))
}

// addAt tells a step that was over at a time of clockMonotonic.
func (t *trace) addAt(at time.Duration, name, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sendLocked(t.step(at, name, text))
}

func (t *trace) step(at time.Duration, name, text string) control.Step {
	return control.Step{Time: t.began.Add(at - t.start), Connection: t.number, Service: t.service, Client: t.client, PID: t.pid,
		After: at - t.start, Name: name, Text: text}
}

func (t *trace) sendLocked(step control.Step) {
	if t.over {
		return
	}
	for _, one := range t.to {
		if !one.stopped.Load() {
			one.f(step)
		}
	}
}

// end tells the last step.
func (t *trace) end(name, text string) {
	if t == nil {
		return
	}
	t.countBytes()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return
	}
	step := t.step(clockMonotonic(), name, text)
	if t.fd >= 0 {
		step.Text += fmt.Sprintf("; %d bytes in, %d out", t.in, t.out)
		unix.Close(t.fd)
		t.fd = -1
	}
	step.Last = true
	t.sendLocked(step)
	t.over = true
	for _, one := range t.to {
		one.live.Add(-1)
	}
}

// How often the kernel is asked for the bytes of a traced connection: at first,
// and once nothing has happened for long.
const (
	countInterval    = 250 * time.Microsecond
	maxCountInterval = 50 * time.Millisecond
)

// watch tells the first bytes as they come and go, until the connection ends
// or nobody looks.
func (t *trace) watch() {
	for interval := time.Duration(countInterval); t.countBytes(); interval = min(interval+interval/8, maxCountInterval) {
		time.Sleep(interval)
	}
}

// countBytes asks the kernel for the bytes of the connection. It reports false
// where that makes no sense any more.
func (t *trace) countBytes() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fd < 0 {
		return false
	}
	if !t.wanted() {
		unix.Close(t.fd)
		t.fd = -1
		return false
	}
	in, out, ok := socket.Bytes(t.fd)
	if !ok { // of a Unix socket
		unix.Close(t.fd)
		t.fd = -1
		return false
	}
	if t.in == 0 && in > 0 {
		t.sendLocked(t.step(clockMonotonic(), "first byte in", fmt.Sprintf("%d bytes have come", in)))
	}
	if t.out == 0 && out > 0 {
		t.sendLocked(t.step(clockMonotonic(), "first byte out", fmt.Sprintf("%d bytes have been sent", out)))
	}
	t.in, t.out = in, out
	return true
}

// checked tells the settings by which a client was checked.
func (t *trace) checked(c *client, d *decision) {
	if t == nil {
		return
	}
	p := c.def.Policy
	if p == nil {
		return
	}
	p.EachCheck(d.Decision, func(setting, result string) { t.add(setting, "%s", result) })
	if p.Libwrap == "" || d.NeedName || d.Reason != "" && d.Reason != logline.ReasonLibwrap {
		return
	}
	switch {
	case d.Reason != "":
		t.add("hosts_access", "%s refuses it", d.Rule)
	case d.pending():
		t.add("hosts_access", "a rule needs the name of the address that it came to, or its user")
	default:
		t.add("hosts_access", "%s is let in as %q by hosts.allow and hosts.deny", c.from.Addr(), p.Libwrap)
	}
}

// counted notes how many clients of the service are served with this one.
func (t *trace) counted(n int) {
	if t != nil {
		t.running = n
	}
}

// waits tells why nothing happens for a while.
func (t *trace) waits(why string) {
	if t != nil {
		t.add("waits", "%s", why)
	}
}

// admitted tells the limits that a client was counted for.
func (t *trace) admitted(c *client, d *decision) {
	if t == nil {
		return
	}
	if !d.admitted {
		return
	}
	l := c.def.Limits
	if l.Instances > 0 {
		t.add("instances", "%d of %d are served", t.running, l.Instances)
	}
	for _, limit := range []struct {
		name, text string
		n          int
	}{
		{"per_source", "of one source at once", l.PerSource},
		{"per_minute", "starts in a minute", l.PerMinute},
		{"per_source_per_minute", "starts of one source in a minute", l.PerSourcePerMinute},
		{"cps", "starts in a second", l.CPS.Max},
		{"cps_per_source", "starts of one source in a second", l.CPSPerSource.Max},
	} {
		if limit.n > 0 {
			t.add(limit.name, "not more than %d %s", limit.n, limit.text)
		}
	}
	if t.s.o.MaxPrograms > 0 {
		t.add("-limit", "not more than %d clients of all services", t.s.o.MaxPrograms)
	}
}

// refused tells why a client is refused.
func (t *trace) refused(reason, rule string) {
	if t == nil {
		return
	}
	if t.isRefused { // which it is once for the log and once for the client
		return
	}
	t.isRefused = true
	if rule != "" {
		reason += " (" + rule + ")"
	}
	t.add("refused", "%s", reason)
}

// started tells the steps of a child that has executed its program.
func (t *trace) started(image *spawn.Image, sc *spawn.Scratch, pid int) {
	if t == nil {
		return
	}
	exec := clockMonotonic()
	t.mu.Lock()
	t.pid = pid
	t.mu.Unlock()
	t.addAt(t.forked, "fork", fmt.Sprintf("pid %d", pid))
	for _, step := range image.Steps(sc) {
		name, text, _ := strings.Cut(step.Name, " ")
		t.addAt(time.Duration(step.At), name, text)
	}
	t.addAt(exec, "exec", image.CommandLine())
	if t.fd >= 0 {
		go t.watch()
	}
}

// forking has the steps of the next child noted.
func (t *trace) forking(sc *spawn.Scratch) {
	if t == nil {
		return
	}
	sc.Trace()
	t.forked = clockMonotonic()
}

// forkedWithoutWaiting tells of a child that nobody waits for until it has
// executed its program.
func (t *trace) forkedWithoutWaiting(pid int) {
	if t == nil {
		return
	}
	t.forked = clockMonotonic()
	t.add("waits", "for pid %d to execute its program: starts of this service have hung", pid)
}

// exited tells how a program ended.
func (t *trace) exited(e spawn.Exit) {
	if t == nil {
		return
	}
	how := "its status is not known"
	switch {
	case e.HasStatus && e.Status.Signaled():
		how = fmt.Sprintf("signal %d (%v)", e.Status.Signal(), e.Status.Signal())
	case e.HasStatus:
		how = fmt.Sprintf("status %d", e.Status.ExitStatus())
	}
	if e.Usage != (spawn.Usage{}) {
		how += fmt.Sprintf(", CPU %v, %d kB of memory at most", e.Usage.CPU.Round(time.Microsecond), e.Usage.MaxRSS)
	}
	t.end("exit", how)
}

// lookedUp tells the names of a client.
func (t *trace) lookedUp(h *admit.Host) {
	if t == nil {
		return
	}
	if len(h.Confirmed) == 0 {
		t.add("host name", "none that leads back to the address")
		return
	}
	t.add("host name", "%s", strings.Join(h.Confirmed, ", "))
}

// identified tells the answer of a client's ident server.
func (t *trace) identified(reply ident.Reply, err error) {
	if t == nil {
		return
	}
	if err != nil {
		t.add("ident", "%v", err)
		return
	}
	t.add("ident", "%s", reply)
}

// handOff tells what a socket is handed off for.
func (t *trace) handOff(c *client) {
	if t == nil {
		return
	}
	if c.from.IsValid() {
		t.add("datagram", "from %s (recvfrom MSG_PEEK)", c.from)
	}
	if c.def.Wait {
		t.add("hand-off", "the socket is the program's until that ends")
	}
}

// muxed tells which service a tcpmux client has named.
func (t *trace) muxed(name string) {
	if t != nil {
		t.add("tcpmux", "the client names %q", name)
	}
}

// internal tells what serves a client without a program.
func (t *trace) internal(kind, name string) {
	if t == nil {
		return
	}
	t.add(kind, "%s", name)
	if t.fd >= 0 {
		go t.watch()
	}
}
