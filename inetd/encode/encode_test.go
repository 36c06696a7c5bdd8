package encode

import (
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

type inner struct {
	Text string
	N    int
}

type outer struct {
	Name    string
	On      bool
	Small   uint16
	Large   uint64
	Less    int64
	Load    float64
	Addr    netip.Addr
	Prefix  []netip.Prefix
	Until   time.Time
	After   time.Duration
	List    []inner
	Pointer *inner
	Limits  map[string]uint64
	Words   []string
	Left    string `encode:"-"`
	hidden  int
	inner
}

func TestRoundTrip(t *testing.T) {
	for _, want := range []outer{
		{},
		{Name: "a \"quoted\"\n\x00\xff\u2028 text: {x} [y] ", On: true, Small: math.MaxUint16, Large: math.MaxUint64, Less: math.MinInt64, Load: 8.5e-3,
			Addr: netip.MustParseAddr("fe80::1%eth0"), Prefix: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("::/0")},
			Until: time.Unix(1700000000, 123).UTC(), After: -1, List: []inner{{}, {"x", -7}}, Pointer: &inner{N: 3},
			Limits: map[string]uint64{"cpu": 20, "a b": 1}, Words: []string{"", "one"}},
		{Words: []string{}, Limits: map[string]uint64{}, Pointer: &inner{}},
	} {
		text := Append(nil, want)
		if strings.ContainsAny(string(text), "\n\r") {
			t.Errorf("%q is more than a line", text)
		}
		var got outer
		if err := Decode(text, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\n got %+v\nwant %+v", text, err, got, want)
		}
	}
	if text := string(Append(nil, outer{Left: "x", hidden: 1, Name: "n", Words: []string{"a"}})); text != `{Name:"n" Words:["a" ] }` {
		t.Errorf("%s", text)
	}
}

type Common struct {
	Text string
	List []string
}

type sharing struct {
	Name string
	*Common
}

// What is embedded by a pointer is written with the rest, whoever shares it.
func TestEmbedded(t *testing.T) {
	common, other := &Common{Text: "x", List: []string{}}, &Common{Text: "y"}
	var e Encoder
	for _, c := range []struct {
		value sharing
		want  string
	}{
		{sharing{"a", common}, `{Name:"a" Text:"x" List:[] }`},
		{sharing{"b", common}, `{Name:"b" Text:"x" List:[] }`},
		{sharing{"c", other}, `{Name:"c" Text:"y" }`},
		{sharing{"d", common}, `{Name:"d" Text:"x" List:[] }`},
		{sharing{"e", &Common{}}, `{Name:"e" }`},
	} {
		text := e.Append(nil, c.value)
		var got sharing
		if err := Decode(text, &got); err != nil || string(text) != c.want || !reflect.DeepEqual(got, c.value) {
			t.Errorf("%s, want %s: %+v, %v", text, c.want, got, err)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, text := range []string{"", "{", "}", "x", "{Name}", "{Name:}", `{Name:"x}`, `{Name:"x"}`, `{Bogus:1 }`, `{hidden:1 }`, `{Small:65536 }`, `{On:maybe }`,
		`{Words:["a"] }`, `{Words:x }`, `{Limits:{"a" 1 } }`, `{Addr:"nowhere" }`, `{Name:"x" }}`, `{Name:"x" } `} {
		var got outer
		if err := Decode([]byte(text), &got); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// Whatever is read is read again from what it is written as.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{Name:"n" List:[{Text:"x" N:-1 } ] Limits:{"cpu":20 } Addr:"::1" Load:1e3 }`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var got, again outer
		if Decode(text, &got) != nil {
			return
		}
		if err := Decode(Append(nil, got), &again); err != nil {
			t.Errorf("%q: %v", Append(nil, got), err)
		}
	})
}
