package service

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"goinetd/config"
	"goinetd/inetd/builtin"
	"goinetd/inetd/encode"
)

// Every service of the readers' tests comes out as it went in, but for what
// only hints need.
func TestRecord(t *testing.T) {
	files, err := filepath.Glob("../../config/testdata/*")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a directory
		}
		services, _ := config.Read(file, string(text), config.Options{Builtins: builtin.Known(), Services: "../../config/testdata/services"})
		b := NewBuilder(Options{}, services)
		for _, s := range services {
			n++
			record := b.AppendRecord(nil, s)
			var got Record
			if err := encode.Decode(record, &got); err != nil {
				t.Fatalf("%s: %v", record, err)
			}
			if RecordKey(record) != s.Key() {
				t.Errorf("key %q of %s", RecordKey(record), record)
			}
			// What hints need is not exported, and is not compared.
			want, have := reflect.ValueOf(s).Elem(), reflect.ValueOf(got.Service).Elem()
			for _, f := range reflect.VisibleFields(want.Type()) {
				if !f.IsExported() || f.Type.Kind() == reflect.Pointer { // Settings, whose fields are visible
					continue
				}
				if w, h := want.FieldByIndex(f.Index), have.FieldByIndex(f.Index); !reflect.DeepEqual(h.Interface(), w.Interface()) {
					t.Errorf("%s %s: %v, want %v", s.ID, f.Name, h, w)
				}
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d services", n)
	}
	// "Nobody" must not become "everybody".
	text := encode.Append(nil, &config.Service{Settings: &config.Settings{OnlyFrom: []config.Source{}, PassEnv: []string{}}})
	var got config.Service
	if err := encode.Decode(text, &got); err != nil || got.OnlyFrom == nil || got.PassEnv == nil || got.NoAccess != nil {
		t.Errorf("%s: %+v, %v", text, got, err)
	}
}
