/* Crowds of processes for the rows on stops; each of them exits after a while.

   crowd sleepers COUNT SECONDS   COUNT processes that TERM ends
   crowd bomb COUNT SECONDS USER  processes that fork forever, each in its own session, up to
                                  the user's limit of COUNT; they ignore TERM
   crowd end USER                 kill every process of the user at once (kill(2), -1) */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void say(const char *line) {
    if (write(1, line, strlen(line)) < 0) exit(1);
}

static int sleepers(int count, int seconds) {
    for (int made = 0; made < count; made++) {
        pid_t pid = fork();
        if (pid < 0) fail("fork");
        if (pid == 0) break;
        if (made == count - 1) say("<ready>\n");
    }
    alarm(seconds);
    for (;;) pause();
}

static void become(int user) {
    if (setgid(user) || setuid(user)) fail("setuid");
}

static int bomb(int count, int seconds, int user) {
    struct rlimit limit = {count, count};
    struct timespec now, nap = {0, 20 * 1000 * 1000};
    volatile char *told = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    time_t end;
    if (told == MAP_FAILED) fail("mmap");
    if (setrlimit(RLIMIT_NPROC, &limit)) fail("setrlimit");
    become(user);
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    clock_gettime(CLOCK_MONOTONIC, &now);
    end = now.tv_sec + seconds;
    while (now.tv_sec < end) {
        pid_t pid = fork();
        if (pid == 0) {
            setsid();
        } else if (pid < 0) {
            if (!*told) {
                *told = 1;
                say("<ready>\n");
            }
            nanosleep(&nap, NULL);
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 4 && !strcmp(argv[1], "sleepers")) return sleepers(atoi(argv[2]), atoi(argv[3]));
    if (argc == 5 && !strcmp(argv[1], "bomb"))
        return bomb(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]));
    if (argc == 3 && !strcmp(argv[1], "end")) {
        become(atoi(argv[2]));
        return kill(-1, SIGKILL) && errno != ESRCH;
    }
    return 2;
}
