// A stream wait service: accepts three clients, writes its pid to each, and ends.
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void) {
    for (int i = 0; i < 3; i++) {
        int c = accept(0, 0, 0);
        if (c < 0) return 1;
        dprintf(c, "%d\n", getpid());
        shutdown(c, SHUT_WR);
        char b[100];
        while (read(c, b, sizeof b) > 0) {}
        close(c);
    }
    return 0;
}
