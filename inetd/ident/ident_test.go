package ident

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for line, want := range map[string]string{
		"6193, 23 : USERID : UNIX : stjohns\r\n": "UNIX :stjohns",
		"6193,23:USERID:UNIX,US-ASCII:a b":       "UNIX,US-ASCII :a b",
		"6193 , 23 : userid : OTHER :x:y\n":      "OTHER :x:y",
		"6193, 23 : ERROR : NO-USER\r\n":         `answered "NO-USER"`,
		"6193, 24 : USERID : UNIX : x":           "bad response",
		"6193, 23 : USERID : UNIX":               "bad response",
		"6193, 23 : USERID : UNIX : ":            "bad response",
		"":                                       "bad response",
		"6193, 23 : NONSENSE : x":                "bad response",
		"6193, 23 : USERID : U : a\x00b":         "bad response",
	} {
		reply, err := Parse(line, 6193, 23)
		got := reply.String()
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", line, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("6193, 23 : USERID : UNIX : stjohns\r\n")
	f.Add("6193,23:ERROR:HIDDEN-USER")
	f.Add("6193, 23 : USERID : OTHER, x :: ")
	f.Fuzz(func(t *testing.T, line string) {
		reply, err := Parse(line, 6193, 23)
		if err == nil && (reply.User == "" || strings.ContainsAny(reply.User, "\r\n\x00") || !strings.Contains(line, reply.User)) {
			t.Errorf("%q: %+v", line, reply)
		}
		if err != nil && err.Error() == "" {
			t.Errorf("%q: an error that says nothing", line)
		}
	})
}
