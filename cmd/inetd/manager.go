package main

import (
	"fmt"
	"net"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"goinetd/inetd"
	"goinetd/inetd/syslog"
)

// A manager is the service manager that started us and wants to know how we
// are (sd_notify(3)); nil where there is none.
type manager struct{ socket string }

func newManager() *manager {
	if socket := os.Getenv("NOTIFY_SOCKET"); socket != "" {
		return &manager{socket}
	}
	return nil
}

// orNil is for those who know a manager as an interface.
func (m *manager) orNil() inetd.Manager {
	if m == nil {
		return nil
	}
	return m
}

func (m *manager) tell(state string) {
	if m != nil {
		daemon.SdNotify(false, state)
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
// process of the service, if FileDescriptorStoreMax= allows.
func (m *manager) Keep(fd int, name string) {
	m.send("FDSTORE=1\nFDPOLL=0\nFDNAME="+name, unix.UnixRights(fd))
}

// Forget has it close the copy.
func (m *manager) Forget(_ int, name string) { m.tell("FDSTOREREMOVE=1\nFDNAME=" + name) }

// send is tell with descriptors, which the library does not have.
func (m *manager) send(state string, rights []byte) {
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram"})
	if err != nil {
		return
	}
	defer c.Close()
	c.WriteMsgUnix([]byte(state), rights, &net.UnixAddr{Name: m.socket, Net: "unixgram"})
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
