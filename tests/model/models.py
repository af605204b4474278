"""Models of elections, checked by spin: every history of two replicas and a server.

A model is compiled with the name of what is left out of the rule. With nothing left out, no history
has two commands at once; else spin must come across one that has.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
# What of the rule is left out, if anything.
MODELS = {
    "lease": {
        "": "the rule",
        "SHORT_DURATION": "`--lease-duration` half a second shorter than the sum",
        "FROM_ANSWER": "the deadline counted from the response, not from the request",
        "NO_DEADLINE": "no renew deadline",
        "UNCHECKED_RELEASE": "a release that does not look whose Lease it is",
        "FROZEN": "a holder frozen for longer than a second",
    },
    "postgres": {
        "": "the rule",
        "NO_WAIT": "no wait for the old command",
        "NO_RESTART_WAIT": "no longer wait after a restart of the server",
        "NO_DEADLINE": "no renew deadline",
        "FROZEN": "a holder frozen for longer than a second",
    },
}


class Found(NamedTuple):
    """Whether some history had two commands at once, and how many states were looked at."""

    two_at_once: bool
    states: int


def checked(model: str, left_out: str, defines: Sequence[str] = ()) -> Found:
    """Search all histories. Raises RuntimeError if spin could not, or did not get to the end."""
    words = [f"-D{one}" for one in (left_out, *defines) if one]
    with tempfile.TemporaryDirectory() as folder:
        _run(folder, "spin", "-a", *words, str(HERE / f"{model}.pml"))
        _run(folder, "cc", "-O0", "-w", "-DSAFETY", "-DCOLLAPSE", "-o", "pan", "pan.c")
        said = _run(folder, "./pan", "-m2000000")
    states = re.search(r"(\S+) states, stored", said)
    errors = re.search(r"errors: (\d+)", said)
    if states is None or errors is None or "max search depth too small" in said:
        raise RuntimeError(said)
    found = int(errors[1]) > 0
    if found and "assertion violated" not in said:
        raise RuntimeError(said)
    return Found(found, int(float(states[1])))


def _run(folder: str, *words: str) -> str:
    done = subprocess.run(words, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


def main() -> int:
    """Check all; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--define", action="append", default=[], help="such as DEADLINE=4")
    wrong = 0
    defines = parser.parse_args().define
    print("| model | | history with two commands | states |\n|---|---|---|---|")
    for model, parts in MODELS.items():
        for left_out, says in parts.items():
            found = checked(model, left_out, defines)
            outcome = "one was found" if found.two_at_once else "there is none"
            print(f"| {model} | {says} | {outcome} | {found.states:,} |", flush=True)
            wrong += found.two_at_once != bool(left_out)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
