/* The measured command: prints when it began to run and when SIGTERM arrived, in ns of
   CLOCK_MONOTONIC; with an argument it exits at once. */
#include <signal.h>
#include <stdio.h>
#include <time.h>

static void stamp(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    printf("%lld\n", now.tv_sec * 1000000000LL + now.tv_nsec);
    fflush(stdout);
}

int main(int argc, char **argv) {
    sigset_t term;
    int number;
    (void)argv;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    stamp();
    if (argc > 1) return 0;
    sigwait(&term, &number);
    stamp();
    return 0;
}
