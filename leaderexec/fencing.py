"""For a worker that leaderexec has started: the fence of the term that it works in."""

import os


def fence() -> int:
    """Return this term's fence, from LEADEREXEC_FENCE: greater in every later term of the election,
    whichever replica leads.

    It is that of the start, however long the process runs: a term never changes its fence. Raises
    LookupError where there is none, so that what is to be fenced is not written without one.
    """
    text = os.environ.get("LEADEREXEC_FENCE", "")
    if not (text.isascii() and text.isdigit()):
        said = f"LEADEREXEC_FENCE is {text!r}, which is no fence" if text else "there is no fence"
        raise LookupError(
            f"{said}; run this under leaderexec with a kind of election that has one"
            " (docs/fencing.md says which), or do not ask for it"
        )
    return int(text)
