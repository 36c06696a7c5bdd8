package main

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/inetd/differences"
)

// A confLine is a random line of inetd.conf. Its port is no other line's.
type confLine struct {
	number                                                  int // in its file
	text                                                    string
	host, service, kind, protocol, wait, user, server, args string
	port                                                    int
	behind                                                  bool // the line before it ends with a backslash
}

// A lineDifference is what a client gets from one line, from either daemon.
type lineDifference struct {
	confLine
	address      string // that the client connects to
	ours, theirs string
	problem      string // what our log says of the line
}

func (d lineDifference) String() string {
	return fmt.Sprintf("line %q\nat %s ours: %q\ntheirs: %q\nour log: %s", d.text, d.address, d.ours, d.theirs, d.problem)
}

// skipped reports whether we skip the line, with a word of the reason.
func (d lineDifference) skipped(why string) bool {
	return d.ours == "refused" && strings.Contains(d.problem, why) && strings.Contains(d.problem, "skipped")
}

func (d lineDifference) served() bool { return strings.HasPrefix(d.ours, "argv ") }

// dropped reports whether openbsd-inetd does not serve the client.
func (d lineDifference) dropped() bool { return !strings.HasPrefix(d.theirs, "argv ") }

// ofRoot returns our answer, as it were if root had no other group.
func (d lineDifference) ofRoot() string {
	if !strings.HasPrefix(d.user, "root.") {
		return d.ours
	}
	return strings.Replace(d.ours, "uid 0 gid 1 groups 1 ", "uid 0 gid 0 groups 0 ", 1)
}

var lineClasses = []differences.Class[lineDifference]{
	{Name: "unknown protocol", Applies: func(d lineDifference) bool { return d.skipped("unknown protocol") }},
	{Name: "protocol of the other socket type", Applies: func(d lineDifference) bool { return d.skipped(", not ") }},
	{Name: "unknown socket type", Applies: func(d lineDifference) bool { return d.skipped("unknown socket type") }},
	{Name: "wrong wait field", Applies: func(d lineDifference) bool {
		return d.skipped("is not a limit") || d.skipped("is neither wait nor nowait")
	}},
	{Name: "unknown user or group", Applies: func(d lineDifference) bool {
		return (d.skipped("unknown user") || d.skipped("unknown group")) && d.dropped()
	}},
	{Name: "wait with a program that is missing", Applies: func(d lineDifference) bool {
		return strings.HasPrefix(d.wait, "wait") && strings.Contains(d.problem, " program: ") && d.ours == "silent" && d.dropped()
	}},
	{Name: "datagrams that are lost", Applies: func(d lineDifference) bool { return d.theirs == "silent" && strings.HasPrefix(d.ours, "argv ") }},
	{Name: "relative program", Applies: func(d lineDifference) bool { return d.skipped("does not begin with /") && d.dropped() }},
	{Name: "quotes", Applies: func(d lineDifference) bool {
		return strings.ContainsAny(d.args, `"'`) && (d.skipped("quote") || d.served())
	}},
	{Name: "numeric user or group", Applies: func(d lineDifference) bool {
		return regexp.MustCompile(`^\d+$|[.:]\d+$`).MatchString(d.user) && d.dropped()
	}},
	{Name: "group of root", Applies: func(d lineDifference) bool { return d.ofRoot() != d.ours && d.ofRoot() == d.theirs }},
	{Name: "capitals", Applies: func(d lineDifference) bool {
		return d.ours != "refused" && d.theirs == "refused" && d.kind+d.protocol != strings.ToLower(d.kind+d.protocol)
	}},
	{Name: "sndbuf and rcvbuf", Applies: func(d lineDifference) bool { return strings.Contains(d.protocol, "sndbuf") && d.theirs == "refused" }},
	{Name: "tcp46 and udp46", Applies: func(d lineDifference) bool { return strings.HasSuffix(d.protocol, "p46") && d.theirs == "refused" }},
	{Name: "udp6 from IPv4", Applies: func(d lineDifference) bool {
		return strings.EqualFold(d.protocol, "udp6") && d.address != "::1" && d.ours == "refused" && !d.skipped("")
	}},
	{Name: "continuation lines over IPv6", Applies: func(d lineDifference) bool {
		return strings.Contains(d.args, "\n") && d.address == "::1" && strings.Contains(d.ours, "[a] [b] ") && strings.Replace(d.ofRoot(), "[a] [b] ", "[a] ", 1) == d.theirs
	}},
	{Name: "line behind a backslash", Applies: func(d lineDifference) bool { return d.behind && d.ours == "refused" && !d.dropped() }},
	{Name: "more than 20 words", Applies: func(d lineDifference) bool { return len(strings.Fields(d.args)) > 20 && d.served() && !d.dropped() }},
}

func TestLineClassesAreDocumented(t *testing.T) {
	differences.Documented(t, "inetd.conf", lineClasses)
}

// A liner makes lines of inetd.conf.
type liner struct {
	differences.Dice
	dir string
}

func (l liner) line(port int) confLine {
	c := confLine{port: port, service: fmt.Sprint(port)}
	odd := l.One(5) // most lines are as they should be
	pick := func(usual, rare []string) string {
		if odd && l.One(4) {
			return l.Of(rare...)
		}
		return l.Of(usual...)
	}
	if l.One(3) {
		c.service = fmt.Sprint("svc", port)
	}
	c.host = pick([]string{"", "", "", "127.0.0.1:", "10.1.2.3:", "*:", "localhost:", "127.0.0.1,10.1.2.3:"}, []string{"nowhere.invalid:", "192.0.2.77:", "ten:"})
	c.kind = l.Of("stream", "stream", "dgram")
	if c.kind == "stream" {
		c.protocol = pick([]string{"tcp", "tcp", "tcp4", "tcp6", "tcp46", "tcp,rcvbuf=16k", "tcp,sndbuf=4096,rcvbuf=16k"}, []string{"udp", "TCP", "xtp", "tcp,rcvbuf=x", "tcp5", "tcp/ttcp"})
		c.wait = pick([]string{"nowait", "nowait", "wait", "nowait.60", "wait.100"}, []string{"yes", "nowait.", "nowait.x", "nowait.-1", "NOWAIT", "nowait.0"})
	} else {
		c.protocol = pick([]string{"udp", "udp", "udp4", "udp6", "udp,rcvbuf=16k"}, []string{"tcp", "UDP", "udp46"})
		c.wait = pick([]string{"wait", "wait", "wait.100"}, []string{"no", "wait.x", "wait."})
	}
	c.kind = pick([]string{c.kind}, []string{"seqpacket", "STREAM", "strem"})
	c.user = pick([]string{"root", "nobody", "nobody.daemon", "nobody:mail", "daemon"}, []string{"root.daemon", "0", "65534", "nosuch", "nobody.nosuch", "dot.ted", "root:root", "nobody.8"})
	c.server = pick([]string{l.dir + "/tell"}, []string{"tell", "/nonexistent/tell", l.dir})
	c.args = pick([]string{"tell", "tell a", "tell -x b c", "other", "tell a\n\tb"}, []string{"", `tell "a b"`, `tell 'a`, "tell a #b", "tell a#b", "tell %A", `tell a\ b`, "tell" + strings.Repeat(" w", 25)})
	c.text = strings.Join([]string{c.host + c.service, c.kind, c.protocol, c.wait, c.user, c.server, c.args}, l.Of(" ", " ", "\t", "   "))
	if odd && l.One(12) {
		fields := strings.Fields(c.text)
		c.text = strings.Join(fields[:1+l.Intn(len(fields)-1)], " ")
	}
	return c
}

// file makes a file of lines. The last one is served by everybody.
func (l liner) file(n int) (list []confLine, text string) {
	var b strings.Builder
	lines := 0
	last := ""
	add := func(s string) {
		last = s
		b.WriteString(s + "\n")
		lines += 1 + strings.Count(s, "\n")
	}
	for i := range n {
		if l.One(10) {
			add(l.Of("# a comment", "", "#7000 stream tcp nowait root /bin/echo echo"))
		}
		if l.One(15) {
			add(l.Of("127.0.0.1:", "10.1.2.3:", "*:", "*:"))
		}
		c := l.line(firstLinePort + i)
		c.number, c.behind = lines+1, strings.HasSuffix(last, `\`)
		add(c.text)
		list = append(list, c)
	}
	add("*:")
	add(fmt.Sprintf("%d stream tcp nowait root %s/tell last", lastLinePort, l.dir))
	return list, b.String()
}

const firstLinePort, lastLinePort = 7000, 7999

var lineAddresses = []string{"127.0.0.1", "::1", "10.1.2.3"}

// Five hundred random lines of inetd.conf, here and in openbsd-inetd: which ports
// are served, over which family, by which program as whom.
func TestDifferLines(t *testing.T) {
	t.Parallel()
	asShipped(t)
	peer := server(t, "openbsd-inetd", "/usr/sbin/inetd")
	if !inside(t) {
		return
	}
	const files, each = 10, 50
	services := "echo 7/tcp\necho 7/udp\ndiscard 9/tcp\ndaytime 13/tcp\n"
	for i := range each {
		services += fmt.Sprintf("svc%[1]d %[1]d/tcp\nsvc%[1]d %[1]d/udp\n", firstLinePort+i)
	}
	etc(t, map[string]string{"services": services, "hosts": "127.0.0.1 localhost\n::1 localhost\n10.1.2.3 ten\n", "nsswitch.conf": "hosts: files\nservices: files\nprotocols: files\npasswd: files\ngroup: files\n", "resolv.conf": ""})
	dir := folder(t)
	buildTell(t, dir)
	l := liner{differences.Roll(t), dir}
	var lists [files][]confLine
	var confs [files]string
	var results [files][2]map[string]string
	var logs [files]string
	for i := range files {
		lists[i], confs[i] = l.file(each)
	}
	t.Run("files", func(t *testing.T) {
		for i := range files {
			for side := range 2 {
				t.Run(fmt.Sprint(i, side), func(t *testing.T) {
					t.Parallel()
					ownNetwork(t, "10.1.2.3/32")
					var d *daemonProcess
					if side == 0 {
						d = setup{conf: confs[i], flags: []string{"-R", "60000"}}.start(t)
					} else {
						startPeer(t, peer, "-i", "-R", "60000", write(t, filepath.Join(folder(t), "conf"), confs[i], 0o644))
						until(t, func() bool { return probeTCP("127.0.0.1", lastLinePort) != "refused" })
					}
					results[i][side] = probeLines(lists[i])
					if d != nil {
						logs[i] = d.text()
					}
				})
			}
		}
	})
	if t.Failed() {
		return
	}
	counts := map[string]int{}
	wrong := 0
	for i, list := range lists {
		for _, c := range list {
			for _, address := range lineAddresses {
				d := lineDifference{confLine: c, address: address, problem: strings.Join(regexp.MustCompile(fmt.Sprintf(`(?m)inetd\.conf:%d: .*`, c.number)).FindAllString(logs[i], -1), "\n")}
				key := fmt.Sprint(c.number, address)
				d.ours, d.theirs = results[i][0][key], results[i][1][key]
				if d.ours == d.theirs {
					what := d.ours
					if strings.HasPrefix(what, "argv") {
						what = "served"
					}
					counts[what]++
				} else if why := differences.Explain(lineClasses, d); why != "" {
					counts[why]++
				} else if wrong++; wrong <= 8 {
					t.Errorf("file %d, %v", i, d)
					t.Logf("our log:\n%s", tail(logs[i]))
				}
			}
		}
	}
	t.Logf("%d lines, %d differences without a reason: %v", files*each, wrong, counts)
	if counts["served"] < files*each/2 || counts["refused"] < files*each/5 {
		t.Errorf("the dice are loaded: %v", counts)
	}
}

// ownNetwork moves the thread of the test, and what it starts, into a network
// namespace of its own.
func ownNetwork(t *testing.T, addresses ...string) {
	t.Helper()
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	command(t, "ip", "link", "set", "lo", "up")
	for _, a := range addresses {
		command(t, "ip", "addr", "add", a, "dev", "lo")
	}
}

// probeLines returns what comes from each line at each address.
func probeLines(list []confLine) map[string]string {
	results := map[string]string{}
	for _, c := range list {
		for _, address := range lineAddresses {
			probe := probeTCP
			if c.kind == "dgram" || strings.HasPrefix(strings.ToLower(c.protocol), "udp") {
				probe = probeUDP
			}
			results[fmt.Sprint(c.number, address)] = probe(address, c.port)
		}
	}
	return results
}

// silence is how long a server may take for a reply.
const silence = 2 * time.Second

// probeTCP returns what comes over a connection: a line, or "closed", "silent" or
// "refused".
func probeTCP(address string, port int) string { return probeTCPFor(silence, address, port) }

func probeTCPFor(limit time.Duration, address string, port int) string {
	c, err := net.DialTimeout("tcp", net.JoinHostPort(address, fmt.Sprint(port)), patience)
	if err != nil {
		return "refused"
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	text, err := io.ReadAll(io.LimitReader(c, 2000))
	if e, slow := err.(net.Error); slow && e.Timeout() {
		return "silent"
	}
	if len(text) == 0 {
		return "closed"
	}
	return string(text)
}

// probeUDP returns the reply to a datagram, or "silent" or "refused". A server may
// lose one that comes while its program ends.
func probeUDP(address string, port int) string {
	c, err := net.Dial("udp", net.JoinHostPort(address, fmt.Sprint(port)))
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	buf := make([]byte, 2000)
	for range 4 {
		c.Write([]byte("x"))
		c.SetDeadline(time.Now().Add(150 * time.Millisecond))
		n, err := c.Read(buf)
		if err == nil {
			return string(buf[:n])
		}
		if e, ok := err.(*net.OpError); ok && strings.Contains(e.Error(), syscall.ECONNREFUSED.Error()) {
			return "refused"
		}
	}
	return "silent"
}
