package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

func processors() string { return strconv.Itoa(runtime.NumCPU()) }

// A result is what one run of load prints.
type result struct{ rate, p50, p99, failed float64 }

// load runs the load generator against a port of 127.0.0.1.
func (b *bench) load(port int, args ...string) (r result, err error) {
	cmd := exec.Command(b.path("load"), append(args, fmt.Sprintf("127.0.0.1:%d", port))...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("load %s: %w", strings.Join(args, " "), err)
	}
	_, err = fmt.Sscan(string(out), &r.rate, &r.p50, &r.p99, &r.failed)
	return r, err
}

// measure has the servers take turns under a load, and returns each one's
// medians. Connections that failed are added up.
func (b *bench) measure(servers []*server, args ...string) ([]result, error) {
	all := make([][]result, len(servers))
	for range b.rounds {
		for i, s := range servers {
			r, err := b.load(s.port, args...)
			if err != nil {
				return nil, err
			}
			all[i] = append(all[i], r)
		}
	}
	medians := make([]result, len(servers))
	for i, list := range all {
		of := func(field func(result) float64) float64 {
			var values []float64
			for _, r := range list {
				values = append(values, field(r))
			}
			return median(values)
		}
		medians[i] = result{rate: of(func(r result) float64 { return r.rate }), p50: of(func(r result) float64 { return r.p50 }), p99: of(func(r result) float64 { return r.p99 })}
		for _, r := range list {
			medians[i].failed += r.failed
		}
	}
	return medians, nil
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// status returns a number of kB, or of threads, of proc(5)'s status.
func (s *server) status(field string) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid()))
	_, rest, _ := strings.Cut(string(text), "\n"+field+":")
	words := strings.Fields(rest)
	if len(words) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(words[0])
	return n
}

// hostCost returns how often the processors of the host have switched from one
// thread to another, and the time that they were not idle, in us.
func hostCost() (switches, busy float64) {
	text, _ := os.ReadFile("/proc/stat")
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		switch f[0] {
		case "ctxt":
			switches, _ = strconv.ParseFloat(f[1], 64)
		case "cpu":
			for i, ticks := range f[1:9] {
				if n, _ := strconv.ParseFloat(ticks, 64); i != 3 && i != 4 { // idle, iowait
					busy += n * 1e4
				}
			}
		}
	}
	return switches, busy
}

// ownSwitches returns how often a process's threads have gone to sleep or been
// preempted.
func (s *server) ownSwitches() (n float64) {
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", s.pid()))
	for _, task := range tasks {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/status", s.pid(), task.Name()))
		for line := range strings.Lines(string(text)) {
			if name, value, _ := strings.Cut(line, ":"); strings.HasSuffix(name, "ctxt_switches") {
				k, _ := strconv.ParseFloat(strings.TrimSpace(value), 64)
				n += k
			}
		}
	}
	return n
}

// A table is printed as Markdown.
type table struct{ rows [][]string }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// print prints the table. The first row is the head.
func (t *table) print() {
	for i, row := range t.rows {
		fmt.Println("| " + strings.Join(row, " | ") + " |")
		if i == 0 {
			fmt.Println("| ---" + strings.Repeat(" | ---:", len(row)-1) + " |")
		}
	}
}

func ms(us float64) string   { return fmt.Sprintf("%.2f ms", us/1000) }
func of(a, b float64) string { return fmt.Sprintf("%.2f", a/max(b, 1e-9)) }
func whole(n float64) string { return fmt.Sprintf("%.0f", n) }
