// Reports the process that it is, to whom its descriptor 0 leads: a connection,
// the first one of a listening socket, or the sender of a datagram. An argument
// exitN is its status. Over a connection it stays until the client has ended.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
extern char **environ;

static char text[60000];
static size_t length;
#define say(...) length += snprintf(text + length, sizeof text - length, __VA_ARGS__)

static int option(int fd, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    getsockopt(fd, level, name, &value, &size);
    return value;
}

static void process(void) {
    uid_t r, e, s;
    gid_t rg, eg, sg, list[1000];
    getresuid(&r, &e, &s);
    getresgid(&rg, &eg, &sg);
    say("uid %d %d %d\ngid %d %d %d\ngroups", r, e, s, rg, eg, sg);
    int n = getgroups(1000, list);
    for (int i = 0; i < n; i++) say(" %d", list[i]);
    mode_t u = umask(0);
    umask(u);
    char cwd[4096];
    say("\nnice %d\numask %03o\ncwd %s\n", getpriority(PRIO_PROCESS, 0), u, getcwd(cwd, sizeof cwd));
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        struct rlimit l;
        getrlimit(i, &l);
        say("rlimit%d %ld %ld\n", i, (long)l.rlim_cur, (long)l.rlim_max);
    }
    sigset_t mask;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int i = 1; i <= 64; i++) {
        struct sigaction a;
        if (sigismember(&mask, i) == 1) say("blocked %d\n", i);
        if (sigaction(i, NULL, &a) == 0 && a.sa_handler != SIG_DFL) say("ignored %d\n", i);
    }
}

static void descriptors(void) {
    DIR *d = opendir("/proc/self/fd");
    for (struct dirent *f; d && (f = readdir(d));) {
        int fd = atoi(f->d_name);
        if (f->d_name[0] != '.' && fd != dirfd(d)) say("fd %d%s\n", fd, fcntl(fd, F_GETFL) & O_NONBLOCK ? " nonblocking" : "");
    }
    if (d) closedir(d);
}

int main(int argc, char **argv) {
    int status = 0;
    say("report %d\n", getpid());
    for (int i = 0; i < argc; i++) {
        say("argv [%s]\n", argv[i]);
        if (!strncmp(argv[i], "exit", 4)) status = atoi(argv[i] + 4);
    }
    for (char **e = environ; *e; e++) say("env %s\n", *e);
    process();
    descriptors();
    int out = 0;
    if (option(0, SOL_SOCKET, SO_TYPE) == SOCK_DGRAM) {
        char b[2000];
        struct sockaddr_storage from;
        socklen_t size = sizeof from;
        say("end\n");
        if (recvfrom(0, b, sizeof b, MSG_DONTWAIT, (struct sockaddr *)&from, &size) < 0) return 9;
        sendto(0, text, length, 0, (struct sockaddr *)&from, size);
        return status;
    }
    if (option(0, SOL_SOCKET, SO_ACCEPTCONN) == 1) {
        struct pollfd p = {0, POLLIN, 0};
        if (poll(&p, 1, 1000) < 1 || (out = accept(0, NULL, NULL)) < 0) return 9;
    } else {
        say("nodelay %d\nkeepalive %d\n", option(0, IPPROTO_TCP, TCP_NODELAY), option(0, SOL_SOCKET, SO_KEEPALIVE));
    }
    say("end\n");
    if (write(out, text, length) < 0) return 9;
    char b[2000];
    while (read(out, b, sizeof b) > 0) {
    }
    return status;
}
