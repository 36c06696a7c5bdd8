package hosts

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxFile   = 16 << 20        // bytes of a file
	readLimit = 2 * time.Second // for reading it; meanwhile a worker waits
)

// A file is a file and what it says, read again when it changes.
type file[T any] struct {
	path  string
	parse func(text string) T
	now   atomic.Pointer[contents[T]]

	mu      sync.Mutex
	reading chan struct{} // closed when it has been read; nil: it is not being read
	since   time.Time     // when that began
}

// contents are what a file said when it had an identity.
type contents[T any] struct {
	id  identity
	of  T
	err error
}

// An identity changes when a file does.
type identity struct {
	dev, ino         uint64
	size             int64
	modified, change syscall.Timespec
	missing          bool
}

// current returns what the file says. A file that is missing says what an
// empty one does.
func (f *file[T]) current() (*contents[T], error) {
	id, err := identify(f.path)
	if err != nil {
		return nil, err
	}
	if c := f.now.Load(); c != nil && c.id == id {
		return c, c.err
	}
	return f.read(id)
}

// expire has the file read again, although its identity may be the same.
func (f *file[T]) expire() {
	if c := f.now.Load(); c != nil {
		old := *c
		old.id = identity{size: -1}
		f.now.CompareAndSwap(c, &old)
	}
}

// read reads the file. Whoever asks while one is not read in time does not
// wait again.
func (f *file[T]) read(id identity) (*contents[T], error) {
	f.mu.Lock()
	if c := f.now.Load(); c != nil && c.id == id {
		f.mu.Unlock()
		return c, c.err
	}
	if f.reading == nil {
		f.reading, f.since = make(chan struct{}), time.Now()
		go f.load(id)
	}
	done, left := f.reading, readLimit-time.Since(f.since)
	f.mu.Unlock()
	timer := time.NewTimer(max(left, 0))
	defer timer.Stop()
	select {
	case <-done:
		c := f.now.Load()
		return c, c.err
	case <-timer.C:
		return nil, fmt.Errorf("%s cannot be read: no answer within %v", f.path, readLimit)
	}
}

func (f *file[T]) load(id identity) {
	c := &contents[T]{id: id}
	var text []byte
	if !id.missing {
		var read identity
		if text, read, c.err = readFile(f.path); c.err == nil {
			c.id = read // it may be another file since
		}
	}
	if c.err == nil {
		c.of = f.parse(string(text))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now.Store(c)
	close(f.reading)
	f.reading = nil
}

// readFile reads a regular file of limited size. It does not wait for the
// writer of a FIFO.
func readFile(path string) (text []byte, id identity, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, id, err
	}
	defer f.Close()
	var st syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &st); err != nil {
		return nil, id, err
	}
	id = identityOf(&st)
	switch {
	case st.Mode&syscall.S_IFMT != syscall.S_IFREG:
		return nil, id, fmt.Errorf("%s is no regular file", path)
	case st.Size > maxFile:
		return nil, id, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	text, err = io.ReadAll(io.LimitReader(f, maxFile))
	return text, id, err
}

func identityOf(st *syscall.Stat_t) identity {
	return identity{dev: st.Dev, ino: st.Ino, size: st.Size, modified: st.Mtim, change: st.Ctim}
}

// identify returns the identity of a file. A link that leads nowhere is an
// error, and not a file that is missing.
func identify(path string) (identity, error) {
	var st syscall.Stat_t
	for {
		err := syscall.Stat(path, &st)
		switch {
		case err == nil:
			return identityOf(&st), nil
		case errors.Is(err, fs.ErrNotExist):
			if err := syscall.Lstat(path, &st); err == nil && st.Mode&syscall.S_IFMT == syscall.S_IFLNK {
				return identity{}, fmt.Errorf("%s is a link to a file that does not exist", path)
			}
			return identity{missing: true}, nil
		case err != syscall.EINTR:
			return identity{}, &fs.PathError{Op: "stat", Path: path, Err: err}
		}
	}
}

// rules are those of hosts.allow or hosts.deny.
type rules struct {
	list  []rule
	index index
}

func newFile(path string, deny bool) *file[rules] {
	return &file[rules]{path: path, parse: func(text string) (r rules) {
		r.list, _ = parse(text, deny)
		for i := range r.list {
			rule := &r.list[i]
			group := strings.Join(rule.daemons, " ")
			for _, word := range beforeExcept(rule.clients) {
				r.index.add(word, group, int32(i))
			}
		}
		return r
	}}
}

// patternFiles are the files that rules name, by their paths. The zero value
// has read none.
type patternFiles struct {
	mu    sync.Mutex
	files map[string]*file[patterns]
}

// patterns are the words of such a file.
type patterns struct {
	words []string
	index index
}

// get returns the patterns of a file.
func (p *patternFiles) get(path string) (*patterns, error) {
	p.mu.Lock()
	f := p.files[path]
	if f == nil {
		f = &file[patterns]{path: path, parse: newPatterns}
		if p.files == nil {
			p.files = map[string]*file[patterns]{}
		}
		p.files[path] = f
	}
	p.mu.Unlock()
	c, err := f.current()
	switch {
	case err != nil:
		return nil, err
	case c.id.missing:
		return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.ENOENT}
	}
	return &c.of, nil
}

func newPatterns(text string) (p patterns) {
	p.words = strings.Fields(text)
	for i, word := range p.words {
		p.index.add(word, "", int32(i))
	}
	return p
}
