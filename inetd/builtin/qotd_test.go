package builtin

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"goinetd/config"
)

func TestQuotes(t *testing.T) {
	long := strings.Repeat("x", maxQuote)
	text := "one\n%\ntwo\nlines\n%\n\n%\n" + long + "\n%\n% is no separator here\n%\nlast"
	var got []string
	for _, q := range parseQuotes([]byte(text)) {
		got = append(got, string(q))
	}
	if want := []string{"one\r\n", "two\r\nlines\r\n", "% is no separator here\r\n", "last\r\n"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestQOTD(t *testing.T) {
	file := filepath.Join(t.TempDir(), "qotd")
	o := config.BuiltinSettings{QuoteFile: file}
	h := New("qotd", o)
	datagram := func(n int) string {
		return string(h.reply(make([]byte, maxDatagram), n))
	}
	if got := datagram(100); got != "" {
		t.Errorf("without a file: %q", got)
	}
	if err := os.WriteFile(file, []byte("short\n%\na longer quote\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := datagram(7); got != "short\r\n" {
		t.Errorf("to 7 bytes: %q", got)
	}
	if got := h.reply(make([]byte, maxDatagram), 6); got != nil {
		t.Errorf("to 6 bytes: %q", got)
	}
	seen := map[string]bool{}
	for range 100 {
		seen[datagram(100)] = true
	}
	if len(seen) != 2 {
		t.Errorf("%d different quotes of 2", len(seen))
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	buf := make([]byte, 1024)
	if next := h.Stream().Ready(pair[0], buf); next != Linger {
		t.Errorf("next is %v", next)
	}
	if n, err := unix.Read(pair[1], buf); err != nil || !seen[string(buf[:n])] {
		t.Errorf("read %q, %v", buf[:n], err)
	}
	// A pipe in the file's place does not block.
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := quote(&config.BuiltinSettings{QuoteFile: fifo}, maxQuote); got != nil {
		t.Errorf("a pipe has the quote %q", got)
	}
}
