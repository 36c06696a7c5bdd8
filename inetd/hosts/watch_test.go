package hosts

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// writeFile writes a file as an editor or a shell does.
func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// freeWatch waits until a user may have one more inotify instance: the daemons
// of other tests have one each.
func freeWatch(t *testing.T, paths ...string) *watch {
	for range 600 {
		w := newWatch(paths...)
		if w.open(); w.fd >= 0 {
			return w
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("no inotify instance is free (fs.inotify.max_user_instances)")
	return nil
}

// Whatever changes a file disarms the watch before the call returns; what
// happens to another file of the folder changes nothing.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	if !isLocal(dir) {
		t.Skip("the folder for temporary files is on a file system that is not watched")
	}
	file, other := dir+"/hosts.deny", dir+"/other"
	rename := func(from, to string) error { return os.Rename(from, to) }
	for _, c := range []struct {
		name  string
		there bool // the file exists before
		do    func() error
	}{
		{"append", true, func() error {
			f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteString("x")
				f.Close()
			}
			return err
		}},
		{"truncate", true, func() error { return os.Truncate(file, 0) }},
		{"replace", true, func() error { writeFile(t, other, "ALL: ALL"); return rename(other, file) }},
		{"move away", true, func() error { return rename(file, other) }},
		{"remove", true, func() error { return os.Remove(file) }},
		{"create", false, func() error { writeFile(t, file, ""); return nil }},
		{"link", false, func() error { writeFile(t, other, ""); return os.Link(other, file) }},
		{"symlink", false, func() error { return os.Symlink(other, file) }},
		{"mode", true, func() error { return os.Chmod(file, 0o600) }},
		{"move the folder", true, func() error { return rename(dir, dir+"2") }},
	} {
		os.MkdirAll(dir, 0o755)
		os.Remove(file)
		os.Remove(other)
		if c.there {
			writeFile(t, file, "old")
		}
		w := freeWatch(t, file, dir+"/hosts.allow")
		if w.unchanged() {
			t.Errorf("%s: armed from the beginning", c.name)
		}
		if !w.arm(func(bool) error { return nil }) || !w.unchanged() {
			t.Fatalf("%s: not armed", c.name)
		}
		if err := c.do(); err != nil {
			t.Fatal(err)
		}
		if w.unchanged() {
			t.Errorf("%s is not seen", c.name)
		}
		unix.Close(w.fd)
	}
}

// A watch that could miss a change is not armed.
func TestWatchUnsure(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir+"/file", "")
	os.Mkdir(dir+"/real", 0o755)
	for name, at := range map[string]string{"link": "file", "folder": "real"} {
		if err := os.Symlink(at, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{dir + "/link", dir + "/folder/file", "/proc/self/status", dir + "/real", dir + "/none/file"} {
		w := freeWatch(t, path)
		if w.arm(func(bool) error { return nil }) {
			t.Errorf("%s is watched", path)
		}
		unix.Close(w.fd)
	}
	w := freeWatch(t, dir+"/file")
	if w.arm(func(bool) error { return os.ErrPermission }) || w.unchanged() {
		t.Error("armed although the file could not be read")
	}
	unix.Close(w.fd)
}

// However many ask, whoever asks after a change gets the changed rules.
func TestWatchAtOnce(t *testing.T) {
	dir := t.TempDir()
	files := New(dir+"/hosts.allow", dir+"/hosts.deny")
	files.watch = freeWatch(t, files.watch.paths...)
	defer unix.Close(files.watch.fd)
	stop := make(chan struct{})
	var others sync.WaitGroup
	for range 3 {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					files.Empty()
				}
			}
		})
	}
	for i := range 600 {
		empty := i%2 == 0
		text := fmt.Sprintf("# %d\n", i)
		if !empty {
			text += "ALL: ALL\n"
		}
		writeFile(t, dir+"/new", text)
		if err := os.Rename(dir+"/new", dir+"/hosts.deny"); err != nil {
			t.Fatal(err)
		}
		if got := files.Empty(); got != empty {
			t.Fatalf("change %d: empty is %v", i, got)
		}
	}
	close(stop)
	others.Wait()
}
