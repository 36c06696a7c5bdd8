package spawn

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ScriptProblem returns why a script cannot be executed although its file
// exists: the interpreter of its first line does not (execve(2)), as where
// the line ends in CR LF. It is empty for any other file. root is the root
// directory of the program.
func ScriptProblem(root, path string) string {
	if info, err := os.Stat(filepath.Join(root, path)); err != nil || !info.Mode().IsRegular() { // opening a FIFO would wait
		return ""
	}
	f, err := os.Open(filepath.Join(root, path))
	if err != nil {
		return ""
	}
	defer f.Close()
	first := make([]byte, 256) // BINPRM_BUF_SIZE: the kernel reads no more
	n, _ := f.Read(first)
	line, isScript := strings.CutPrefix(string(first[:n]), "#!")
	if !isScript {
		return ""
	}
	line, _, _ = strings.Cut(line, "\n")
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
