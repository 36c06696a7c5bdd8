package main

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
	"goinetd/inetd"
	"goinetd/inetd/socket"
)

// The daemon starts anew, as another version of itself perhaps, by an exec
// in place: it is the same process, with the same children, and its sockets
// stay open.

// estateVariable tells the new program where to read what it has from the
// one before: the descriptor of a file in memory.
const estateVariable = "GOINETD_ESTATE_FD"

// self is the program's file as it was called at the start; another may be
// there by now.
var self, selfError = os.Executable()

// canStartAnew tells why startAnew would fail, or take services away by a
// mistake in the configuration, while there is a way back.
func (d *running) canStartAnew(server *inetd.Server) error {
	if selfError != nil {
		return selfError
	}
	if err := unix.Access(self, unix.X_OK); err != nil {
		return fmt.Errorf("%s: %w", self, err)
	}
	services, problems, err := d.load()
	if err != nil {
		return err
	}
	lost := server.Lost(services)
	for _, p := range problems {
		if p.Severity == config.Error && len(lost) > 0 {
			return fmt.Errorf("service %s would be lost: %v", strings.Join(lost, ", "), p)
		}
	}
	return nil
}

// startAnew execs the program. It returns if that fails.
func startAnew(e inetd.Estate) error {
	var b strings.Builder
	for _, in := range e.Sockets {
		fmt.Fprintf(&b, "socket %d %s\n", in.FD, strconv.Quote(in.Name))
		unix.FcntlInt(uintptr(in.FD), unix.F_SETFD, 0)
	}
	for _, c := range e.Children {
		from := "-"
		if c.Client.IsValid() {
			from = c.Client.String()
		}
		fmt.Fprintf(&b, "child %d %d %s %s\n", c.PID, c.Since.UnixNano(), from, strconv.Quote(c.Service))
	}
	fd, err := unix.MemfdCreate("inetd", 0)
	if err != nil {
		return fmt.Errorf("memfd_create: %w", err)
	}
	file := os.NewFile(uintptr(fd), "estate")
	defer file.Close() // and no sooner, as by a finalizer
	if _, err := file.WriteString(b.String()); err != nil {
		return err
	}
	// A signal that comes before the new program is ready for it would end
	// it: such wait. Go unblocks what a program asks for (os/signal).
	runtime.LockOSThread()
	var set unix.Sigset_t
	for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2} {
		set.Val[(sig-1)/wordBits] |= 1 << ((sig - 1) % wordBits)
	}
	unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil)
	err = syscall.Exec(self, os.Args, append(os.Environ(), fmt.Sprintf("%s=%d", estateVariable, fd)))
	return fmt.Errorf("%s: %w", self, err)
}

const wordBits = 32 << (^uint(0) >> 63)

// takeEstate reads what the program before us left.
func takeEstate() (e inetd.Estate, err error) {
	text := os.Getenv(estateVariable)
	os.Unsetenv(estateVariable)
	fd, err := strconv.Atoi(text)
	if text == "" || err != nil {
		return e, nil
	}
	file := os.NewFile(uintptr(fd), "estate")
	defer file.Close()
	if _, err := file.Seek(0, 0); err != nil {
		return e, fmt.Errorf("%s: %w", estateVariable, err)
	}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if err := bequest(&e, lines.Text()); err != nil {
			return e, fmt.Errorf("%s: %q: %w", estateVariable, lines.Text(), err)
		}
	}
	return e, nil
}

func bequest(e *inetd.Estate, line string) error {
	var fd, pid int
	var nanos int64
	var name, from string
	if strings.HasPrefix(line, "socket ") {
		if _, err := fmt.Sscanf(line, "socket %d %q", &fd, &name); err != nil {
			return err
		}
		e.Sockets = append(e.Sockets, socket.Passed(fd, name))
		return nil
	}
	if _, err := fmt.Sscanf(line, "child %d %d %s %q", &pid, &nanos, &from, &name); err != nil {
		return err
	}
	client, _ := netip.ParseAddrPort(from)
	e.Children = append(e.Children, inetd.Child{PID: pid, Service: name, Client: client, Since: time.Unix(0, nanos)})
	return nil
}
