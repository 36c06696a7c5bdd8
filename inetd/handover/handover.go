// Package handover passes a daemon's sockets and children on to the process
// that comes after it, so that no client is refused in between and limits
// count who is still running.
//
// In an upgrade (SIGUSR2) that is the same process, which executes the
// program's file again: [Exec] leaves a [State] behind, [Receive] reads it.
// A process that the service manager starts gets the sockets alone
// (sd_pid_notify_with_fds(3)), as package socket reads them.
package handover

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/inetd/socket"
)

// A State is what is handed over.
type State struct {
	Sockets  []*socket.Inherited
	Children []Child
}

// A Child is a program that runs, and goes on running.
type Child struct {
	PID     int
	Service string         // config.Service.Key
	Client  netip.AddrPort // zero: unknown, as for a Unix socket
	Start   time.Time
}

// Variable is the environment variable that names the descriptor of the
// encoded State.
const Variable = "GOINETD_HANDOVER_FD"

// Encode writes a state: a line for each socket and each child.
func (s *State) Encode(w io.Writer) error {
	b := bufio.NewWriter(w)
	for _, in := range s.Sockets {
		fmt.Fprintf(b, "socket %d %s\n", in.FD, strconv.Quote(in.Name))
	}
	for _, c := range s.Children {
		client := "-"
		if c.Client.IsValid() {
			client = c.Client.String()
		}
		fmt.Fprintf(b, "child %d %d %s %s\n", c.PID, c.Start.UnixNano(), client, strconv.Quote(c.Service))
	}
	return b.Flush()
}

// Decode reads what Encode wrote. The sockets are asked what they are. What
// was read before an error is returned with it.
func Decode(r io.Reader) (s State, err error) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if err := s.decodeLine(lines.Text()); err != nil {
			return s, fmt.Errorf("%q: %w", lines.Text(), err)
		}
	}
	return s, nil
}

func (s *State) decodeLine(line string) error {
	var fd, pid int
	var nanos int64
	var name, client string
	if strings.HasPrefix(line, "socket ") {
		if _, err := fmt.Sscanf(line, "socket %d %q", &fd, &name); err != nil {
			return err
		}
		s.Sockets = append(s.Sockets, socket.FromExec(fd, name))
		return nil
	}
	if _, err := fmt.Sscanf(line, "child %d %d %s %q", &pid, &nanos, &client, &name); err != nil {
		return err
	}
	c := Child{PID: pid, Service: name, Start: time.Unix(0, nanos)}
	if client != "-" {
		var err error
		if c.Client, err = netip.ParseAddrPort(client); err != nil {
			return err
		}
	}
	s.Children = append(s.Children, c)
	return nil
}

// Exec executes a program in the place of this process, with the state for
// it. It returns only if that fails.
func Exec(path string, args, environ []string, s State) error {
	for _, in := range s.Sockets {
		unix.FcntlInt(uintptr(in.FD), unix.F_SETFD, 0)
	}
	fd, err := unix.MemfdCreate("inetd", 0)
	if err != nil {
		return fmt.Errorf("memfd_create: %w", err)
	}
	file := os.NewFile(uintptr(fd), "handover")
	defer file.Close() // keeps the file from being finalized before the exec
	if err := s.Encode(file); err != nil {
		return fmt.Errorf("memfd: %w", err)
	}
	// A signal that arrives before the new program handles it would end the
	// process, so signals wait. Go unblocks those that a program asks for
	// (os/signal).
	runtime.LockOSThread()
	unix.PthreadSigmask(unix.SIG_BLOCK, signalSet(unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2), nil)
	err = syscall.Exec(path, args, append(environ, fmt.Sprintf("%s=%d", Variable, fd)))
	return fmt.Errorf("exec %s: %w", path, err)
}

func signalSet(signals ...unix.Signal) *unix.Sigset_t {
	const wordBits = 32 << (^uint(0) >> 63)
	var set unix.Sigset_t
	for _, sig := range signals {
		set.Val[(sig-1)/wordBits] |= 1 << ((sig - 1) % wordBits)
	}
	return &set
}

// Receive reads the state that Exec left, and removes Variable from the
// environment. Without one the state is empty.
func Receive() (State, error) {
	text := os.Getenv(Variable)
	os.Unsetenv(Variable)
	fd, err := strconv.Atoi(text)
	if text == "" || err != nil {
		return State{}, nil
	}
	file := os.NewFile(uintptr(fd), "handover")
	defer file.Close()
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return State{}, fmt.Errorf("%s: %w", Variable, err)
	}
	s, err := Decode(file)
	if err != nil {
		return s, fmt.Errorf("%s: %w", Variable, err)
	}
	return s, nil
}
