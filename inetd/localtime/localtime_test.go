package localtime

import (
	"os"
	"path/filepath"
	"testing"
)

// The zone is that of TZ, anew at each reload; what cannot be read changes
// nothing.
func TestReload(t *testing.T) {
	t.Cleanup(func() { zone.Store(nil) })
	file := filepath.Join(t.TempDir(), "localtime")
	for _, c := range []struct{ tz, text, want string }{
		{"Asia/Tokyo", "", "+0900"},
		{":Asia/Kolkata", "", "+0530"},
		{"", "", "+0000"},
		{file, zoneinfo(t, "Asia/Tokyo"), "+0900"},
		{file, zoneinfo(t, "Asia/Kolkata"), "+0530"},
		{file, "no zone", "error +0530"},
		{"No/Such", "", "error +0530"},
	} {
		t.Setenv("TZ", c.tz)
		if err := os.WriteFile(file, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := Reload(); err != nil {
			got = "error "
		}
		if got += Now().Format("-0700"); got != c.want {
			t.Errorf("TZ=%s: %s, want %s", c.tz, got, c.want)
		}
	}
}

func zoneinfo(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("/usr/share/zoneinfo/" + name)
	if err != nil {
		t.Skip(err)
	}
	return string(text)
}
