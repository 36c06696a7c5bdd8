package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"goinetd/inetd/reliability"
)

// builtins starts a daemon with every builtin on a port of its own.
func builtins(t *testing.T) (d *daemonProcess, ports map[string]int) {
	need(t, "root")
	ports = map[string]int{}
	conf := ""
	for _, name := range []string{"echo", "discard", "chargen", "daytime", "time"} {
		p := port(t)
		ports[name] = p
		conf += fmt.Sprintf("%s stream tcp nowait root internal %s\n%s dgram udp wait root internal %s\n", at(p), name, at(p), name)
	}
	return setup{conf: conf, flags: []string{"-l"}}.start(t), ports
}

func TestBuiltinsOverTCP(t *testing.T) {
	t.Parallel()
	d, ports := builtins(t)
	before := d.count("fd")
	// more than the sockets hold, so that echo has to keep what it cannot send
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	c := dial(t, ports["echo"])
	go func() {
		c.Write(big)
		c.CloseWrite()
	}()
	if got := readAll(t, c); got != string(big) {
		t.Errorf("echo of %d bytes: %d, or others", len(big), len(got))
	}
	if got := request(t, ports["discard"], strings.Repeat("x", 1<<20)); got != "" {
		t.Errorf("discard answers %d bytes", len(got))
	}
	c = dial(t, ports["chargen"])
	io.WriteString(c, "thrown away")
	text := make([]byte, 200*74)
	if _, err := io.ReadFull(c, text); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text[:95*74], text[95*74:2*95*74]) || !bytes.HasPrefix(text, []byte(" !\"#$%&'()*+,-./0123456789")) {
		t.Errorf("chargen begins with %q", text[:74])
	}
	c.Close()
	if got := request(t, ports["daytime"], "some words that are not waited for"); !strings.HasSuffix(got, "\r\n") || len(got) != 26 {
		t.Errorf("daytime says %q", got)
	} else if _, err := time.Parse(time.ANSIC, strings.TrimSpace(got)); err != nil {
		t.Error(err)
	}
	if got := request(t, ports["time"], ""); len(got) != 4 || binary.BigEndian.Uint32([]byte(got))-uint32(time.Now().Unix()+2208988800)+60 > 120 {
		t.Errorf("time says %x", got)
	}
	d.find(fmt.Sprintf(`START: %d pid=0 from=127\.0\.0\.1 port=\d+`, ports["daytime"]), 1)
	d.find(fmt.Sprintf(`EXIT: %d status=0 pid=0 duration=0\(sec\)`, ports["daytime"]), 1)
	d.idle(before)
}

func TestBuiltinsOverUDP(t *testing.T) {
	t.Parallel()
	_, ports := builtins(t)
	question := func(name, text string) string {
		c := udp(t, ports[name])
		io.WriteString(c, text)
		buf := make([]byte, 70000)
		n, err := c.Read(buf)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return string(buf[:n])
	}
	for _, n := range []int{0, 1, 1400, 65507} {
		if got := question("echo", strings.Repeat("e", n)); len(got) != n {
			t.Errorf("echo of %d bytes: %d", n, len(got))
		}
	}
	if got := question("daytime", ""); len(got) != 26 {
		t.Errorf("daytime says %q", got)
	}
	if got := question("time", ""); len(got) != 4 {
		t.Errorf("time says %q", got)
	}
	for n, want := range map[int]int{1: 1, 100: 100, 5000: 512} {
		if got := question("chargen", strings.Repeat("c", n)); len(got) != want {
			t.Errorf("chargen answers %d bytes to %d", len(got), n)
		}
	}
}

// Two services that answer each other would do so for ever: what comes from
// the port of one is not answered.
func TestNoDatagramLoops(t *testing.T) {
	t.Parallel()
	if !inside(t) { // somebody may have one of the low ports
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	d, ports := builtins(t)
	send := func(from *net.UDPAddr, to int) (answered bool) {
		c, err := net.ListenUDP("udp", from)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.WriteToUDP([]byte("x"), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: to})
		// the answer to a second question, from a port that may ask, shows
		// that the first has been dealt with
		other := udp(t, to)
		io.WriteString(other, "y")
		other.Read(make([]byte, 10))
		c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, _, err = c.ReadFromUDP(make([]byte, 10))
		return err == nil
	}
	for _, p := range []int{7, 13, 17, 19, 37, 53, 1023, 2049, ports["chargen"], ports["time"]} {
		from := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2), Port: p}
		if send(from, ports["echo"]) {
			t.Errorf("a datagram from port %d is answered", p)
		}
	}
	if !send(&net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}, ports["echo"]) {
		t.Errorf("loopback is not answered\n%s", d.text())
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Clients, Did: "datagrams from the ports of services that answer",
		Saw: "not answered, so that no loop begins"})
}

// One forged datagram between the echo services of two inetds does not go back
// and forth for ever.
func TestDatagramLoopEnds(t *testing.T) {
	t.Parallel()
	if !inside(t) {
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	for _, port := range []int{7007, 7008} {
		setup{conf: fmt.Sprintf("127.0.0.1:%d dgram udp wait root internal echo\n", port)}.start(t)
	}
	raw, err := net.Dial("ip4:udp", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	// from port 7008, to port 7007, 9 bytes, without a checksum
	if _, err := raw.Write([]byte{7008 >> 8, 7008 & 255, 7007 >> 8, 7007 & 255, 0, 9, 0, 0, 'x'}); err != nil {
		t.Fatal(err)
	}
	received := func() int {
		text, err := os.ReadFile("/proc/net/snmp")
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`(?m)^Udp: (\d+)`).FindSubmatch(text)
		n, _ := strconv.Atoi(string(m[1]))
		return n
	}
	last, same := received(), 0
	until(t, func() bool { // it takes microseconds from one to the other
		n := received()
		if same++; n != last || n == 0 {
			last, same = n, 0
		}
		return same > 20
	})
	if last > 1000 {
		t.Errorf("%d datagrams", last)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Clients, Did: "one forged datagram between the echo services of two inetds",
		Saw: "some hundred replies, and then none"})
}

// On a host with several addresses, an answer comes from the one that was
// asked.
func TestDatagramReplySource(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p := port(t)
	setup{conf: fmt.Sprintf("*:%d dgram udp wait root internal echo\n", p)}.start(t)
	for _, a := range []string{"127.0.0.1", "127.0.0.7", "::1"} {
		c, err := net.Dial("udp", net.JoinHostPort(a, fmt.Sprint(p))) // connected: hears only from there
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		io.WriteString(c, "x")
		if _, err := c.Read(make([]byte, 10)); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
}

// A service on both families is two sockets: an IPv4 client is one to the
// program, too.
func TestBothFamilies(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p := port(t)
	setup{conf: fmt.Sprintf("%d stream tcp nowait nobody /usr/bin/env env\n", p)}.start(t)
	for _, a := range []string{"127.0.0.1", "::1"} {
		c, err := net.Dial("tcp", net.JoinHostPort(a, fmt.Sprint(p)))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		got := readAll(t, c)
		for _, want := range []string{"REMOTE_HOST=" + a + "\n", "TCPLOCALIP=" + a + "\n"} {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in %s", want, got)
			}
		}
	}
}

func TestTcpmux(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p := port(t)
	d := setup{conf: fmt.Sprintf(`%s stream tcp nowait root internal tcpmux
tcpmux/+shout stream tcp nowait nobody /usr/bin/tr tr a-z A-Z
tcpmux/raw stream tcp nowait daemon /bin/sh sh -c "id -un; cat"
tcpmux/+few stream tcp nowait/1 nobody /bin/cat cat
`, at(p)), flags: []string{"-l"}}.start(t)
	before := d.count("fd")
	for name, want := range map[string]string{
		"shout\r\nhello":   "+Go\r\nHELLO", // what follows the name is the program's
		"SHOUT\nhello":     "+Go\r\nHELLO",
		"raw\r\nx\r\ny":    "daemon\nx\r\ny",
		"help\r\n":         "few\r\nraw\r\nshout\r\n",
		"nothing\r\nhello": "-Service not available\r\n",
		"cut off":          "",
	} {
		if got := request(t, p, name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	c := dial(t, p) // in segments
	for _, b := range []byte("shout\r\n") {
		c.Write([]byte{b})
	}
	go_ := make([]byte, 5)
	if _, err := io.ReadFull(c, go_); err != nil || string(go_) != "+Go\r\n" {
		t.Errorf("%q, %v", go_, err)
	}
	c.Close()
	d.find(`START: tcpmux/\+shout pid=[1-9]\d* from=127\.0\.0\.1`, 3)
	d.find(`FAIL: \d+ unknown service "nothing" from=127`, 1)

	if got := request(t, p, strings.Repeat("n", 300)); got != "" {
		t.Errorf("a name without end gets %q", got)
	}
	first := dial(t, p)
	io.WriteString(first, "few\r\n")
	if _, err := io.ReadFull(first, go_); err != nil {
		t.Fatal(err)
	}
	if got := request(t, p, "few\r\n"); got != "-Service not available\r\n" {
		t.Errorf("a second client of one gets %q", got)
	}
	d.find(`FAIL: tcpmux/\+few service_limit from=127`, 1)
	first.Close()
	d.idle(before)
}

// SIGUSR1 logs the state and stops nothing.
func TestState(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p := port(t)
	d := setup{conf: fmt.Sprintf("%s stream tcp nowait nobody /bin/cat cat\n", at(p))}.start(t)
	c := dial(t, p)
	io.WriteString(c, "x")
	io.ReadFull(c, make([]byte, 1))
	d.await("1 program running") // it runs before it is counted
	d.signal(syscall.SIGUSR1)
	d.find(`STATE: up \d+s, 1 service, 1 program running, 0 clients refused`, 1)
	d.find(fmt.Sprintf(`STATE: %d tcp 127\.0\.0\.1:%d \(listening\) user=nobody server="/bin/cat" running=1 starts=1/min per_minute=256`, p, p), 1)
	d.find(fmt.Sprintf(`STATE: %d pid=\d+ from=127\.0\.0\.1 port=\d+ since=\d+s`, p), 1)
}

// chargen goes on for a client that says nothing more, as it does with nc -N.
func TestChargenHalfClosed(t *testing.T) {
	t.Parallel()
	_, ports := builtins(t)
	for range 20 {
		c := dial(t, ports["chargen"])
		c.CloseWrite()
		if _, err := io.ReadFull(c, make([]byte, 100000)); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
}

// qotd sends a quote of its file over TCP, and over UDP one that is not longer
// than the datagram.
func TestQOTD(t *testing.T) {
	t.Parallel()
	need(t, "root")
	p := port(t)
	quotes := write(t, filepath.Join(folder(t), "quotes"), "short\n%\na longer quote of two\nlines\n", 0o644)
	setup{conf: fmt.Sprintf("[service.qotd]\ntype = \"internal\"\nlisten = [\"tcp:%s\", \"udp:%s\"]\nquote_file = %q\n", at(p), at(p), quotes)}.start(t)
	if got := request(t, p, ""); got != "short\r\n" && got != "a longer quote of two\r\nlines\r\n" {
		t.Errorf("over TCP: %q", got)
	}
	c := udp(t, p)
	c.Write([]byte("12"))      // too short for any: no reply
	c.Write([]byte("1234567")) // as long as the shortest
	buf := make([]byte, 600)
	if n, err := c.Read(buf); err != nil || string(buf[:n]) != "short\r\n" {
		t.Errorf("over UDP: %q, %v", buf[:n], err)
	}
}
