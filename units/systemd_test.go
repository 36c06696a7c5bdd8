package units

import "testing"

func TestSystemd(t *testing.T) {
	machine{files: append(append(debs(t, "update-inetd"), opened(t)...), "../docs/hardening.md", "../docs/inetd.8", "../README.md")}.run(t, "systemd.sh")
}

func TestRPC(t *testing.T) {
	machine{files: append(debs(t, "update-inetd", "tcpd", "rpcbind", "rstatd", "rusersd", "rstat-client", "rusers"), opened(t)...)}.run(t, "rpc.sh")
}

func TestReplace(t *testing.T) {
	machine{files: append(debs(t, "update-inetd", "openbsd-inetd", "tcpd", "tftpd-hpa"), opened(t)...)}.run(t, "replace.sh")
}

func TestReplaceXinetd(t *testing.T) {
	machine{files: append(debs(t, "update-inetd", "xinetd", "openbsd-inetd", "tcpd"), opened(t)...)}.run(t, "xinetd.sh")
}
