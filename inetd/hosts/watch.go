package hosts

import (
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"goinetd/inetd/descriptor"
)

// A watch reports whether files may have changed since it was armed: one
// ioctl for each client instead of a stat for each file. The kernel queues an
// event of inotify(7) before the call returns that changed a file, so whoever
// connects after a change is judged by it.
//
// Nobody waits for the events, and they do not wake an idle daemon. All marks
// are IN_ONESHOT: no more than one event of each can be in the queue.
//
// Where inotify may not see a change (behind a link, on a file system of the
// network), the watch is never armed. What it cannot see, a mount over a file,
// counts after watchTime.
type watch struct {
	paths []string
	start time.Time
	fd    int          // of inotify; -1: there is none
	until atomic.Int64 // since start, in ns: when the watch is to be armed again; 0: it is not armed
	retry atomic.Int64 // likewise: not before, where it cannot be armed

	mu sync.Mutex // of whoever arms it
}

// watchTime is for how long a watch is armed, and how long it is not where that
// fails.
const watchTime = time.Second

const (
	dirMask  = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR | unix.IN_ONESHOT
	fileMask = unix.IN_MODIFY | unix.IN_ATTRIB | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONESHOT
)

// localFS are the file systems all of whose changes inotify reports.
var localFS = map[int64]bool{unix.EXT4_SUPER_MAGIC: true, unix.XFS_SUPER_MAGIC: true, unix.BTRFS_SUPER_MAGIC: true, unix.F2FS_SUPER_MAGIC: true,
	unix.TMPFS_MAGIC: true, unix.RAMFS_MAGIC: true}

func newWatch(paths ...string) *watch { return &watch{paths: paths, start: time.Now(), fd: -1} }

// open opens an inotify instance, if the user may have one more. Without one
// the watch is never armed.
func (w *watch) open() {
	if fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err == nil {
		w.fd = descriptor.Raise(fd)
	}
}

func (w *watch) now() int64 { return int64(time.Since(w.start)) }

// unchanged reports whether nothing has changed since the watch was armed.
func (w *watch) unchanged() bool {
	waiting := int32(1)
	// TIOCINQ is another name of FIONREAD.
	if _, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(w.fd), unix.TIOCINQ, uintptr(unsafe.Pointer(&waiting))); errno != 0 || waiting > 0 {
		return false
	}
	// Whoever takes the events out of the queue disarms the watch first.
	return w.now() < w.until.Load()
}

// arm arms the watch if that is possible and read, which looks at the files,
// succeeds. read is told whether they are known to have changed: their times
// may be too coarse to show it. arm reports whether nothing has changed since.
func (w *watch) arm(read func(changed bool) error) bool {
	if w.now() < w.retry.Load() {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unchanged() {
		return true
	}
	w.until.Store(0)
	now := w.now()
	changed := w.readEvents()
	if !w.mark() || read(changed) != nil {
		w.retry.Store(now + int64(watchTime))
		return false
	}
	w.until.Store(now + int64(watchTime))
	return w.unchanged()
}

// readEvents empties the queue of events, and reports whether there were any.
func (w *watch) readEvents() (any bool) {
	var events [4096]byte
	for {
		n, err := unix.Read(w.fd, events[:])
		switch {
		case n > 0:
			any = true
		case err != unix.EINTR:
			return any
		}
	}
}

// mark marks the files and their directories. It reports whether every change
// will be seen.
func (w *watch) mark() bool {
	if w.fd < 0 {
		return false
	}
	for _, path := range w.paths {
		dir := filepath.Dir(path)
		real, err := filepath.EvalSymlinks(dir)
		if err != nil || real != dir || !isLocal(dir) {
			return false
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
			return false
		}
		if _, err := unix.InotifyAddWatch(w.fd, dir, dirMask); err != nil {
			return false
		}
		if _, err := unix.InotifyAddWatch(w.fd, path, fileMask); err != nil && err != unix.ENOENT || err == nil && !isLocal(path) {
			return false
		}
	}
	return true
}

func isLocal(path string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(path, &fs) == nil && localFS[int64(fs.Type)]
}
