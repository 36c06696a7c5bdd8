package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"goinetd/inetd/control"
)

// get sends one request to an httpd of its own.
func get(t *testing.T, status func() (*control.Status, error), request string) (code int, header http.Header, body string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ended := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			err = serveHTTP(c, status)
		}
		ended <- err
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", request)
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("httpd goes on although its connection has ended")
	}
	return r.StatusCode, r.Header, string(text)
}

func TestHTTP(t *testing.T) {
	now := time.Now()
	fine := &control.Status{Program: "inetd (goinetd) 1.0", PID: 7, Started: now, Refused: 3, Services: []control.Service{
		{Name: "<script>alert(1)</script>", State: "listening", Starts: 5, Refused: map[string]int{"address": 2, "time": 1}, Listeners: []control.Listener{{Address: "tcp 0.0.0.0:7"}}, Last: "192.0.2.1", LastTime: &now},
		{Name: "b", State: "full", Running: 2, Limits: map[string]int{"instances": 2}},
		{Name: "b", State: "by tcpmux"}, {Name: "b", State: "by tcpmux"}},
		Programs: []control.Program{{Service: "b", PID: 9, User: "nobody", Client: "192.0.2.1"}}, Problems: []control.Problem{{Severity: "warning", Text: "odd"}}}
	bad := &control.Status{Services: []control.Service{{Name: "a", State: "listening"}, {Name: "b", State: "suspended"}}}
	for _, c := range []struct {
		name    string
		status  *control.Status // nil: no inetd answers
		request string
		code    int
		want    string
	}{
		{"page", fine, "GET /", 200, "&lt;script&gt;alert(1)&lt;/script&gt;"}, {"page, programs", fine, "GET /", 200, `<th scope="row">9</th>`},
		{"page, problems", fine, "GET /", 200, "<strong>warning</strong> : odd"}, {"page without inetd", nil, "GET /", 503, "no inetd answers"},
		{"its files", fine, "GET /web/page.css", 200, "prefers-color-scheme"}, {"its script", fine, "GET /web/page.js", 200, "EventSource"},
		{"JSON", fine, "GET /status.json", 200, `"pid": 7`}, {"JSON without inetd", nil, "GET /status.json", 503, "no inetd answers"},
		{"health", fine, "GET /healthz", 200, "ok\n"}, {"ill", bad, "GET /healthz", 503, "b: suspended\n"}, {"health of one", bad, "GET /healthz/a", 200, "ok\n"},
		{"ill one", bad, "GET /healthz/b", 503, "b: suspended\n"}, {"health of none", bad, "GET /healthz/c", 404, "there is no service c"}, {"health without inetd", nil, "GET /healthz", 503, "no inetd"},
		{"metrics", fine, "GET /metrics", 200, "inetd_service_starts_total{address=\"tcp *:7\",service=\"<script>alert(1)</script>\"} 5\n"},
		{"metrics, reasons", fine, "GET /metrics", 200, "reason=\"time\""}, {"metrics without inetd", nil, "GET /metrics", 200, "inetd_up 0\n"},
		{"nothing is changed", fine, "POST /", 405, ""}, {"nothing else is there", fine, "GET /etc/passwd", 404, ""}, {"no way out", fine, "GET /web/../main.go", 0, ""},
		{"updates", nil, "GET /updates", 200, "event: gone\ndata: \"no inetd answers\"\n\n"},
	} {
		code, header, body := get(t, func() (*control.Status, error) {
			if c.status == nil {
				return nil, errors.New("no inetd answers")
			}
			return c.status, nil
		}, c.request)
		if c.code != 0 && code != c.code || c.code == 0 && code < 300 || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d\n%s\nwant %d and %q", c.name, code, body, c.code, c.want)
		}
		if !strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %v", c.name, header)
		}
	}
}

// The state is sent again as it changes, until the client goes away.
func TestHTTPUpdates(t *testing.T) {
	here, there := net.Pipe()
	looks := 0
	ended := make(chan error, 1)
	go func() {
		ended <- serveHTTP(there, func() (*control.Status, error) {
			looks++
			return &control.Status{PID: looks}, nil
		})
	}()
	here.SetDeadline(time.Now().Add(patience))
	go io.WriteString(here, "GET /updates HTTP/1.1\r\nHost: x\r\n\r\n")
	seen := 0
	for lines := bufio.NewScanner(here); seen < 3 && lines.Scan(); {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			var s control.Status
			if err := json.Unmarshal([]byte(data), &s); err != nil || s.PID != seen+1 {
				t.Errorf("%v %s", err, data)
			}
			seen++
		}
	}
	here.Close()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("it goes on without a client")
	}
	if seen != 3 {
		t.Errorf("%d states", seen)
	}
}
