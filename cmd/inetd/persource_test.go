package main

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// A host with IPv6 has all addresses of a network, and is one client.
func TestOneNetworkIsOneClient(t *testing.T) {
	t.Parallel()
	if !inside(t) {
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	var addresses strings.Builder
	for _, network := range []string{"2001:db8:0:1", "2001:db8:0:2"} {
		for i := range 100 {
			fmt.Fprintf(&addresses, "addr add %s::%x/128 dev lo nodad\n", network, i+1)
		}
	}
	batch := folder(t) + "/batch"
	write(t, batch, addresses.String(), 0o644)
	command(t, "ip", "-6", "-batch", batch)
	few, paused, each := port(t), port(t), port(t)
	d := setup{conf: fmt.Sprintf(`[service.few]
listen = "tcp:[::1]:%d"
user = "nobody"
server = "/bin/cat"
per_source = 2
[service.paused]
listen = "tcp:[::1]:%d"
user = "nobody"
server = "/bin/cat"
cps_per_source = [2, "1h"]
[service.each]
listen = "tcp:[::1]:%d"
user = "nobody"
server = "/bin/cat"
per_source = 1
per_source_prefix = [32, 128]
`, few, paused, each)}.start(t)
	served := func(port int, client string) bool {
		c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(client)}, Timeout: patience}).Dial("tcp", fmt.Sprintf("[::1]:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(patience))
		io.WriteString(c, "x")
		n, _ := c.Read(make([]byte, 1))
		return n == 1
	}
	count := func(port int, network string) (n int) {
		for i := range 100 {
			if served(port, fmt.Sprintf("%s::%x", network, i+1)) {
				n++
			}
		}
		return n
	}
	for _, c := range []struct {
		name string
		port int
		want int
	}{{"per_source = 2", few, 2}, {"cps_per_source", paused, 2}, {"per_source = 1 for each address", each, 100}} {
		if got := count(c.port, "2001:db8:0:1"); got != c.want {
			t.Errorf("%s: %d of 100 clients of one network are served", c.name, got)
		}
		if got := count(c.port, "2001:db8:0:2"); got != c.want {
			t.Errorf("%s: %d of 100 clients of another network are served", c.name, got)
		}
	}
	d.find(`FAIL: few per_source_limit from=2001:db8:0:1::`, 98)
}
