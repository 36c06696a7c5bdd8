// What is measured against: accept, vfork, change the user, exec, and nothing
// else; a UDP echo of recvfrom and sendto; a TCP echo of epoll, read and write.
//   floor tcp PORT THREADS UID PROGRAM [ARGUMENT]
//   floor udp PORT
//   floor echo PORT
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int sock;
static long uid;
static char *program, *argument;

static int opened(int type, int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, type | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(s, (struct sockaddr *)&a, sizeof a) || (type == SOCK_STREAM && listen(s, 4096))) {
        perror("floor");
        exit(1);
    }
    return s;
}

static void *serve(void *unused) {
    for (;;) {
        int c = accept4(sock, NULL, NULL, SOCK_CLOEXEC);
        if (c < 0) continue;
        if (vfork() == 0) {
            for (int fd = 0; fd < 3; fd++) dup2(c, fd);
            // by number: the library's own would change every thread's user
            syscall(SYS_setgroups, 0, NULL);
            syscall(SYS_setgid, uid);
            syscall(SYS_setuid, uid);
            char *argv[] = {program, argument, NULL}, *envp[] = {NULL};
            execve(program, argv, envp);
            _exit(127);
        }
        close(c);
    }
    return unused;
}

static void echo(void) {
    static char b[65536];
    struct epoll_event e = {.events = EPOLLIN, .data.fd = sock}, got[256];
    int set = epoll_create1(0);
    epoll_ctl(set, EPOLL_CTL_ADD, sock, &e);
    for (;;) {
        int n = epoll_wait(set, got, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = got[i].data.fd;
            if (fd == sock) {
                e.data.fd = accept4(sock, NULL, NULL, SOCK_CLOEXEC);
                epoll_ctl(set, EPOLL_CTL_ADD, e.data.fd, &e);
                continue;
            }
            ssize_t size = read(fd, b, sizeof b), sent = 0, k;
            if (size <= 0) close(fd);
            while (sent < size && (k = write(fd, b + sent, size - sent)) > 0) sent += k;
        }
    }
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    if (argc == 3 && !strcmp(argv[1], "echo")) {
        sock = opened(SOCK_STREAM, atoi(argv[2]));
        echo();
    }
    if (argc == 3 && !strcmp(argv[1], "udp")) {
        static char b[65536];
        sock = opened(SOCK_DGRAM, atoi(argv[2]));
        for (;;) {
            struct sockaddr_in from;
            socklen_t size = sizeof from;
            ssize_t n = recvfrom(sock, b, sizeof b, 0, (struct sockaddr *)&from, &size);
            if (n >= 0) sendto(sock, b, n, 0, (struct sockaddr *)&from, size);
        }
    }
    if (argc < 6) return 2;
    signal(SIGCHLD, SIG_IGN);
    sock = opened(SOCK_STREAM, atoi(argv[2]));
    uid = atol(argv[4]);
    program = argv[5];
    argument = argv[6];
    for (int i = 1; i < atoi(argv[3]); i++) {
        pthread_t t;
        pthread_create(&t, NULL, serve, NULL);
    }
    serve(NULL);
}
