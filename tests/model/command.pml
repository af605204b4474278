/* What all models share: a replica's command, and what must be done in time. */

inline older(time, limit) { if :: time < limit -> time++ :: else fi }

/* Never beside another. */
inline start_command() {
    r[me].command = running;
    assert(r[1 - me].command == idle)
}

inline stop_command() {
    if
    :: r[me].command == running -> r[me].command = stopping; r[me].stopped_for = 0
    :: else
    fi
}

inline end_command() { r[me].command = idle; r[me].stopped_for = 0 }

inline lose() { r[me].leads = false; r[me].renewed = 0; stop_command() }

#ifdef NO_DEADLINE
#define due false
#else
#define due (r[me].renewed >= DEADLINE)
#endif

#define dying_for_too_long(it) (r[it].command == stopping && r[it].stopped_for >= GRACE)
#if defined(NO_DEADLINE) || defined(FROZEN)
/* A frozen process can't stop its command in time, and nothing waits for it. */
#define overdue(it) dying_for_too_long(it)
#else
#define overdue(it) (dying_for_too_long(it) \
                     || (r[it].command == running && r[it].renewed >= DEADLINE + PAUSE))
#endif

inline age_command(it) {
    if :: r[it].leads -> older(r[it].renewed, DEADLINE + PAUSE) :: else fi;
    if :: r[it].command == stopping -> older(r[it].stopped_for, GRACE) :: else fi
}
