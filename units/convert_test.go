package units

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestConvertedUnits runs what "inetctl convert --to systemd" writes. Where the
// kernel has no BPF, or only cgroups of version 1, nothing filters addresses:
// the rest is looked at, and the test says so.
func TestConvertedUnits(t *testing.T) {
	lookAtSources()
	need(t, "setpriv", "bash")
	program := filepath.Join(t.TempDir(), "inetctl")
	build := exec.Command("go", "build", "-o", program, "../cmd/inetctl")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	said := machine{unified: true, files: []string{program, "testdata/convert.conf"}}.run(t, "convert.sh")
	if strings.Contains(said, "NOT FILTERED") {
		lacking(t, "a kernel whose systemd filters addresses by BPF")
	}
}
