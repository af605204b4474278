/* Two small programs in one, selected by the name with which it is started.

   As leaderexec-launcher-2 it waits in the command's process until the command may start.

   execve(2) first tears down the old image. For a forked Python process that takes milliseconds;
   this one has three pages, which is why the child that was forked ahead of time becomes it before
   it waits. It is started by command.py, with everything else about the process set already:

       leaderexec-launcher-2 GO FAILURE PARENT PATH ARGV...

   GO is the descriptor to wait for: NAME=VALUE variables, each terminated by NUL, then NUL "go".
   End-of-file without that means that leaderexec died. If PATH can't be executed, the error number is
   written to FAILURE. Both descriptors close at execve(2). PARENT is leaderexec's pid: if it died
   before this began, its death signal would be discarded with the other pending ones. The number in
   the name is the version of these arguments, which another version's launcher does not know.

   By any other name it is an image's entrypoint: it blocks every signal, which survives execve(2),
   and executes its own path with ".py" added, which runs Python. As PID 1 a TERM that is not blocked
   and has no handler is dropped by the kernel, and Python needs about 50 ms before it can block it.

   No libc: nothing to preload, and nothing that may be missing in an image. No headers: a compiler
   for another machine, and one that is installed alone, come without the kernel's. */

/* From the kernel's asm/unistd.h, which differs from machine to machine. */
#if defined(__x86_64__)
enum { READ = 0, WRITE = 1, RT_SIGACTION = 13, RT_SIGPROCMASK = 14, EXECVE = 59, FCNTL = 72,
       GETPPID = 110, RT_SIGPENDING = 127, EXIT_GROUP = 231, READLINKAT = 267 };
#elif defined(__aarch64__)
enum { READ = 63, WRITE = 64, RT_SIGACTION = 134, RT_SIGPROCMASK = 135, EXECVE = 221, FCNTL = 25,
       GETPPID = 173, RT_SIGPENDING = 136, EXIT_GROUP = 94, READLINKAT = 78 };
#else
#error "no launcher for this machine: leaderexec does without"
#endif

/* From linux/errno.h, linux/fcntl.h and asm/signal.h, where both machines agree. */
enum { ENOENT = 2, EINTR = 4, E2BIG = 7, ENOTDIR = 20 };
enum { F_SETFD = 2, FD_CLOEXEC = 1, AT_FDCWD = -100 };

#define MESSAGE_MAX 65536 /* the capacity of a pipe, pipe(7) */
#define OWN_FAILURE 125
#define NOT_EXECUTABLE 126
#define NOT_FOUND 127
#define PATH_MAX 4096
#define NAME "leaderexec-launcher-2"
#define SIG_BLOCK 0
#define SIG_SETMASK 2
#define SIG_IGN 1
#define KERNEL_SIGSET_BYTES 8
/* 32, 33 and, with musl, 34: used by C libraries. If they are blocked, setuid(2) may hang forever. */
#define C_LIBRARYS_OWN (7UL << 31)
/* The entrypoint's Python, if there is no /proc to read our own path from. */
#define IN_THE_IMAGES "/opt/leaderexec/bin/leaderexec.py"
#define HIGHEST_SIGNAL 64

static long call(long number, long a, long b, long c, long d)
{
#if defined(__x86_64__)
    long result;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
#else
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
#endif
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start: xor %ebp,%ebp\n mov %rsp,%rdi\n and $-16,%rsp\n call launch\n");
#else
__asm__(".globl _start\n_start: mov x29,#0\n mov x30,#0\n mov x0,sp\n bl launch\n");
#endif

static __attribute__((noreturn)) void quit(int code)
{
    for (;;)
        call(EXIT_GROUP, code, 0, 0, 0);
}

static __attribute__((noreturn)) void fail(int descriptor, int error)
{
    char digits[12];
    int at = sizeof digits, rest = error;
    do
        digits[--at] = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    call(WRITE, descriptor, (long)(digits + at), (long)sizeof digits - at, 0);
    quit(error == ENOENT || error == ENOTDIR ? NOT_FOUND : NOT_EXECUTABLE);
}

static int number(const char *text)
{
    int value = 0;
    while (*text)
        value = value * 10 + (*text++ - '0');
    return value;
}

static int same_name(const char *a, const char *b)
{
    while (*a == *b && *a && *a != '=')
        a++, b++;
    return *a == '=' && *b == '=';
}

static int is(const char *name, const char *wanted)
{
    while (*name == *wanted && *name)
        name++, wanted++;
    return *name == *wanted;
}

static __attribute__((noreturn)) void enter(char **argv, char **environment)
{
    static const char said[] = "leaderexec: the entry can't execute its .py beside it\n";
    static char path[PATH_MAX + 4];
    const unsigned long mask = ~C_LIBRARYS_OWN;
    const char *python = IN_THE_IMAGES;
    long length;

    call(RT_SIGPROCMASK, SIG_BLOCK, (long)&mask, 0, KERNEL_SIGSET_BYTES);
    length = call(READLINKAT, AT_FDCWD, (long)"/proc/self/exe", (long)path, PATH_MAX);
    if (length > 0) {
        path[length] = '.', path[length + 1] = 'p', path[length + 2] = 'y';
        python = path;
    }
    call(EXECVE, (long)python, (long)argv, (long)environment, 0);
    call(WRITE, 2, (long)said, sizeof said - 1, 0);
    quit(OWN_FAILURE);
}

static char message[MESSAGE_MAX];

/* Return the length of the variables, or exit: without a go nothing may start. */
static long wait_for_go(int go, int failure)
{
    long length = 0, got;
    for (;;) {
        if (length == MESSAGE_MAX)
            fail(failure, E2BIG);
        got = call(READ, go, (long)(message + length), MESSAGE_MAX - length, 0);
        if (got == -EINTR)
            continue;
        if (got <= 0)
            break;
        length += got;
    }
    if (got < 0 || length < 3 || message[length - 3] != '\0' || message[length - 2] != 'g' ||
        message[length - 1] != 'o')
        quit(0);
    return length - 3;
}

/* Throw away the signals that came while nobody was there for them to be meant for: ignoring one
   discards it, sigaction(2). */
static void discard_pending(void)
{
    unsigned long pending = 0;
    struct {
        long handler;
        unsigned long flags, restorer, mask;
    } ignore = {SIG_IGN, 0, 0, 0}, before;
    int signal;

    call(RT_SIGPENDING, (long)&pending, KERNEL_SIGSET_BYTES, 0, 0);
    for (signal = 1; pending && signal <= HIGHEST_SIGNAL; signal++) {
        if (!(pending >> (signal - 1) & 1))
            continue;
        call(RT_SIGACTION, signal, (long)&ignore, (long)&before, KERNEL_SIGSET_BYTES);
        call(RT_SIGACTION, signal, (long)&before, 0, KERNEL_SIGSET_BYTES);
    }
}

__attribute__((noreturn, used)) void launch(long *stack)
{
    long argc = stack[0];
    char **argv = (char **)(stack + 1), **inherited = argv + argc + 1;
    unsigned char nothing[KERNEL_SIGSET_BYTES] = {0};
    long length, count = 0, added = 0, at, i;
    int go, failure, parent;

    if (argc < 1 || !is(argv[0], NAME))
        enter(argv, inherited);
    if (argc < 5) /* only tried */
        quit(0);
    go = number(argv[1]), failure = number(argv[2]), parent = number(argv[3]);
    call(FCNTL, go, F_SETFD, FD_CLOEXEC, 0);
    call(FCNTL, failure, F_SETFD, FD_CLOEXEC, 0);
    length = wait_for_go(go, failure);

    while (inherited[count])
        count++;
    for (at = 0; at < length; at++)
        added += message[at] == '\0';

    char *environment[count + added + 2];
    for (i = 0; i < count; i++)
        environment[i] = inherited[i];
    for (at = 0; at < length; at++) {
        for (i = 0; i < count && !same_name(environment[i], message + at); i++)
            ;
        environment[i] = message + at;
        count += i == count;
        while (message[at])
            at++;
    }
    environment[count] = 0;

    discard_pending();
    if (call(GETPPID, 0, 0, 0, 0) != parent) /* its death signal may have been among them */
        quit(0);
    call(RT_SIGPROCMASK, SIG_SETMASK, (long)nothing, 0, KERNEL_SIGSET_BYTES);
    fail(failure, (int)-call(EXECVE, (long)argv[4], (long)(argv + 5), (long)environment, 0));
}
