// Package handover passes on what a daemon has to the process that comes after
// it: its sockets and the clients in their queues, the programs that run, and
// the services as they are served, so that the next process can do what a
// reload does. No client is refused in between, limits count who is still
// running, and a mistake in the configuration takes no service away.
//
// There are two ways. In an upgrade (SIGUSR2) the next process is the same
// one, which executes the program's file again: [Exec] leaves a [State]
// behind, [Receive] reads it. After a restart or a crash, the service manager
// passes copies of the sockets, and of two files in memory (memfd_create(2)),
// that it was given in good time (sd_pid_notify_with_fds(3)): [FromStore]. One
// of them is a [Table], which always has the programs that run now.
package handover

import (
	"encoding/json"
	"errors"
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

// A State is what is handed over. Its exported fields are the form in which
// it is encoded.
type State struct {
	Version    int
	Number     int                 `json:",omitempty"` // in the service manager's store
	Services   []json.RawMessage   `json:",omitempty"` // service.Record
	Inputs     map[string]int      `json:",omitempty"` // config.Served
	Files      []string            `json:",omitempty"` // that the services are written in
	Bans       []Ban               `json:",omitempty"`
	Suspended  []Suspension        `json:",omitempty"`
	Exec       *Descriptors        `json:",omitempty"` // of an upgrade
	Sockets    []*socket.Inherited `json:"-"`
	Children   []Child             `json:"-"`
	Table      *Table              `json:"-"` // nil: none
	StoreNames []string            `json:"-"` // of what the service manager has beside the sockets
}

// version is that of the encoded form. A process that reads another one takes
// the sockets alone.
const version = 1

// A Ban is a client that came to a sensor.
type Ban struct {
	Addr  netip.Addr
	Until time.Time // zero: for ever
}

// A Suspension is a service that is closed for a while.
type Suspension struct {
	Service string // config.Service.Key
	Until   time.Time
	Resumed string // the log line, with %s for the name
}

// Descriptors are open over an exec.
type Descriptors struct {
	Sockets []Descriptor
	Table   int // -1: none
}

// A Descriptor is an open socket.
type Descriptor struct {
	FD   int
	Name string
}

// Variable is the environment variable that names the descriptor of the
// encoded State.
const Variable = "GOINETD_HANDOVER_FD"

// Encode writes a state, and the descriptors for an exec if it is for one.
func (s *State) Encode(w io.Writer) error {
	s.Version = version
	return json.NewEncoder(w).Encode(s)
}

// Decode reads what Encode wrote.
func Decode(r io.Reader) (State, error) {
	var s State
	if err := json.NewDecoder(r).Decode(&s); err != nil {
		return State{}, err
	}
	if s.Version != version {
		return State{Exec: s.Exec}, fmt.Errorf("version %d, not %d: only the sockets are used", s.Version, version)
	}
	return s, nil
}

// NewFile returns a file in memory. It is close-on-exec.
func NewFile() (*os.File, error) {
	fd, err := unix.MemfdCreate("inetd", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	return os.NewFile(uintptr(fd), "memfd"), nil
}

// Exec executes a program in the place of this process, with the state for
// it. It returns only if that fails. What it did to the descriptors is undone
// then.
func Exec(path string, args, environ []string, s State) error {
	s.Exec = &Descriptors{Table: -1}
	var fds []int
	for _, in := range s.Sockets {
		fds = append(fds, in.FD)
		s.Exec.Sockets = append(s.Exec.Sockets, Descriptor{in.FD, in.Name})
	}
	if s.Table != nil {
		s.Exec.Table = s.Table.FD()
		fds = append(fds, s.Table.FD())
	}
	file, err := NewFile()
	if err != nil {
		return err
	}
	defer file.Close() // keeps the file from being finalized before the exec
	if err := s.Encode(file); err != nil {
		return fmt.Errorf("memfd: %w", err)
	}
	fds = append(fds, int(file.Fd()))
	// A signal that arrives before the new program handles it would end the
	// process, so signals wait. Go unblocks those that a program asks for
	// (os/signal).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.Sigset_t
	unix.PthreadSigmask(unix.SIG_BLOCK, signalSet(unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2), &before)
	defer unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil)
	for _, fd := range fds {
		unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
	}
	err = syscall.Exec(path, args, append(environ, fmt.Sprintf("%s=%d", Variable, file.Fd())))
	for _, fd := range fds {
		unix.CloseOnExec(fd)
	}
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
	if file == nil {
		return State{}, nil
	}
	defer file.Close()
	s, err := read(file)
	if s.Exec != nil {
		for _, d := range s.Exec.Sockets {
			s.Sockets = append(s.Sockets, socket.FromExec(d.FD, d.Name))
		}
		if s.Exec.Table >= 0 {
			unix.CloseOnExec(s.Exec.Table)
			s.useTable(s.Exec.Table)
		}
		s.Exec = nil
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", Variable, err)
	}
	return s, err
}

func read(file *os.File) (State, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return State{}, err
	}
	return Decode(file)
}

// useTable opens a table, and takes the programs that are in it.
func (s *State) useTable(fd int) {
	table, err := OpenTable(fd)
	if err != nil {
		unix.Close(fd)
		return
	}
	s.Table, s.Children = table, table.Running()
}

// What the service manager's copies of our files are called. Every state has
// a number of its own: the one before is removed when the next is stored.
const (
	stateName = "inetd-state-"
	TableName = "inetd-children"
)

// MaxFiles is how many files there can be in the store beside the sockets: the
// table, and two states while one replaces the other.
const MaxFiles = 3

// IsFile reports whether a name in the store is that of a file.
func IsFile(name string) bool { return name == TableName || strings.HasPrefix(name, stateName) }

// StateName returns the name of a numbered state.
func StateName(number int) string { return stateName + strconv.Itoa(number) }

// FromStore takes the files that a process before us had the service manager
// store out of what it passed. The rest are sockets.
func FromStore(passed []*socket.Inherited) (s State, sockets []*socket.Inherited, err error) {
	var table *socket.Inherited
	newest := 0
	for _, in := range passed {
		number, isState := strings.CutPrefix(in.Name, stateName)
		switch {
		case isState:
			s.StoreNames = append(s.StoreNames, in.Name)
			n, _ := strconv.Atoi(number)
			file := os.NewFile(uintptr(in.FD), in.Name)
			// One that was not written to its end is passed over.
			if next, e := read(file); e == nil && n > newest {
				next.StoreNames, next.Number, newest = s.StoreNames, n, n
				s = next
			} else if e != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w", in.Name, e))
			}
			file.Close()
		case in.Name == TableName:
			table = in
		default:
			sockets = append(sockets, in)
		}
	}
	if newest > 0 {
		err = nil
	}
	if table != nil {
		s.useTable(table.FD)
	}
	return s, sockets, err
}
