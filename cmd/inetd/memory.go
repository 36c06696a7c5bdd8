package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// releaseMemory returns memory that only reading a configuration needs: the
// free heap, and the pages of the program's file, which the kernel maps again
// from its page cache when they are used.
func releaseMemory() {
	debug.FreeOSMemory()
	releaseProgram()
}

// releaseProgram returns the pages of the program's file alone.
func releaseProgram() {
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer maps.Close()
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	var from, to uintptr
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		f := strings.Fields(lines.Text())
		switch {
		case len(f) == 6 && f[5] == self && (f[1] == "r-xp" || f[1] == "r--p"):
			if _, err := fmt.Sscanf(f[0], "%x-%x", &from, &to); err != nil {
				from = to
			}
		case len(f) >= 5 && strings.Contains(f[0], "-"):
			from = to
		case len(f) == 3 && f[0] == "Anonymous:" && f[1] == "0" && from < to:
			// Nobody has ever written there, so that the file has all of it
			// (MADV_DONTNEED, madvise(2)).
			unix.RawSyscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
			from = to
		}
	}
}
