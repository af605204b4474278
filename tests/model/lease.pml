/* The election by a Lease with its timing rule: two replicas, a holder that acts late, a server that is
   slow, loses responses, and applies what nobody waits for any more. Every order of these is tried.

   Nothing is said of how long a request takes, how often a replica looks, or when it does what it
   may do; what it must do in time keeps the clock from ticking on. So that there is an end to what has
   to be tried, a record has no version: a replica has the current one, or has to read it again, and a
   request that no longer fits, which the server would refuse, is dropped at once. */

#include "times.pml"

#ifdef SHORT_DURATION
#define DURATION (DEADLINE + GRACE + SECOND - 1)
#else
#define DURATION (DEADLINE + GRACE + SECOND)
#endif

mtype = { none, acquire, renew, release };      /* a request on its way */

typedef Replica {
    mtype command = idle;
    byte stopped_for;           /* since the command was ordered to stop */
    bool ordered;               /* leaderexec was ordered to stop */

    bool current;               /* the Lease is still as it was read */
    byte still_for;             /* since it saw the Lease change: its monotonic clock */

    bool leads;
    byte renewed;               /* since the last successful renewal was sent: its boot time */

    mtype request = none;
    bool taken;                 /* the server has done it, and its response is on its way */
    byte sent_for;              /* since it was sent */

    bool late;                  /* one that it waits for no longer is still on its way */
    byte late_holder;           /* what that writes */
};

Replica r[2];
byte holder = NOBODY;           /* in the Lease */

#include "command.pml"

/* The server replaces the record: no other copy is the current one, and no other request fits. */
inline replaced(it) {
    r[it].current = false; r[it].still_for = 0; r[it].late = false;
    if
    :: !r[it].taken -> r[it].request = none; r[it].sent_for = 0
    :: else
    fi
}
inline write(name) { holder = name; replaced(0); replaced(1) }

inline ask(what) { r[me].request = what; r[me].sent_for = 0 }
inline asked() { r[me].request = none; r[me].taken = false; r[me].sent_for = 0 }

#ifdef FROM_ANSWER
#define COUNTED_FROM 0
#else
#define COUNTED_FROM r[me].sent_for
#endif
#ifdef UNCHECKED_RELEASE
#define may_release true
#else
#define may_release (r[me].current && holder == me)
#endif
#define may_take (holder != 1 - me || r[me].still_for >= DURATION)

proctype Candidate(byte me) {
end:
    do
    /* It reads the Lease. That the response takes time changes nothing: it may act on it late. */
    :: atomic { r[me].request == none && !r[me].current ->
        r[me].current = true;
        if
        :: r[me].leads && holder != me -> lose()
        :: else
        fi }

    /* It takes what is free, or has not changed for the duration; its own as another term. */
    :: atomic { r[me].request == none && r[me].current && !r[me].leads && !r[me].ordered && may_take ->
        ask(acquire) }
    :: atomic { r[me].request == none && r[me].current && r[me].leads && !due && holder == me ->
        ask(renew) }

    /* Ordered to stop: it releases only once its command is gone. */
    :: atomic { r[me].leads && !r[me].ordered -> r[me].ordered = true; stop_command() }
    :: atomic { r[me].request == none && r[me].ordered && r[me].command == idle && may_release ->
        ask(release) }
    :: atomic { r[me].ordered && !r[me].leads && r[me].command == idle && r[me].request == none ->
        r[me].ordered = false }

    /* A response. */
    :: atomic { r[me].taken ->
        if
        :: r[me].request == release -> r[me].leads = false; r[me].renewed = 0; r[me].ordered = false
        :: r[me].request == acquire && r[me].sent_for < DEADLINE ->
            r[me].leads = true; r[me].renewed = COUNTED_FROM
        :: r[me].request == renew && r[me].leads && !due -> r[me].renewed = COUNTED_FROM
        :: else
        fi;
        asked() }

    /* It gives up waiting. What was done, or is done later, it will read. */
    :: atomic { r[me].taken -> asked() }
    :: atomic { r[me].request != none && !r[me].taken && !r[me].late ->
        r[me].late = true;
        r[me].late_holder = (r[me].request == release -> NOBODY : me);
        asked() }

    /* The command is started only for who leads. */
    :: atomic { r[me].leads && !due && !r[me].ordered && r[me].command == idle -> start_command() }

    /* The deadline, and the command's end, at any time within its grace. */
    :: atomic { r[me].leads && due -> lose() }
    :: atomic { r[me].command == stopping -> end_command() }
    od
}

inline serve(it) {
    r[it].taken = true;
    if
    :: r[it].request == release -> write(NOBODY)
    :: else -> write(it)
    fi;
    r[it].current = true
}

/* A write takes effect only if it names the version that it replaces. */
active proctype Server() {
end:
    do
    :: atomic { r[0].request != none && !r[0].taken -> serve(0) }
    :: atomic { r[1].request != none && !r[1].taken -> serve(1) }
    :: atomic { r[0].late -> write(r[0].late_holder) }
    :: atomic { r[1].late -> write(r[1].late_holder) }
    od
}

inline age(it) {
    if :: r[it].current && holder == 1 - it -> older(r[it].still_for, DURATION) :: else fi;
    if :: r[it].request != none -> older(r[it].sent_for, DEADLINE) :: else fi;
    age_command(it)
}

/* Time passes for both at the same rate, unless something must be done first. */
active proctype Clock() {
end:
    do
    :: d_step { !overdue(0) && !overdue(1) -> age(0); age(1) }
    od
}

init { atomic { run Candidate(0); run Candidate(1) } }
