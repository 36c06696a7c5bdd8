package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// xinetdSeed returns the seed of a comparison with xinetd: GOINETD_SEED, so
// that a failure can be repeated, or a fresh one. It is in the log of the test
// and in the environment of the tests that this one runs.
func xinetdSeed(t *testing.T) int64 {
	t.Helper()
	seed, err := strconv.ParseInt(os.Getenv("GOINETD_SEED"), 10, 64)
	if err != nil {
		seed = rand.Int63n(1e9)
	}
	t.Logf("GOINETD_SEED=%d", seed)
	return seed
}

// A difference is one fact in which the two daemons do not agree.
type difference struct {
	file         *xinetdFile
	service      *xinetdService
	probe        *probe  // nil for a line of the log
	first        bool    // of the service's probes
	xinetd, ours *answer // of that probe
	field        string  // outcome, the name of a fact, or log
	theirs, here string
	both         *[2]result
}

func (d difference) String() string {
	who := "log"
	if d.probe != nil {
		who = fmt.Sprintf("client %s to %s (held: %v)", d.probe.from, d.probe.to, d.probe.hold)
	}
	return fmt.Sprintf("%s, %s: %s: xinetd %q, here %q", d.service.id, who, d.field, d.theirs, d.here)
}

// 600 random services, run by xinetd and by the daemon under its name: what
// clients receive, what programs see, and what is logged. A difference counts
// if two more looks, without haste, see it again: xinetd does not serve every
// client every time.
func TestDifferXinetd(t *testing.T) {
	t.Parallel()
	need(t, "root", "unshare", "ip", "gcc", "prlimit")
	asShipped(t)
	xinetd := server(t, "xinetd", "/usr/sbin/xinetd")
	seed := xinetdSeed(t)
	if os.Getenv("GOINETD_TEST_INSIDE") == t.Name() {
		insideRun(t, seed)
		return
	}
	const files, looks = 15, 3
	begun := time.Now()
	dir := folder(t)
	command(t, "gcc", "-static", "-O2", "-o", dir+"/report", "testdata/report.c")
	ours := filepath.Join(dir, "xinetd")
	os.Symlink(built.inetd, ours)
	var mu sync.Mutex
	var suspects []int
	count := map[string]int{}
	var all sync.WaitGroup
	free := make(chan struct{}, 6)
	for n := range files {
		all.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			f, pair := runBoth(t, seed, n, dir, xinetd, ours, 1000*time.Millisecond)
			_, unexplained := compareRuns(f, pair, count, &mu)
			if len(unexplained) > 0 {
				mu.Lock()
				suspects = append(suspects, n)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	t.Logf("%v for the first look; to be looked at again: %v", time.Since(begun).Round(time.Second), suspects)
	for _, n := range suspects {
		var f *xinetdFile
		var pair [2]result
		var left []difference // those that every look sees
		for look := range looks - 1 {
			f, pair = runBoth(t, seed, n, dir, xinetd, ours, 2*time.Second)
			_, unexplained := compareRuns(f, pair, map[string]int{}, &mu)
			if look > 0 {
				unexplained = slices.DeleteFunc(unexplained, func(d difference) bool {
					return !slices.ContainsFunc(left, func(before difference) bool { return before.String() == d.String() })
				})
			}
			if left = unexplained; len(left) == 0 {
				break
			}
		}
		report(t, seed, f, pair, left)
	}
	for _, class := range slices.Sorted(maps.Keys(count)) {
		t.Logf("%5d %s", count[class], class)
	}
	if count["same: served"] < 500 || count["same: closed"] < 50 {
		t.Errorf("too few clients are served or refused: %v", count)
	}
}

// runBoth runs one configuration in both daemons.
func runBoth(t *testing.T, seed int64, n int, dir, xinetd, ours string, patience time.Duration) (*xinetdFile, [2]result) {
	var pair [2]result
	var f *xinetdFile
	for side, program := range []string{xinetd, ours} {
		r := run{File: n, Dir: fmt.Sprintf("%s/f%d", dir, n), Program: program, Result: fmt.Sprintf("%s/result-%d-%d", dir, n, side), Patience: patience}
		os.MkdirAll(r.Dir, 0o755)
		os.Link(dir+"/report", r.Dir+"/report")
		f = xinetdFileOf(seed, n, r.Dir)
		if err := f.write(n); err != nil {
			t.Error(err)
			continue
		}
		text, _ := json.Marshal(r)
		cmd := exec.Command("unshare", "-mn", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), "GOINETD_TEST_INSIDE="+t.Name(), "GOINETD_TEST_BUILT="+filepath.Dir(built.inetd), differVariable+"="+string(text), fmt.Sprintf("GOINETD_SEED=%d", seed))
		out, err := cmd.CombinedOutput()
		if err == nil {
			out, err = os.ReadFile(r.Result)
		}
		if err == nil {
			err = json.Unmarshal(out, &pair[side])
		}
		if err != nil {
			t.Errorf("file %d in %s: %v\n%s", n, program, err, out)
		}
	}
	return f, pair
}

// compareRuns counts what is the same and what is explained, and returns what
// is not.
func compareRuns(f *xinetdFile, pair [2]result, count map[string]int, mu *sync.Mutex) (all, unexplained []difference) {
	mu.Lock()
	defer mu.Unlock()
	for _, s := range f.services {
		list := s.compare(f, pair, func(what string) { count["same: "+what]++ })
		all = append(all, list...)
		for _, d := range list {
			if c := classOf(d); c != nil {
				count[c.name]++
			} else {
				unexplained = append(unexplained, d)
			}
		}
	}
	return all, unexplained
}

// compare returns the differences of one service.
func (s *xinetdService) compare(f *xinetdFile, pair [2]result, same func(string)) (list []difference) {
	theirs, ours := pair[0].Answers[s.id], pair[1].Answers[s.id]
	if len(theirs) != len(s.probes) || len(ours) != len(s.probes) {
		return nil // the run failed, and says so
	}
	for i := range s.probes {
		d := difference{both: &pair, file: f, service: s, probe: &s.probes[i], first: i == 0, xinetd: &theirs[i], ours: &ours[i]}
		if theirs[i].Outcome != ours[i].Outcome {
			d.field, d.theirs, d.here = "outcome", theirs[i].Outcome, ours[i].Outcome
			list = append(list, d)
			continue
		}
		same(ours[i].Outcome)
		facts := map[string]bool{}
		for name := range theirs[i].Facts {
			facts[name] = true
		}
		for name := range ours[i].Facts {
			facts[name] = true
		}
		for _, name := range slices.Sorted(maps.Keys(facts)) {
			var had, has bool
			d.theirs, had = theirs[i].Facts[name]
			d.here, has = ours[i].Facts[name]
			if d.field = name; d.theirs != d.here || had != has {
				list = append(list, d)
			}
		}
	}
	// What is in one log only.
	left := slices.Clone(pair[1].Log[s.id])
	for _, line := range pair[0].Log[s.id] {
		if at := slices.Index(left, line); at >= 0 {
			left = slices.Delete(left, at, at+1)
			same("line of the log")
			continue
		}
		list = append(list, difference{both: &pair, file: f, service: s, field: "log", theirs: line})
	}
	for _, line := range left {
		list = append(list, difference{both: &pair, file: f, service: s, field: "log", here: line})
	}
	return list
}

// report fails the test with what nothing explains.
func report(t *testing.T, seed int64, f *xinetdFile, pair [2]result, unexplained []difference) {
	t.Helper()
	shown := map[string]bool{}
	for _, d := range unexplained {
		if t.Errorf("%v", d); shown[d.service.id] || len(shown) > 5 {
			continue
		}
		shown[d.service.id] = true
		var b strings.Builder
		for _, a := range f.defaults {
			fmt.Fprintf(&b, "default %s %s %s\n", a.name, a.op, a.value)
		}
		fmt.Fprintf(&b, "service %s (%s)\n", d.service.name, d.service.kind)
		for _, a := range d.service.settings {
			fmt.Fprintf(&b, " %s %s %s\n", a.name, a.op, a.value)
		}
		for i, p := range d.service.probes {
			fmt.Fprintf(&b, "client %+v: xinetd %v; here %v\n", p, pair[0].Answers[d.service.id][i], pair[1].Answers[d.service.id][i])
		}
		for i, name := range []string{"xinetd", "our"} {
			fmt.Fprintf(&b, "%s log:\n %s\n", name, strings.Join(pair[i].Log[d.service.id], "\n "))
			for line := range strings.Lines(pair[i].Daemon) {
				if strings.Contains(line, d.service.id) {
					b.WriteString(" " + line)
				}
			}
		}
		t.Logf("GOINETD_SEED=%d\n%s", seed, b.String())
	}
}
