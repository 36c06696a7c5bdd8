# What the scripts that run inside of booted systems have in common.
set -eu

step() { echo "== $*"; }

fail() {
    ss -ltunp | head -n 40
    journalctl -b -u inetd.service --no-pager -o short -n 40 2>/dev/null || tail -n 60 /var/log/syslog 2>/dev/null || true
    echo "FAILED: $*"
    exit 1
}

# survived DID SAW LOST LOG: a row of docs/reliability.md
survived() { echo "SURVIVED $1 | $2 | $3 | ${4:--}"; }

# want PATTERN COMMAND...: what a command says, whatever its status
want() {
    pattern=$1
    shift
    said=$("$@" 2>&1) || true
    printf '%s\n' "$said" | grep -Eq -e "$pattern" || fail "$*: want $pattern, got: $said"
}

# silent COMMAND...: a command that says nothing and succeeds
silent() {
    said=$("$@" 2>&1) || fail "$*: status $?: $said"
    [ -z "$said" ] || fail "$* says: $said"
}

# status N COMMAND...: the exit status of a command
status() {
    wanted=$1
    shift
    got=0
    said=$("$@" 2>&1) || got=$?
    [ "$got" = "$wanted" ] || fail "$*: status $got, want $wanted: $said"
}

# soon COMMAND...: a command that will succeed
soon() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || fail "never: $*"
        sleep .05
    done
}

# ask PORT TEXT: what a service answers
ask() { printf "$2" | nc -N -w 10 127.0.0.1 "$1"; }

# serves PORT TEXT: an echo answers
serves() { [ "$(ask "$1" "$2")" = "$2" ]; }

# load FILE COUNT: clients of port 7007 one after another, until FILE is gone,
# and at least COUNT; where $ALL is set, of /run/inetd-load and UDP port 7013
# in turn, too. It ends badly with the first that is refused, and says how many
# were accepted and not served.
load() {
    perl -MIO::Socket::INET -MIO::Socket::UNIX -e '
        my ($file, $least) = @ARGV;
        my ($n, $lost) = (0, 0);
        my @kinds = $ENV{ALL} ? ("tcp", "unix", "udp") : ("tcp");
        my %open = (
            tcp => sub { IO::Socket::INET->new(PeerAddr => "127.0.0.1:7007", Timeout => 20) },
            unix => sub { IO::Socket::UNIX->new(Peer => "/run/inetd-load", Timeout => 20) },
            udp => sub { IO::Socket::INET->new(Proto => "udp", PeerAddr => "127.0.0.1:7013") });
        $SIG{ALRM} = sub { die "client $n: connected, and never served\n" };
        for (; -e $file || $n < $least; $n++) {
            my $kind = $kinds[$n % @kinds];
            alarm 20;
            my $c = $open{$kind}->() or die "client $n: $kind: connect: $!\n";
            $c->autoflush;
            print $c "hello\n" or die "client $n: $kind: $!\n";
            my $line = <$c>;
            $lost++ unless defined $line && $line eq "hello\n";
        }
        print "$n clients, $lost lost\n"' "$1" "$2"
}

# upgrades has the package upgraded and downgraded, five times each.
upgrades() {
    for i in 1 2 3 4 5; do
        for version in 1.1 1.0; do
            dpkg -i goinetd_${version}_*.deb >dpkg.out 2>&1 || fail "$(cat dpkg.out)"
        done
    done
}

# survive COMMAND...: what a restart of any kind keeps. Clients come over TCP,
# UDP and a Unix socket, none of them is refused; a program goes on, and counts
# towards its limit; a service whose line is wrong goes on, too; START has its
# EXIT. $LOG prints the log; empty: there is none.
survive() {
    cp /etc/inetd.conf inetd.conf.before
    cat >>/etc/inetd.conf <<'X'
/run/inetd-load stream unix nowait root /bin/cat cat
127.0.0.1:7013 dgram udp wait root internal echo
127.0.0.1:7014 stream tcp nowait/1 root /bin/cat cat
127.0.0.1:7015 stream tcp nowait nobody /bin/echo echo fine
X
    service inetd reload >/dev/null 2>&1
    soon test -S /run/inetd-load
    soon nc -z 127.0.0.1 7015
    rm -f to from
    mkfifo to
    nc -N 127.0.0.1 7014 <to >from &
    holder=$!
    exec 8>to
    echo one >&8
    soon grep -q one from
    sed -i 's/^\(127.0.0.1:7015 stream tcp\) nowait/\1 nowhat/' /etc/inetd.conf
    ALL=1
    export ALL
    meanwhile "$@"
    unset ALL
    lost "${LOST:-0}"
    [ "$(ask 7015 '')" = fine ] || fail "a service whose line is wrong does not go on"
    echo two >&8
    soon grep -q two from
    printf second | nc -N -w 20 127.0.0.1 7014 >second.out 8>&- &
    second=$!
    sleep 1 # in which nothing happens
    [ ! -s second.out ] || fail "a program of before does not count"
    exec 8>&-
    wait $holder
    wait $second
    grep -q second second.out || fail "nobody is served after a program of before has ended"
    [ -z "${LOG:-}" ] || soon sh -c "$LOG | grep -q 'EXIT: 7014 .*duration=[1-9]'"
    cp inetd.conf.before /etc/inetd.conf
    service inetd reload >/dev/null 2>&1
    soon sh -c '! nc -z 127.0.0.1 7015'
}

# meanwhile COMMAND...: a command while clients come one after another
meanwhile() {
    : >running
    load running 50 >load.out 2>&1 &
    loader=$!
    "$@"
    echo "done: $*"
    rm running
    wait $loader || fail "$(cat load.out)"
    cat load.out
}

# lost N: at most so many of the clients of meanwhile
lost() { [ "$(sed -n 's/.*, \(.*\) lost/\1/p' load.out)" -le "$1" ] || fail "$(cat load.out)"; }
