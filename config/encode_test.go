package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// Every service of the golden files comes out as it went in, but for what
// only hints need.
func TestServiceJSON(t *testing.T) {
	files, err := filepath.Glob("testdata/*")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a directory
		}
		services, _ := Read(file, string(text), Options{Builtins: known, Services: "testdata/services"})
		for _, s := range services {
			n++
			encoded, err := json.Marshal(s)
			if err != nil {
				t.Fatalf("%s: %v", s.ID, err)
			}
			var got Service
			if err := json.Unmarshal(encoded, &got); err != nil {
				t.Fatalf("%s: %v", encoded, err)
			}
			want := *s
			want.fields, want.written, want.comments = nil, nil, nil
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s:\n got %+v\nwant %+v", encoded, got, want)
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d services", n)
	}
	// "Nobody" must not become "everybody".
	encoded, err := json.Marshal(&Service{OnlyFrom: []Source{}, PassEnv: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	var got Service
	if err := json.Unmarshal(encoded, &got); err != nil || got.OnlyFrom == nil || got.PassEnv == nil || got.NoAccess != nil {
		t.Errorf("%s: %+v, %v", encoded, got, err)
	}
	strict := json.NewDecoder(strings.NewReader(`{"Bogus":1}`))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&got); err == nil {
		t.Error("an unknown setting is accepted")
	}
}
