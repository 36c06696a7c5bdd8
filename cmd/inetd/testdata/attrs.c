// Prints what its process has been started with, one fact a line.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
extern char **environ;
int main(int argc, char **argv) {
    for (int i = 0; i < argc; i++) printf("argv %s\n", argv[i]);
    for (char **e = environ; *e; e++) printf("env %s\n", *e);
    uid_t r, e, s;
    gid_t rg, eg, sg;
    getresuid(&r, &e, &s);
    getresgid(&rg, &eg, &sg);
    printf("uid %d %d %d\ngid %d %d %d\n", r, e, s, rg, eg, sg);
    gid_t list[1000];
    int n = getgroups(1000, list);
    printf("groups");
    for (int i = 0; i < n; i++) printf(" %d", list[i]);
    printf("\n");
    DIR *d = opendir("/proc/self/fd");
    for (struct dirent *f; d && (f = readdir(d));) {
        int fd = atoi(f->d_name);
        if (f->d_name[0] != '.' && fd != dirfd(d)) printf("fd %d %s\n", fd, fcntl(fd, F_GETFL) & O_NONBLOCK ? "nonblocking" : "blocking");
    }
    sigset_t mask;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int i = 1; i <= 64; i++) {
        struct sigaction a;
        if (sigismember(&mask, i) == 1) printf("blocked %d\n", i);
        if (sigaction(i, NULL, &a) == 0 && a.sa_handler != SIG_DFL) printf("disposition %d\n", i);
    }
    struct rlimit l;
    getrlimit(RLIMIT_NOFILE, &l);
    printf("nofile %ld %ld\n", (long)l.rlim_cur, (long)l.rlim_max);
    struct { const char *name; int number; } limits[] = {{"as", RLIMIT_AS}, {"core", RLIMIT_CORE}, {"cpu", RLIMIT_CPU}, {"data", RLIMIT_DATA},
        {"fsize", RLIMIT_FSIZE}, {"memlock", RLIMIT_MEMLOCK}, {"nproc", RLIMIT_NPROC}, {"rss", RLIMIT_RSS}, {"stack", RLIMIT_STACK}};
    for (unsigned i = 0; i < sizeof limits / sizeof *limits; i++) {
        getrlimit(limits[i].number, &l);
        printf("rlimit %s %ld %ld\n", limits[i].name, (long)l.rlim_cur, (long)l.rlim_max);
    }
    printf("nice %d\nno_new_privs %d\n", getpriority(PRIO_PROCESS, 0), prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    mode_t u = umask(0);
    char cwd[4096];
    printf("umask %03o\ncwd %s\n", u, getcwd(cwd, sizeof cwd));
    printf("leads its group %d\n", getpgrp() == getpid());
    return 0;
}
