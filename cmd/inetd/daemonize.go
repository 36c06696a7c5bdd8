package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"goinetd/inetd/socket"
)

// Go cannot fork and go on, so the daemon is a second copy of the program in
// a session of its own. The first stays in the foreground until the second
// has said over a pipe that it serves, and ends with its verdict: whoever
// started inetd knows then whether it runs.

// readyFDVariable is the environment variable that marks the copy:
// one: the descriptor of the pipe.
const readyFDVariable = "GOINETD_READY_FD"

// A launcher is the process in the foreground that started the daemon, at the
// other end of a pipe.
type launcher struct{ pipe *os.File }

// daemonize starts the copy and waits until it serves or ends. It returns the
// exit status.
func daemonize(s *streams) int {
	self, err := ownFile()
	if err != nil {
		return fatalf("cannot go into the background: %v (-i stays in the foreground)", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fatalf("pipe: %v", err)
	}
	null, err := openNull(unix.O_CLOEXEC)
	if err != nil {
		return fatalf("%v", err)
	}
	closeOnExec() // the daemon gets what is its own
	files := []*os.File{os.NewFile(uintptr(null), os.DevNull), os.Stdout, os.Stderr}
	inherited, err := socket.CorrectListenFDs()
	if err != nil {
		fatalf("%v", err)
	}
	for fd := 3; fd < 3+inherited; fd++ {
		files = append(files, os.NewFile(uintptr(fd), "socket"))
	}
	env := append(os.Environ(), fmt.Sprintf("%s=%d", readyFDVariable, len(files)))
	files = append(files, w)
	if s.file != nil {
		env = append(env, s.environ(len(files))...)
		files = append(files, s.file)
	}
	p, err := os.StartProcess(self, os.Args, &os.ProcAttr{Files: files, Env: env, Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		return fatalf("%s: %v", self, err)
	}
	w.Close()
	verdict := make([]byte, 1)
	if n, _ := r.Read(verdict); n == 1 {
		return int(verdict[0])
	}
	state, err := p.Wait()
	if err != nil || state.ExitCode() <= 0 {
		return fatalf("the daemon ended before it served: %v", state)
	}
	return state.ExitCode()
}

// ownFile returns the path of the program's file: from /proc, or where that is
// not mounted, by argv[0] as execvp(3) finds it.
func ownFile() (string, error) {
	self, err := os.Executable()
	if err == nil {
		return self, nil
	}
	candidates := []string{os.Args[0]}
	if !strings.Contains(os.Args[0], "/") {
		candidates = nil
		for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
			candidates = append(candidates, filepath.Join(dir, os.Args[0]))
		}
	}
	for _, path := range candidates {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && unix.Access(path, unix.X_OK) == nil {
			return filepath.Abs(path)
		}
	}
	return "", fmt.Errorf("the program's file is not found: %w, and no file %s", err, os.Args[0])
}

// openNull opens /dev/null; where there is none, a descriptor that can be
// neither read nor written: what counts is that 0, 1 and 2 are taken.
func openNull(flags int) (int, error) {
	fd, err := unix.Open(os.DevNull, unix.O_RDWR|flags, 0)
	if err == nil {
		return fd, nil
	}
	if fd, errRoot := unix.Open("/", unix.O_PATH|flags, 0); errRoot == nil {
		return fd, nil
	}
	return -1, fmt.Errorf("open %s: %w", os.DevNull, err)
}

// findLauncher returns the launcher if this is the copy in the background,
// else nil. Sockets that were passed to the launcher are the copy's.
func findLauncher() *launcher {
	fd, err := strconv.Atoi(os.Getenv(readyFDVariable))
	os.Unsetenv(readyFDVariable)
	if err != nil || fd < 3 {
		return nil
	}
	if os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getppid()) {
		os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	}
	unix.CloseOnExec(fd)
	return &launcher{os.NewFile(uintptr(fd), "parent")}
}

// release lets the process in the foreground end with a status, and lets go of
// its terminal.
func (p *launcher) release(status int) {
	if p == nil {
		return
	}
	if null, err := openNull(unix.O_CLOEXEC); err == nil {
		for fd := range 3 {
			unix.Dup3(null, fd, 0)
		}
		unix.Close(null)
	}
	p.pipe.Write([]byte{byte(status)})
	p.pipe.Close()
}

func fatalf(format string, args ...any) int {
	fmt.Fprintf(os.Stderr, ident()+": "+format+"\n", args...)
	return 1
}
