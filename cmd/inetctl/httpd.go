package main

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"goinetd/inetd/control"
)

func httpdCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "httpd",
		Short: "Serve the state by HTTP, as a nowait service of inetd",
		Long: `Speaks HTTP on its standard input, as a program of a nowait service:

  [service.status]
  listen = "tcp:127.0.0.1:9180"
  user = "root"
  server = "/usr/bin/inetctl"
  server_args = ["httpd"]

/ is a page for people, /metrics is for Prometheus, /status.json is what inetctl
status --json prints, /healthz is 200 if all services are reached as they should
be, else 503; /healthz/NAME is that of one. Nothing can be changed by it.`,
		Args: cobra.NoArgs,
	}
	socket := addSocket(c)
	c.RunE = func(*cobra.Command, []string) error {
		conn, err := net.FileConn(os.Stdin)
		if err != nil {
			return fmt.Errorf("standard input is no connection: %w (inetd starts this: inetctl help httpd)", err)
		}
		os.Stdin.Close()
		return serveHTTP(conn, func() (*control.Status, error) { return statusOf(*socket) })
	}
	return c
}

// How long a client may take.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = time.Minute
)

// serveHTTP serves one connection until it ends.
func serveHTTP(conn net.Conn, status func() (*control.Status, error)) error {
	l := newOneListener(conn)
	h := &handler{status: status, begun: time.Now()}
	server := &http.Server{Handler: h.routes(), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, ErrorLog: log.New(io.Discard, "", 0),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed || state == http.StateHijacked {
				l.Close()
			}
		}}
	if err := server.Serve(l); !errors.Is(err, errServed) {
		return err
	}
	return nil
}

// A oneListener accepts one connection, and then waits until that has ended.
type oneListener struct {
	conn  net.Conn
	conns chan net.Conn
	ended chan struct{}
	once  sync.Once
}

var errServed = errors.New("the connection has ended")

func newOneListener(conn net.Conn) *oneListener {
	l := &oneListener{conn: conn, conns: make(chan net.Conn, 1), ended: make(chan struct{})}
	l.conns <- conn
	return l
}

func (l *oneListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.ended:
		return nil, errServed
	}
}

func (l *oneListener) Close() error {
	l.once.Do(func() { close(l.ended) })
	return nil
}

func (l *oneListener) Addr() net.Addr { return l.conn.LocalAddr() }

// A handler answers requests.
type handler struct {
	status func() (*control.Status, error)
	begun  time.Time
}

func (h *handler) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", h.page)
	mux.HandleFunc("GET /updates", h.updates)
	mux.HandleFunc("GET /status.json", h.json)
	mux.HandleFunc("GET /healthz", h.health)
	mux.HandleFunc("GET /healthz/{service}", h.health)
	registry := prometheus.NewRegistry()
	registry.MustRegister(&collector{h.status})
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	assets := http.FileServerFS(webFiles)
	mux.Handle("GET /web/", assets)
	return secured(mux)
}

// secured adds the headers that keep a browser from anything but this page's own
// files.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
			"X-Content-Type-Options":  "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			w.Header().Set(name, value)
		}
		next.ServeHTTP(w, r)
	})
}

//go:embed web
var webFiles embed.FS

var pageTemplate = template.Must(template.New("page.html").Funcs(template.FuncMap{"addresses": func(s control.Service) string { return addressesOf(&s) },
	"running": func(s control.Service) string { return runningOf(&s) }, "sum": sum, "ago": func(t *time.Time) string {
		if t == nil {
			return "-"
		}
		return age(time.Since(*t))
	}, "age": age}).ParseFS(webFiles, "web/page.html"))

func (h *handler) page(w http.ResponseWriter, _ *http.Request) {
	status, err := h.status()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	pageTemplate.Execute(w, status)
}

func (h *handler) json(w http.ResponseWriter, _ *http.Request) {
	status, err := h.status()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	printJSON(w, status)
}

// updateInterval is the time between two states of the page.
const updateInterval = 500 * time.Millisecond

// updates sends the state as server-sent events, as often as it changes.
func (h *handler) updates(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	flusher := http.NewResponseController(w)
	ticker := time.NewTicker(updateInterval)
	defer ticker.Stop()
	for r.Context().Err() == nil {
		status, err := h.status()
		if err != nil {
			fmt.Fprintf(w, "event: gone\ndata: %q\n\n", err.Error())
			flusher.Flush()
			return
		}
		text, err := json.Marshal(status)
		if err != nil {
			return
		}
		fmt.Fprintf(w, "data: %s\n\n", text)
		if flusher.Flush() != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-r.Context().Done():
		}
	}
}

// health says whether services are reached as they should be.
func (h *handler) health(w http.ResponseWriter, r *http.Request) {
	status, err := h.status()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	name := r.PathValue("service")
	found, wrong := name == "", ""
	for _, s := range status.Services {
		if name != "" && s.Name != name {
			continue
		}
		found = true
		if !healthy(&s) {
			wrong += s.Name + ": " + s.State + "\n"
		}
	}
	switch {
	case !found:
		http.Error(w, "there is no service "+name, http.StatusNotFound)
	case wrong != "":
		http.Error(w, wrong, http.StatusServiceUnavailable)
	default:
		io.WriteString(w, "ok\n")
	}
}

// healthy reports whether clients of a service are served, or wait for others.
func healthy(s *control.Service) bool {
	switch s.State {
	case "listening", "handed off", "full", "by tcpmux":
		return true
	}
	return false
}

// A collector makes metrics of the state.
type collector struct {
	status func() (*control.Status, error)
}

var metrics = map[string]*prometheus.Desc{
	"up":       prometheus.NewDesc("inetd_up", "Whether inetd answers.", nil, nil),
	"start":    prometheus.NewDesc("inetd_start_time_seconds", "When inetd was started, since 1970.", nil, nil),
	"problems": prometheus.NewDesc("inetd_configuration_problems", "Problems of the configuration that is served.", []string{"severity"}, nil),
	"running":  prometheus.NewDesc("inetd_service_running", "Clients that are served.", []string{"service", "address"}, nil),
	"limit":    prometheus.NewDesc("inetd_service_instances_limit", "Clients that may be served at once.", []string{"service", "address"}, nil),
	"starts":   prometheus.NewDesc("inetd_service_starts_total", "Clients that were served.", []string{"service", "address"}, nil),
	"refused":  prometheus.NewDesc("inetd_service_refused_total", "Clients that were refused.", []string{"service", "address", "reason"}, nil),
	"healthy":  prometheus.NewDesc("inetd_service_healthy", "Whether clients are served, or wait for others.", []string{"service", "address"}, nil),
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range metrics {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(name string, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(metrics[name], prometheus.GaugeValue, value, labels...)
	}
	status, err := c.status()
	if err != nil {
		gauge("up", 0)
		return
	}
	gauge("up", 1)
	gauge("start", float64(status.Started.Unix()))
	problems := map[string]int{"error": 0, "warning": 0}
	for _, p := range status.Problems {
		problems[p.Severity]++
	}
	for severity, n := range problems {
		gauge("problems", float64(n), severity)
	}
	seen := map[string]int{}
	for i := range status.Services {
		s := &status.Services[i]
		address := addressesOf(s)
		if n := seen[s.Name+address]; n > 0 { // of services behind tcpmux
			address = fmt.Sprint(address, " ", n+1)
		}
		seen[s.Name+addressesOf(s)]++
		gauge("running", float64(s.Running), s.Name, address)
		if n := s.Limits["instances"]; n > 0 {
			gauge("limit", float64(n), s.Name, address)
		}
		gauge("healthy", map[bool]float64{true: 1}[healthy(s)], s.Name, address)
		ch <- prometheus.MustNewConstMetric(metrics["starts"], prometheus.CounterValue, float64(s.Starts), s.Name, address)
		for reason, n := range s.Refused {
			ch <- prometheus.MustNewConstMetric(metrics["refused"], prometheus.CounterValue, float64(n), s.Name, address, reason)
		}
	}
}
