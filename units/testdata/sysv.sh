#!/bin/sh
# inetd under a real SysV init: links, runlevels, the script's statuses, an
# upgrade with the sockets kept, and who has a port where there is no systemd.
. ./lib.sh

# init has ended what the runlevels asked for
settled() { [ "$(runlevel | cut -d' ' -f2)" = "$1" ] && ! pgrep -x rc >/dev/null && ! pgrep -x startpar >/dev/null; }

want '^init' ps -o comm= -p 1
step a plain install
dpkg -i update-inetd_*.deb goinetd_1.0_*.deb >dpkg.out 2>&1 || fail "$(cat dpkg.out)"
for level in 2 3 4 5; do ls /etc/rc$level.d/S[0-9][0-9]inetd >/dev/null; done
for level in 0 1 6; do ls /etc/rc$level.d/K[0-9][0-9]inetd >/dev/null; done
status 0 service inetd status

step the statuses of the script
status 0 service inetd start
[ "$(pgrep -cx inetd)" = 1 ] || fail "started twice"
status 0 service inetd stop
status 0 service inetd stop
status 3 service inetd status
status 7 service inetd reload
status 0 service inetd try-restart
status 3 service inetd status
echo 99999 >/run/inetd.pid
status 1 service inetd status
status 2 service inetd nonsense
mv /etc/inetd.conf /etc/inetd.conf.away
status 6 service inetd start
printf '7007 stream tcp\n' >/etc/inetd.conf
status 1 service inetd start # nothing of what is asked for can be served
mv /etc/inetd.conf.away /etc/inetd.conf
mv /usr/sbin/inetd /usr/sbin/inetd.away
status 5 service inetd start
status 4 service inetd status
mv /usr/sbin/inetd.away /usr/sbin/inetd
cat >>/etc/inetd.conf <<'X'
7007 stream tcp nowait nobody /bin/cat cat
X
sed -i 's/^OPTIONS=.*/OPTIONS="-l -R 0"/' /etc/default/inetd
status 0 service inetd force-reload
status 0 service inetd status
serves 7007 hello || fail "7007"
echo '7008 stream tcp nowait root internal echo' >>/etc/inetd.conf
status 0 service inetd force-reload
soon serves 7008 hello
status 0 service inetd restart
serves 7008 hello || fail "7008"

step what the script says
want '^Stopping Internet super-server: inetd\.$' service inetd stop
echo '7009 stream tcp nowait nobdy /bin/cat cat' >>/etc/inetd.conf
service inetd start >said 2>&1 || fail "start: $(cat said)"
want '^Starting Internet super-server: inetd\.$' cat said
want '^inetd: inetd.conf:[0-9]+: .*unknown user "nobdy"' cat said
service inetd reload >said 2>&1 || fail "reload: $(cat said)"
want '^Reloading Internet super-server: inetd\.$' cat said
want 'inetd.conf:[0-9]+: .*unknown user "nobdy"' cat said
cp /etc/inetd.conf wrong.conf
sed -i /^7009/d /etc/inetd.conf
service inetd reload >said 2>&1 || fail "reload: $(cat said)"
[ "$(cat said)" = 'Reloading Internet super-server: inetd.' ] || fail "reload says $(cat said)"
cp /etc/default/inetd default.before
echo 'OPTIONS="-l -R 0 -f inetd /root/wrong.conf"' >/etc/default/inetd
want 'wrong.conf:[0-9]+: .*unknown user "nobdy"' service inetd reload
cp default.before /etc/default/inetd

service inetd stop >said
echo 'OPTIONS="--loud"' >/etc/default/inetd
status 2 service inetd start
cp default.before /etc/default/inetd
status 0 service inetd start

step a lost pidfile
printf '7010 stream tcp nowait root internal echo\n' >other.conf
/usr/sbin/inetd -p /run/other.pid other.conf || fail "a second inetd"
pid=$(cat /run/inetd.pid)
rm /run/inetd.pid
want "runs with pid $pid" service inetd status
status 0 service inetd status
status 0 service inetd start
[ "$(pgrep -cx inetd)" = 2 ] || fail "started twice"
echo '7011 stream tcp nowait root internal echo' >>/etc/inetd.conf
status 0 service inetd reload
soon serves 7011 hello
status 0 service inetd stop
[ ! -e /proc/$pid ] || fail "stopped, and it runs"
status 3 service inetd status
serves 7010 hello || fail "another inetd was stopped"
status 0 service inetd stop
serves 7010 hello || fail "another inetd was stopped"
kill "$(cat /run/other.pid)"
soon sh -c '! pgrep -x inetd'
status 0 service inetd start
pid=$(cat /run/inetd.pid)
echo 99999 >/run/inetd.pid
kill -STOP "$pid"
status 1 service inetd stop
want "runs with pid $pid" echo "$said"
kill -CONT "$pid"
soon sh -c '! pgrep -x inetd'
rm -f /run/inetd.pid
status 0 service inetd start

step runlevels
telinit 1
soon settled 1
status 3 service inetd status
! nc -z 127.0.0.1 7007 || fail "it listens at runlevel 1"
telinit 2
soon settled 2
status 0 service inetd status
serves 7007 hello || fail "not served after the way back"
[ "$(pgrep -cx inetd)" = 1 ] || fail "started twice"
[ "$(ps -o ppid= -p "$(cat /run/inetd.pid)")" -eq 1 ] || fail "no daemon"

step ten upgrades under load
survive upgrades # there is no syslog daemon to look for EXIT lines
survived 'ten upgrades of the package (dpkg -i) under load, by SIGUSR2' 'every client of TCP, UDP and a Unix socket served' \
    'nothing: the process is the same, a program of before goes on and counts, a line that is wrong meanwhile changes nothing'

step an upgrade under load
pid=$(cat /run/inetd.pid)
upgrade() { dpkg -i goinetd_1.1_*.deb >dpkg.out 2>&1 || fail "$(cat dpkg.out)"; }
meanwhile upgrade
lost 0
[ "$(cat /run/inetd.pid)" = "$pid" ] || fail "it is another process"
[ "$(stat -Lc %i /proc/$pid/exe)" = "$(stat -c %i /usr/sbin/inetd)" ] || fail "the old program runs"
status 0 service inetd status

step somebody has the port: a SysV script, cron, a terminal
cat >/usr/sbin/taker <<'X'
#!/usr/bin/perl
use IO::Socket::INET;
$0 = "taker";
my $l = IO::Socket::INET->new(Listen => 5, LocalAddr => "127.0.0.1:$ARGV[0]", ReuseAddr => 1) or die;
exit if fork;
setpgrp 0, 0;
open(my $p, ">", "/run/taker.pid"); print $p "$$\n"; close $p;
while (my $c = $l->accept) { }
X
chmod +x /usr/sbin/taker
cat >/etc/init.d/taker <<'X'
#!/bin/sh
### BEGIN INIT INFO
# Provides: taker
# Required-Start:
# Required-Stop:
# Default-Start: 2
# Default-Stop: 0 1 6
### END INIT INFO
case $1 in
start) /usr/sbin/taker 7030 ;;
stop) kill "$(cat /run/taker.pid)" ;;
esac
X
chmod +x /etc/init.d/taker
update-rc.d taker defaults
service taker start
soon nc -z 127.0.0.1 7030
echo '127.0.0.1:7030 stream tcp nowait root internal echo' >/root/one.conf
said=$(timeout 3 /usr/sbin/inetd -i /root/one.conf 2>&1) || true
echo "$said" | grep 'address already in use'
want 'by pid [0-9]+ \(taker, program /usr/bin/perl, user root, SysV script /etc/init.d/taker, started at runlevel 2\) \(to end that for good: service taker stop && update-rc.d taker disable' echo "$said"
sh -c "$(echo "$said" | sed -n 's/.*to end that for good: \([^;]*\);.*/\1/p')" || fail "the advice does not work: $said"
ls /etc/rc2.d/S*taker 2>/dev/null && fail "it would be back at the next boot"
soon sh -c '! nc -z 127.0.0.1 7030'
cat >/usr/sbin/listener <<'X'
#!/usr/bin/perl
use IO::Socket::INET;
my $l = IO::Socket::INET->new(Listen => 5, LocalAddr => "127.0.0.1:$ARGV[0]", ReuseAddr => 1) or die;
while (my $c = $l->accept) { }
X
chmod +x /usr/sbin/listener
who() { # PORT: what inetd says of who has it
    echo "127.0.0.1:$1 stream tcp nowait root internal echo" >one.conf
    timeout 3 /usr/sbin/inetd -i /root/one.conf 2>&1 | grep 'address already in use'
}
dpkg -i cron-daemon-common_*.deb >dpkg.out 2>&1 && dpkg -i cron_*.deb >>dpkg.out 2>&1 || fail "$(cat dpkg.out)"
service cron stop
echo '@reboot /usr/sbin/listener 7031' | crontab -
rm -f /run/crond.reboot
service cron start
soon nc -z 127.0.0.1 7031
want 'by pid [0-9]+ \(listener, program /usr/bin/perl, user root, started by cron, crontab of root:[0-9]+: "@reboot /usr/sbin/listener 7031"\) \(to end that for good: crontab -u root -e, and kill [0-9]+;' who 7031
script -qfc '/usr/sbin/listener 7032' /dev/null </dev/null >/dev/null 2>&1 &
soon nc -z 127.0.0.1 7032
want 'by pid [0-9]+ \(listener, program /usr/bin/perl, user root, terminal pts/[0-9]+\) \(to end that for good: kill [0-9]+;' who 7032
pkill listener

want 'an inetd runs already: pid [0-9]+ \(inetd, user root, SysV script /etc/init.d/inetd, started at runlevel 2 3 4 5\) holds' /usr/sbin/inetd

step removal
dpkg -r goinetd >dpkg.out 2>&1 || fail "$(cat dpkg.out)"
! pgrep -x inetd >/dev/null || fail "it runs"
dpkg -P goinetd >>dpkg.out 2>&1 || fail "$(cat dpkg.out)"
ls /etc/rc?.d/*inetd 2>/dev/null && fail "links are left"
[ -e /etc/inetd.conf ] || fail "a configuration with services was removed"

step xinetd is replaced, and purged
install() { dpkg --force-confold -i "$@" >dpkg.out 2>&1 </dev/null || fail "$(cat dpkg.out)"; }
install xinetd_*.deb
cat >/etc/xinetd.d/time <<'Y' # one of its own files
service echo
{
	id = echo-own
	type = INTERNAL UNLISTED
	port = 7012
	socket_type = stream
	wait = no
	user = root
}
Y
service xinetd restart
soon serves 7012 hello
install goinetd_1.1_*.deb
serves 7012 hello || fail "not served: $(cat dpkg.out)"
ls /etc/rc?.d/*xinetd 2>/dev/null && fail "it would be started twice"
names() {
    status 0 service xinetd restart
    status 0 service xinetd reload
    status 0 /etc/init.d/xinetd status
    [ "$(pgrep -cx inetd)" = 1 ] || fail "not one inetd"
    soon serves 7012 hello
}
names
silent update-rc.d inetd defaults
dpkg -P xinetd >dpkg.out 2>&1 || fail "$(cat dpkg.out)"
names
[ -e /etc/xinetd.conf ] || fail "the configuration is gone"
telinit 1
soon settled 1
! pgrep -x inetd || fail "it runs at runlevel 1"
telinit 2
soon settled 2
names
dpkg -P goinetd >dpkg.out 2>&1 || fail "$(cat dpkg.out)"
! [ -e /etc/init.d/xinetd ] && ! [ -L /etc/init.d/xinetd ] || fail "a name is left"
