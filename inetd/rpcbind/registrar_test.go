package rpcbind

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is far more than anything here takes.
const patience = 20 * time.Second

// A fakeRpcbind answers as rpcbind(8) does, over a Unix socket.
type fakeRpcbind struct {
	t    *testing.T
	path string

	mu      sync.Mutex
	changed *sync.Cond
	entries []entry
	conns   []net.Conn
	dials   int
	dumps   int
	hold    chan struct{} // not nil: no call is answered until it is closed
	drop    bool          // connections end after a call
	status  uint32        // of every reply
	l       net.Listener
}

func newFake(t *testing.T) *fakeRpcbind {
	f := &fakeRpcbind{t: t, path: filepath.Join(t.TempDir(), "rpcbind.sock")}
	f.changed = sync.NewCond(&f.mu)
	t.Cleanup(f.stop)
	return f
}

func (f *fakeRpcbind) start() {
	f.t.Helper()
	l, err := net.Listen("unix", f.path)
	if err != nil {
		f.t.Fatal(err)
	}
	f.l = l
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, c)
			f.dials++
			f.mu.Unlock()
			go f.serve(c)
		}
	}()
}

// stop ends it, and the connections to it; what is registered stays (rpcbind -w).
func (f *fakeRpcbind) stop() {
	if f.l != nil {
		f.l.Close()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		c.Close()
	}
	f.conns = nil
}

func (f *fakeRpcbind) serve(c net.Conn) {
	defer c.Close()
	for {
		var mark [4]byte
		if _, err := io.ReadFull(c, mark[:]); err != nil {
			return
		}
		call := make([]byte, binary.BigEndian.Uint32(mark[:])&^lastFragment)
		if _, err := io.ReadFull(c, call); err != nil {
			return
		}
		f.mu.Lock()
		hold := f.hold
		f.mu.Unlock()
		if hold != nil {
			<-hold
		}
		reply, drop := f.answer(call)
		c.Write(append(appendUint32(nil, lastFragment|uint32(len(reply))), reply...))
		if drop {
			return
		}
	}
}

func (f *fakeRpcbind) answer(call []byte) (reply []byte, drop bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.changed.Broadcast()
	d := decoder{data: call}
	xid := d.uint32()
	d.data = d.data[16:]
	procedure := d.uint32()
	d.data = d.data[16:]
	for _, n := range []uint32{xid, 1, 0, 0, 0, f.status} {
		reply = appendUint32(reply, n)
	}
	done := uint32(1)
	switch procedure {
	case procDump:
		f.dumps++
		for _, e := range f.entries {
			reply = e.append(appendUint32(reply, 1))
		}
		done = 0
	case procSet, procUnset:
		e := entry{d.uint32(), d.uint32(), d.string(), d.string(), d.string()}
		i := slices.IndexFunc(f.entries, func(o entry) bool { return o.program == e.program && o.version == e.version && o.netID == e.netID })
		switch {
		case procedure == procSet && i < 0:
			f.entries = append(f.entries, e)
		case procedure == procUnset && i >= 0:
			f.entries = slices.Delete(f.entries, i, i+1)
		default:
			done = 0
		}
	}
	return appendUint32(reply, done), f.drop
}

// until waits for a state of the fake.
func (f *fakeRpcbind) until(what string, reached func() bool) {
	f.t.Helper()
	late := time.AfterFunc(patience, func() {
		f.mu.Lock()
		f.changed.Broadcast()
		f.mu.Unlock()
	})
	defer late.Stop()
	end := time.Now().Add(patience)
	f.mu.Lock()
	defer f.mu.Unlock()
	for !reached() {
		if !time.Now().Before(end) {
			f.t.Fatalf("%s: not within %v; entries %v, %d dumps", what, patience, f.entries, f.dumps)
		}
		f.changed.Wait()
	}
}

func (f *fakeRpcbind) untilEntries(want string) {
	f.t.Helper()
	f.until(want, func() bool { return f.textLocked() == want })
}

func (f *fakeRpcbind) textLocked() string {
	var list []string
	for _, e := range f.entries {
		list = append(list, fmt.Sprintf("%d/%d %s %s", e.program, e.version, e.netID, e.address))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func (f *fakeRpcbind) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.textLocked()
}

// newRegistrar returns a registrar that asks the fake, and the lines it logs.
func (f *fakeRpcbind) newRegistrar(poll time.Duration) (r *Registrar, lines chan string) {
	lines = make(chan string, 100)
	logf := func(format string, args ...any) { lines <- fmt.Sprintf(format, args...) }
	r = New(Options{Notice: logf, Warn: logf, Socket: f.path, UDP: netip.MustParseAddrPort("127.0.0.1:1"), Retry: 5 * time.Millisecond, Poll: poll,
		Owners: func() Owner {
			return func(string, netip.AddrPort) (string, string, bool) { return "", "", false }
		}})
	f.t.Cleanup(func() {
		r.Stop()
		if r.Running() {
			<-r.ended
		}
	})
	return r, lines
}

func registrations(programs ...uint32) (list []Registration) {
	for _, n := range programs {
		list = append(list, Registration{Program: n, Version: 1, NetID: "udp", Addr: netip.MustParseAddrPort("0.0.0.0:793"), Service: fmt.Sprint("s", n)})
	}
	return list
}

const (
	one = "1/1 udp 0.0.0.0.3.25"
	two = "2/1 udp 0.0.0.0.3.25"
)

func TestRegistrar(t *testing.T) {
	f := newFake(t)
	f.start()
	r, lines := f.newRegistrar(time.Hour)
	if r.Set(nil); r.Running() {
		t.Error("it runs, and nothing is to be registered")
	}
	r.Set(registrations(1, 2))
	f.untilEntries(one + ", " + two)
	if got := <-lines; got != "registered with rpcbind: s1, s2" {
		t.Error(got)
	}
	r.Set(registrations(2))
	f.untilEntries(two)
	r.Close(patience)
	if got := f.text(); got != "" || len(r.Registered()) > 0 {
		t.Errorf("after Close: %q, %v", got, r.Registered())
	}
	<-r.ended
}

// A reload that ends behind Close registers nothing any more.
func TestSetAfterClose(t *testing.T) {
	f := newFake(t)
	f.start()
	r, _ := f.newRegistrar(time.Hour)
	r.Set(registrations(1))
	f.untilEntries(one)
	hold := make(chan struct{})
	f.mu.Lock()
	f.hold = hold
	f.mu.Unlock()
	closed := make(chan struct{})
	go func() { r.Close(patience); close(closed) }()
	for held := false; !held; { // Close has taken what was wanted
		r.mu.Lock()
		held = r.closing != nil
		r.mu.Unlock()
	}
	r.Set(registrations(1, 2))
	f.mu.Lock()
	f.hold = nil
	f.mu.Unlock()
	close(hold)
	<-closed
	<-r.ended
	if got := f.text(); got != "" {
		t.Errorf("rpcbind has %q", got)
	}
}

// What is to be removed and is not yet is handed over, and removed by the next
// process.
func TestRemovalPending(t *testing.T) {
	f := newFake(t)
	f.start()
	r, _ := f.newRegistrar(time.Hour)
	r.Set(registrations(1, 2))
	f.untilEntries(one + ", " + two)
	f.until("both are known", func() bool { return len(r.Registered()) == 2 })
	f.stop()
	r.Set(registrations(2))
	r.Stop()
	<-r.ended
	list := r.Registered()
	if len(list) != 2 {
		t.Fatalf("%v", list)
	}
	f.start()
	next, _ := f.newRegistrar(time.Hour)
	next.Adopt(list)
	next.Set(registrations(2))
	f.untilEntries(two)
	next.Close(patience)
	if got := f.text(); got != "" {
		t.Errorf("rpcbind has %q", got)
	}
}

// Somebody removes or replaces a registration by hand: it is made again, when
// the other one's process has ended.
func TestPoll(t *testing.T) {
	f := newFake(t)
	f.start()
	r, lines := f.newRegistrar(5 * time.Millisecond)
	r.Set(registrations(1))
	f.untilEntries(one)
	<-lines
	f.mu.Lock()
	f.entries = nil
	f.mu.Unlock()
	f.untilEntries(one)
	f.mu.Lock()
	f.entries = []entry{{1, 1, "udp", "0.0.0.0.9.9", "superuser"}}
	f.mu.Unlock()
	f.untilEntries(one)
}

// A rpcbind that is restarted while we end has kept our registration (rpcbind
// -w): it is removed.
func TestCloseAfterRestart(t *testing.T) {
	f := newFake(t)
	f.start()
	r, _ := f.newRegistrar(time.Hour)
	r.Set(registrations(1))
	f.untilEntries(one)
	f.stop()
	f.start()
	r.Close(patience)
	if got := f.text(); got != "" {
		t.Errorf("rpcbind has %q", got)
	}
}

// One that ends each connection is not connected to all the time.
func TestPeerHangsUp(t *testing.T) {
	f := newFake(t)
	f.drop = true
	f.start()
	r, lines := f.newRegistrar(time.Hour)
	r.o.Retry = 50 * time.Millisecond
	begun := time.Now()
	r.Set(registrations(1))
	f.until("ten dumps", func() bool { return f.dumps >= 10 })
	f.mu.Lock()
	dials := f.dials
	f.mu.Unlock()
	if most := 3 * (1 + int(time.Since(begun)/r.o.Retry)); dials > most {
		t.Errorf("%d connections within %v", dials, time.Since(begun))
	}
	if got := <-lines; !strings.HasPrefix(got, "rpcbind(8) does not answer: ") {
		t.Error(got)
	}
}

// An answer that is an error is no missing answer.
func TestRefused(t *testing.T) {
	f := newFake(t)
	f.status = 2
	f.start()
	r, lines := f.newRegistrar(time.Hour)
	r.Set(registrations(1))
	if got := <-lines; !strings.HasPrefix(got, "rpcbind(8) answers with an error: version 4 not supported (s1: not registered until it does not; ") {
		t.Error(got)
	}
}
