#!/bin/sh
# Debian's RPC servers and rpcbind, as packages, with inetd under a real systemd.
. ./lib.sh

ip link set lo up
registered() { rpcinfo -p 2>/dev/null | awk '$1 == 100001 || $1 == 100002 { print $1, $2, $3, $4 }' | sort; }
both() { [ "$(registered | grep -c '^100001 .* udp')" = 5 ] && [ "$(registered | grep -c '^100002 .* udp')" = 2 ]; }
none() { rpcinfo -p | grep -q portmapper && [ -z "$(registered)" ]; }

step servers before rpcbind
dpkg -i update-inetd_*.deb tcpd_*.deb goinetd_1.0_*.deb >dpkg.out 2>&1 || fail "$(cat dpkg.out)"
dpkg -i --force-depends rstatd_*.deb rusersd_*.deb rstat-client_*.deb rusers_*.deb >dpkg.out 2>&1 || fail "$(cat dpkg.out)"
grep -q '^rstatd/1-5.*/usr/sbin/tcpd' /etc/inetd.conf || fail "$(cat /etc/inetd.conf)"
systemctl is-active --quiet inetd.service || fail "inetd does not run"
soon sh -c 'journalctl -b -u inetd.service | grep -q "rpcbind(8) does not answer"'
dpkg -i --force-depends rpcbind_*.deb >dpkg.out 2>&1 || fail "$(cat dpkg.out)"
systemctl start rpcbind.socket
soon both
want ' up ' rup 127.0.0.1
want localhost rusers -a 127.0.0.1
want 'ready and waiting' rpcinfo -T udp6 ::1 100001 3
before=$(registered)

step restarts keep the registrations
: >running
(while [ -e running ]; do both || { echo gap; registered; }; done >gaps 2>&1) &
watcher=$!
for i in 1 2 3; do systemctl restart inetd.service; done
kill -9 "$(systemctl show -P MainPID inetd.service)"
soon sh -c '[ "$(systemctl show -P NRestarts inetd.service)" = 1 ] && systemctl is-active --quiet inetd.service'
systemctl reload inetd.service
rm running
wait $watcher
[ ! -s gaps ] || fail "not registered for a while: $(cat gaps)"
[ "$(registered)" = "$before" ] || fail "other ports: $(registered), before: $before"
want ' up ' rup 127.0.0.1

step rpcbind is restarted, and knows nothing
systemctl stop rpcbind.service rpcbind.socket
rm -rf /run/rpcbind/*
systemctl start rpcbind.socket
soon both
[ "$(registered)" = "$before" ] || fail "other ports: $(registered), before: $before"

step a stop removes them, and a start
systemctl stop inetd.service
soon none
systemctl start inetd.service
soon both
want localhost rusers -a 127.0.0.1

step a service that is taken away
sed -i '/^rstatd/d' /etc/inetd.conf
systemctl reload inetd.service
soon sh -c '! rpcinfo -p | grep -q "100001 .*udp"'
[ "$(registered | grep -c '^100002 .* udp')" = 2 ] || fail "rusersd is not registered any more: $(registered)"
