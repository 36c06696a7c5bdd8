package units

import "testing"

func TestSysV(t *testing.T) {
	machine{sysv: true, files: append(debs(t, "update-inetd", "cron", "cron-daemon-common", "xinetd"), opened(t)...)}.run(t, "sysv.sh")
}
