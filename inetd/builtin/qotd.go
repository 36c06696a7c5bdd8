package builtin

import (
	"bytes"
	"math/rand/v2"
	"os"

	"golang.org/x/sys/unix"

	"goinetd/config"
)

// DefaultQuoteFile has the quotes of qotd where quote_file names no other.
const DefaultQuoteFile = "/etc/qotd"

const (
	maxQuote     = 512     // bytes of a quote (RFC 865)
	maxQuoteFile = 1 << 20 // bytes of the file that are read
)

// qotdStream sends one quote and closes (RFC 865).
func qotdStream(o *config.BuiltinSettings) Stream {
	return reply(func(b []byte) []byte { return append(b, quote(o, maxQuote)...) })
}

// qotdDatagram replies with a quote that is not longer than the datagram, if
// the file has one.
func qotdDatagram(o *config.BuiltinSettings, q question) []byte {
	one := quote(o, min(q.limit, maxQuote))
	if one == nil {
		return nil
	}
	return append(q.room[:0], one...)
}

// quote returns a quote of at most so many bytes, chosen at random, or
// nothing. The file is read each time, so that a change counts at once.
func quote(o *config.BuiltinSettings, limit int) []byte {
	path := o.QuoteFile
	if path == "" {
		path = DefaultQuoteFile
	}
	list := quotes(readQuotes(path), limit)
	if len(list) == 0 {
		return nil
	}
	return list[rand.IntN(len(list))]
}

// quotes splits a file as fortune(6) does: a line of % alone stands between
// two quotes. It returns those of at most so many bytes, with their lines
// ended as RFC 865 wants them.
func quotes(text []byte, limit int) (list [][]byte) {
	for one := range bytes.SplitSeq(append([]byte("\n"), text...), []byte("\n%\n")) {
		one = bytes.TrimSpace(one)
		one = append(bytes.ReplaceAll(bytes.ReplaceAll(one, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n")), "\r\n"...)
		if len(one) > len("\r\n") && len(one) <= limit {
			list = append(list, one)
		}
	}
	return list
}

// readQuotes reads the file, or its beginning. What is no regular file is
// not read: it could block.
func readQuotes(path string) []byte {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	text := make([]byte, min(info.Size(), maxQuoteFile))
	n, _ := f.Read(text)
	return text[:n]
}
