package inetd

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"goinetd/inetd/reliability"
)

// used returns how many descriptors are counted.
func (s *testServer) used() int {
	s.conns.mu.Lock()
	defer s.conns.mu.Unlock()
	return s.conns.used
}

// Builtins, redirects and look-ups leave descriptors to others: who comes when
// they have used up their part is refused.
func TestDescriptorLimit(t *testing.T) {
	at, forward := freeAddr(t), freeAddr(t)
	s := newTestServer(t, echo("a", at, "")+redirectTo("web", forward, at))
	s.conns.limit = 2 * connFDs
	s.run()
	refused := func(at, name string) {
		t.Helper()
		if got, err := io.ReadAll(dialTCP(t, at)); err != nil || len(got) != 0 {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
		s.logged("FAIL: " + name + " descriptor_limit from=127.0.0.1")
	}
	first := dialServed(t, at)
	refused(forward, "web") // which needs more than one
	dialServed(t, at)
	refused(at, "a")
	first.Close()
	s.until("its descriptor is free", func() bool { return s.used() == connFDs })
	if got := exchange(t, at, "served"); got != "served" {
		t.Errorf("after a client has gone: %q", got)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Shortages, Did: "builtins, redirects and look-ups that take three quarters of the descriptors",
		Saw: "refused; other services have the rest", Log: "FAIL: a descriptor_limit from=127.0.0.1"})
}

// A redirect whose client has gone ends although its target does not.
func TestHalfOpenRedirect(t *testing.T) {
	at := freeAddr(t)
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	s := newTestServer(t, redirectTo("web", at, target.Addr().String()), func(o *Options) { o.HalfOpenTimeout = 50 * time.Millisecond }).run()
	c := dialTCP(t, at)
	far, err := target.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	io.WriteString(far, "hello")
	if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	c.Close()
	s.until("the redirect has ended", func() bool { return s.used() == 0 && s.running == 0 })
	s.logged("EXIT: web")
	reliability.Survived(t, reliability.Fault{Theme: reliability.Clients, Did: "a redirect whose client has gone, and whose target does not close",
		Saw: "closed after 5 minutes without data", Log: "EXIT: web"})
}

// A builtin's connection that is idle is closed, but for a service that says
// otherwise.
func TestBuiltinIdle(t *testing.T) {
	at, patient := freeAddr(t), freeAddr(t)
	s := newTestServer(t, echo("a", at, "")+echo("b", patient, `idle_timeout = "UNLIMITED"`), func(o *Options) { o.BuiltinIdle = 100 * time.Millisecond }).run()
	stays := dialServed(t, patient)
	if _, err := io.ReadAll(dialServed(t, at)); err != nil {
		t.Errorf("an idle client: %v", err)
	}
	s.logged("EXIT: a")
	io.WriteString(stays, "x")
	if _, err := io.ReadFull(stays, make([]byte, 1)); err != nil {
		t.Errorf("a client that may be idle: %v", err)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Clients, Did: "an idle client of a builtin",
		Saw: "closed after 10 minutes, or as idle_timeout says", Log: "EXIT: a"})
}

// Whoever is served by inetd itself when it ends has an EXIT line.
func TestEndConnections(t *testing.T) {
	at, forward := freeAddr(t), freeAddr(t)
	s := newTestServer(t, echo("a", at, "")+redirectTo("web", forward, at)).run()
	dialServed(t, at)
	dialServed(t, forward)
	s.until("all are served", func() bool { return s.running == 3 })
	s.EndConnections()
	s.EndConnections()
	for _, text := range []string{"EXIT: a", "EXIT: web"} {
		s.logged(text)
	}
	s.until("their slots are free", func() bool { return s.running == 0 })
	if n := strings.Count(s.text(), "EXIT: web"); n != 1 {
		t.Errorf("%d EXIT lines", n)
	}
	reliability.Survived(t, reliability.Fault{Theme: reliability.Signals, Did: "clients that inetd serves itself when it ends",
		Saw: "closed", Lost: "nothing: each START has its EXIT", Log: "EXIT: web"})
}

func redirectTo(name, at, to string) string {
	_, port, _ := strings.Cut(to, ":")
	return fmt.Sprintf("[service.%s]\nlisten = \"tcp:%s\"\nuser = \"nobody\"\nredirect = [\"127.0.0.1\", \"%s\"]\nlog_on_success = [\"TRAFFIC\", \"EXIT\", \"HOST\"]\n", name, at, port)
}

// Clients share the text of a banner; a change of its file counts at once.
func TestBannerText(t *testing.T) {
	s := newTestServer(t, "")
	file := filepath.Join(t.TempDir(), "banner")
	change := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	change("hello\n")
	first := s.bannerText("+Go\r\n", file, "")
	if string(first) != "+Go\r\nhello\n" {
		t.Errorf("%q", first)
	}
	if again := s.bannerText("+Go\r\n", file, ""); &again[0] != &first[0] {
		t.Error("a second client has a copy")
	}
	change("good bye\n")
	if got := s.bannerText("", file, file); string(got) != "good bye\ngood bye\n" {
		t.Errorf("%q", got)
	}
	if got := s.bannerText("+Go\r\n", file, ""); string(got) != "+Go\r\ngood bye\n" {
		t.Errorf("%q", got)
	}
	os.Remove(file)
	if got := s.bannerText("+Go\r\n", file, ""); string(got) != "+Go\r\n" {
		t.Errorf("without the file: %q", got)
	}
	s.logged("banner " + file + ": no such file or directory")
	reliability.Survived(t, reliability.Fault{Theme: reliability.Clients, Did: "clients that do not read their banner",
		Saw: "waited for, 30 s", Lost: "nothing: they share one copy in memory"})
}
