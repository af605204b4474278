/* The measured command: prints when it began to run and when its handler of SIGTERM was called, in
   ns of CLOCK_MONOTONIC; with an argument it exits at once. */
#include <signal.h>
#include <stdio.h>
#include <time.h>

static struct timespec now;

static void look(int number) {
    (void)number;
    clock_gettime(CLOCK_MONOTONIC, &now);
}

static void print(void) {
    printf("%lld\n", now.tv_sec * 1000000000LL + now.tv_nsec);
    fflush(stdout);
}

int main(int argc, char **argv) {
    struct sigaction handle = {.sa_handler = look};
    sigset_t term, none;
    (void)argv;
    look(0);
    /* Before anyone can know that it runs. */
    sigemptyset(&none);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    sigaction(SIGTERM, &handle, NULL);
    print();
    if (argc > 1) return 0;
    sigsuspend(&none);
    print();
    return 0;
}
