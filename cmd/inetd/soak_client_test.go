package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// client is one connection: it asks, and checks the answer.
func (s *soak) client(i int) {
	name := soakRound[i%len(soakRound)]
	began, upgrades := time.Now(), s.upgrades.Load()
	late := s.upgrading.Load()
	question := fmt.Sprintf("question %d\n", i)
	var got, want string
	var err error
	switch name {
	case "echo", "redirect", "few":
		want = question
		got, err = s.ask(i, name, question)
	case "word", "refused", "missing", "banner":
		want = map[string]string{"word": "word\n", "banner": "welcome\nword\n"}[name]
		got, err = s.ask(i, name, "")
	case "plain", "plus", "unknown":
		want = map[string]string{"plain": "word\n", "plus": "+Go\r\nword\n", "unknown": "-Service not available\r\n"}[name]
		got, err = s.ask(i, "mux", name+"\r\n")
	case "unix":
		want = "word\n"
		got, err = s.ask(i, name, "")
	case "daytime":
		got, err = s.ask(i, name, "")
		want = asDaytime(got)
	case "echo-udp", "one":
		want = question
		got, err = s.askDatagram(name, question)
	case "daytime-udp":
		got, err = s.askDatagram(name, question)
		want = asDaytime(got)
	case "killed":
		got, err = s.askKilled(i, question)
		want = question
	}
	s.served[name].Add(1)
	if err == nil && got == want {
		return
	}
	ended := err == nil || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	switch {
	case ended && strings.HasPrefix(want, got) && s.kills[name].Load() > s.short[name].Load():
		s.short[name].Add(1)
	case ended && s.ownClient(name) && (late || s.upgrades.Load() > upgrades) && time.Since(began) > quiesceTimeout:
		s.cut.Add(1) // inetd.8: an upgrade waits a second for such a client
	default:
		s.failures.Add(1)
		s.t.Errorf("connection %d, %s: got %q, %v; want %q", i, name, got, err, want)
	}
}

// ownClient reports whether inetd itself serves the clients of a service.
func (s *soak) ownClient(name string) bool {
	switch name {
	case "echo", "daytime", "redirect", "plain", "plus", "unknown":
		return true
	}
	return false
}

// asDaytime returns a text if it is the answer of daytime, and else what that
// should look like.
func asDaytime(text string) string {
	const layout = "Mon Jan _2 15:04:05 2006\r\n"
	if _, err := time.Parse(layout, text); err != nil {
		return layout
	}
	return text
}

// connect opens a connection to a service, from one of many addresses.
func (s *soak) connect(i int, name string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: patience}
	network, address := "unix", s.dir+"/socket"
	if name != "unix" {
		network, address = "tcp", at(s.ports[name])
		dialer.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%200))}
	}
	c, err := dialer.Dial(network, address)
	if err == nil {
		c.SetDeadline(time.Now().Add(patience))
	}
	return c, err
}

// ask sends a text, if it is not empty, and returns the reply.
func (s *soak) ask(i int, name, text string) (string, error) {
	c, err := s.connect(i, name)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if text != "" {
		if _, err := io.WriteString(c, text); err != nil {
			return "", err
		}
		c.(*net.TCPConn).CloseWrite()
	}
	got, err := io.ReadAll(c)
	return string(got), err
}

// askDatagram sends a datagram and returns the reply. A program that is killed
// takes its datagram with it, which is sent again then.
func (s *soak) askDatagram(name, text string) (string, error) {
	c, err := net.Dial("udp", at(s.ports[strings.TrimSuffix(name, "-udp")]))
	if err != nil {
		return "", err
	}
	defer c.Close()
	buf := make([]byte, 100)
	end := time.Now().Add(patience)
	for {
		sent := time.Now()
		if _, err := io.WriteString(c, text); err != nil {
			return "", err
		}
		for again := false; !again; {
			c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			n, err := c.Read(buf)
			switch answer := string(buf[:n]); {
			case err == nil && answer != text && strings.HasPrefix(answer, "question ") && s.late.Add(1) <= s.resent.Load():
				continue // the second answer to who had this port before us
			case err == nil:
				return answer, nil
			}
			if !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().After(end) {
				return "", err
			}
			// A program reads for a moment after the signal was sent.
			if again = s.killed[name].Load() > sent.Add(-time.Second).UnixMilli(); again {
				s.resent.Add(1)
			}
		}
	}
}

// askKilled is a client whose program is killed when it has answered.
func (s *soak) askKilled(i int, text string) (string, error) {
	c, err := s.connect(i, "killed")
	if err != nil {
		return "", err
	}
	defer c.Close()
	io.WriteString(c, text)
	var got []byte
	buf := make([]byte, 100)
	for !strings.HasSuffix(string(got), text) { // the pid, and the text
		n, err := c.Read(buf)
		if got = append(got, buf[:n]...); err != nil {
			return string(got), err
		}
	}
	line, answer, _ := strings.Cut(string(got), "\n")
	pid, _ := strconv.Atoi(line)
	if !s.killChild(pid, "killed", "cat") {
		return string(got), fmt.Errorf("its program %q does not run", line)
	}
	more, err := io.ReadAll(c)
	return answer + string(more), err
}

// killChild kills a child of the daemon that runs a program, on behalf of a
// service.
func (s *soak) killChild(pid int, service, program string) bool {
	fd, err := unix.PidfdOpen(pid, 0) // the number may be another process's in a moment
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil || !strings.HasPrefix(string(text), fmt.Sprintf("%d (%s) ", pid, program)) {
		return false
	}
	fields := strings.Fields(string(text[strings.LastIndex(string(text), ")")+1:]))
	if len(fields) < 2 || fields[0] == "Z" || fields[1] != strconv.Itoa(s.d.pid()) {
		return false
	}
	s.kills[service].Add(1)
	if unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) != nil {
		s.kills[service].Add(-1)
		return false
	}
	s.killed[service].Store(time.Now().UnixMilli())
	return true
}
