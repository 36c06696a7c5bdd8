package admit

import (
	"bytes"
	"os"
	"strconv"
	"sync"
	"time"
)

// A LoadAverage knows the host's load average over one minute
// (/proc/loadavg), which the kernel computes every five seconds. It is safe
// for concurrent use and reads the file at most once a second.
type LoadAverage struct {
	mu   sync.Mutex
	read time.Duration // when; 0: never
	load float64
}

// Exceeds reports whether the load average is at a limit or above it. now is
// a time on any monotonic clock. A load that cannot be read is 0.
func (l *LoadAverage) Exceeds(limit float64, now time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.read == 0 || now-l.read > time.Second {
		l.read = max(now, 1)
		l.load = 0
		if text, err := os.ReadFile("/proc/loadavg"); err == nil {
			first, _, _ := bytes.Cut(text, []byte(" "))
			l.load, _ = strconv.ParseFloat(string(first), 64)
		}
	}
	return l.load >= limit
}
