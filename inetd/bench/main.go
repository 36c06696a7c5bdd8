// Command bench compares inetd with other super-servers from Debian and with
// the floor: the same work in C, without any of the books that a super-server
// keeps. It prints the tables of docs/performance.md.
//
//	go run ./inetd/bench [-n 3000] [-r 9] [table ...]
//
// All run the same child as the same user on loopback, in rounds that take
// turns, and a figure is the median of the rounds. inetd writes START and EXIT
// lines to a file; the others write nothing. It wants root, gcc and Debian's
// apt-get, and takes about ten minutes.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// tables are what can be printed, in this order.
var tables = []struct {
	name  string
	print func(*bench) error
}{
	{"starts", (*bench).starts},
	{"cost", (*bench).cost},
	{"live", (*bench).live},
	{"wait", (*bench).wait},
	{"internal", (*bench).internal},
	{"size", (*bench).size},
}

// A bench is a folder with everything that is measured.
type bench struct {
	dir    string
	n      int // connections in a round
	rounds int
}

func main() {
	b := bench{}
	flag.IntVar(&b.n, "n", 3000, "connections in a round")
	flag.IntVar(&b.rounds, "r", 9, "rounds")
	flag.Parse()
	if err := b.run(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(names []string) (err error) {
	if b.dir, err = os.MkdirTemp("/tmp", "inetd-bench."); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if err := os.Chmod(b.dir, 0o755); err != nil {
		return err
	}
	if err := b.build(); err != nil {
		return err
	}
	fmt.Printf("%d processors, %s, %s; medians of %d rounds\n", runtime.NumCPU(), firstLine("/proc/sys/kernel/osrelease"), runtime.Version(), b.rounds)
	for _, t := range tables {
		if len(names) > 0 && !slices.Contains(names, t.name) {
			continue
		}
		fmt.Printf("\n## %s\n\n", t.name)
		if err := t.print(b); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return nil
}

// build makes the programs.
func (b *bench) build() error {
	source, err := exec.Command("go", "list", "-f", "{{.Dir}}", "goinetd/inetd/bench").Output()
	if err != nil {
		return err
	}
	in := func(name string) string { return filepath.Join(strings.TrimSpace(string(source)), name) }
	for _, line := range [][]string{
		{"go", "build", "-o", b.path("load"), "goinetd/inetd/bench/load"},
		{"go", "build", "-o", b.path("inetd"), "goinetd/cmd/inetd"},
		{"gcc", "-O2", "-pthread", "-o", b.path("floor"), in("c/floor.c")},
		{"gcc", "-O2", "-static", "-nostdlib", "-o", b.path("word"), in("c/word.c")},
		{"gcc", "-O2", "-static", "-nostdlib", "-DHOLD", "-o", b.path("hold"), in("c/word.c")},
		{"gcc", "-O2", "-static", "-nostdlib", "-DSERVE", "-o", b.path("serve"), in("c/word.c")},
	} {
		cmd := exec.Command(line[0], line[1:]...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(line, " "), err, out)
		}
	}
	return nil
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func firstLine(file string) string {
	text, _ := os.ReadFile(file)
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}
