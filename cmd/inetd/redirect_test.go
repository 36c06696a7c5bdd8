package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// A redirect carries both ways, keeps the half that is still open, and reports
// what it carried.
func TestRedirect(t *testing.T) {
	t.Parallel()
	need(t, "root")
	tac := script(t, "exec tac") // says nothing until it has heard all
	p, q, r := port(t), port(t), port(t)
	gone := port(t)
	conf := entry(p, "server = "+tac, "cps = 0 0") + entry(q, fmt.Sprintf("redirect = 127.0.0.1 %d", p), "log_on_success = HOST TRAFFIC EXIT") +
		strings.Replace(entry(r, fmt.Sprintf("redirect = 127.0.0.1 %d", p)), "bind = 127.0.0.1", "bind = ::1", 1)
	conf += entry(gone, fmt.Sprintf("redirect = 127.0.0.1 %d", port(t)))
	d := setup{conf: conf}.start(t)
	if got := request(t, q, "a\nb\n"); got != "b\na\n" {
		t.Errorf("%q", got)
	}
	d.find(fmt.Sprintf(`TRAFFIC: s%d in=4\(bytes\) out=4\(bytes\)\n`, q), 1)
	c, err := net.Dial("tcp", fmt.Sprintf("[::1]:%d", r))
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "c\nd\n")
	c.(*net.TCPConn).CloseWrite()
	if got := readAll(t, c); got != "d\nc\n" {
		t.Errorf("from IPv6 to IPv4: %q", got)
	}
	if got := request(t, gone, ""); got != "" {
		t.Errorf("%q from nowhere", got)
	}
	d.find(fmt.Sprintf(`FAIL: s%d redirect: .*connection refused from=127.0.0.1`, gone), 1)
}

// A gigabyte each way at once, and all of it arrives.
func TestRedirectGigabyte(t *testing.T) {
	t.Parallel()
	need(t, "root")
	size := int64(1 << 30)
	if racing || testing.Short() {
		size = 1 << 26
	}
	behind, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer behind.Close()
	p := port(t)
	d := setup{conf: entry(p, fmt.Sprintf("redirect = 127.0.0.1 %d", behind.Addr().(*net.TCPAddr).Port), "log_on_success = TRAFFIC")}.start(t)
	sums := make(chan string, 4)
	both := func(c *net.TCPConn, seed int64) { // sends its own, and sums what comes
		var done sync.WaitGroup
		done.Go(func() {
			h := sha256.New()
			if _, err := io.Copy(io.MultiWriter(c, h), io.LimitReader(rand.New(rand.NewSource(seed)), size)); err != nil {
				t.Error(err)
			}
			c.CloseWrite()
			sums <- fmt.Sprintf("%x", h.Sum(nil))
		})
		h := sha256.New()
		if n, err := io.Copy(h, c); err != nil || n != size {
			t.Errorf("%d bytes of %d, %v", n, size, err)
		}
		sums <- fmt.Sprintf("%x", h.Sum(nil))
		done.Wait()
		c.Close()
	}
	go func() {
		if c, err := behind.Accept(); err == nil {
			both(c.(*net.TCPConn), 1)
		}
	}()
	c := dial(t, p)
	c.SetDeadline(time.Now().Add(10 * patience))
	both(c, 2)
	seen := map[string]int{}
	for range 4 {
		seen[<-sums]++
	}
	for sum, n := range seen {
		if n != 2 {
			t.Errorf("%s was sent or came %d times", sum, n)
		}
	}
	d.find(fmt.Sprintf(`TRAFFIC: s%d in=%d\(bytes\) out=%d\(bytes\)`, p, size, size), 1)
}

// A redirect to itself is warned of, and refused for each client before it
// connects.
func TestRedirectToItself(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p, q := port(t), port(t)
	conf := entry(p, fmt.Sprintf("redirect = 127.0.0.1 %d", p), "log_on_success = HOST") +
		strings.Replace(entry(q, fmt.Sprintf("redirect = localhost %d", q), "flags = IPv4"), "bind = 127.0.0.1", "bind = 0.0.0.0", 1)
	d := setup{conf: conf}.start(t)
	d.find(fmt.Sprintf(`redirect: 127.0.0.1:%d leads to the service itself; connections fail`, p), 1)
	d.find(fmt.Sprintf(`redirect: localhost:%d leads to the service itself; connections fail`, q), 1)
	for _, at := range []int{p, q} {
		if got := request(t, at, ""); got != "" {
			t.Errorf("%d: %q", at, got)
		}
		d.find(fmt.Sprintf(`FAIL: s%d redirect: .*it leads to the service itself from=127.0.0.1`, at), 1)
	}
	if n := strings.Count(d.text(), "FAIL: "); n != 2 {
		t.Errorf("%d clients for 2", n)
	}
}
