package main

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// echoOnce is a program of a wait or nowait service that answers once.
const echoOnce = `#!/usr/bin/perl
open(my $in, "+<&=", 0) or die;
if ($ARGV[0] eq "accept") { accept(my $c, $in) or die; $in = $c }
my $from = recv($in, my $text, 100, 0);
if ($ARGV[0] eq "recvfrom") { send($in, $text, 0, $from) } else { send($in, $text, 0) }
`

// A limitCase is a service with limits of NetBSD's, and who is served in turn.
type limitCase struct {
	name    string
	network string
	wait    bool
	keys    string   // of a key = value entry
	limit   string   // behind wait or nowait in fields; empty: fields cannot say it
	clients []string // last parts of addresses in 127.0.0.0/8; those that are refused with a minus
	log     string   // line of the refusals; %d is the port
}

// looping and perSource are how the log has it.
const (
	looping   = `%d server failing \(looping\), service terminated`
	nobody    = `%d: closed: no start is allowed`
	perSource = `FAIL: %d per_source_rate from=127\.0\.0\.\d+`
)

var limitCases = []limitCase{
	{"ip_max", "udp", true, "service_max = 5, ip_max = 3", ".5/0/3", []string{"1", "1", "1", "-1"}, perSource},
	{"ip_max, another client", "udp", true, "ip_max = 2", "/0/2", []string{"1", "1", "-1", "2", "2", "-2"}, perSource},
	{"ip_max and service_max", "udp", true, "service_max = 3, ip_max = 2", ".3/0/2", []string{"1", "1", "-1", "2", "-2"}, ""},
	{"ip_max 0", "udp", true, "ip_max = 0", "", []string{"-1", "-2"}, perSource},
	{"service_max", "udp", true, "service_max = 2", ".2", []string{"1", "1", "-1"}, looping},
	{"service_max, several clients", "udp", true, "service_max = 2", ":2", []string{"1", "2", "-3"}, looping},
	{"service_max 0", "udp", true, "service_max = 0", "", []string{"-1"}, nobody},
	{"service_max", "tcp", true, "service_max = 2", ".2", []string{"1", "1", "-1", "-2"}, looping},
	{"service_max 0", "tcp", true, "service_max = 0", "", []string{"-1"}, nobody},
	{"ip_max", "tcp", false, "service_max = 5, ip_max = 3", ".5/0/3", []string{"1", "1", "1", "-1"}, perSource},
	{"ip_max, another client", "tcp", false, "ip_max = 2", "/0/2", []string{"1", "1", "-1", "2", "2", "-2", "3"}, perSource},
	{"ip_max and service_max", "tcp", false, "service_max = 3, ip_max = 2", ".3/0/2", []string{"1", "1", "-1", "2", "-3"}, ""},
	{"ip_max 0", "tcp", false, "ip_max = 0", "", []string{"-1", "-2"}, perSource},
	{"service_max", "tcp", false, "service_max = 2", ":2", []string{"1", "1", "-1", "-2"}, looping},
	{"service_max 0", "tcp", false, "service_max = 0", "", []string{"-1", "-2"}, nobody},
	{"service_max 40 unless written", "tcp", false, "", "", nil, looping},
}

// The limits of NetBSD's inetd(8) do what it says: service_max and ip_max, 0
// for nobody, in key = value entries and in fields.
func TestNetBSDLimits(t *testing.T) {
	t.Parallel()
	need(t, "root", "perl")
	program := write(t, folder(t)+"/once", echoOnce, 0o755)
	var conf strings.Builder
	fmt.Fprintf(&conf, "127.0.0.1:\n")
	ports := map[string]int{}
	for i, c := range limitCases {
		mode, kind, wait, yes := "recv", "stream", "nowait", "no"
		if c.wait {
			mode, wait, yes = "accept", "wait", "yes"
		}
		if c.network == "udp" {
			mode, kind = "recvfrom", "dgram"
		}
		keys := port(t)
		ports[fmt.Sprint(i, " keys")] = keys
		limits := c.keys
		if limits != "" {
			limits += ","
		}
		fmt.Fprintf(&conf, "%d on\n\tprotocol = %s, wait = %s, user = nobody,\n\t%s # limits\n\texec = %s, args = x %s;\n", keys, c.network, yes, limits, program, mode)
		if c.limit != "" {
			fields := port(t)
			ports[fmt.Sprint(i, " fields")] = fields
			fmt.Fprintf(&conf, "%d %s %s %s%s nobody %s x %s\n", fields, kind, c.network, wait, c.limit, program, mode)
		}
	}
	off := port(t)
	fmt.Fprintf(&conf, "%d off protocol = tcp, wait = no, user = nobody, exec = %s;\n", off, program)
	d := setup{conf: conf.String(), flags: []string{"-l"}}.start(t)

	rows := 0
	for i, c := range limitCases {
		if c.clients == nil {
			for range 40 {
				c.clients = append(c.clients, "1")
			}
			c.clients = append(c.clients, "-1")
		}
		for _, form := range []string{"keys", "fields"} {
			port := ports[fmt.Sprint(i, " ", form)]
			if port == 0 {
				continue
			}
			refused := 0
			for n, client := range c.clients {
				rows++
				last, isRefused := strings.CutPrefix(client, "-")
				if isRefused {
					refused++
				}
				name := fmt.Sprintf("%s, %s %s wait=%v, %s, client %d (%s)", c.name, form, c.network, c.wait, c.keys, n+1, client)
				got := answered(t, c.network, port, "127.0.0."+last, isRefused, func() {
					if c.log != "" {
						d.find(fmt.Sprintf(c.log, port), 1)
					}
				})
				if got == isRefused {
					t.Fatalf("%s: served %v\n%s", name, got, tail(d.text()))
				}
			}
			d.find(fmt.Sprintf(`START: %d `, port), len(c.clients)-refused)
			if starts := strings.Count(d.text(), fmt.Sprintf("START: %d ", port)); starts != len(c.clients)-refused {
				t.Errorf("%s %s: %d starts for %d clients", c.name, form, starts, len(c.clients)-refused)
			}
		}
	}
	if c, err := net.Dial("tcp", at(off)); err == nil {
		c.Close()
		t.Error("a service that is off listens")
	}
	if rows < 25 {
		t.Errorf("%d rows", rows)
	}
}

// answered reports whether a client is served. refusal waits for the log's line
// of a datagram that is to be refused, which nothing else would tell.
func answered(t *testing.T, network string, port int, from string, isRefused bool, refusal func()) bool {
	t.Helper()
	var local net.Addr = &net.TCPAddr{IP: net.ParseIP(from)}
	if network == "udp" {
		local = &net.UDPAddr{IP: net.ParseIP(from)}
	}
	c, err := (&net.Dialer{LocalAddr: local, Timeout: patience}).Dial(network, at(port))
	if err != nil {
		return false // of a service that is closed
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	c.Write([]byte("test"))
	if network == "udp" && isRefused {
		refusal()
		c.SetDeadline(time.Now().Add(100 * time.Millisecond))
	}
	n, _ := c.Read(make([]byte, 100))
	return n == 4
}
