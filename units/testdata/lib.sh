# What the scripts that run inside of booted systems have in common.
set -eu

step() { echo "== $*"; }

fail() {
    echo "FAILED: $*"
    ss -ltunp
    journalctl -b -u inetd.service --no-pager -o short -n 40 2>/dev/null || tail -n 60 /var/log/syslog 2>/dev/null || true
    exit 1
}

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
# and at least COUNT. It ends badly with the first that is refused, and says
# how many were accepted and not served.
load() {
    perl -MIO::Socket::INET -e '
        my ($file, $least) = @ARGV;
        my ($n, $lost) = (0, 0);
        $SIG{ALRM} = sub { die "client $n: connected, and never served\n" };
        for (; -e $file || $n < $least; $n++) {
            alarm 20;
            my $c = IO::Socket::INET->new(PeerAddr => "127.0.0.1:7007", Timeout => 20) or die "client $n: connect: $!\n";
            $c->autoflush;
            print $c "hello\n";
            my $line = <$c>;
            $lost++ unless defined $line && $line eq "hello\n";
        }
        print "$n clients, $lost lost\n"' "$1" "$2"
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
