/* Says that it is up, and exits with 21 on TERM. */
#include <signal.h>
#include <unistd.h>

static void stop(int number)
{
    (void)number;
    _exit(21);
}

int main(void)
{
    signal(SIGTERM, stop);
    if (write(1, "up\n", 3) != 3)
        return 1;
    for (;;)
        pause();
}
