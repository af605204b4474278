"""For a worker that leaderexec has started: the fence of the term that it works in, and its slot
with --slots."""

import os


def fence() -> int:
    """Return this term's fence, from LEADEREXEC_FENCE: greater in every later term of the election
    (with --slots: of the slot), whichever replica leads.

    It is the term's fence throughout: a process never outlives its term. Raises LookupError if
    there is none, so that nothing is written without one.
    """
    return _number(
        "LEADEREXEC_FENCE",
        "fence",
        "with a kind of election that has one (docs/fencing.md lists them)",
    )


def slot() -> int:
    """Return the slot in which this replica leads, from LEADEREXEC_SLOT: 0 to `slot_count` - 1.
    Raises LookupError if there is none, so that nobody works on a part that is another's."""
    return _number("LEADEREXEC_SLOT", "slot", "with --slots")


def slot_count() -> int:
    """Return how many slots there are, from LEADEREXEC_SLOT_COUNT. Raises LookupError."""
    return _number("LEADEREXEC_SLOT_COUNT", "number of slots", "with --slots")


def _number(variable: str, what: str, how: str) -> int:
    text = os.environ.get(variable, "")
    if not (text.isascii() and text.isdigit()):
        said = f"{variable} is {text!r}, not a {what}" if text else f"there is no {what}"
        raise LookupError(f"{said}; run this under leaderexec {how}, or do not call this")
    return int(text)
