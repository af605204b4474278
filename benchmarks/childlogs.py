"""How fast the command's output passes: by itself, through cat, and through leaderexec with
each form of `--child-logs`. Lines of 100 bytes, from the first byte read to the last, all forms in
turn, medians."""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

LINE = 100
# Fast forms print the same lines several times, or the time would be too short to measure.
WAYS = (
    ("the command alone", "text", "", 5),
    ("the command, through `cat`", "text", "cat", 5),
    ("`--child-logs inherit`", "text", "inherit", 5),
    ("`--child-logs prefix`", "text", "prefix", 2),
    ("`--child-logs json`", "text", "json", 1),
    ("`--child-logs json`, of JSON lines", "json", "json", 1),
)


def write_lines(path: Path, kind: str, count: int) -> None:
    """Write the command's output."""
    with path.open("wb") as file:
        for number in range(count):
            head, end = (b'{"number": %d, "message": "', b'"}') if kind == "json" else (b"%d ", b"")
            head %= number
            file.write(head + b"." * (LINE - 1 - len(head) - len(end)) + end + b"\n")


def command_for(program: str, way: str, paths: list[Path]) -> Sequence[str | Path]:
    """Return the command to measure."""
    # It waits until leaderexec's own start is over, which would otherwise be measured as well.
    pipe = "| cat" if way == "cat" else ""
    command: list[str | Path] = ["sh", "-c", f'sleep 1; cat "$@" {pipe}', "sh", *paths]
    if way in ("", "cat"):
        return command
    return [program, "--election", "off", "--child-logs", way, "--", *command]


def seconds(command: Sequence[str | Path], count: int) -> float:
    """Run it, reading its output; return the time from the first byte to the last."""
    environ = {name: text for name, text in os.environ.items() if not name.startswith("LEADEREXEC")}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ
    )
    assert process.stdout is not None
    output = process.stdout.fileno()
    lines = os.read(output, 65536).count(b"\n")
    began = time.monotonic()
    while data := os.read(output, 65536):
        lines += data.count(b"\n")
    took = time.monotonic() - began
    process.stdout.close()
    assert process.wait() == 0
    assert lines == count, "lines were lost"
    return took


def main() -> None:
    """Measure all forms in turn, several times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default=str(Path(sys.executable).with_name("leaderexec")))
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    samples: dict[str, list[float]] = {what: [] for what, *_ in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("text", "json"):
            write_lines(Path(folder) / kind, kind, arguments.lines)
        for _ in range(arguments.rounds):
            for what, kind, way, times in WAYS:
                command = command_for(arguments.program, way, [Path(folder) / kind] * times)
                count = arguments.lines * times
                samples[what].append(count / seconds(command, count))
    print("| output of 100-byte lines | lines/s | MB/s | n | speed relative to the command alone |")
    print("|---|---|---|---|---|")
    alone = statistics.median(samples[WAYS[0][0]])
    for what, speeds in samples.items():
        median = statistics.median(speeds)
        print(
            f"| {what} | {median:,.0f} | {median * LINE / 1e6:.0f} | {len(speeds)}"
            f" | {median / alone:.2f} |"
        )


if __name__ == "__main__":
    main()
