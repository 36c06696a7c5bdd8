package main

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"goinetd/inetd"
	"goinetd/inetd/syslog"
)

// A manager is the service manager that started us and wants to know how we
// are (sd_notify(3)); nil where there is none. Nobody waits for it: what it
// is told goes into a queue, and one goroutine carries it there.
type manager struct {
	to *unix.SockaddrUnix
	fd int

	mu      sync.Mutex
	wake    sync.Cond
	idle    sync.Cond
	waiting []message
	sending bool
	kept    map[string]bool // names of the sockets that it has copies of
	room    int             // for so many
}

// storeRoom is the FileDescriptorStoreMax= of our units, for a systemd that
// does not tell (before 254; $FDSTORE of systemd.exec(5)).
const storeRoom = 512

// A message is a state to tell, with a copy of a socket for the manager to
// keep; -1: with none.
type message struct {
	state string
	fd    int
}

func newManager() *manager {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	m := &manager{to: &unix.SockaddrUnix{Name: name}, fd: fd, kept: map[string]bool{}, room: storeRoom}
	if n, err := strconv.Atoi(os.Getenv("FDSTORE")); err == nil {
		m.room = n
	}
	m.wake.L, m.idle.L = &m.mu, &m.mu
	go m.carry()
	return m
}

// orNil is for those who know a manager as an interface.
func (m *manager) orNil() inetd.Manager {
	if m == nil {
		return nil
	}
	return m
}

func (m *manager) tell(state string) { m.put(message{state, -1}) }

func (m *manager) put(one message) {
	if m == nil {
		return
	}
	m.mu.Lock()
	m.waiting = append(m.waiting, one)
	m.wake.Signal()
	m.mu.Unlock()
}

// carry sends what waits, in order. The library that we take the watchdog's
// time from cannot send descriptors.
func (m *manager) carry() {
	m.mu.Lock()
	for {
		for len(m.waiting) == 0 {
			m.sending = false
			m.idle.Broadcast()
			m.wake.Wait()
		}
		batch := m.waiting
		m.waiting, m.sending = nil, true
		m.mu.Unlock()
		for _, one := range batch {
			var rights []byte
			if one.fd >= 0 {
				rights = unix.UnixRights(one.fd)
			}
			for unix.Sendmsg(m.fd, []byte(one.state), rights, m.to, unix.MSG_NOSIGNAL) == unix.EINTR {
			}
			if one.fd >= 0 {
				unix.Close(one.fd)
			}
		}
		m.mu.Lock()
	}
}

// flush waits until all is said, or a second has passed.
func (m *manager) flush() {
	if m == nil {
		return
	}
	done := make(chan struct{})
	go func() {
		m.mu.Lock()
		for m.sending || len(m.waiting) > 0 {
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

// Status says how we are, for systemctl status.
func (m *manager) Status(text string) { m.tell("STATUS=" + text) }

// reloading begins what READY=1 ends. systemd tells by the time which of
// several reloads that is (Type=notify-reload).
func (m *manager) reloading() {
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	m.tell(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000))
}

// Keep has the manager keep a copy of a socket and hand it to the next
// process of the service, as long as there is room.
func (m *manager) Keep(fd int, name string) bool {
	m.mu.Lock()
	has, full := m.kept[name], len(m.kept) >= m.room
	m.mu.Unlock()
	if has || full {
		return has
	}
	two, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, fd)
	if err != nil {
		return false
	}
	m.Has(name)
	m.put(message{"FDSTORE=1\nFDPOLL=0\nFDNAME=" + name, two})
	return true
}

// Has tells of a copy that the process before us had it keep.
func (m *manager) Has(name string) {
	m.mu.Lock()
	m.kept[name] = true
	m.mu.Unlock()
}

// Forget has it close the copy.
func (m *manager) Forget(name string) {
	m.mu.Lock()
	delete(m.kept, name)
	m.mu.Unlock()
	m.tell("FDSTOREREMOVE=1\nFDNAME=" + name)
}

// watch tells the manager that we are alive, as often as it wants to hear it,
// as long as clients are served.
func (m *manager) watch(server *inetd.Server, log *syslog.Logger) {
	limit, err := daemon.SdWatchdogEnabled(false)
	if m == nil || err != nil || limit == 0 {
		return
	}
	send, err := server.Pulse(func() { m.tell("WATCHDOG=1") })
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
