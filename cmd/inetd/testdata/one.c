// A datagram service that answers one datagram with itself and ends.
#include <sys/socket.h>
int main(void) {
    char b[65536];
    struct sockaddr_storage from;
    socklen_t size = sizeof from;
    ssize_t n = recvfrom(0, b, sizeof b, 0, (struct sockaddr *)&from, &size);
    return n < 0 || sendto(0, b, n, 0, (struct sockaddr *)&from, size) < 0;
}
