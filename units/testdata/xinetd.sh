#!/bin/sh
# The package takes the place of xinetd: with its files, its options and its
# names, and xinetd can be purged, or come back.
. ./lib.sh

install() { dpkg --force-confold -i "$@" >dpkg.out 2>&1 </dev/null || fail "$(cat dpkg.out)"; }
remove() { dpkg "$1" "$2" >dpkg.out 2>&1 || fail "$(cat dpkg.out)"; }
state() { dpkg-query -W -f '${db:Status-Status}' "$1"; }
served() { serves 7007 own && serves 7008 conffile; }
daemon() { readlink "/proc/$(pgrep -xo "$1")/exe"; }

step xinetd
install update-inetd_*.deb xinetd_*.deb
cat >/etc/xinetd.d/own <<'X'
service own
{
	type = UNLISTED
	port = 7007
	socket_type = stream
	wait = no
	user = nobody
	server = /bin/cat
}
X
cat >/etc/xinetd.d/echo <<'X'
service echo
{
	id = echo-stream
	type = INTERNAL UNLISTED
	port = 7008
	socket_type = stream
	wait = no
	user = root
}
X
echo 'zabbix-agent stream tcp nowait root /bin/cat cat' >/etc/inetd.conf
service xinetd restart
soon served
soon serves 10050 compat
cp -r /etc/xinetd.conf /etc/xinetd.d .

step ours in its place reads what it read
install goinetd_1.0_*.deb
cat dpkg.out
want '^goinetd: /etc/default/inetd has OPTIONS="/etc/xinetd.conf /etc/inetd.conf", as xinetd had$' cat dpkg.out
want '^goinetd: a purge of xinetd leaves /etc/xinetd.conf' cat dpkg.out
! grep 'not read' dpkg.out || fail "it is read"
[ "$(stat -c %a /etc/default/inetd)" = 644 ] || fail "mode of /etc/default/inetd"
! pgrep -x xinetd || fail "xinetd runs"
served || fail "not served"
serves 10050 compat || fail "inetd.conf is not served"

names() {
    pid=$(systemctl show -P MainPID inetd.service)
    sed -i 's/zabbix-agent/zabbix-trapper/' /etc/inetd.conf
    systemctl reload xinetd || fail "systemctl reload xinetd"
    soon serves 10051 reloaded
    [ "$(systemctl show -P MainPID inetd.service)" = "$pid" ] || fail "reload restarted it"
    sed -i 's/zabbix-trapper/zabbix-agent/' /etc/inetd.conf
    service xinetd restart || fail "service xinetd restart"
    soon serves 10050 restarted
    [ "$(systemctl show -P MainPID inetd.service)" != "$pid" ] || fail "restart did not"
    want 'inetd.service.*Internet super-server' /etc/init.d/xinetd status
    status 0 /etc/init.d/xinetd status
    status 0 /etc/init.d/xinetd reload
    soon systemctl is-active xinetd # after "reloading"
    served || fail "not served"
}
step the names of xinetd
names
ls /etc/rc?.d/*xinetd 2>/dev/null && fail "it would be started twice"

step an upgrade
install goinetd_1.1_*.deb
! grep '^goinetd:' dpkg.out || fail "an upgrade says it again"
names

step xinetd is purged
remove -P xinetd
[ "$(state xinetd)" = not-installed ] || fail "xinetd is $(state xinetd)"
systemctl reload inetd.service
served || fail "not served after a reload"
systemctl restart inetd.service
served || fail "not served after a restart"
cmp xinetd.conf /etc/xinetd.conf || fail "xinetd.conf"
diff -r xinetd.d /etc/xinetd.d || fail "xinetd.d"
names

survived 'apt purge xinetd, whose configuration is read' 'served as before, and after a reload and a restart' 'nothing: xinetd.conf stays'

step ours is removed
remove -P goinetd
clean() {
    ls /etc/default/inetd /etc/systemd/system/xinetd.service /lib/systemd/system/xinetd.service /var/lib/goinetd 2>/dev/null && fail "that is left"
    dpkg-divert --list | grep goinetd && fail "a diversion is left"
    find /etc -name '*.distrib' | grep . && fail "a diverted file is left"
    true
}
clean
! [ -e /etc/init.d/xinetd ] || fail "a script of nobody is left"
diff -r xinetd.d /etc/xinetd.d || fail "xinetd.d"

step xinetd and ours in turn
install xinetd_*.deb
served || fail "not served by xinetd"
install goinetd_1.0_*.deb
served || fail "not served by ours"
remove -r goinetd # as apt does before it installs xinetd
install xinetd_*.deb
[ "$(daemon xinetd)" = /usr/sbin/xinetd ] || fail "xinetd does not run"
grep -q 'DAEMON=/usr/sbin/$NAME' /etc/init.d/xinetd && [ ! -L /etc/init.d/xinetd ] || fail "xinetd has not got its script back"
remove -P goinetd
clean
service xinetd restart
soon served
[ "$(daemon xinetd)" = /usr/sbin/xinetd ] || fail "xinetd does not restart"
ls /etc/rc2.d/S*xinetd >/dev/null || fail "xinetd does not start at the next boot"

step what other hosts have
first() { # OPTIONS PATTERN: what a first installation writes and says
    install xinetd_*.deb
    install goinetd_1.0_*.deb
    grep -qxF "OPTIONS=\"$1\"" /etc/default/inetd || fail "want $1: $(cat /etc/default/inetd dpkg.out)"
    want "$2" cat dpkg.out
    want '^active' systemctl is-active inetd.service
}
cp /etc/default/xinetd default.xinetd
sed -i s/Yes/No/ /etc/default/xinetd
first /etc/xinetd.conf '^goinetd: /etc/inetd.conf has 1 service and is not read.*: /etc/xinetd.conf$'
served || fail "not served"
remove -P goinetd
cp default.xinetd /etc/default/xinetd
echo '# no services' >/etc/inetd.conf
first '/etc/xinetd.conf /etc/inetd.conf' .
served || fail "not served"
remove -P goinetd
rm -f /etc/inetd.conf
first '' .
! grep 'OPTIONS\|not read' dpkg.out || fail "something was written"
served || fail "not served"
remove -P goinetd
install tcpd_*.deb openbsd-inetd_*.deb
echo 'OPTIONS="-R 100"' >/etc/default/openbsd-inetd
install goinetd_1.0_*.deb
want '^goinetd: /etc/default/inetd has OPTIONS="-R 100", as openbsd-inetd had$' cat dpkg.out
want '^goinetd: /etc/xinetd.conf has 2 services and is not read.*: /etc/inetd.conf$' cat dpkg.out
want '[-]R 100' sh -c 'tr "\0" " " </proc/$(systemctl show -P MainPID inetd.service)/cmdline'
remove -P goinetd
echo '# no services' >/etc/inetd.conf
install xinetd_*.deb
remove -r xinetd # as apt does before it installs ours
install goinetd_1.0_*.deb
want 'OPTIONS="/etc/xinetd.conf /etc/inetd.conf", as xinetd had$' cat dpkg.out
served || fail "not served"
remove -P openbsd-inetd
served || fail "not served"
remove -P goinetd
rm -f /etc/inetd.conf
sed 's/7008/7018/' /etc/xinetd.d/echo >/etc/other.conf
echo 'XINETD_OPTS="-stayalive -limit 30 -f /etc/other.conf -pidfile /run/x"' >>/etc/default/xinetd
first '/etc/other.conf /etc/inetd.conf' '^goinetd: not taken over from /etc/default/xinetd: -limit 30$'
want '^goinetd: /etc/xinetd.conf has 2 services and is not read' cat dpkg.out
serves 7018 hello || fail "other.conf is not served"
remove -P xinetd
[ ! -e /etc/xinetd.conf ] || fail "a purge leaves what is not read"
systemctl restart inetd.service
serves 7018 hello || fail "other.conf is not served"
