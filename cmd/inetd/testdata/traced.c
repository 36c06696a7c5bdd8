// A service that ends while a child of its own traces it, so that nobody but
// that child can collect it.
#include <signal.h>
#include <sys/ptrace.h>
#include <unistd.h>
int main(void) {
    int ready[2];
    char b;
    if (pipe(ready)) return 1;
    pid_t parent = getpid();
    if (fork() == 0) {
        ptrace(PTRACE_SEIZE, parent, 0, 0);
        write(1, "traced", 6);
        close(ready[1]);
        for (;;) pause();
    }
    close(ready[1]);
    read(ready[0], &b, 1);
    return 0;
}
