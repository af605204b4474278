"""How long to wait before trying again. Pure: randomness is passed in."""

# 2.0 ** 1024 overflows; any cap in use is reached long before this many attempts.
_MOST_DOUBLINGS = 64

# The longest time in seconds for which an unfit replica holds off, unless the first is longer.
HOLD_OFF_CAP = 600.0


def doubling(attempt: int, *, base: float, cap: float) -> float:
    """Return the seconds to wait before attempt `attempt` (from 0): base, 2 base, … up to cap."""
    return min(cap, base * 2.0 ** min(attempt, _MOST_DOUBLINGS))


def holding_off(count: int, first: float) -> float:
    """Return for how many seconds a replica holds off that has been unfit `count` times before."""
    return doubling(count, base=first, cap=max(first, HOLD_OFF_CAP))


def full_jitter(attempt: int, *, base: float, cap: float, rand: float) -> float:
    """Return a fraction `rand` (in [0, 1)) of the doubling delay, in seconds, so that clients that
    failed together don't retry together (AWS Architecture Blog, "Exponential Backoff And
    Jitter").
    """
    return rand * doubling(attempt, base=base, cap=cap)
