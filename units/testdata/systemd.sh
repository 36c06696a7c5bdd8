#!/bin/sh
# inetd under a real systemd: the package installed, started, reloaded,
# restarted and killed under load, with sockets of its own and of systemd's.
. ./lib.sh

cat >waiter <<'X'
#!/usr/bin/perl
use Socket;
open(my $l, '+<&=', 0);
while (accept(my $c, $l)) { <$c>; print $c "$$\n"; close $c }
X
chmod +x waiter

step a plain install
dpkg -i update-inetd_*.deb goinetd_1.0_*.deb >/dev/null 2>&1 || fail dpkg -i
want '^active' systemctl is-active inetd.service
want '^enabled' systemctl is-enabled inetd.service
want '^disabled' systemctl is-enabled inetd.socket
want '^disabled' systemctl --global is-enabled inetd.service
want '^disabled' systemctl --global is-enabled inetd.socket
grep -q '^#:STANDARD:' /etc/inetd.conf || fail "no headings for update-inetd in inetd.conf"
ss -lntup | grep inetd && fail "a plain install listens"

step the units are in order
silent systemd-analyze verify /lib/systemd/system/inetd.service /lib/systemd/system/inetd.socket
silent env XDG_RUNTIME_DIR=/tmp systemd-analyze --user verify /usr/lib/systemd/user/inetd.service /usr/lib/systemd/user/inetd.socket
# other systemds count otherwise than the one whose figures are written down
counts() { systemctl --version | grep -q '^systemd 252 '; }
rating() { sed -n 's/^→ .*: \([0-9.]*\) .*/\1/p' security.txt; }
systemd-analyze security --no-pager inetd.service >security.txt
sed -n 's/^✗ \([^ ]*\).*/\1/p' security.txt | while read -r name; do
    grep -qF -e "\`$(echo "$name" | sed 's/|/\\|/g')\`" hardening.md || fail "no reason is given for $name"
done
! counts || grep -q "rates the unit $(rating) " hardening.md || fail "it is rated $(rating)"

step a status that a restart would repeat
mkdir -p /run/systemd/system/inetd.service.d
for end in 1 64; do
    printf '[Service]\nExecStart=\nExecStart=/bin/sh -c "exit %s"\n' $end >/run/systemd/system/inetd.service.d/end.conf
    systemctl daemon-reload
    status 1 systemctl restart inetd.service
    want '^failed' systemctl is-failed inetd.service
    want "^$end\$" systemctl show -P ExecMainStatus inetd.service
    want '^0$' systemctl show -P NRestarts inetd.service
done
rm -r /run/systemd/system/inetd.service.d
systemctl daemon-reload
cp /etc/default/inetd default.before
sed -i 's/^OPTIONS=.*/OPTIONS="--loud"/' /etc/default/inetd
status 1 systemctl restart inetd.service
want '^64$' systemctl show -P ExecMainStatus inetd.service
want '^0$' systemctl show -P NRestarts inetd.service
survived 'a wrong option in /etc/default/inetd' 'nothing is served' 'nothing: one start, status 64, no restart' 'inetd: unknown option --'
cp default.before /etc/default/inetd
systemctl start inetd.service

step the kernel ends other processes first
want '^-1000$' systemctl show -P OOMScoreAdjust inetd.service
if sh -c 'echo -1000 >/proc/self/oom_score_adj' 2>/dev/null; then # this container may
    want '^-1000$' cat "/proc/$(systemctl show -P MainPID inetd.service)/oom_score_adj"
fi

step socket activation, as README.md and inetd.8 have it
cat >editor <<'X'
#!/bin/sh
printf '[Socket]\nListenStream=\nListenStream=127.0.0.1:%s\n' "$(cat /root/port)" >"$1"
X
chmod +x editor
echo 7007 >port
echo '127.0.0.1:7007 stream tcp nowait root internal echo' >>/etc/inetd.conf
commands() { # FILE: runs it as it is written, on a terminal, which "systemctl edit" wants
    SYSTEMD_EDITOR=/root/editor script -qec "sh -e $1" /dev/null >commands.out 2>&1 </dev/null || fail "$(cat "$1" commands.out)"
}
grep '^| socket activation |.*systemctl' README.md | grep -o '`systemctl[^`]*`' | tr -d '`' >readme.sh
sed -n '/^refuses to start:/,/^\.Ed/p' inetd.8 | grep ^systemctl >manual.sh
[ "$(wc -l <readme.sh)" = 3 ] || fail "commands of README.md: $(cat readme.sh)"
cmp readme.sh manual.sh || fail "README.md and inetd.8 differ"
commands readme.sh
want '^inactive' systemctl is-active inetd.service
want '127.0.0.1:7007 +inetd.socket +inetd.service' systemctl list-sockets --no-pager
serves 7007 'the first client' || fail "the first client is not served"
soon systemctl is-active --quiet inetd.service # clients do not wait for that
want '^enabled' systemctl is-enabled inetd.socket
sed -n '/^After each change of the list:/,/^\.Ed/p' inetd.8 | grep ^systemctl >manual.sh
echo 7008 >port
echo '127.0.0.1:7008 stream tcp nowait root internal echo' >>/etc/inetd.conf
sed -i '1i systemctl edit inetd.socket' manual.sh
commands manual.sh
want '127.0.0.1:7008 +inetd.socket +inetd.service' systemctl list-sockets --no-pager
serves 7008 'the first client' || fail "the first client is not served after a change"
serves 7007 'not listed' || fail "a service that is not listed is not served"
systemctl disable --now --quiet inetd.socket
systemctl revert inetd.socket 2>/dev/null
sed -i /^127.0.0.1:700/d /etc/inetd.conf
systemctl stop inetd.service
systemctl enable --now --quiet inetd.service

step signals to the main process and to all
mkfifo end
echo '127.0.0.1:7007 stream tcp nowait root /root/holder holder' >>/etc/inetd.conf
printf '#!/bin/sh\necho ready\nread -r line\necho done\n' >holder
chmod +x holder
systemctl reload inetd.service
soon nc -z 127.0.0.1 7007
nc 127.0.0.1 7007 <end >holder.out &
exec 9>end
soon grep -q ready holder.out
grep -A1 '^Under systemd, send signals' inetd.8 | sed -n 's/^\.Dl //p' >manual.sh
grep -q 'systemctl kill' manual.sh || fail "no command in the manual"
sed -n 's/.*send signals to the daemon alone: `\([^`]*\)`.*/\1/p' README.md >readme.sh
cmp readme.sh manual.sh || fail "README.md and inetd.8 differ"
commands manual.sh
sed s/USR1/HUP/ manual.sh >hup.sh
commands hup.sh
kill -USR1 $(cat /run/inetd.pid)
systemctl reload inetd.service
soon sh -c '[ $(journalctl -u inetd.service -o cat --no-pager | grep -c "STATE: end") = 2 ]'
echo >&9
exec 9>&-
soon grep -q done holder.out
sed -i /^127.0.0.1:7007/d /etc/inetd.conf
systemctl reload inetd.service

step services come with a reload
cat >>/etc/inetd.conf <<'X'
7007 stream tcp nowait nobody /bin/cat cat
7008 stream tcp wait root /root/waiter waiter
7009 dgram udp wait root internal echo
7010 stream tcp nowait root /root/tell tell
7011 stream tcp nowait root internal echo
X
printf '#!/bin/sh\nread -r line\ncat /proc/self/cgroup\n' >tell # a program that leaves input unread ends in a reset
chmod +x tell
sed -i 's/^OPTIONS=.*/OPTIONS="-l -R 0"/' /etc/default/inetd
systemctl reload inetd.service
soon serves 7007 hello
systemctl restart inetd.service
want '^active' systemctl is-active inetd.service
want 'Status: "5 services, 0 programs running, 0 clients refused"' systemctl status inetd.service
want 'system.slice/inetd.service' ask 7010 x
first=$(ask 7008 '\n')
[ "$first" -gt 1 ] || fail "the wait service says $first"
soon sh -c 'systemctl status inetd.service | grep -q "1 program running"'

step the journal knows what a line is about
serves 7007 hello || fail "7007"
journalctl --sync
want '"CLIENT":"127.0.0.1"' journalctl -o json --no-pager SERVICE=7007
want 'START: 7008 pid='"$first" journalctl -o cat --no-pager SERVICE=7008 PID="$first"
want 'START: 7007 pid=.* from=127.0.0.1' journalctl -p info..info --no-pager -u inetd.service

step reloads: by signal, and as systemd does it
echo '7012 stream tcp nowait root internal echo' >>/etc/inetd.conf
kill -HUP "$(systemctl show -P MainPID inetd.service)"
soon serves 7012 hello
sed -i /^7012/d /etc/inetd.conf
systemctl reload inetd.service
soon sh -c '! nc -z 127.0.0.1 7012'

step restart under load, with sockets of our own
restarts() { for i in 1 2 3; do systemctl restart inetd.service; done; }
meanwhile restarts
lost 0
[ "$(ask 7008 '\n')" = "$first" ] || fail "a wait service was started twice"

step kill -9, with sockets of our own
perl -MIO::Socket::INET -e '$| = 1; $c = IO::Socket::INET->new(PeerAddr => "127.0.0.1:7007") or die; print $c "one\n"; print scalar <$c>;
    while (! -e "killed") { select undef, undef, undef, .02 } print $c "two\n"; print scalar <$c>' >client.out &
client=$!
soon grep -q one client.out
crash() {
    before=$(systemctl show -P MainPID inetd.service)
    began=$(date +%s%N)
    kill -9 "$before"
    soon sh -c 'p=$(systemctl show -P MainPID inetd.service); [ "$p" != 0 ] && [ "$p" != '"$before"' ] && [ "$(systemctl is-active inetd.service)" = active ]'
    took=$((($(date +%s%N) - began) / 1000000))
}
meanwhile crash
lost 2 # each worker may have one that it has accepted and not handed over
: >killed
wait $client
[ "$(cat client.out)" = "$(printf 'one\ntwo')" ] || fail "a program of before did not finish: $(cat client.out)"
echo "back after $took ms"
for again in 1 2; do # this host may have been busy
    [ $took -lt 1000 ] || crash
done
[ $took -lt 1000 ] || fail "it took $took ms"
[ "$(ask 7008 '\n')" = "$first" ] || fail "a wait service was started twice"
kill "$first"
soon sh -c '[ "$(printf "\n" | nc -N -w 5 127.0.0.1 7008)" != '"$first"' ]'

step the confinement that the documentation proposes
mkdir -p /run/systemd/system/inetd.service.d
sed -n '/^```ini/,/^```/p' hardening.md | grep -v '```' >/run/systemd/system/inetd.service.d/confined.conf
systemctl daemon-reload
silent systemd-analyze verify /lib/systemd/system/inetd.service
systemctl restart inetd.service
serves 7007 hello || fail "a program as nobody does not run"
serves 7011 hello || fail "a builtin does not run"
want '^active' systemctl is-active inetd.service
systemd-analyze security --no-pager inetd.service >security.txt
! counts || grep -q "is rated $(rating):" hardening.md || fail "it is rated $(rating)"
rm -r /run/systemd/system/inetd.service.d
systemctl daemon-reload
systemctl restart inetd.service

step the watchdog replaces a daemon that does not serve
mkdir -p /run/systemd/system/inetd.service.d
printf '[Service]\nWatchdogSec=1\n' >/run/systemd/system/inetd.service.d/watchdog.conf
systemctl daemon-reload
systemctl restart inetd.service
before=$(systemctl show -P MainPID inetd.service)
sleep 2.5 # two and a half watchdogs, which it has to outlive
[ "$(systemctl show -P MainPID inetd.service)" = "$before" ] || fail "it was killed although it serves"
kill -STOP "$before"
soon sh -c '[ "$(systemctl show -P MainPID inetd.service)" != '"$before"' ] && [ "$(systemctl is-active inetd.service)" = active ]'
serves 7007 hello || fail "not served after the watchdog"
survived 'a daemon that is stopped (SIGSTOP)' 'wait until the watchdog has it replaced' 'nothing' 'inetd.service: Watchdog timeout'
rm -r /run/systemd/system/inetd.service.d
systemctl daemon-reload

step sockets of systemd
mkdir -p /etc/systemd/system/inetd.socket.d
cat >/etc/systemd/system/inetd.socket.d/ports.conf <<'X'
[Socket]
ListenStream=
ListenStream=127.0.0.1:7007
ListenStream=127.0.0.1:7008
ListenDatagram=127.0.0.1:7009
ListenStream=/run/inetd-echo
ListenStream=127.0.0.1:7099
X
sed -i 's/^7/127.0.0.1:7/' /etc/inetd.conf
echo '/run/inetd-echo stream unix nowait root internal echo' >>/etc/inetd.conf
systemctl daemon-reload
systemctl stop inetd.service
pkill waiter || true # which finishes on its own, and has its socket until then
soon sh -c '! ss -lntuH | grep -q ":70[01][0-9]"'
systemctl start inetd.socket
want '127.0.0.1:7007 +inetd.socket +inetd.service' systemctl list-sockets --no-pager
want '/run/inetd-echo +inetd.socket' systemctl list-sockets --no-pager
want '^inactive' systemctl is-active inetd.service
serves 7007 'the first client' || fail "the first client is not served"
soon systemctl is-active --quiet inetd.service # clients do not wait for that
want 'socket inetd.socket \(tcp 127.0.0.1:7099\) was passed by the service manager, and no service wants it: closed' journalctl -u inetd.service -o cat --no-pager
[ "$(printf hello | nc -N -U /run/inetd-echo)" = hello ] || fail "the Unix socket"
[ "$(printf hello | nc -u -w 1 127.0.0.1 7009)" = hello ] || fail "the UDP socket"
serves 7011 hello || fail "a service without a socket is not opened"
first=$(ask 7008 '\n')
changes() {
    for i in 1 2 3; do
        systemctl restart inetd.service
        systemctl reload inetd.service
    done
}
meanwhile changes
lost 0
meanwhile crash
lost 2
echo "back after $took ms"
[ "$(ask 7008 '\n')" = "$first" ] || fail "a wait service was started twice"
systemctl disable --now --quiet inetd.socket

rm -r /etc/systemd/system/inetd.socket.d
systemctl daemon-reload
systemctl restart inetd.service
LOG='journalctl -u inetd.service -o cat --no-pager'

step what restarts keep
survive restarts
survived 'three restarts (systemctl restart) under load' 'every client of TCP, UDP and a Unix socket served' \
    'nothing: a program of before goes on and counts, a line that is wrong meanwhile changes nothing, START has its EXIT' '7015: invalid or missing in the configuration; keeps its previous settings until the errors are fixed'

step what kill -9 keeps
LOST=2 survive crash
survived 'kill -9 of the daemon under load' 'none refused; served again after 0.2 to 0.4 s' \
    'at most one client for each core: accepted, and not yet handed to its program; else as with a restart' 'inetd.service: Main process exited, code=killed, status=9/KILL'

step ten upgrades under load
survive upgrades
survived 'ten upgrades of the package (dpkg -i) under load, by systemd' 'every client of TCP, UDP and a Unix socket served' \
    'nothing: as with a restart'

step an upgrade under load
before=$(systemctl show -P MainPID inetd.service)
upgrade() { dpkg -i goinetd_1.1_*.deb >dpkg.out 2>&1 || fail "$(cat dpkg.out)"; }
meanwhile upgrade
lost 0
[ "$(systemctl show -P MainPID inetd.service)" != "$before" ] || fail "the old one runs"
want '1\.1' /usr/sbin/inetd -V
grep -q '^OPTIONS="-l -R 0"' /etc/default/inetd || fail "a conffile was overwritten"

step users
useradd -m -s /bin/sh alice
loginctl enable-linger alice
uid=$(id -u alice)
soon test -S /run/user/$uid/systemd/private
as() { runuser -u alice -- env XDG_RUNTIME_DIR=/run/user/$uid DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$uid/bus HOME=/home/alice "$@"; }
want '^inactive' as systemctl --user is-active inetd.service
as mkdir -p /home/alice/.config
echo '127.0.0.1:7021 stream tcp nowait alice /usr/bin/id id' | as tee /home/alice/.config/inetd.conf >/dev/null
as systemctl --user enable --now --quiet inetd.service
want 'alice' ask 7021 ''
want 'Status: "1 service,' as systemctl --user status inetd.service
echo '127.0.0.1:7022 stream tcp nowait alice internal echo' | as tee -a /home/alice/.config/inetd.conf >/dev/null
as systemctl --user reload inetd.service
soon serves 7022 hello
as systemctl --user disable --now --quiet inetd.service
soon sh -c '! nc -z 127.0.0.1 7021' # systemd closes the sockets that it keeps after the command has ended
silent systemctl --global --quiet enable inetd.service
[ -L /etc/systemd/user/default.target.wants/inetd.service ] || fail "not enabled for all users"
silent systemctl --global --quiet disable inetd.service
[ ! -e /etc/systemd/user/default.target.wants/inetd.service ] || fail "still enabled for all users"

step somebody has the port: a user\'s unit
as mkdir -p /home/alice/.config/systemd/user
cat >/home/alice/mail <<'X'
#!/usr/bin/perl
use IO::Socket::INET;
$0 = "fetchmail";
my $l = IO::Socket::INET->new(Listen => 5, LocalAddr => "127.0.0.1:7030", ReuseAddr => 1) or die;
while (my $c = $l->accept) { print $c "mail\n" }
X
chmod 755 /home/alice/mail
cat >/home/alice/.config/systemd/user/fetchmail.service <<'X'
[Service]
ExecStart=/home/alice/mail
[Install]
WantedBy=default.target
X
chown -R alice: /home/alice/.config
as systemctl --user daemon-reload
as systemctl --user enable --now --quiet fetchmail.service
soon nc -z 127.0.0.1 7030
echo '127.0.0.1:7030 stream tcp nowait root internal echo' >>/etc/inetd.conf
systemctl reload inetd.service
soon sh -c 'journalctl -u inetd.service -o cat --no-pager | grep -q "7030.*address already in use"'
line=$(journalctl -u inetd.service -o cat --no-pager | grep '7030.*address already in use' | tail -n 1)
echo "$line"
want 'fetchmail.service of user alice, wanted by default.target' echo "$line"
want 'systemctl --user .*disable --now fetchmail.service' echo "$line"
advice=$(echo "$line" | sed -n 's/.*to end that for good: \([^;]*\);.*/\1/p')
sh -c "$advice" || fail "the advice does not work: $advice"
soon serves 7030 'inetd has it now'
[ ! -e /home/alice/.config/systemd/user/default.target.wants/fetchmail.service ] || fail "it would be back at the next login"

step somebody has the port: a socket unit, and an inetd
cat >/etc/systemd/system/other.socket <<'X'
[Socket]
ListenStream=127.0.0.1:7031
Accept=yes
X
printf '[Service]\nExecStart=/bin/true\n' >/etc/systemd/system/other@.service
systemctl daemon-reload
systemctl start other.socket
echo '127.0.0.1:7031 stream tcp nowait root internal echo' >>/etc/inetd.conf
systemctl reload inetd.service
soon sh -c 'journalctl -u inetd.service -o cat --no-pager | grep -q "7031.*by pid 1 (systemd, user root, for other.socket).*systemctl disable --now other.socket"'
systemctl stop other.socket
soon serves 7031 hello
want 'an inetd runs already: pid [0-9]+ \(inetd, user root, inetd.service, wanted by multi-user.target\) holds /run/inetd.pid \(to end that for good: systemctl disable --now inetd.service' /usr/sbin/inetd

step more sockets than systemd can hand over
for i in $(seq 1 200) $(seq 1001 1600); do echo "127.1.$((i / 250)).$((i % 250)):7040 stream tcp4 nowait root internal echo"; done >>/etc/inetd.conf
systemctl restart inetd.service
systemctl restart inetd.service
kill -USR2 "$(systemctl show -P MainPID inetd.service)"
soon sh -c 'journalctl -u inetd.service -o cat --no-pager | grep -q "SIGUSR2: upgrading"'
crash
want '^51[12]$' systemctl show -P NFileDescriptorStore inetd.service
for address in 127.1.0.1 127.1.0.200 127.1.6.100; do
    [ "$(printf hello | nc -N -w 5 $address 7040)" = hello ] || fail "$address is not served"
done
journalctl -b -o cat --no-pager _PID=1 | grep 'Cannot store more fds' && fail "systemd was asked for too much"
sed -i /^127.1/d /etc/inetd.conf
systemctl reload inetd.service
soon sh -c '! ss -lntH | grep -q :7040'
serves 7007 hello || fail "7007"
