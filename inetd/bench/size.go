package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// many is how many services the large configuration has.
const many = 5000

// lines returns an inetd.conf of so many services. The last one listens on
// 127.0.0.1.
func (b *bench) lines(n int) string {
	var text strings.Builder
	for i := range n - 1 {
		text.WriteString(inetdLine(fmt.Sprintf("127.%d.%d.1:7831", 100+i/250, i%250), "nowait", []string{b.path("word")}))
	}
	text.WriteString(inetdLine("127.0.0.1:7831", "nowait", []string{b.path("word")}))
	return text.String()
}

// size: memory, and the time that a configuration takes.
func (b *bench) size() error {
	openbsd, err := peer("openbsd-inetd", "usr/sbin/inetd")
	if err != nil {
		return err
	}
	t := table{}
	t.add("", "resident", "largest", "until the last service listens")
	for _, n := range []int{1, many} {
		conf := b.write("size.conf", b.lines(n))
		for _, one := range []struct {
			name string
			args []string
		}{
			{"inetd", []string{b.path("inetd"), "-i", "-l", "-R", "0", conf}},
			{"openbsd-inetd", []string{openbsd, "-i", "-R", "999999", conf}},
		} {
			var rss, peak, took []float64
			for range b.rounds {
				began := time.Now()
				s, err := b.begin(one.name, 7831, exec.Command(one.args[0], one.args[1:]...))
				if err != nil {
					return err
				}
				took = append(took, float64(time.Since(began).Microseconds()))
				s.end()
				// Once more without a client: it starts a program, and that needs memory.
				cmd := exec.Command(one.args[0], one.args[1:]...)
				if err := cmd.Start(); err != nil {
					return err
				}
				time.Sleep(time.Second)
				s = &server{one.name, 7831, cmd}
				rss, peak = append(rss, float64(s.status("VmRSS"))), append(peak, float64(s.status("VmHWM")))
				s.end()
			}
			t.add(fmt.Sprintf("%s, services: %d", one.name, n), whole(median(rss))+" kB", whole(median(peak))+" kB", ms(median(took)))
		}
	}
	t.print()
	fmt.Println()
	return b.reload()
}

// reload measures a reload of one change among many services: until the
// changed service listens on its other port.
func (b *bench) reload() error {
	text := b.lines(many)
	conf := b.write("reload.conf", text)
	s, err := b.begin("inetd", 7831, exec.Command(b.path("inetd"), "-i", "-l", "-R", "0", conf))
	if err != nil {
		return err
	}
	defer s.end()
	var took []float64
	port := 7832
	for range b.rounds {
		changed := bytes.Replace([]byte(text), []byte("127.100.7.1:7831"), fmt.Appendf(nil, "127.100.7.1:%d", port), 1)
		if err := os.WriteFile(conf, changed, 0o644); err != nil {
			return err
		}
		began := time.Now()
		s.cmd.Process.Signal(syscall.SIGHUP)
		for {
			c, err := net.Dial("tcp", fmt.Sprintf("127.100.7.1:%d", port))
			if err == nil {
				c.Close()
				break
			}
			if time.Since(began) > 10*time.Second {
				return err
			}
			time.Sleep(time.Millisecond)
		}
		took = append(took, float64(time.Since(began).Microseconds()))
		port = 7832 + 7833 - port
		time.Sleep(200 * time.Millisecond) // the end of the reload
	}
	fmt.Printf("A reload of one change among %d services takes %s until the changed one listens.\n", many, ms(median(took)))
	return nil
}
