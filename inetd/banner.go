package inetd

import (
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// maxBanner is how much of a banner file is sent, in bytes.
const maxBanner = 64 << 10

// banners are the texts that clients get before they are served, or instead.
// The files are looked at for each client, as by xinetd, so that a change
// counts at once; clients that get the same text share it in memory.
type banners struct {
	mu    sync.Mutex
	texts map[string]banner // by what they are made of
}

// A banner is one text, and the files that it was made of.
type banner struct {
	text  []byte
	files [2]fileVersion
}

// A fileVersion distinguishes a file from what it is after a change.
type fileVersion struct {
	dev, ino    uint64
	size        int64
	sec, nsec   int64 // of its last change
	csec, cnsec int64
}

// bannerText returns a text and what is in the files, at most two; an empty
// path is none. The text is shared: it must not be changed.
func (s *Server) bannerText(text string, paths ...string) []byte {
	if strings.Join(paths, "") == "" {
		return []byte(text)
	}
	key := text + "\x00" + strings.Join(paths, "\x00")
	var now banner
	var fds [2]int
	for i, path := range paths {
		fds[i] = -1
		if path == "" {
			continue
		}
		var err error
		if fds[i], now.files[i], err = openBanner(path); err != nil {
			s.warnOnce("banner " + path + ": " + err.Error())
			continue
		}
		defer unix.Close(fds[i])
	}
	s.banners.mu.Lock()
	defer s.banners.mu.Unlock()
	if known, ok := s.banners.texts[key]; ok && known.files == now.files {
		return known.text
	}
	now.text = []byte(text)
	for i := range paths {
		if fds[i] < 0 {
			continue
		}
		b := make([]byte, min(now.files[i].size, maxBanner))
		n, err := unix.Read(fds[i], b)
		if err != nil {
			s.warnOnce("banner " + paths[i] + ": " + err.Error())
		}
		now.text = append(now.text, b[:max(n, 0)]...)
	}
	if s.banners.texts == nil {
		s.banners.texts = map[string]banner{}
	}
	s.banners.texts[key] = now
	return now.text
}

// openBanner opens a regular file.
func openBanner(path string) (fd int, v fileVersion, err error) {
	fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return -1, v, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = unix.EINVAL
	}
	if err != nil {
		unix.Close(fd)
		return -1, v, err
	}
	return fd, fileVersion{uint64(st.Dev), st.Ino, st.Size, int64(st.Mtim.Sec), int64(st.Mtim.Nsec), int64(st.Ctim.Sec), int64(st.Ctim.Nsec)}, nil
}
