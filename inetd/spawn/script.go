package spawn

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ScriptProblem returns why a script cannot be executed although its file
// exists: the interpreter of its first line does not (execve(2)), as where
// the line ends in CR LF. It is empty for any other file. root is the root
// directory of the program.
func ScriptProblem(root, path string) string {
	// A configuration may have thousands of programs: no *os.File for each.
	file := filepath.Join(root, path)
	var st unix.Stat_t
	if unix.Stat(file, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG { // opening a FIFO would wait
		return ""
	}
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0) // nor for a lease to be given up
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	var first [256]byte // BINPRM_BUF_SIZE: the kernel reads no more
	n, err := unix.Read(fd, first[:])
	if err != nil || n < 2 || first[0] != '#' || first[1] != '!' {
		return ""
	}
	line, _, _ := strings.Cut(string(first[2:n]), "\n")
	if strings.HasSuffix(line, "\r") {
		return fmt.Sprintf("its first line, %q, ends in CR LF", "#!"+line)
	}
	words := strings.FieldsFunc(line, func(c rune) bool { return c == ' ' || c == '\t' })
	if len(words) == 0 {
		return ""
	}
	if _, err := os.Stat(filepath.Join(root, words[0])); errors.Is(err, fs.ErrNotExist) {
		return fmt.Sprintf("its interpreter %s does not exist", words[0])
	}
	return ""
}
