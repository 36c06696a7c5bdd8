package builtin

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/config"
)

// RFC 864: 72 of the 95 printing characters in each line, one further on in
// the next, and the first line again behind the 95th.
func TestPattern(t *testing.T) {
	lines := strings.SplitAfter(string(pattern), "\r\n")
	if len(lines) != 96 || lines[95] != "" {
		t.Fatalf("%d lines", len(lines)-1)
	}
	const first = " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg\r\n"
	if lines[0] != first {
		t.Errorf("first line %q", lines[0])
	}
	for i, l := range lines[:95] {
		if len(l) != 74 || l[0] != byte(' '+i) || l[1:72] != lines[(i+1)%95][:71] {
			t.Errorf("line %d: %q", i, l)
		}
	}
}

func TestClock(t *testing.T) {
	text := string(daytime(nil))
	when, err := time.ParseInLocation(time.ANSIC+"\r\n", text, time.Local)
	if err != nil || time.Since(when).Abs() > time.Minute {
		t.Errorf("daytime says %q, %v", text, err)
	}
	seconds := binary.BigEndian.Uint32(timeOfDay(nil))
	// RFC 868: 2,208,988,800 corresponds to 00:00 1 Jan 1970 GMT
	if d := int64(seconds) - 2208988800 - time.Now().Unix(); d < -60 || d > 60 {
		t.Errorf("time is %d seconds off", d)
	}
}

// No reply is longer than its datagram, except the two that are the time.
func TestReplyLength(t *testing.T) {
	for _, known := range Known() {
		if !known.Datagram {
			continue
		}
		h := New(known.Name, config.BuiltinSettings{})
		for _, n := range []int{0, 1, 100, 511, 512, 513, 65507} {
			sent := bytes.Repeat([]byte{'q'}, n)
			room := append(make([]byte, 0, maxDatagram), sent...)[:maxDatagram]
			got := h.reply(room, n)
			want := map[string]int{"echo": n, "chargen": min(n, 512), "daytime": 26, "time": 4}[known.Name]
			if len(got) != want {
				t.Errorf("%s replies %d bytes to %d, want %d", known.Name, len(got), n, want)
			}
			if known.Name == "echo" && !bytes.Equal(got, sent) {
				t.Errorf("echo of %d bytes is %q", n, got)
			}
		}
	}
	// Whatever a service makes, nothing longer is sent.
	long := &Handler{service: &service{datagram: func(*config.BuiltinSettings, question) []byte { return make([]byte, 21) }}}
	if got := long.reply(make([]byte, maxDatagram), 20); got != nil {
		t.Errorf("%d bytes are sent to 20", len(got))
	}
}

func TestIsUnicast(t *testing.T) {
	for a, want := range map[string]bool{
		"127.0.0.1:4000": true, "192.0.2.1:4000": true, "[2001:db8::1]:4000": true, "[::1]:4000": true,
		"255.255.255.255:4000": false, "224.0.0.1:4000": false, "239.1.2.3:4000": false, "0.0.0.0:4000": false,
		"[ff02::1]:4000": false, "[::]:4000": false,
	} {
		if got := isUnicast(netip.MustParseAddrPort(a)); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
}

// muxOracle is RFC 1078's reading of a whole stream: the name, and how much
// of the stream it takes.
func muxOracle(stream []byte) (name string, taken int, next Next) {
	end := bytes.IndexByte(stream, '\n')
	if end < 0 {
		return "", len(stream), Read
	}
	return strings.TrimSuffix(string(stream[:end]), "\r"), end + 1, Start
}

// However the stream is cut into segments, tcpmux reads the same name and
// not a byte of what follows.
func FuzzMux(f *testing.F) {
	f.Add([]byte("date\r\nrest"), uint8(3))
	f.Add([]byte("help\n"), uint8(1))
	f.Add([]byte("\r\n\r\n"), uint8(1))
	f.Add([]byte("a\rb\r\r\nx\r\n"), uint8(2))
	f.Add(bytes.Repeat([]byte("n"), 300), uint8(7))
	f.Add(append(bytes.Repeat([]byte("n"), 256), "\r\nrest"...), uint8(200))
	f.Fuzz(func(t *testing.T, stream []byte, cut uint8) {
		if cut == 0 || len(stream) > 4096 {
			return
		}
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(pair[0])
		defer unix.Close(pair[1])
		m, buf, next := &Mux{}, make([]byte, 1024), Read
		sent := 0
		for sent < len(stream) && next == Read {
			k := min(int(cut), len(stream)-sent)
			if _, err := unix.Write(pair[0], stream[sent:sent+k]); err != nil {
				t.Fatal(err)
			}
			sent += k
			next = m.Ready(pair[1], buf)
		}
		name, taken, want := muxOracle(stream)
		if want == Start && len(name) <= maxName {
			if next != Start || m.Name() != name {
				t.Fatalf("read %q (%v), want %q", m.Name(), next, name)
			}
			unix.Shutdown(pair[0], unix.SHUT_WR)
			left := 0
			for {
				n, err := unix.Read(pair[1], buf)
				if err != nil {
					t.Fatal(err)
				}
				if n == 0 {
					break
				}
				left += n
			}
			if left != sent-taken {
				t.Fatalf("%d bytes left for the service, want %d", left, sent-taken)
			}
		} else if next == Start {
			t.Fatalf("started %q", m.Name())
		}
		if len(m.name) > 2*(maxName+2) {
			t.Fatalf("keeps %d bytes", len(m.name))
		}
	})
}
