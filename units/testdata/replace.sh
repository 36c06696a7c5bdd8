#!/bin/sh
# The package takes the place of openbsd-inetd with its configuration, lets
# other packages change that, and leaves nothing behind.
. ./lib.sh

file() { # over tftp
    rm -f got
    timeout 3 tftp -m octet 127.0.0.1 -c get hello got
    cmp -s got /srv/tftp/hello
}
superserver() { dpkg -S /usr/sbin/inetd | cut -d: -f1; }

step openbsd-inetd with tftpd-hpa
DEBIAN_FRONTEND=noninteractive dpkg -i update-inetd_*.deb tcpd_*.deb openbsd-inetd_*.deb tftpd-hpa_*.deb >dpkg.out 2>&1 || fail "$(cat dpkg.out)"
systemctl stop tftpd-hpa.service # it is to be inetd's
mkdir -p /srv/tftp
echo 'hello from tftp' >/srv/tftp/hello
update-inetd --group BOOT --add 'tftp\t\tdgram\tudp4\twait\troot\t/usr/sbin/in.tftpd\t/usr/sbin/in.tftpd -s /srv/tftp'
soon file
[ "$(superserver)" = openbsd-inetd ] || fail "served by $(superserver)"
cp /etc/inetd.conf before.conf

step ours in its place
dpkg -i goinetd_1.0_*.deb >dpkg.out 2>&1 || fail "$(cat dpkg.out)"
[ "$(superserver)" = goinetd ] || fail "$(cat dpkg.out)"
want '^(rc|ic|un) ' sh -c 'dpkg -l openbsd-inetd | tail -n 1'
cmp /etc/inetd.conf before.conf || fail "inetd.conf was edited"
want goinetd /usr/sbin/inetd -V
want '^active' systemctl is-active inetd.service
want '^enabled' systemctl is-enabled inetd.service
soon file
pkill in.tftpd || true
soon file
want '/system.slice/inetd.service' sh -c 'cat /proc/$(pgrep -o in.tftpd)/cgroup'

step a script has the port
pkill in.tftpd
systemctl stop inetd.service
systemctl start tftpd-hpa.service
systemctl start inetd.service
line=$(journalctl -u inetd.service -o cat --no-pager | grep 'bind udp 0.0.0.0:69: address already in use' | tail -n 1)
want 'in.tftpd, user root, SysV script /etc/init.d/tftpd-hpa, started at runlevel 2 3 4 5' echo "$line"
sh -c "$(echo "$line" | sed -n 's/.*to end that for good: \([^;]*\);.*/\1/p')" >advice.out 2>&1 || fail "the advice does not work: $line $(cat advice.out)"
soon file
want '/system.slice/inetd.service' sh -c 'cat /proc/$(pgrep -o in.tftpd)/cgroup'

step the other one is purged
dpkg -P openbsd-inetd >dpkg.out 2>&1 || fail "$(cat dpkg.out)"
want '^active' systemctl is-active inetd.service
want '^enabled' systemctl is-enabled inetd.service
cmp /etc/inetd.conf before.conf || fail "inetd.conf was edited"
file || fail "not served"

step update-inetd
update-inetd --group OTHER --add '7007\t\tstream\ttcp\tnowait\tnobody\t/bin/cat\tcat'
soon serves 7007 hello
update-inetd --disable 7007
soon sh -c '! nc -z 127.0.0.1 7007'
update-inetd --enable 7007
soon serves 7007 hello
update-inetd --remove '7007\s'
soon sh -c '! nc -z 127.0.0.1 7007'

step removal, and the other one again
dpkg -L goinetd | sort >files
dpkg -r goinetd >dpkg.out 2>&1 || fail "$(cat dpkg.out)"
! pgrep -x inetd || fail "it runs"
cmp /etc/inetd.conf before.conf || fail "inetd.conf was edited"
pkill in.tftpd || true # it has the port until it ends, and openbsd-inetd tries again after ten minutes
dpkg -i openbsd-inetd_*.deb >dpkg.out 2>&1 || fail "$(cat dpkg.out)"
want '^active' systemctl is-active inetd.service
want '^enabled' systemctl is-enabled inetd.service
pkill in.tftpd || true
soon file
dpkg -P goinetd >dpkg.out 2>&1 || fail "$(cat dpkg.out)"
want '^active' systemctl is-active inetd.service
want '^enabled' systemctl is-enabled inetd.service
pkill in.tftpd || true
soon file

step nothing is left behind
dpkg -P openbsd-inetd >dpkg.out 2>&1 || fail "$(cat dpkg.out)"
rm /etc/inetd.conf
everything() {
    find /etc /usr /var \( -path /usr/local -o -path /var/tmp -o -path /var/log -o -path /var/lib/dpkg -o -path /var/cache \) -prune -o -print | sort
}
everything >before
dpkg -i goinetd_1.0_*.deb >dpkg.out 2>&1 || fail "$(cat dpkg.out)"
dpkg -i goinetd_1.1_*.deb >dpkg.out 2>&1 || fail "$(cat dpkg.out)"
systemctl enable --quiet inetd.socket
systemctl --global enable --quiet inetd.service
want '^active' systemctl is-active inetd.service
dpkg -r goinetd >dpkg.out 2>&1 || fail "$(cat dpkg.out)"
[ -e /etc/inetd.conf ] || fail "a removal took the configuration away"
dpkg -i goinetd_1.1_*.deb >dpkg.out 2>&1 || fail "$(cat dpkg.out)"
want '^active' systemctl is-active inetd.service
[ -x /etc/init.d/inetd ] || fail "the script does not run after a new installation"
dpkg -P goinetd >dpkg.out 2>&1 || fail "$(cat dpkg.out)"
everything >after
diff before after || fail "that was left"
want 'not.*(found|loaded)|could not' systemctl status inetd.service
