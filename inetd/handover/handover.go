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
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/inetd/descriptor"
	"goinetd/inetd/encode"
	"goinetd/inetd/rpcbind"
	"goinetd/inetd/socket"
)

// A State is what is handed over. Its fields are the first line of its file, as
// package encode writes them, and Exec the first of them; the records of the services are the lines behind that, and the last
// line is "end". There may be thousands of records, so they stay in the file.
type State struct {
	Exec      *Descriptors // of an upgrade
	Version   int
	Number    int            // in the service manager's store
	Inputs    map[string]int // config.Served
	Files     []string       // that the services are written in
	Bans      []Ban
	Suspended []Suspension
	Programs  []rpcbind.Program // that rpcbind(8) has

	Sockets    []*socket.Inherited `encode:"-"`
	Children   []Child             `encode:"-"`
	Table      *Table              `encode:"-"` // nil: none
	StoreNames []string            `encode:"-"` // of what the service manager has beside the sockets

	file *os.File // nil: there are no records
}

// version is that of the file. A process that reads another one takes the
// sockets alone.
const version = 1

// endLine is the last line of a file that was written to its end.
const endLine = "end\n"

// A Ban is the network of a client that came to a sensor.
type Ban struct {
	Network netip.Prefix
	Until   time.Time // zero: for ever
}

// A Suspension is a service that is closed for a while.
type Suspension struct {
	Service string // config.Service.Key
	Until   time.Time
	Resumed string // the log line, with %s for the name
	Stopped bool   // by inetctl(8)
	Paused  bool   // by inetctl(8); the rest is zero
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

// Write writes a state and records, service.Record each, to a file in memory,
// which becomes the state's.
func (s *State) Write(records iter.Seq[[]byte]) error {
	file, err := NewFile()
	if err != nil {
		return err
	}
	s.Version = version
	w := bufio.NewWriterSize(file, 32<<10)
	w.Write(append(encode.Append(nil, s), '\n'))
	for line := range records {
		w.Write(line)
		w.WriteByte('\n')
	}
	w.WriteString(endLine)
	if err := w.Flush(); err != nil {
		file.Close()
		return fmt.Errorf("memfd: %w", err)
	}
	s.file = file
	return nil
}

// FD returns the descriptor of the file; -1: there is none.
func (s *State) FD() int {
	if s.file == nil {
		return -1
	}
	return int(s.file.Fd())
}

// File returns the file.
func (s *State) File() *os.File { return s.file }

// Close closes the file.
func (s *State) Close() {
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
}

// Records returns the records in the file. They are valid until the next one.
func (s *State) Records() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if s.file == nil {
			return
		}
		r, err := s.reader()
		for err == nil {
			var line []byte
			if line, err = readLine(r); err != nil || string(line)+"\n" == endLine || !yield(line) {
				return
			}
		}
	}
}

// reader returns a reader behind the first line.
func (s *State) reader() (*bufio.Reader, error) {
	r := bufio.NewReaderSize(io.NewSectionReader(s.file, 0, 1<<62), 32<<10)
	_, err := readLine(r)
	return r, err
}

// readLine reads a line of any length, without its end.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		long := bytes.Clone(line)
		line, err = r.ReadBytes('\n')
		line = append(long, line...)
	}
	return bytes.TrimSuffix(line, []byte("\n")), err
}

// read reads the file of a state, which it keeps.
func read(file *os.File) (State, error) {
	s := State{file: file}
	info, err := file.Stat()
	if err != nil {
		return s, err
	}
	last := make([]byte, len(endLine))
	if _, err := file.ReadAt(last, max(0, info.Size()-int64(len(last)))); err != nil || string(last) != endLine {
		return s, errors.New("it was not written to its end")
	}
	line, err := readLine(bufio.NewReader(io.NewSectionReader(file, 0, info.Size())))
	if err == nil {
		err = encode.Decode(line, &s)
	}
	if err == nil && s.Version != version {
		err = fmt.Errorf("version %d, not %d: only the sockets are used", s.Version, version)
	}
	if err != nil {
		s = State{Exec: s.Exec, file: file} // the sockets at least
	}
	return s, err
}

// NewFile returns a file in memory. It is close-on-exec.
func NewFile() (*os.File, error) {
	fd, err := unix.MemfdCreate("inetd", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	return os.NewFile(uintptr(descriptor.Raise(fd)), "memfd"), nil
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
	whole := s
	if err := whole.Write(s.Records()); err != nil {
		return err
	}
	defer whole.Close() // keeps the file from being finalized before the exec
	fds = append(fds, whole.FD())
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
	err := syscall.Exec(path, args, append(environ, fmt.Sprintf("%s=%d", Variable, whole.FD())))
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
	unix.CloseOnExec(fd)
	s, err := read(file)
	if old := readUnversioned(file); old.Exec != nil {
		s.Close()
		s, err = old, nil
	}
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
	if s.Number > 0 {
		s.StoreNames = []string{StateName(s.Number)}
	}
	if err != nil {
		s.Close()
		err = fmt.Errorf("%s: %w", Variable, err)
	}
	return s, err
}

// readUnversioned reads a state of versions before version 1: a line for each
// socket, and for each program, which is only reaped. What is none has no
// Exec.
func readUnversioned(file *os.File) (s State) {
	d := &Descriptors{Table: -1}
	for lines := bufio.NewScanner(io.NewSectionReader(file, 0, 1<<62)); lines.Scan(); {
		var one Descriptor
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "child "):
			var c Child
			if _, err := fmt.Sscanf(line, "child %d", &c.PID); err == nil {
				s.Children = append(s.Children, c)
			}
		case !strings.HasPrefix(line, "socket "):
			return State{}
		default:
			if _, err := fmt.Sscanf(line, "socket %d %q", &one.FD, &one.Name); err != nil {
				return State{}
			}
			d.Sockets = append(d.Sockets, one)
		}
	}
	if d.Sockets != nil {
		s.Exec = d
	}
	return s
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
			next, e := read(file)
			if e == nil && n > newest {
				s.Close()
				next.StoreNames, next.Number, newest = s.StoreNames, n, n
				s = next
				continue
			}
			next.Close()
			if e != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w", in.Name, e))
			}
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
