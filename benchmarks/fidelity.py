"""Put leaderexec beside tini, dumb-init and catatonit, behaviour by behaviour.

    python benchmarks/fidelity.py [PART...]

Every cell was just measured with real processes (as root: `unshare --pid` needs it). Prints a
Markdown table, and ends with 1 if leaderexec is behind any of the others in any row.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.inits import codes, costs, forwarding, inherited, orphans, stops, terminals
from benchmarks.inits.programs import OURS, PROGRAMS, Program
from benchmarks.inits.table import NOT_INSTALLED, Cell, Row, behind, markdown

PARTS = {
    "codes": codes.ROWS,
    "forwarding": forwarding.ROWS,
    "orphans": orphans.ROWS,
    "stops": stops.ROWS,
    "terminals": terminals.ROWS,
    "inherited": inherited.ROWS,
    "costs": costs.ROWS,
}


def _column(program: Program, rows: list[Row]) -> list[Cell]:
    if program.file is None:
        return [NOT_INSTALLED] * len(rows)
    cells = []
    for row in rows:
        began = time.monotonic()
        cells.append(row.measure(program))
        took = time.monotonic() - began
        print(f"{took:5.1f} s  {program.name}: {row.title}: {cells[-1].text}", file=sys.stderr)
    return cells


def main(parts: list[str]) -> int:
    """Measure, print, judge."""
    rows = [row for name in parts or PARTS for row in PARTS[name]]
    # Ours has the slowest start, so it goes first, and the others share the remaining workers.
    programs = sorted(PROGRAMS, key=lambda program: program != OURS)
    with ThreadPoolExecutor(3) as pool:
        columns = dict(
            zip(programs, pool.map(lambda program: _column(program, rows), programs), strict=True)
        )
    cells = [
        {program.name: columns[program][at] for program in PROGRAMS} for at in range(len(rows))
    ]
    print(markdown([program.name for program in PROGRAMS], list(zip(rows, cells, strict=True))))
    worse = [
        f"{row.title}: {', '.join(behind(line, OURS.name))}"
        for row, line in zip(rows, cells, strict=True)
        if behind(line, OURS.name)
    ]
    print()
    print(
        "\n".join(["leaderexec is behind in:", *worse]) if worse else "leaderexec is behind nobody."
    )
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
