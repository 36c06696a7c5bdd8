package rpcbind

import (
	"encoding/binary"
	"errors"
)

// This file has as much of XDR (RFC 4506) as the messages of rpcbind need.

func appendUint32(b []byte, n uint32) []byte { return binary.BigEndian.AppendUint32(b, n) }

// appendString appends a string, padded to four bytes.
func appendString(b []byte, s string) []byte {
	b = append(appendUint32(b, uint32(len(s))), s...)
	return append(b, make([]byte, -len(s)&3)...)
}

// errShort is what a message is that ends too early.
var errShort = errors.New("reply is cut short")

// A decoder reads a message from its beginning. Behind the end it returns
// zero values, and err is errShort.
type decoder struct {
	data []byte
	err  error
}

func (d *decoder) uint32() uint32 {
	if len(d.data) < 4 {
		d.data, d.err = nil, errShort
		return 0
	}
	n := binary.BigEndian.Uint32(d.data)
	d.data = d.data[4:]
	return n
}

func (d *decoder) bool() bool { return d.uint32() != 0 }

// bytes reads opaque data of variable length, with its padding.
func (d *decoder) bytes() []byte {
	n := uint64(d.uint32())
	padded := (n + 3) &^ 3
	if padded > uint64(len(d.data)) {
		d.data, d.err = nil, errShort
		return nil
	}
	b := d.data[:n]
	d.data = d.data[padded:]
	return b
}

func (d *decoder) string() string { return string(d.bytes()) }
