// Package units tests the units, the SysV script and the Debian package where
// they belong: in booted systems.
package units

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"goinetd/inetd/reliability"
)

// A machine is a system that a test boots: a real init as PID 1 in a
// container, over a throw-away overlay of this host's own root, with a
// network of its own that has loopback and nothing else. It takes a few
// seconds and downloads nothing.
type machine struct {
	sysv    bool     // SysV init instead of systemd
	unified bool     // cgroups of version 2 alone, and every capability: systemd filters addresses
	files   []string // copied to its /root
}

// bootLimit ends a machine that hangs, in seconds.
const bootLimit = "150"

// systemdUnits are not for a container.
var systemdUnits = []string{"systemd-udevd.service", "systemd-networkd.service", "systemd-resolved.service", "systemd-timesyncd.service",
	"apt-daily.timer", "apt-daily-upgrade.timer", "man-db.timer", "e2scrub_all.timer"}

// sysvPackages are what makes a Debian with systemd one with SysV init.
var sysvPackages = []string{"sysvinit-core", "sysv-rc", "initscripts", "sysvinit-utils", "insserv", "startpar"}

// run boots the machine, runs a script of testdata in it as root once it is
// up, and logs what that says. The test fails if the script does.
func (m machine) run(t *testing.T, script string) (said string) {
	t.Helper()
	need(t, "systemd-nspawn", "mount")
	if _, err := os.Stat("/lib/systemd/systemd"); err != nil && !m.sysv {
		lacking(t, "systemd")
	}
	box, err := os.MkdirTemp("", "inetd-boot")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(box) })
	mount(t, box, "-t", "tmpfs", "-o", "size=2g", "tmpfs")
	root := box + "/root"
	for _, dir := range []string{"/upper", "/work", "/root"} {
		if err := os.Mkdir(box+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mount(t, root, "-t", "overlay", "overlay", "-o", "lowerdir=/,upperdir="+box+"/upper,workdir="+box+"/work")

	for _, file := range append(m.files, "testdata/lib.sh") {
		sh(t, `cp -r "$1" "$0/root/"`, root, file)
	}
	sh(t, `install -m 755 "$1" "$0/root/job"
		rm -f "$0/usr/sbin/policy-rc.d" # which keeps services from starting where this host is a container
	`, root, filepath.Join("testdata", script))
	init := "/lib/systemd/systemd"
	if m.sysv {
		m.prepareSysV(t, root)
		init = "/sbin/init"
	} else {
		prepareSystemd(t, root)
	}
	console, err := os.Create(box + "/console")
	if err != nil {
		t.Fatal(err)
	}
	defer console.Close()
	cmd := exec.Command("timeout", bootLimit, "systemd-nspawn", "-q", "-D", root, "-M", filepath.Base(box), "--private-network", "--register=no", "--keep-unit", "--console=pipe")
	if m.unified {
		cmd.Args = append(cmd.Args, "--capability=all")
		cmd.Env = append(os.Environ(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1", "SYSTEMD_SECCOMP=0") // bpf(2) is filtered
	}
	cmd.Args = append(cmd.Args, init)
	cmd.Stdout, cmd.Stderr = console, console
	ended := cmd.Run()

	text, err := os.ReadFile(root + "/root/job.out")
	if err != nil {
		out, _ := os.ReadFile(box + "/console")
		t.Fatalf("the machine did not come up: %v\n%s", ended, tail(string(out)))
	}
	if status, _ := os.ReadFile(root + "/root/job.status"); strings.TrimSpace(string(status)) != "0" {
		t.Fatalf("%s ended with %q:\n%s", script, status, tail(string(text)))
	}
	t.Logf("%s", text)
	for line := range strings.Lines(string(text)) {
		if row, ok := strings.CutPrefix(strings.TrimSpace(line), "SURVIVED "); ok {
			cells := strings.Split(row, " | ")
			reliability.Survived(t, reliability.Fault{Theme: reliability.Managers, Did: cells[0], Saw: cells[1], Lost: cells[2], Log: strings.TrimPrefix(cells[3], "-")}, script)
		}
	}
	return string(text)
}

func prepareSystemd(t *testing.T, root string) {
	t.Helper()
	sh(t, `cd "$0/etc"; rm -f machine-id; : >machine-id; 
		for unit in "$@"; do ln -sf /dev/null "systemd/system/$unit"; done
		rm -rf systemd/system/multi-user.target.wants # the services of this host
		for file in passwd shadow group gshadow subuid subgid; do # the test makes a user alice
			[ ! -e "$file" ] || sed -i /^alice:/d "$file"
		done
		chroot "$0" rm -rf /home/alice /var/mail/alice /var/lib/systemd/linger
		cat >systemd/system/job.service <<X
[Unit]
After=multi-user.target
[Service]
Type=oneshot
WorkingDirectory=/root
ExecStart=/bin/sh -c '/root/job >/root/job.out 2>&1; echo \$\$? >/root/job.status'
ExecStopPost=/bin/systemctl --force poweroff
X
		mkdir -p systemd/system/default.target.wants
		ln -sf ../job.service systemd/system/default.target.wants/job.service
		ln -sf /lib/systemd/system/multi-user.target systemd/system/default.target`, append([]string{root}, systemdUnits...)...)
}

func (m machine) prepareSysV(t *testing.T, root string) {
	t.Helper()
	// Not dpkg -x, which would put folders in the place of the links /sbin and
	// /lib.
	sh(t, `rm -f "$0/etc/machine-id" "$0/sbin/init"; : >"$0/etc/machine-id"
		for deb in "$@"; do dpkg --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$0"; done
		sed /getty/d "$0/usr/share/sysvinit/inittab" >"$0/etc/inittab"
		rm -f "$0"/etc/rc?.d/*
		cat >"$0/etc/init.d/zz-job" <<'X'
#!/bin/sh
### BEGIN INIT INFO
# Provides: zz-job
# Required-Start: $all
# Required-Stop:
# Default-Start: 2
# Default-Stop:
### END INIT INFO
[ "$1" = start ] && [ ! -e /root/job.out ] || exit 0
( cd /root; setsid ./job >/root/job.out 2>&1; echo $? >/root/job.status; sync; kill -9 -1; /sbin/halt -p -f ) &
X
		chmod +x "$0/etc/init.d/zz-job"
		chroot "$0" /usr/sbin/update-rc.d zz-job defaults`, append([]string{root}, debs(t, sysvPackages...)...)...)
}

// mount mounts something as long as the test runs.
func mount(t *testing.T, at string, args ...string) {
	t.Helper()
	if out, err := exec.Command("mount", append(args, at)...).CombinedOutput(); err != nil {
		t.Fatalf("mount %s: %v\n%s", at, err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", at).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v\n%s", at, err, out)
		}
	})
}

// sh runs a shell script with arguments from $0 on.
func sh(t *testing.T, script string, args ...string) string {
	t.Helper()
	out, err := exec.Command("sh", append([]string{"-euc", script}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// need ends a test that cannot run here: as failed in CI, as skipped
// elsewhere, with what is missing.
func need(t *testing.T, tools ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		lacking(t, "root")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			lacking(t, tool)
		}
	}
}

func lacking(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing", what)
	}
	t.Skipf("%s is missing", what)
}

// debs returns the files of Debian packages that .ci/test has fetched.
func debs(t *testing.T, names ...string) (files []string) {
	t.Helper()
	dir := os.Getenv("GOINETD_TEST_SERVERS")
	for _, name := range names {
		list, _ := filepath.Glob(filepath.Join(dir, name+"_*.deb"))
		if dir == "" || len(list) == 0 {
			lacking(t, "the package "+name+" (run .ci/test)")
		}
		files = append(files, list[len(list)-1])
	}
	return files
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "inetd-deb")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	packageDir = dir
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

var packageDir string // where our packages are built

// lookAtSources has "go test" run the tests again after a change of what they
// test: it knows only the files that the test itself has looked at.
func lookAtSources() {
	_ = filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // another package's tests have removed it
		}
		if d.Name() == ".git" {
			return fs.SkipDir
		}
		_, _ = os.Stat(path)
		return nil
	})
}

// packages are two of ours, the second a newer version; built once.
var packages = sync.OnceValues(func() ([]string, error) {
	lookAtSources()
	var files []string
	for _, version := range []string{"1.0", "1.1"} {
		cmd := exec.Command("debian/build", packageDir)
		cmd.Env = append(os.Environ(), "VERSION="+version)
		out, err := cmd.Output()
		if err != nil {
			return nil, err
		}
		files = append(files, strings.TrimSpace(string(out)))
	}
	return files, nil
})

func opened(t *testing.T) []string {
	t.Helper()
	need(t, "dpkg-deb")
	files, err := packages()
	if err != nil {
		t.Fatal("debian/build: ", err)
	}
	return files
}

func tail(text string) string { return text[max(0, len(text)-8000):] }
