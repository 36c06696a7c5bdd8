package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Backend does what clients ask for.
type Backend interface {
	// Status returns the state; of one service where service is not empty.
	Status(service string) (*Status, error)
	// Reload reads the configuration, and returns its problems once it is
	// served. An error: nothing has changed.
	Reload(context.Context) ([]Problem, error)
	// Upgrade begins to execute the program's file again, unless that would fail.
	Upgrade(context.Context) error
	// Start, Stop and Pause change what happens to the clients of a service.
	Start(service string) error
	Stop(service string) error
	Pause(service string) error
	// Drain stops a service, and returns when nobody is served any more.
	Drain(ctx context.Context, service string) error
	// Kick ends programs by pid, client address or service, and returns how many.
	Kick(target string) (int, error)
	// Why returns what would happen to a client of a service that comes to an
	// address of ours; where that is not valid, to the one that we would send from.
	Why(service string, client, to netip.Addr) (*Verdict, error)
	// Follow has f called with each event of a service, of all where it is empty,
	// until stop is called. f must not block.
	Follow(service string, f func(Event)) (stop func())
	// Trace has f called with each step of the next n connections of a service, of
	// all where it is empty or n is 0, until stop is called. f must not block.
	Trace(service string, n int, f func(Step)) (stop func(), err error)
}

// maxClients is how many clients there may be at once. More are refused.
const maxClients = 128

// maxRequest is how many bytes a request may have.
const maxRequest = 64 << 10

// maxBehind is how many events a client may be behind before it is cut off.
const maxBehind = 1024

// writeTimeout is how long a client may take to read.
const writeTimeout = 5 * time.Second

// A Server answers clients of one socket.
type Server struct {
	backend  Backend
	listener *net.UnixListener
	path     string
	id       [2]uint64 // of the socket's file
	gid      int       // of the group that may use it; -1: none
	onIdle   func()    // called when the last client has gone

	mu        sync.Mutex
	clients   map[*net.UnixConn]struct{}
	answering int       // requests that are being answered
	answered  sync.Cond // answering has become 0
	closed    bool
}

// closeTimeout is how long Close waits for requests to be answered.
const closeTimeout = 200 * time.Millisecond

// Listen opens the socket at a path, and makes the directory that it is in. It is
// root's, or that of the user of the daemon; a gid that is not negative lets a
// group use it. A file of a process that has ended is replaced. onIdle is called
// whenever the last client has gone.
func Listen(path string, gid int, backend Backend, onIdle func()) (*Server, error) {
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return nil, fmt.Errorf("another inetd answers at %s", path)
	}
	// The file appears with its mode and owner, and replaces that of before in
	// one step.
	temporary := fmt.Sprintf("%s.%d", path, os.Getpid())
	os.Remove(temporary)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temporary, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	s := &Server{backend: backend, listener: l, path: path, gid: gid, onIdle: onIdle, clients: map[*net.UnixConn]struct{}{}}
	s.answered.L = &s.mu
	mode := os.FileMode(0o600)
	if gid >= 0 {
		mode, err = 0o660, os.Lchown(temporary, -1, gid)
	}
	if err == nil {
		err = os.Chmod(temporary, mode)
	}
	if err == nil {
		s.id = identify(temporary)
		err = os.Rename(temporary, path)
	}
	if err != nil {
		l.Close()
		os.Remove(temporary)
		return nil, err
	}
	go s.accept()
	return s, nil
}

func identify(path string) [2]uint64 {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return [2]uint64{}
	}
	return [2]uint64{uint64(st.Dev), st.Ino}
}

// Close closes the socket, and ends all connections once their requests are
// answered, but soon. Its file is removed if it is still ours, unless an inetd
// follows that replaces it.
func (s *Server) Close(follows bool) {
	if !follows && identify(s.path) == s.id {
		os.Remove(s.path)
	}
	s.listener.Close()
	overdue := false
	timer := time.AfterFunc(closeTimeout, func() {
		s.mu.Lock()
		overdue = true
		s.answered.Broadcast()
		s.mu.Unlock()
	})
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for s.answering > 0 && !overdue {
		s.answered.Wait()
	}
	for c := range s.clients {
		c.Close()
	}
}

func (s *Server) accept() {
	for {
		c, err := s.listener.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // as without descriptors
			time.Sleep(time.Second)
			continue
		}
		if why := s.refuses(c); why != "" {
			s.send(c, &Response{Error: why})
			c.Close()
			continue
		}
		go s.serve(c)
	}
}

// refuses returns why a client is not served; empty: it is, and is counted.
func (s *Server) refuses(c *net.UnixConn) string {
	uid, gids, err := peer(c)
	switch {
	case err != nil:
		return "it is not known who you are: " + err.Error()
	case uid != 0 && uid != os.Geteuid() && (s.gid < 0 || !slices.Contains(gids, s.gid)):
		return fmt.Sprintf("user %d is neither root nor in the group that may use %s", uid, s.path)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.clients) >= maxClients {
		return fmt.Sprintf("%d clients are connected, and no more may be", len(s.clients))
	}
	s.clients[c] = struct{}{}
	return ""
}

// peer returns who is at the other end (SO_PEERCRED, SO_PEERGROUPS of unix(7)).
func peer(c *net.UnixConn) (uid int, gids []int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, nil, err
	}
	var asked error
	err = raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); asked != nil {
			return
		}
		uid, gids = int(cred.Uid), append(peerGroups(int(fd)), int(cred.Gid))
	})
	return uid, gids, errors.Join(err, asked)
}

// serve answers the requests of a client.
func (s *Server) serve(c *net.UnixConn) {
	ctx, cancel := context.WithCancel(context.Background())
	defer func() {
		cancel()
		c.Close()
		s.mu.Lock()
		delete(s.clients, c)
		idle := len(s.clients) == 0
		s.mu.Unlock()
		if idle {
			s.onIdle()
		}
	}()
	requests := make(chan []byte)
	go func() { // notices a client that goes away while it waits for something
		defer cancel()
		lines := bufio.NewScanner(c)
		lines.Buffer(make([]byte, 0, 1024), maxRequest)
		for lines.Scan() {
			select {
			case requests <- slices.Clone(lines.Bytes()):
			case <-ctx.Done():
				return
			}
		}
		if lines.Err() != nil && errors.Is(lines.Err(), bufio.ErrTooLong) {
			s.send(c, &Response{Error: fmt.Sprintf("a request has more than %d bytes", maxRequest)})
		}
	}()
	for {
		select {
		case line := <-requests:
			if !s.answer(ctx, c, line) {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// answer answers one request. It reports whether another one may follow.
func (s *Server) answer(ctx context.Context, c *net.UnixConn, line []byte) bool {
	var r Request
	if err := json.Unmarshal(line, &r); err != nil {
		return s.send(c, &Response{Error: "request: " + err.Error()})
	}
	if r.Version != Version {
		return s.send(c, &Response{Error: fmt.Sprintf("version %d of the protocol is not known, only %d", r.Version, Version)})
	}
	switch r.Verb {
	case VerbEvents:
		s.follow(ctx, c, func(send func(Response)) (func(), error) {
			return s.backend.Follow(r.Service, func(e Event) { send(Response{Event: &e}) }), nil
		})
		return false
	case VerbTrace:
		s.follow(ctx, c, func(send func(Response)) (func(), error) {
			return s.backend.Trace(r.Service, r.N, func(step Step) { send(Response{Step: &step}) })
		})
		return false
	}
	s.count(1)
	defer s.count(-1)
	response := new(Response)
	if err := s.do(ctx, r, response); err != nil {
		response.Error = err.Error()
	}
	return s.send(c, response)
}

// count counts the requests that are being answered.
func (s *Server) count(change int) {
	s.mu.Lock()
	if s.answering += change; s.answering == 0 {
		s.answered.Broadcast()
	}
	s.mu.Unlock()
}

func (s *Server) do(ctx context.Context, r Request, response *Response) (err error) {
	b := s.backend
	switch r.Verb {
	case VerbStatus:
		response.Status, err = b.Status(r.Service)
	case VerbReload:
		response.Problems, err = b.Reload(ctx)
	case VerbUpgrade:
		err = b.Upgrade(ctx)
	case VerbStart:
		err = b.Start(r.Service)
	case VerbStop:
		err = b.Stop(r.Service)
	case VerbPause:
		err = b.Pause(r.Service)
	case VerbDrain:
		err = b.Drain(ctx, r.Service)
	case VerbKick:
		response.Ended, err = b.Kick(r.Target)
	case VerbWhy:
		var client, to netip.Addr
		client, err = netip.ParseAddr(r.Target)
		if err == nil && r.To != "" {
			to, err = netip.ParseAddr(r.To)
		}
		if err == nil {
			response.Verdict, err = b.Why(r.Service, client.Unmap(), to.Unmap())
		}
	default:
		err = fmt.Errorf("unknown verb %q", r.Verb)
	}
	return err
}

// follow sends what begin has sent until the client goes away, or is too slow.
func (s *Server) follow(ctx context.Context, c *net.UnixConn, begin func(send func(Response)) (stop func(), err error)) {
	events := make(chan Response, maxBehind)
	behind := make(chan struct{})
	var once sync.Once
	stop, err := begin(func(r Response) {
		select {
		case events <- r:
		default:
			once.Do(func() { close(behind) })
		}
	})
	if err != nil {
		s.send(c, &Response{Error: err.Error()})
		return
	}
	defer stop()
	if !s.send(c, &Response{}) { // from here on nothing is missed
		return
	}
	for {
		select {
		case r := <-events:
			// More come under load: a write for each would cost as much as a client.
			time.Sleep(batchDelay)
			batch := appendResponse(nil, &r)
			for n := len(events); n > 0; n-- {
				r = <-events
				batch = appendResponse(batch, &r)
			}
			if !s.write(c, batch) {
				return
			}
		case <-behind:
			s.send(c, &Response{Error: fmt.Sprintf("cut off: more than %d events behind", maxBehind)})
			return
		case <-ctx.Done():
			return
		}
	}
}

// batchDelay is how long events are gathered.
const batchDelay = 10 * time.Millisecond

// appendResponse appends a response as a line.
func appendResponse(b []byte, r *Response) []byte {
	r.Version = Version
	line, err := json.Marshal(r)
	if err != nil { // of these types, none cannot be marshalled
		return b
	}
	return append(append(b, line...), '\n')
}

// send sends a response. It reports false where the client does not read.
func (s *Server) send(c *net.UnixConn, r *Response) bool { return s.write(c, appendResponse(nil, r)) }

func (s *Server) write(c *net.UnixConn, lines []byte) bool {
	c.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := c.Write(lines)
	return err == nil
}
