#!/bin/sh
# The units of inetctl convert under a real systemd.
. ./lib.sh

ip link set lo up
for address in 10.1.2.3 10.2.0.1; do ip address add $address/32 dev lo; done
gpasswd -a games shadow >/dev/null
status 1 ./inetctl convert --to systemd --lossy -o /etc/systemd/system convert.conf
systemctl daemon-reload
silent systemd-analyze verify /etc/systemd/system/plain.socket /etc/systemd/system/renamed.socket
systemctl start plain.socket renamed.socket grouped.socket echoed.socket passed.socket closed.socket || fail "they do not start"

from() { nc -d -w 3 -s "$1" 127.0.0.1 "$2" 2>/dev/null | tr "\\0" " "; }

step what the programs are
own=$(id -g games)
want '^Groups:	 *$' from 127.0.0.1 7001
want '^Uid:	5	5	5	5' from 127.0.0.1 7001
want "^Gid:	$own	$own	$own	$own" from 127.0.0.1 7001
want '^SigIgn:	0000000000000000' from 127.0.0.1 7001
for set in Inh Prm Eff Amb; do want "^Cap$set:	0000000000000000" from 127.0.0.1 7001; done
want '^/bin/cat /proc/self/status' from 127.0.0.1 7001
want '^Groups:	 *$' from 127.0.0.1 7002
want '^meow /proc/self/status' from 127.0.0.1 7002
for set in Inh Prm Eff Amb; do want "^Cap$set:	0000000000000000" from 127.0.0.1 7002; done
want '^meow /proc/self/status' from 127.0.0.1 7003
want '^SigIgn:	0000000000000000' from 127.0.0.1 7003
want "^Gid:	$(getent group mail | cut -d: -f3)	" from 127.0.0.1 7003
want "^Groups:	.*\\b$own\\b" from 127.0.0.1 7003
want "^Groups:	.*\\b$(getent group shadow | cut -d: -f3)\\b" from 127.0.0.1 7003

journalctl --sync
if journalctl -b --no-pager | grep -q 'does not support BPF/cgroup firewalling'; then
    echo "NOT FILTERED: this kernel has no BPF for cgroups"
    exit
fi

step who is served
served() { from "$1" "$2" | grep -q ^Name; }
refused() { ! served "$1" "$2" || fail "$1 is served on port $2"; } # its packets are dropped, and nc waits 3 s
served 10.2.0.1 7001 || fail "only_from does not let in"
refused 10.1.2.3 7001
served 10.2.0.1 7002 || fail "no_access keeps out too many"
refused 10.1.2.3 7002
served 127.0.0.1 7003 || fail "only_from does not let in"
refused 10.1.2.3 7003
served 10.2.0.1 7005 || fail "the redirect does not reach its target"
refused 127.0.0.1 7005
refused 127.0.0.1 7006

step datagrams
started() { [ "$(systemctl show -P ExecMainStartTimestampMonotonic echoed.service)" != 0 ]; }
echo x | nc -u -w 1 -s 10.1.2.3 127.0.0.1 7004
! started || fail "a datagram of a refused client starts the program"
echo x | nc -u -w 1 -s 127.0.0.1 127.0.0.1 7004
soon started
