/* The election by a lock of PostgreSQL with its timing rule: two replicas, a holder that acts late, a
   network that loses what it likes in silence, and a server that is slow and is restarted.

   The server frees the lock when the holder's session ends: by itself, if that has been silent for too
   long, or at a restart. The holder may hear of it, or not. What the row says tells the winner how long
   the old command may need. Only a session that has the lock matters. */

#include "times.pml"

#define SESSION (DEADLINE + SECOND)             /* idle_session_timeout */
#ifdef NO_WAIT
#define WAIT 0
#else
#define WAIT (GRACE + SECOND)                   /* without the record of a release */
#endif
#ifdef NO_RESTART_WAIT
#define RESTART_WAIT 0
#else
#define RESTART_WAIT DEADLINE                   /* if the server was restarted since */
#endif

mtype = { none, sent, answered };               /* a query */

typedef Replica {
    mtype command = idle;
    byte stopped_for;           /* since the command was ordered to stop */
    bool ordered;               /* leaderexec was ordered to stop */

    bool leads;                 /* it has the lock, as far as it knows */
    byte waits;                 /* before it may start */
    byte renewed;               /* since the last successful query was sent */

    mtype query = none;
    byte sent_for;              /* since it was sent */
    bool ready;                 /* when it was sent, the old command was known to be gone */

    bool led_last;              /* it may have started a command when it last had the lock */
};

Replica r[2];
byte lock = NOBODY;             /* whose session has it */
byte silent;                    /* since the server last heard something in that session */
byte last = NOBODY;             /* who wrote the row */
bool released = true;           /* the row says so */
bool restarted;                 /* since the row has named the server */

#include "command.pml"

inline asked(it) { r[it].query = none; r[it].sent_for = 0; r[it].ready = false }

inline give_up() { lose(); r[me].waits = 0; asked(me) }

/* What is on its way in the session is lost with it. */
inline end_session(it) {
    if
    :: r[it].query == sent -> asked(it)
    :: else
    fi;
    lock = NOBODY; silent = 0
}

proctype Candidate(byte me) {
end:
    do
    /* It gets the lock, and writes the row, which names the server only if there is no wait.
       If nobody has led since it did, it only waits for its own command. */
    :: atomic { lock == NOBODY && !r[me].leads && !r[me].ordered ->
        lock = me; r[me].leads = true;
        r[me].waits = (released || (last == me && r[me].led_last) -> 0 :
                       WAIT + (restarted -> RESTART_WAIT : 0));
        restarted = (released -> false : restarted);
        released = false; last = me; r[me].led_last = (r[me].waits == 0) }

    /* The server may hear a query, or not; the response may come, or not. */
    :: atomic { r[me].leads && !due && r[me].query == none && lock == me ->
        r[me].query = sent; r[me].ready = (r[me].waits == 0) }
    :: atomic { r[me].query == answered ->
        if
        :: r[me].leads && !due -> r[me].renewed = r[me].sent_for
        :: else
        fi;
        asked(me) }

    /* It hears that its session has ended, if it hears of it; and it ends one that it gives up. */
    :: atomic { r[me].leads && lock != me -> give_up() }
    :: atomic { r[me].leads && due -> give_up() }
    :: atomic { !r[me].leads && lock == me -> end_session(me) }

    /* Ordered to stop: once its command is gone, it records that, and lets the lock go. */
    :: atomic { r[me].leads && !r[me].ordered -> r[me].ordered = true; stop_command() }
    :: atomic { r[me].leads && r[me].ordered && r[me].command == idle && lock == me ->
        released = (r[me].waits == 0); end_session(me); give_up() }
    :: atomic { r[me].ordered && !r[me].leads && r[me].command == idle -> r[me].ordered = false }

    :: atomic { r[me].leads && !due && !r[me].ordered && r[me].command == idle && r[me].waits == 0 ->
        r[me].led_last = true;
        start_command() }
    :: atomic { r[me].command == stopping -> end_command() }
    od
}

inline hear(it) {
    silent = 0; r[it].query = answered;
    restarted = (r[it].ready -> false : restarted)
}

active proctype Server() {
end:
    do
    :: atomic { r[0].query == sent -> hear(0) }
    :: atomic { r[1].query == sent -> hear(1) }
    :: atomic { lock != NOBODY && silent >= SESSION -> end_session(lock) }
    :: atomic { lock != NOBODY -> end_session(lock); restarted = true }
    od
}

inline age(it) {
    if :: r[it].waits > 0 -> r[it].waits-- :: else fi;
    if :: r[it].query != none -> older(r[it].sent_for, DEADLINE) :: else fi;
    age_command(it)
}

/* Time passes for both at the same rate, unless something must be done first. */
active proctype Clock() {
end:
    do
    :: d_step { !overdue(0) && !overdue(1) ->
        if :: lock != NOBODY -> older(silent, SESSION) :: else fi;
        age(0); age(1) }
    od
}

init { atomic { run Candidate(0); run Candidate(1) } }
