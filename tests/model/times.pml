/* What all models share: the options, in ticks of half a second. */

#ifndef DEADLINE
#define DEADLINE 3              /* --renew-deadline */
#endif
#ifndef GRACE
#define GRACE 2                 /* --grace-lost */
#endif
#define SECOND 2                /* the second in each sum */
#define PAUSE 1                 /* how late a holder may be to act: less than that second */

#define NOBODY 2

mtype = { idle, running, stopping };            /* a command */
