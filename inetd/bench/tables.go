package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"time"
)

const firstPort = 7801

// startAll starts the super-servers with a program.
func (b *bench) startAll(program ...string) (servers []*server, end func(), err error) {
	end = func() {
		for _, s := range servers {
			s.end()
		}
	}
	for i, st := range superServers {
		cmd, err := st.start(b, firstPort+i, program)
		var s *server
		if err == nil {
			s, err = b.begin(st.name, firstPort+i, cmd)
		}
		if err != nil {
			end()
			return nil, nil, err
		}
		servers = append(servers, s)
	}
	return servers, end, nil
}

// starts: programs started for clients. The floor is the first.
func (b *bench) starts() error {
	t := table{}
	t.add("static program, 8 clients at a time", "a second", "of the floor", "50 % within", "99 % within", "99 %, of the floor's", "failed")
	others := table{}
	others.add("a second, of the floor's", "1 client", "8 clients", "64 clients", "a dynamic program, 8 clients")
	servers, end, err := b.startAll(b.path("word"))
	if err != nil {
		return err
	}
	shares := make([][]string, len(servers))
	for _, clients := range []int{1, 8, 64} {
		n := b.n
		if clients == 1 {
			n = b.n / 3
		}
		list, err := b.measure(servers, "-n", strconv.Itoa(n), "-c", strconv.Itoa(clients))
		if err != nil {
			end()
			return err
		}
		for i, r := range list {
			shares[i] = append(shares[i], of(r.rate, list[0].rate))
			if clients == 8 {
				t.add(servers[i].name, whole(r.rate), of(r.rate, list[0].rate), ms(r.p50), ms(r.p99), of(r.p99, list[0].p99), whole(r.failed))
			}
		}
	}
	end()
	servers, end, err = b.startAll("/bin/echo", "word")
	if err != nil {
		return err
	}
	defer end()
	list, err := b.measure(servers, "-n", strconv.Itoa(b.n), "-c", "8")
	if err != nil {
		return err
	}
	for i, r := range list {
		others.add(append(append([]string{servers[i].name}, shares[i]...), of(r.rate, list[0].rate))...)
	}
	t.print()
	fmt.Println()
	others.print()
	return nil
}

// cost: what a connection costs the host: all of it, the client and the program
// included.
func (b *bench) cost() error {
	servers, end, err := b.startAll(b.path("word"))
	if err != nil {
		return err
	}
	defer end()
	t := table{}
	t.add("for a connection", "context switches of the host", "of the server", "CPU time of the host")
	figures := make([][3][]float64, len(servers))
	for range b.rounds {
		for i, s := range servers {
			switches, busy := hostCost()
			own := s.ownSwitches()
			if _, err := b.load(s.port, "-n", strconv.Itoa(b.n), "-c", "8"); err != nil {
				return err
			}
			after, busyAfter := hostCost()
			for k, v := range []float64{after - switches, s.ownSwitches() - own, busyAfter - busy} {
				figures[i][k] = append(figures[i][k], v/float64(b.n))
			}
		}
	}
	for i, s := range servers {
		own := fmt.Sprintf("%.2f", median(figures[i][1]))
		if s.name == "tcpserver" || s.name == "xinetd" || s.name == "rlinetd" || s.name == "openbsd-inetd" {
			own += " (without its forks)"
		}
		t.add(s.name, fmt.Sprintf("%.2f", median(figures[i][0])), own, fmt.Sprintf("%.0f us", median(figures[i][2])))
	}
	t.print()
	return nil
}

// live: 5,000 programs that live, beside those that are started.
func (b *bench) live() error {
	const many = 5000
	conf := b.write("live.conf", inetdLine("127.0.0.1:7811", "nowait", []string{b.path("word")})+inetdLine("127.0.0.1:7812", "nowait", []string{b.path("hold")}))
	s, err := b.begin("inetd", 7811, exec.Command(b.path("inetd"), "-i", "-l", "-R", "0", conf))
	if err != nil {
		return err
	}
	defer s.end()
	none, err := b.measure([]*server{s}, "-n", strconv.Itoa(b.n))
	if err != nil {
		return err
	}
	for range many {
		c, err := net.Dial("tcp", "127.0.0.1:7812")
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
			return err
		}
	}
	with, err := b.measure([]*server{s}, "-n", strconv.Itoa(b.n))
	if err != nil {
		return err
	}
	t := table{}
	t.add("inetd", "a second", "of that without", "threads", "resident")
	t.add("no other program", whole(none[0].rate), "1.00", "", "")
	t.add(fmt.Sprintf("%d live programs", many), whole(with[0].rate), of(with[0].rate, none[0].rate), strconv.Itoa(s.status("Threads")), strconv.Itoa(s.status("VmRSS"))+" kB")
	t.print()
	return nil
}

// wait: the same program as a wait service that accepts by itself.
func (b *bench) wait() error {
	conf := b.write("wait.conf", inetdLine("127.0.0.1:7813", "nowait", []string{b.path("word")})+inetdLine("127.0.0.1:7814", "wait", []string{b.path("serve")}))
	s, err := b.begin("inetd", 7813, exec.Command(b.path("inetd"), "-i", "-l", "-R", "0", conf))
	if err != nil {
		return err
	}
	defer s.end()
	list, err := b.measure([]*server{s, {"wait", 7814, s.cmd}}, "-n", strconv.Itoa(b.n))
	if err != nil {
		return err
	}
	t := table{}
	t.add("inetd", "a second", "of nowait", "50 % within", "99 % within")
	for i, name := range []string{"nowait: a program for each client", "wait: one program that accepts"} {
		t.add(name, whole(list[i].rate), of(list[i].rate, list[0].rate), ms(list[i].p50), ms(list[i].p99))
	}
	t.print()
	return nil
}

// internal: what inetd serves itself.
func (b *bench) internal() error {
	conf := b.write("internal.conf", "127.0.0.1:7821 stream tcp nowait root internal echo\n127.0.0.1:7821 dgram udp wait root internal echo\n")
	redirect := b.write("redirect.conf", xinetdService(7823, "user = root", "redirect = 127.0.0.1 7821"))
	var servers []*server
	defer func() {
		for _, s := range servers {
			s.end()
		}
	}()
	start := func(name string, port int, cmd *exec.Cmd, err error) error {
		if err == nil {
			var s *server
			if s, err = b.begin(name, port, cmd); err == nil {
				servers = append(servers, s)
			}
		}
		return err
	}
	theirs := b.write("xredirect.conf", xinetdService(7824, "user = root", "redirect = 127.0.0.1 7821"))
	x, err := xinetd(b, theirs)
	if err := errors.Join(
		start("inetd", 7821, exec.Command(b.path("inetd"), "-i", "-R", "0", conf), nil),
		start("floor", 7822, exec.Command(b.path("floor"), "echo", "7822"), nil),
		start("inetd", 7823, exec.Command(b.path("inetd"), "-i", "-f", "xinetd", redirect), nil),
		start("xinetd", 7824, x, err)); err != nil {
		return err
	}
	udp := exec.Command(b.path("floor"), "udp", "7825")
	if err := udp.Start(); err != nil {
		return err
	}
	servers = append(servers, &server{"floor", 7825, udp})
	time.Sleep(100 * time.Millisecond) // it says nothing, and a datagram to nobody is lost
	t := table{}
	t.add("", "inetd", "beside", "ratio")
	for _, c := range []struct {
		name, beside, unit string
		ours, theirs       *server
		args               []string
	}{
		{"echo over UDP, 32 in flight", "floor", "a second", servers[0], servers[4], []string{"-udp", "-d", "1s"}},
		{"echo over TCP, 2 connections", "floor", "MB/s", servers[0], servers[1], []string{"-pump", "128", "-c", "2"}},
		{"redirect, 2 connections", "xinetd", "MB/s", servers[2], servers[3], []string{"-pump", "64", "-c", "2"}},
	} {
		list, err := b.measure([]*server{c.ours, c.theirs}, c.args...)
		if err != nil {
			return err
		}
		t.add(c.name, whole(list[0].rate)+" "+c.unit, whole(list[1].rate)+" ("+c.beside+")", of(list[0].rate, list[1].rate))
	}
	t.print()
	return nil
}
