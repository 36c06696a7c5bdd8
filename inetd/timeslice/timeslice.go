// Package timeslice is for goroutines that run for a long time and make many
// system calls: a worker, the reaper.
//
// Go's scheduler takes the processor away from a goroutine that has run for 10
// ms without being scheduled: also, at each of its looks, while the goroutine
// is in a system call. As long as it takes any it looks every 20 us (sysmon
// and retake, in proc.go of package runtime), which costs a busy inetd a
// context switch for every other client. So such a goroutine yields by itself,
// a little more often.
package timeslice

import (
	"runtime"
	"time"
)

// length is less than forcePreemptNS of package runtime.
const length = 9 * time.Millisecond

// A Slice is the time slice of one goroutine. The zero value is over.
type Slice struct{ began time.Time }

// Renew yields to other goroutines if the slice is over, and begins another.
func (s *Slice) Renew() {
	if now := time.Now(); now.Sub(s.began) >= length {
		s.began = now
		runtime.Gosched()
	}
}
