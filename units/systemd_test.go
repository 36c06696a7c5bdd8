package units

import "testing"

func TestSystemd(t *testing.T) {
	machine{files: append(ours(t), debs(t, "update-inetd")...)}.run(t, "systemd.sh")
}
