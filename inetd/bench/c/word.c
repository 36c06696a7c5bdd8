// The least that a service can be: says a word and ends. Without a C library,
// so that what is measured is who starts it. Linux on amd64 and arm64.
// With -DHOLD it stays until its client is gone. With -DSERVE it accepts each
// client itself, as the program of a wait service may.
static long call(long n, long a, long b, long c) {
#ifdef __x86_64__
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return r;
#else
    register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
    return x0;
#endif
}
#ifdef __x86_64__
enum { READ = 0, WRITE = 1, CLOSE = 3, ACCEPT = 43, EXIT = 60 };
#else
enum { READ = 63, WRITE = 64, CLOSE = 57, ACCEPT = 202, EXIT = 93 };
#endif
void _start(void) {
#ifdef SERVE
    for (;;) {
        long c = call(ACCEPT, 0, 0, 0);
        if (c < 0) break;
        call(WRITE, c, (long)"word\n", 5);
        call(CLOSE, c, 0, 0);
    }
#else
    call(WRITE, 1, (long)"word\n", 5);
#endif
#ifdef HOLD
    char b;
    while (call(READ, 0, (long)&b, 1) > 0);
#endif
    for (;;) call(EXIT, 0, 0, 0);
}
