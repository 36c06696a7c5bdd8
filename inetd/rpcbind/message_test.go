package rpcbind

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func TestReplies(t *testing.T) {
	message := func(words ...uint32) (b []byte) {
		for _, w := range words {
			b = appendUint32(b, w)
		}
		return b
	}
	for _, c := range []struct {
		reply []byte
		want  string // of the error; empty: none
	}{
		{message(7, 1, 0, 0, 0, 0), ""},
		{message(7, 1, 0, 1, 4, 0x41424344, 0), ""}, // with a verifier
		{message(7, 1, 0, 0, 0, 1), "program unavailable"},
		{message(7, 1, 0, 0, 0, 2, 2, 3), "version 4 not supported"},
		{message(7, 1, 0, 0, 0, 5), "call failed (status 5"},
		{message(7, 1, 1, 1, 2), "call denied (status 1"},
		{message(7, 0, 0, 0, 0, 0), "message of type 0 is no reply"},
		{message(7, 1, 0, 0, 0), "reply is cut short"},
		{message(7, 1, 0, 0, 400, 0), "reply is cut short"},
		{nil, "reply is cut short"},
	} {
		xid, results, err := readReply(c.reply)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || err == nil && (xid != 7 || len(results) != 0) {
			t.Errorf("%x: %d %x %v, want %q", c.reply, xid, results, err, c.want)
		}
	}
}

func TestDump(t *testing.T) {
	want := []entry{{100001, 3, "udp", "0.0.0.0.3.25", "superuser"}, {100002, 2, "udp6", "::.2.109", "unknown"}}
	var list []byte
	for _, e := range want {
		list = e.append(appendUint32(list, 1))
	}
	list = appendUint32(list, 0)
	if got, err := readDump(list); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v %v", got, err)
	}
	for n := range list {
		if _, err := readDump(list[:n]); err == nil {
			t.Errorf("%d of %d bytes are a list", n, len(list))
		}
	}
	if b := appendCall(nil, 1, procDump, nil); hex.EncodeToString(b) != "000000010000000000000002000186a00000000400000004"+strings.Repeat("0", 32) {
		t.Errorf("%x", b)
	}
}

func TestUniversal(t *testing.T) {
	for text, want := range map[string]string{"0.0.0.0.3.25": "0.0.0.0:793", "::.0.111": "[::]:111", "fe80::1.255.255": "[fe80::1]:65535"} {
		a, ok := parseUniversal(text)
		if !ok || a != netip.MustParseAddrPort(want) || universal(a) != text {
			t.Errorf("%s: %v %v %s", text, a, ok, universal(a))
		}
	}
	if got := universal(netip.MustParseAddrPort("[fe80::1%lo]:7")); got != "fe80::1.0.7" {
		t.Error(got)
	}
	for _, text := range []string{"", "0.0.0.0", "/run/rpcbind.sock", "0.0.0.0.256.1", "0.0.0.0.1.-1", "...", "1.2"} {
		if a, ok := parseUniversal(text); ok {
			t.Errorf("%q is %v", text, a)
		}
	}
}

// Whatever answers, reading it ends, takes no more memory than the answer, and
// what is read is what was written.
func FuzzReply(f *testing.F) {
	whole := appendUint32(nil, 7)
	for _, n := range []uint32{1, 0, 0, 0, 0} {
		whole = appendUint32(whole, n)
	}
	f.Add(whole)
	f.Add(appendUint32(entry{100001, 3, "udp", "0.0.0.0.3.25", "superuser"}.append(appendUint32(bytes.Clone(whole), 1)), 0))
	f.Add(appendUint32(bytes.Clone(whole), 1<<31))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, results, err := readReply(data)
		if err != nil {
			return
		}
		list, err := readDump(results)
		if len(list)*20 > len(data)+20 { // the last one may be cut short
			t.Errorf("%d entries in %d bytes", len(list), len(data))
		}
		if err != nil {
			return
		}
		var again []byte
		for _, e := range list {
			again = e.append(appendUint32(again, 1))
			if at, ok := parseUniversal(e.address); ok && at.Addr().Is4() && universal(at) != e.address {
				if a, _ := parseUniversal(universal(at)); a != at {
					t.Errorf("%q is %v", e.address, at)
				}
			}
		}
		if reread, err := readDump(appendUint32(again, 0)); err != nil || !reflect.DeepEqual(reread, list) {
			t.Errorf("%v again: %v", list, err)
		}
	})
}
