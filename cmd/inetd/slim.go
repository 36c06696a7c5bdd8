package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// slim gives back what reading a configuration took and serving does not
// need: the heap that it left, and the pages of our program that it ran. The
// kernel has those in its page cache, and maps them again if they are run
// again.
func slim() {
	debug.FreeOSMemory()
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close()
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		// Only what can be executed: nobody has written there, so that the
		// file has it all (MADV_DONTNEED, madvise(2)).
		f := strings.Fields(lines.Text())
		if len(f) < 6 || f[1] != "r-xp" || f[5] != self {
			continue
		}
		var from, to uintptr
		if _, err := fmt.Sscanf(f[0], "%x-%x", &from, &to); err == nil {
			unix.RawSyscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
		}
	}
}
