package handover

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Child is a program that runs, and goes on running.
type Child struct {
	PID     int
	Service uint64         // service.KeyHash of its service; 0: it is of none
	Client  netip.AddrPort // zero: unknown, as for a Unix socket
	Start   time.Duration  // since the host was booted (CLOCK_BOOTTIME)
	Socket  uint64         // inode of the socket that it was handed; 0: it has a connection
}

// A Table has the programs that run, in memory that outlives the process if
// somebody has its descriptor: a restart after a crash finds them. It may be
// used by several goroutines.
//
// Its file is a header and records of 64 bytes in the byte order of the host.
// A record whose pid is 0 is free. The pid is written last.
type Table struct {
	fd int

	mu   sync.Mutex
	data []byte // the file
	free []int  // records
}

const (
	recordSize = 64
	minRecords = 63 // with the header, one page
	header     = "inetd children 1\n"
)

// Where the fields of a record are.
const (
	atPID    = 0  // int32
	atFamily = 4  // 0, 4 or 6
	atPort   = 6  // uint16
	atKey    = 16 // uint64
	atStart  = 24 // int64
	atSocket = 32 // uint64
	atAddr   = 40 // 16 bytes
)

// NewTable returns an empty table.
func NewTable() (*Table, error) {
	file, err := NewFile()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 256)
	if err != nil {
		if fd, err = unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 3); err != nil {
			return nil, err
		}
	}
	t := &Table{fd: fd}
	if err := t.grow(minRecords); err != nil {
		unix.Close(fd)
		return nil, err
	}
	copy(t.data, header)
	return t, nil
}

// OpenTable returns the table of a process before us.
func OpenTable(fd int) (*Table, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	records := int(st.Size)/recordSize - 1
	t := &Table{fd: fd}
	if records < 1 {
		return nil, fmt.Errorf("table of %d bytes", st.Size)
	}
	if err := t.mapFile(records); err != nil {
		return nil, err
	}
	if begins := string(t.data[:len(header)]); begins != header {
		unix.Munmap(t.data)
		return nil, fmt.Errorf("table begins with %q", begins)
	}
	for i := range records {
		if t.pid(i) == 0 {
			t.free = append(t.free, i)
		}
	}
	return t, nil
}

// FD returns the descriptor, which is close-on-exec.
func (t *Table) FD() int { return t.fd }

func (t *Table) grow(records int) error {
	before := len(t.data)/recordSize - 1
	// Not ftruncate(2): a page that cannot be had later would be a SIGBUS.
	if err := unix.Fallocate(t.fd, 0, 0, int64((records+1)*recordSize)); err != nil {
		return fmt.Errorf("fallocate: %w", err)
	}
	if t.data != nil {
		unix.Munmap(t.data)
		t.data = nil
	}
	if err := t.mapFile(records); err != nil {
		return err
	}
	for i := records - 1; i >= max(before, 0); i-- {
		t.free = append(t.free, i)
	}
	return nil
}

func (t *Table) mapFile(records int) (err error) {
	t.data, err = unix.Mmap(t.fd, 0, (records+1)*recordSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("mmap: %w", err)
	}
	return nil
}

func (t *Table) record(i int) []byte { return t.data[(i+1)*recordSize : (i+2)*recordSize] }

func (t *Table) pid(i int) int {
	return int(int32(binary.NativeEndian.Uint32(t.record(i)[atPID:])))
}

// Add notes a program, and returns the number of its record. It returns -1
// where there is no memory for it.
func (t *Table) Add(c Child) (slot int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.free) == 0 && (t.data == nil || t.grow(2*(len(t.data)/recordSize)-1) != nil) {
		return -1
	}
	slot = t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	r, order := t.record(slot), binary.NativeEndian
	addr := c.Client.Addr()
	family := byte(0)
	switch {
	case addr.Is4():
		family = 4
		a := addr.As4()
		copy(r[atAddr:], a[:])
	case addr.Is6():
		family = 6
		a := addr.As16()
		copy(r[atAddr:], a[:])
	}
	r[atFamily] = family
	order.PutUint16(r[atPort:], c.Client.Port())
	order.PutUint64(r[atKey:], c.Service)
	order.PutUint64(r[atStart:], uint64(c.Start))
	order.PutUint64(r[atSocket:], c.Socket)
	order.PutUint32(r[atPID:], uint32(c.PID))
	return slot
}

// Remove forgets a program.
func (t *Table) Remove(slot int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if slot < 0 || t.data == nil {
		return
	}
	binary.NativeEndian.PutUint32(t.record(slot)[atPID:], 0)
	t.free = append(t.free, slot)
}

// Running returns the programs in the table that still run, and empties it.
func (t *Table) Running() (list []Child) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range len(t.data)/recordSize - 1 {
		pid := t.pid(i)
		if pid == 0 {
			continue
		}
		c := t.child(i)
		binary.NativeEndian.PutUint32(t.record(i)[atPID:], 0)
		t.free = append(t.free, i)
		if c.runs() {
			list = append(list, c)
		}
	}
	return list
}

func (t *Table) child(i int) Child {
	r, order := t.record(i), binary.NativeEndian
	c := Child{PID: t.pid(i), Service: order.Uint64(r[atKey:]), Start: time.Duration(order.Uint64(r[atStart:])), Socket: order.Uint64(r[atSocket:])}
	var addr netip.Addr
	switch r[atFamily] {
	case 4:
		addr = netip.AddrFrom4([4]byte(r[atAddr:]))
	case 6:
		addr = netip.AddrFrom16([16]byte(r[atAddr:]))
	default:
		return c
	}
	c.Client = netip.AddrPortFrom(addr, order.Uint16(r[atPort:]))
	return c
}

// Uptime returns the time since the host was booted.
func Uptime() time.Duration {
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
	return time.Duration(now.Nano())
}

// startSlack is by how much the kernel's start time of a process, in clock
// ticks, may differ from ours, which is taken when its program runs.
const startSlack = 2 * time.Second

// runs reports whether the pid is still the program that was noted. One that
// is our child keeps its pid until we reap it; of another, the kernel's start
// time is compared.
func (c Child) runs() bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.PID))
	if err != nil {
		return os.IsNotExist(err) && unix.Kill(c.PID, 0) == nil // there is no /proc
	}
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const state, parent, start, hz = 0, 1, 19, 100 // fields 3, 4 and 22 of proc(5); USER_HZ
	if len(f) <= start {
		return false
	}
	if f[parent] == strconv.Itoa(os.Getpid()) {
		return true
	}
	ticks, err := strconv.ParseInt(f[start], 10, 64)
	if err != nil || f[state] == "Z" {
		return false
	}
	d := c.Start - time.Duration(ticks)*time.Second/hz
	return -startSlack < d && d < startSlack+maxStartTime
}

// maxStartTime is how long a program may have taken from its fork to its
// start.
const maxStartTime = 10 * time.Second
