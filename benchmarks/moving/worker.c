/* The measured command: `worker JOURNAL STORE [LINGERS]` writes its life into the journal, one line
   for each beat ("at name pid event", at in seconds of CLOCK_MONOTONIC), and does a fenced write to
   the store with each. "work" is a write that the store took, "refused" one that came with a smaller
   fence than the last that it took; the store is the list of what it took ("fence name pid").
   SIGTERM ends it, after a last write. With LINGERS, in milliseconds, a process in a session of its
   own then goes on in its name for so long, unless it is killed. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

/* The length of a line of the store. */
enum { WRITE = 20 + 1 + 12 + 1 + 10 + 1 };

static const struct timespec at_once = {0, 0}, beat = {0, 25000000};
static int journal, worker;
static const char *store;

/* How far this process's clock is from the machine's (time_namespaces(7)), in ns. */
static long long apart(void) {
    long long seconds = 0, rest = 0;
    FILE *offsets = fopen("/proc/self/timens_offsets", "r");
    if (!offsets) return 0;
    if (fscanf(offsets, "monotonic %lld %lld", &seconds, &rest) != 2) seconds = rest = 0;
    fclose(offsets);
    return seconds * 1000000000LL + rest;
}

static long long now(void) {
    struct timespec read;
    clock_gettime(CLOCK_MONOTONIC, &read);
    return read.tv_sec * 1000000000LL + read.tv_nsec - apart();
}

static const char *name(void) {
    const char *given = getenv("LEADEREXEC_REPLICA");
    return given ? given : "?";
}

static void note(long long at, const char *event) {
    char line[200];
    int length = snprintf(line, sizeof line, "%lld.%09lld %.64s %d %s\n", at / 1000000000,
                          at % 1000000000, name(), worker, event);
    if (write(journal, line, length) != length) abort();
}

static const char *fenced_write(void) {
    char line[48] = "";
    const char *given = getenv("LEADEREXEC_FENCE"), *outcome = "refused";
    unsigned long long fence = given ? strtoull(given, NULL, 10) : 0;
    int file = open(store, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    off_t end;
    if (file < 0 || flock(file, LOCK_EX)) abort();
    if ((end = lseek(file, 0, SEEK_END)) >= WRITE && pread(file, line, WRITE, end - WRITE) != WRITE)
        abort();
    if (fence >= strtoull(line, NULL, 10)) {
        snprintf(line, sizeof line, "%020llu %-12.12s %10d\n", fence, name(), worker);
        if (write(file, line, WRITE) != WRITE) abort();
        outcome = "work";
    }
    close(file);
    return outcome;
}

static void linger(long milliseconds) {
    long long until = now() + milliseconds * 1000000LL;
    setsid();
    do {
        nanosleep(&beat, NULL);
        note(now(), fenced_write());
    } while (now() < until);
}

int main(int argc, char **argv) {
    sigset_t term;
    long long began = 0;
    int ended;
    worker = getpid();
    if (argc < 3 || (journal = open(argv[1], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600)) < 0)
        return 2;
    store = argv[2];
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    note(now(), "start");
    do {
        ended = sigtimedwait(&term, NULL, began ? &beat : &at_once) == SIGTERM;
        /* When it began: one that is frozen amid a write has not written after it woke. */
        began = now();
        note(began, fenced_write());
    } while (!ended);
    note(now(), "end");
    if (argc > 3 && fork() == 0) linger(atol(argv[3]));
    return 0;
}
