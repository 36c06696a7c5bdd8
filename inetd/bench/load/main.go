// Command load measures a TCP or UDP service on loopback.
//
//	load -n 3000 -c 8 ADDRESS       connections, a few at a time, each read to its end
//	load -every 2ms -from 127.0.0.66 ADDRESS   one each two milliseconds, from that address
//	load -udp -d 2s -w 32 ADDRESS   datagrams, so many in flight, each echoed
//	load -pump 64 -c 2 ADDRESS      MB through an echo service and back, over each connection
//
// It prints the rate in a second (connections, datagrams, MB), the 50th and the
// 99th percentile of a connection's time in microseconds (0 for datagrams and
// -pump), and how many failed.
package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	n := flag.Int("n", 3000, "connections")
	c := flag.Int("c", 8, "connections at a time")
	every := flag.Duration("every", 0, "a connection each time this has passed, whatever becomes of the others")
	from := flag.String("from", "127.0.0.1", "source address")
	udp := flag.Bool("udp", false, "measure a UDP echo service")
	d := flag.Duration("d", 2*time.Second, "how long, over UDP")
	w := flag.Int("w", 32, "datagrams in flight")
	size := flag.Int("pump", 0, "MB through each connection")
	flag.Parse()
	at, err := netip.ParseAddrPort(flag.Arg(0))
	if err != nil || !at.Addr().IsLoopback() {
		fmt.Fprintln(os.Stderr, "load: an address of loopback is wanted")
		os.Exit(2)
	}
	if *udp {
		datagrams(at.String(), *d, *w)
		return
	}
	if *size > 0 {
		pump(at.String(), *c, *size<<20)
		return
	}
	source = &net.TCPAddr{IP: net.ParseIP(*from)}
	if *every > 0 {
		paced(at.String(), *n, *every)
		return
	}
	connections(at.String(), *n, *c)
}

var source *net.TCPAddr

// paced begins connections at a steady pace.
func paced(at string, n int, every time.Duration) {
	took := make([]time.Duration, n)
	var failed atomic.Int64
	var all sync.WaitGroup
	pace := time.NewTicker(every)
	began := time.Now()
	for i := range n {
		<-pace.C
		all.Go(func() {
			start := time.Now()
			if connect(at) != nil {
				failed.Add(1)
			}
			took[i] = time.Since(start)
		})
	}
	all.Wait()
	report(took, failed.Load(), time.Since(began))
}

func report(took []time.Duration, failed int64, all time.Duration) {
	n := len(took)
	slices.Sort(took)
	fmt.Printf("%.0f %d %d %d\n", float64(n)/all.Seconds(), took[n/2].Microseconds(), took[n*99/100].Microseconds(), failed)
}

func connections(at string, n, c int) {
	took := make([]time.Duration, n)
	var next, failed atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for range c {
		all.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= int64(n) {
					return
				}
				start := time.Now()
				if connect(at) != nil {
					failed.Add(1)
				}
				took[i] = time.Since(start)
			}
		})
	}
	all.Wait()
	report(took, failed.Load(), time.Since(began))
}

// connect reads a connection to its end, which has to say something.
func connect(at string) error {
	conn, err := (&net.Dialer{Timeout: 10 * time.Second, LocalAddr: source}).Dial("tcp", at)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if text, err := io.ReadAll(conn); err != nil || len(text) == 0 {
		return fmt.Errorf("%d bytes, %w", len(text), err)
	}
	return nil
}

func datagrams(at string, d time.Duration, window int) {
	conn, err := net.Dial("udp", at)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	out, in := make([]byte, 64), make([]byte, 2048)
	answers, lost, flying := 0, 0, 0
	for end := time.Now().Add(d); time.Now().Before(end); {
		for ; flying < window; flying++ {
			conn.Write(out)
		}
		conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if _, err := conn.Read(in); err != nil {
			lost, flying = lost+flying, 0
			continue
		}
		answers++
		flying--
	}
	fmt.Printf("%.0f 0 0 %d\n", float64(answers)/d.Seconds(), lost)
}

// pump sends bytes through connections to an echo service.
func pump(at string, c, size int) {
	var failed atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for range c {
		all.Go(func() {
			if err := echoed(at, size); err != nil {
				fmt.Fprintln(os.Stderr, err)
				failed.Add(1)
			}
		})
	}
	all.Wait()
	fmt.Printf("%.0f 0 0 %d\n", float64(c*size)/1e6/time.Since(began).Seconds(), failed.Load())
}

// echoed sends size bytes and reads as many back.
func echoed(at string, size int) error {
	conn, err := net.Dial("tcp", at)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	go func() {
		b := make([]byte, 64<<10)
		for sent := 0; sent < size; sent += len(b) {
			if _, err := conn.Write(b); err != nil {
				return
			}
		}
	}()
	n, err := io.Copy(io.Discard, io.LimitReader(conn, int64(size)))
	if n < int64(size) {
		return fmt.Errorf("%d of %d bytes came back: %v", n, size, err)
	}
	return nil
}
