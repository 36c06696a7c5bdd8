package builtin

import (
	"bytes"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync"

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

// quote returns a quote of at most so many bytes, chosen at random, or nil.
func quote(o *config.BuiltinSettings, limit int) []byte {
	path := o.QuoteFile
	if path == "" {
		path = DefaultQuoteFile
	}
	f, _ := quoteFiles.LoadOrStore(path, &quoteFile{})
	all := f.(*quoteFile).current(path)
	n := 0 // of those that fit
	for _, one := range all {
		if len(one) <= limit {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	for i, chosen := 0, rand.IntN(n); ; i++ {
		if len(all[i]) > limit {
			continue
		}
		if chosen == 0 {
			return all[i]
		}
		chosen--
	}
}

// quoteFiles has the quoteFile of each path that was asked for.
var quoteFiles sync.Map

// A quoteFile has the quotes of a file. They are read again when the file
// changes, not for each client: anybody can send many datagrams.
type quoteFile struct {
	mu     sync.Mutex
	info   fs.FileInfo // when list was read; nil: never
	quotes [][]byte
}

func (f *quoteFile) current(path string) [][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(path)
	switch {
	case err != nil || !info.Mode().IsRegular(): // a pipe could block
		f.info, f.quotes = nil, nil
	case f.info == nil || !os.SameFile(f.info, info) || !f.info.ModTime().Equal(info.ModTime()) || f.info.Size() != info.Size():
		f.info, f.quotes = info, parseQuotes(readQuotes(path))
	}
	return f.quotes
}

// parseQuotes splits a file as fortune(6) does: a line of % alone stands
// between two quotes. It returns those that are not too long, with their
// lines ended as RFC 865 wants them.
func parseQuotes(text []byte) (list [][]byte) {
	for one := range bytes.SplitSeq(append([]byte("\n"), text...), []byte("\n%\n")) {
		one = bytes.TrimSpace(one)
		one = append(bytes.ReplaceAll(bytes.ReplaceAll(one, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n")), "\r\n"...)
		if len(one) > len("\r\n") && len(one) <= maxQuote {
			list = append(list, one)
		}
	}
	return list
}

// readQuotes reads the file, or its beginning.
func readQuotes(path string) []byte {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	text, _ := io.ReadAll(io.LimitReader(f, maxQuoteFile))
	return text
}
