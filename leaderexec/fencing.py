"""For a worker that leaderexec has started: the fence of the term that it works in."""

import os


def fence() -> int:
    """Return this term's fence, from LEADEREXEC_FENCE: greater in every later term of the election,
    whichever replica leads.

    It is the term's fence throughout: a process never outlives its term. Raises LookupError if
    there is none, so that nothing is written without one.
    """
    text = os.environ.get("LEADEREXEC_FENCE", "")
    if not (text.isascii() and text.isdigit()):
        said = f"LEADEREXEC_FENCE is {text!r}, not a fence" if text else "there is no fence"
        raise LookupError(
            f"{said}; run this under leaderexec with a kind of election that has one"
            " (docs/fencing.md lists them), or do not call this"
        )
    return int(text)
