"""Compare leaderexec with tini, dumb-init and catatonit, behaviour by behaviour.

    python benchmarks/fidelity.py [PART...]     --help names the parts

Every cell was just measured with real processes (as root: `unshare --pid` needs it). Prints the
Markdown tables of docs/comparison.md, and exits with 1 if leaderexec is behind any of the others in
any row that is compared.
"""

import argparse
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from inits import codes, costs, crowds, forwarding, inherited, orders, orphans, stops, terminals
from inits.programs import OURS, PROGRAMS, Program
from inits.running import UNSHARE
from inits.table import (
    NOT_INSTALLED,
    Cell,
    NotMeasuredError,
    Row,
    behind,
    markdown,
    not_measured,
)

WORKERS = 3
PARTS = {
    "codes": codes.ROWS,
    "forwarding": forwarding.ROWS,
    "orders": orders.ROWS,
    "orphans": orphans.ROWS,
    "stops": stops.ROWS,
    "crowds": crowds.ROWS,
    "terminals": terminals.ROWS,
    "inherited": inherited.ROWS,
    "costs": costs.ROWS,
}
# Anything else that runs would be measured along with these.
ALONE = frozenset({"crowds"})


def _measure(task: tuple[Program, str]) -> list[Cell]:
    """Fill in a program's cells of one part; its rows share scenarios, so they stay together."""
    program, part = task
    if program.file is None:
        return [NOT_INSTALLED] * len(PARTS[part])
    cells = []
    for row in PARTS[part]:
        began = time.monotonic()
        try:
            cells.append(row.measure(program))
        except NotMeasuredError as why:
            cells.append(not_measured(why))
        took = time.monotonic() - began
        print(f"{took:5.1f} s  {program.name}: {row.title}: {cells[-1].text}", file=sys.stderr)
    return cells


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Compare leaderexec with tini, dumb-init and catatonit, behaviour by behaviour.",
        epilog="Ends with 1 if leaderexec is behind any of the others in any row. All parts take"
        " some ten minutes.",
    )
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help=f"measure only these: {', '.join(PARTS)} (default: all)",
    )
    arguments = parser.parse_args()
    for part in arguments.parts:
        if part not in PARTS:
            parser.error(f"there is no part {part!r}; choose from {', '.join(PARTS)}")
    return arguments


def main(parts: list[str]) -> int:
    """Measure, print, judge."""
    refused = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
    if refused.returncode:
        print(f"a PID namespace is needed: {refused.stderr.strip()}; try as root", file=sys.stderr)
        return 2
    chosen = parts or list(PARTS)
    rows: list[Row] = [row for part in chosen for row in PARTS[part]]
    # Ours starts slowest, so it goes first, and the others fill up the time.
    programs = sorted(PROGRAMS, key=lambda program: program != OURS)
    tasks = [(program, part) for program in programs for part in chosen]
    together = [task for task in tasks if task[1] not in ALONE]
    with ThreadPoolExecutor(WORKERS) as pool:
        done = dict(zip(together, pool.map(_measure, together), strict=True))
    done |= {task: _measure(task) for task in tasks if task[1] in ALONE}
    columns = {
        program: [cell for part in chosen for cell in done[program, part]] for program in programs
    }
    cells = [
        {program.name: columns[program][at] for program in PROGRAMS} for at in range(len(rows))
    ]
    measured = list(zip(rows, cells, strict=True))
    tables = (
        [line for line in measured if (line[0] in costs.ROWS) is lost] for lost in (False, True)
    )
    names = [program.name for program in PROGRAMS]
    print("\n\n".join(markdown(names, table) for table in tables if table))
    worse = [
        f"{row.title}: {', '.join(behind(line, OURS.name))}"
        for row, line in zip(rows, cells, strict=True)
        if behind(line, OURS.name)
    ]
    print()
    print(
        "\n".join(["leaderexec is behind in:", *worse]) if worse else "leaderexec is behind none."
    )
    return 1 if worse else 0


if __name__ == "__main__":
    # If we are stopped, nothing may be left behind, either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(_arguments().parts))
