package main

import (
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"goinetd/inetd/reliability"
)

// Hundreds of clients of each builtin that do not read, or do not go on, hold
// up nobody, and all are released.
func TestSlowClients(t *testing.T) {
	// Serial: opens 4,000 connections.
	need(t, "root")
	raiseFiles(t)
	const each = 400
	dir := folder(t)
	banner := write(t, dir+"/banner", strings.Repeat("welcome to all\n", 4000), 0o644)
	conf := "defaults\n{\n cps = 0 0\n per_source = UNLIMITED\n instances = UNLIMITED\n}\n"
	ports := map[string]int{}
	for name, settings := range map[string][]string{
		"echo": {"type = INTERNAL UNLISTED"}, "discard": {"type = INTERNAL UNLISTED"}, "chargen": {"type = INTERNAL UNLISTED"},
		"daytime": {"type = INTERNAL UNLISTED"}, "time": {"type = INTERNAL UNLISTED"}, "tcpmux": {"type = INTERNAL UNLISTED"},
		"banner": {"banner = " + banner, "server = /bin/echo"}, "refused": {"banner_fail = " + banner, "no_access = 127.0.0.0/8"}, "other": {"server = /bin/echo", "server_args = fine"},
	} {
		p := port(t)
		ports[name] = p
		text := entry(p, settings...)
		if strings.HasPrefix(settings[0], "type = INTERNAL") {
			text = fmt.Sprintf("service %s\n{\n id = %s\n type = INTERNAL UNLISTED\n port = %d\n bind = 127.0.0.1\n protocol = tcp\n socket_type = stream\n wait = no\n user = root\n}\n", name, name, p)
		}
		conf += text
	}
	d := setup{conf: conf, flags: []string{"-R", "0"}}.start(t)
	if got := request(t, ports["other"], ""); got != "fine\n" {
		t.Fatalf("got %q\n%s", got, d.text())
	}
	before := d.count("fd")
	var clients []net.Conn
	for name, p := range ports {
		if name == "other" {
			continue
		}
		for i := range each {
			c, err := (&net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%200))}}).Dial("tcp", at(p))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.(*net.TCPConn).SetReadBuffer(4096)
			switch name {
			case "echo":
				c.SetWriteDeadline(time.Now().Add(patience))
				io.WriteString(c, strings.Repeat("x", 60_000))
			case "tcpmux":
				io.WriteString(c, "half a na")
			}
			clients = append(clients, c)
		}
		if got := request(t, ports["other"], ""); got != "fine\n" {
			t.Errorf("beside slow clients of %s: %q", name, got)
		}
	}
	until(t, func() bool { return d.count("fd") >= before+4*each }) // echo, discard, chargen and tcpmux hold theirs
	for _, c := range clients {
		c.Close()
	}
	d.idle(before)
	reliability.Survived(t, reliability.Fault{Theme: reliability.Clients, Did: "400 slow clients each of echo (60 kB unread), discard, chargen, daytime, time, tcpmux (half a name), a banner, and a banner for those refused",
		Saw: "others served meanwhile", Lost: "nothing: every descriptor is released"})
}

// Clients that reset before they are accepted leave nothing.
func TestThousandResets(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p, q := port(t), port(t)
	d := setup{conf: fmt.Sprintf("%s stream tcp nowait root internal echo\n%s stream tcp nowait nobody /bin/cat cat\n", at(p), at(q)), flags: []string{"-R", "0"}}.start(t)
	before := d.count("fd")
	for i := range 1000 {
		c := dial(t, []int{p, q}[i%2])
		c.SetLinger(0)
		c.Close()
	}
	for _, port := range []int{p, q} {
		if got := request(t, port, "still here"); got != "still here" {
			t.Errorf("got %q", got)
		}
	}
	d.idle(before)
	reliability.Survived(t, reliability.Fault{Theme: reliability.Clients, Did: "1,000 clients of a builtin and a program that reset before they are accepted",
		Saw: "the next ones are served", Lost: "nothing: no descriptor, no child"})
}

// What a client of tcpmux can send in the place of a name (RFC 1078).
func TestTcpmuxClients(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p := port(t)
	d := setup{conf: fmt.Sprintf("%s stream tcp nowait root internal tcpmux\ntcpmux/+upper stream tcp nowait nobody /usr/bin/tr tr a-z A-Z\n", at(p)), flags: []string{"-l", "-R", "0"}}.start(t)
	before := d.count("fd")
	c := dial(t, p)
	c.SetNoDelay(true)
	for _, b := range []byte("upper\r\nin bytes") {
		c.Write([]byte{b})
	}
	c.CloseWrite()
	if got := readAll(t, c); got != "+Go\r\nIN BYTES" {
		t.Errorf("in bytes: %q", got)
	}
	for text, want := range map[string]string{
		"upper\r\ndata behind it": "+Go\r\nDATA BEHIND IT",
		"upper\nby LF only":       "+Go\r\nBY LF ONLY",
		"\r\n":                    "-",
		"\x00\x00\r\n":            "-",
		"upper\x00\r\n":           "-",
		"%n%s%x\r\n":              "-",
		"../../bin/sh\r\n":        "-",
		"upper":                   "",
	} {
		if got := request(t, p, text); got != want && !(want == "-" && strings.HasPrefix(got, "-")) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	large := dial(t, p)
	large.Write([]byte(strings.Repeat("n", 1<<20))) // the end may come before all is written
	if got, _ := io.ReadAll(large); len(got) > 0 && got[0] != '-' {
		t.Errorf("1 MB of a name: %q", got)
	}
	for i := range 200 {
		c := dial(t, p)
		io.WriteString(c, "upper\r\n"[:i%8])
		c.SetLinger(0)
		c.Close()
	}
	if got := request(t, p, "upper\r\nx"); got != "+Go\r\nX" {
		t.Errorf("after resets: %q", got)
	}
	large.Close()
	d.idle(before)
	if strings.Contains(d.text(), "\x00") {
		t.Errorf("the log has NULs:\n%q", d.text())
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Clients, Did: "tcpmux: a name in single bytes, with data behind it, with LF only, with NUL or %n, empty, of 1 MB, and 200 resets within one",
		Saw: "the service, or a reply that begins with -", Lost: "nothing: no descriptor", Log: `FAIL: N unknown service "%n%s%x" from=127.0.0.1 port=N`})
}

// Datagrams of every length, and from where no reply may go.
func TestDatagramClients(t *testing.T) {
	t.Parallel()
	if !inside(t) { // whose broadcasts and raw sockets trouble nobody
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	command(t, "ip", "addr", "add", "198.51.100.1/24", "brd", "198.51.100.255", "dev", "lo")
	d, ports := builtins(t)
	for range 50 {
		c := udp(t, ports["echo"])
		text := strings.Repeat("x", 65507)
		io.WriteString(c, text)
		buf := make([]byte, 70000)
		if n, err := c.Read(buf); err != nil || string(buf[:n]) != text {
			t.Fatalf("of 65,507 bytes %d came back: %v", n, err)
		}
		c.Close()
	}
	raw, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_RAW)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(raw)
	heard, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW|syscall.SOCK_NONBLOCK, syscall.IPPROTO_UDP) // every datagram that arrives here
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(heard)
	for _, from := range []struct {
		ip   [4]byte
		port int
	}{{[4]byte{127, 0, 0, 1}, 0}, {[4]byte{198, 51, 100, 255}, 5000}, {[4]byte{255, 255, 255, 255}, 5000}, {[4]byte{224, 0, 0, 1}, 5000}} {
		for _, name := range []string{"echo", "chargen", "daytime", "time"} {
			syscall.Sendto(raw, datagram(from.ip, from.port, ports[name]), 0, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}) // EINVAL: the kernel keeps it out
			question(t, ports["echo"], "behind it")
		}
	}
	all := port(t)
	setup{conf: fmt.Sprintf("*:%d dgram udp4 wait root internal echo\n", all)}.start(t)
	asks, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 5000})
	if err != nil {
		t.Fatal(err)
	}
	defer asks.Close()
	for _, to := range []net.IP{net.IPv4(198, 51, 100, 255), net.IPv4bcast} {
		if _, err := asks.WriteToUDP([]byte("x"), &net.UDPAddr{IP: to, Port: all}); err != nil {
			t.Error(to, err)
		}
		question(t, all, "behind it")
	}
	buf := make([]byte, 2000)
	for {
		n, _, err := syscall.Recvfrom(heard, buf, 0)
		if err != nil {
			break
		}
		from, to := int(buf[20])<<8|int(buf[21]), int(buf[22])<<8|int(buf[23])
		if n >= 28 && (to == 0 || to == 5000) {
			t.Errorf("a reply from port %d to %v:%d", from, buf[16:20], to)
		}
	}
	for n, want := range map[int]int{1: 1, 512: 512, 513: 512, 65507: 512} {
		c := udp(t, ports["chargen"])
		io.WriteString(c, strings.Repeat("x", n))
		if k, err := c.Read(make([]byte, 70000)); err != nil || k != want {
			t.Errorf("chargen answers %d bytes with %d: %v", n, k, err)
		}
	}
	if t.Failed() {
		t.Log(d.text())
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Clients, Did: "datagrams of 65,507 bytes; datagrams that claim to come from port 0, a broadcast or a multicast address, or were sent to a broadcast address",
		Saw: "the former answered, by chargen with at most 512 bytes; the latter not"})
}

// datagram makes an IPv4 packet with a UDP datagram of one byte, to a port of
// 127.0.0.1. The kernel fills in the checksum of the header; that of UDP is
// none.
func datagram(from [4]byte, port, to int) []byte {
	return []byte{0x45, 0, 0, 29, 0, 1, 0, 0, 64, syscall.IPPROTO_UDP, 0, 0, from[0], from[1], from[2], from[3], 127, 0, 0, 1,
		byte(port >> 8), byte(port), byte(to >> 8), byte(to), 0, 9, 0, 0, 'x'}
}
