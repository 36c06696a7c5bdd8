package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	sddaemon "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"goinetd/inetd"
	"goinetd/inetd/handover"
	"goinetd/inetd/syslog"
)

// A notifier sends messages to the service manager that started us
// (sd_notify(3)); nil where there is none. Nobody waits for it: messages go
// into a queue, and one goroutine sends them.
type notifier struct {
	to *unix.SockaddrUnix
	fd int

	mu        sync.Mutex
	wake      sync.Cond
	idle      sync.Cond
	queue     []message
	sending   bool
	stored    map[string]bool // names of the sockets that it keeps copies of; there are files beside them
	storeSize int             // how many copies it keeps

	storeSizeKnown bool // it has said so
}

// defaultStoreSize is the FileDescriptorStoreMax= of our units, for a systemd
// that does not set $FDSTORE (before 254; systemd.exec(5)).
const defaultStoreSize = 512

// A message is a state, with a descriptor for the service manager to store;
// -1: none.
type message struct {
	state string
	fd    int
}

func newNotifier() *notifier {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	m := &notifier{to: &unix.SockaddrUnix{Name: name}, fd: fd, stored: map[string]bool{}, storeSize: defaultStoreSize}
	if n, err := strconv.Atoi(os.Getenv("FDSTORE")); err == nil {
		m.storeSize, m.storeSizeKnown = n, true
	}
	m.wake.L, m.idle.L = &m.mu, &m.mu
	go m.run()
	return m
}

// iface returns the notifier as an interface, which is nil where the notifier
// is.
func (m *notifier) iface() inetd.Notifier {
	if m == nil {
		return nil
	}
	return m
}

func (m *notifier) send(state string) { m.enqueue(message{state, -1}) }

func (m *notifier) enqueue(one message) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	// A service manager that does not read is told only what is still true.
	if i := slices.IndexFunc(m.queue, func(before message) bool { return one.replaces(before) }); i >= 0 {
		m.queue[i].close()
		m.queue = slices.Delete(m.queue, i, i+1)
		if one.cancels() {
			return
		}
	}
	m.queue = append(m.queue, one)
	m.wake.Signal()
}

// The messages that are replaced by later ones.
const (
	statusState  = "STATUS="
	beatState    = "WATCHDOG=1"
	storeState   = "FDSTORE=1\nFDPOLL=0\nFDNAME="
	unstoreState = "FDSTOREREMOVE=1\nFDNAME="
)

// replaces reports whether a message that waits need not be sent, now that
// there is this one.
func (one message) replaces(before message) bool {
	for _, prefix := range []string{statusState, beatState} {
		if strings.HasPrefix(one.state, prefix) && strings.HasPrefix(before.state, prefix) {
			return true
		}
	}
	return one.cancels() && before.state == storeState+strings.TrimPrefix(one.state, unstoreState)
}

// cancels reports whether a message need not be sent, either, if it replaces
// one.
func (one message) cancels() bool { return strings.HasPrefix(one.state, unstoreState) }

func (one message) close() {
	if one.fd >= 0 {
		unix.Close(one.fd)
	}
}

// run sends the messages in order. The library that reads the watchdog's
// interval cannot send descriptors.
func (m *notifier) run() {
	m.mu.Lock()
	for {
		for len(m.queue) == 0 {
			m.sending = false
			m.idle.Broadcast()
			m.wake.Wait()
		}
		batch := m.queue
		m.queue, m.sending = nil, true
		m.mu.Unlock()
		for _, one := range batch {
			var rights []byte
			if one.fd >= 0 {
				rights = unix.UnixRights(one.fd)
			}
			for unix.Sendmsg(m.fd, []byte(one.state), rights, m.to, unix.MSG_NOSIGNAL) == unix.EINTR {
			}
			one.close()
		}
		m.mu.Lock()
	}
}

// barrier waits until the service manager has read what was sent
// (sd_notify_barrier(3)): it does not know a process that has ended. It waits
// no longer than the limit.
func (m *notifier) barrier(limit time.Duration) {
	if m == nil {
		return
	}
	var ends [2]int
	if unix.Pipe2(ends[:], unix.O_CLOEXEC) != nil {
		return
	}
	defer unix.Close(ends[0])
	m.enqueue(message{"BARRIER=1", ends[1]})
	m.flush()
	poll := []unix.PollFd{{Fd: int32(ends[0])}}
	for end := time.Now().Add(limit); time.Until(end) > 0; {
		if _, err := unix.Poll(poll, int(time.Until(end)/time.Millisecond)); err != unix.EINTR {
			return
		}
	}
}

// flush waits until every message is sent, or a second has passed.
func (m *notifier) flush() {
	if m == nil {
		return
	}
	done := make(chan struct{})
	go func() {
		m.mu.Lock()
		for m.sending || len(m.queue) > 0 {
			m.idle.Wait()
		}
		m.mu.Unlock()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Second):
	}
}

// Status sets the text that systemctl status shows.
func (m *notifier) Status(text string) { m.send(statusState + text) }

// reloading announces a reload, which READY=1 ends. The time lets systemd know
// which of several reloads that is (Type=notify-reload).
func (m *notifier) reloading() {
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	m.send(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000))
}

// Store has the service manager store a copy of a socket, to be passed to the
// next process of the unit, as long as there is room.
func (m *notifier) Store(fd int, name string) bool {
	m.mu.Lock()
	has, room := m.stored[name], m.storeSize-handover.MaxFiles
	full := room <= 0 || len(m.stored) >= room && !handover.IsFile(name)
	m.mu.Unlock()
	if has || full {
		return has
	}
	two, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, fd)
	if err != nil {
		return false
	}
	m.AddStored(name)
	m.enqueue(message{storeState + name, two})
	return true
}

// AddStored notes a copy that the process before us had stored.
func (m *notifier) AddStored(name string) {
	if handover.IsFile(name) {
		return
	}
	m.mu.Lock()
	m.stored[name] = true
	m.mu.Unlock()
}

// Unstore has a copy closed.
func (m *notifier) Unstore(name string) {
	m.mu.Lock()
	delete(m.stored, name)
	m.mu.Unlock()
	m.send(unstoreState + name)
}

// startWatchdog sends WATCHDOG=1 twice in each of the watchdog's intervals, as
// long as a worker is free to serve clients.
func (m *notifier) startWatchdog(server *inetd.Server, log *syslog.Logger) {
	limit, err := sddaemon.SdWatchdogEnabled(false)
	if m == nil || err != nil || limit == 0 {
		return
	}
	send, err := server.Heartbeat(func() { m.send(beatState) })
	if err != nil {
		log.Printf(syslog.Err, "watchdog: %v", err)
		return
	}
	go func() {
		for range time.Tick(limit / 2) {
			send()
		}
	}()
}
