"""Look for inputs that break a promise, guided by coverage (atheris, which is libFuzzer).

Each target runs in a process of its own. An input that breaks its promise is added to the kept
ones, so that `make test` fails until that is mended.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from fuzz import corpora
from fuzz.corpora import Entry
from fuzz.targets import NAMES, target

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "fuzz"
# An input that takes this many seconds is a finding, too; a busy machine must not make it one.
_SLOW = 120
_MEGABYTES = 1024
_MARGIN = 300
# What is left out of the coverage that guides.
_INSTRUMENTED = ("leaderexec", "sseclient")


class Outcome(NamedTuple):
    """What came of a target: executions, branches that were covered, inputs that cover them
    (`kept` of them in the repository), and how an input broke the promise, if one did."""

    executions: int
    covered: int
    inputs: int
    kept: int
    broke: str


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=0, help="of the inputs; 0: another each time")
    parser.add_argument("--target", action="append", help="only this one; may be repeated")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time")
    parser.add_argument("--keep", action="store_true", help="keep what covers more, minimised")
    parser.add_argument("--replay", action="store_true", help="only try the kept inputs")
    parser.add_argument("--in-this-process", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = options.target or NAMES
    if unknown := [name for name in names if name not in NAMES]:
        parser.error(f"there is no target {unknown[0]!r}; there are {' '.join(NAMES)}")
    if options.in_this_process is not None:
        _fuzz(names[0], options.in_this_process)
        return 0
    if options.replay:
        return _replay(names)
    return _all(names, options.seconds, options.seed, options.jobs, keep=options.keep)


def _all(names: Sequence[str], seconds: int, seed: int, jobs: int, *, keep: bool) -> int:
    print("| target | executions | branches | inputs | kept | |\n|---|---|---|---|---|---|")
    broken = []

    def one(name: str) -> None:
        outcome = _run(name, seconds, seed, keep=keep)
        print(
            f"| {name} | {outcome.executions:,} | {outcome.covered} | {outcome.inputs} |"
            f" {outcome.kept} | {outcome.broke} |",
            flush=True,
        )
        if outcome.broke:
            broken.append(name)

    with ThreadPoolExecutor(jobs) as at_once:
        list(at_once.map(one, names))
    for name in sorted(broken):
        print(
            f"The promise of {name} is broken: the input is in {_shown(corpora.path_of(name))}, and"
            f" build/fuzz/{name}.log has the traceback. Again: make fuzz TARGET={name} REPLAY=1"
        )
    return 1 if broken else 0


def _run(name: str, seconds: int, seed: int, *, keep: bool) -> Outcome:
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    inputs = folder / "inputs"
    inputs.mkdir(parents=True)
    _unpack(inputs, (entry.data for entry in corpora.read(name)))
    arguments = [f"-max_total_time={seconds}", f"-seed={seed}", str(inputs)]
    said = _child(name, arguments, seconds + _SLOW + _MARGIN)
    broke = _found(name, folder, said)
    if keep and not broke:
        _keep(name, folder)
    return Outcome(
        _last(r"^#(\d+)\s", said),
        _last(r"\bcov: (\d+)", said),
        len(list(inputs.iterdir())),
        len(corpora.read(name)),
        broke,
    )


def _child(name: str, arguments: Sequence[str], patience: float) -> str:
    """Run libFuzzer on a target in a process of its own, and return what it says."""
    folder = WORK / name
    command = [
        *(sys.executable, __file__, "--target", name, "--in-this-process"),
        *(f"-artifact_prefix={folder}/", f"-timeout={_SLOW}", f"-rss_limit_mb={_MEGABYTES}"),
        "-print_final_stats=1",
        *arguments,
    ]
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"}
    with open(WORK / f"{name}.log", "wb") as log:
        done = subprocess.run(
            command,
            stdout=log,
            stderr=log,
            check=False,
            timeout=patience,
            cwd=folder,
            env=environ,
        )
        said = (WORK / f"{name}.log").read_text(encoding="utf-8", errors="replace")
    if done.returncode and not list(folder.glob("*-*")):
        raise RuntimeError(f"{name}: libFuzzer ended with {done.returncode}: {said[-2000:]}")
    return said


def _found(name: str, folder: Path, said: str) -> str:
    """Keep the input that broke the promise, if there is one; return how it did."""
    for file in sorted(folder.glob("*-*")):
        error = re.search(r"Uncaught Python exception: ===\n(.*)", said)
        broke = error[1] if error else file.name.partition("-")[0]
        broke = re.sub(r"[^ -~]", "?", broke)[:100]
        corpora.add(name, Entry(file.read_bytes(), broke))
        return broke
    return ""


def _keep(name: str, folder: Path) -> None:
    """Keep the smallest inputs that together cover all that was covered, and those that once broke
    something."""
    merged = folder / "merged"
    merged.mkdir()
    arguments = ["-set_cover_merge=1", str(merged), str(folder / "inputs")]
    _child(name, arguments, _SLOW + _MARGIN)
    broke = [entry for entry in corpora.read(name) if entry.broke]
    known = {entry.data for entry in broke}
    rest = [Entry(file.read_bytes()) for file in merged.iterdir()]
    if not rest:
        raise RuntimeError(f"{name}: nothing was merged; build/fuzz/{name}.log says why")
    corpora.write(name, [*broke, *(entry for entry in rest if entry.data not in known)])


def _unpack(folder: Path, inputs: Iterable[bytes]) -> None:
    for data in inputs:
        (folder / hashlib.sha1(data, usedforsecurity=False).hexdigest()).write_bytes(data)


def _last(pattern: str, said: str) -> int:
    found = re.findall(pattern, said, re.MULTILINE)
    return int(found[-1]) if found else 0


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _replay(names: Sequence[str]) -> int:
    """Try the kept inputs, without a fuzzer; an error ends it, with its traceback."""
    for name in names:
        holds = target(name).holds
        for entry in corpora.read(name):
            print(f"{name}: {entry.data!r}", flush=True)
            holds(entry.data)
    return 0


def _fuzz(name: str, arguments: Sequence[str]) -> None:
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed; pip install -e '.[fuzz]'")
    atheris.enabled_hooks.add("str")
    with atheris.instrument_imports(include=list(_INSTRUMENTED)):
        found = target(name)
    words = WORK / name / "words"
    words.write_text("".join(f"{_word(one)}\n" for one in found.words), encoding="ascii")
    # To merge, libFuzzer runs this command again, by a shell.
    again = f"{sys.executable} {__file__} --target {name} --in-this-process"
    atheris.Setup([again, f"-dict={words}", f"-max_len={found.longest}", *arguments], found.holds)
    atheris.Fuzz()


def _word(text: str) -> str:
    """Return a word as libFuzzer's dictionaries have it."""
    escaped = "".join(f"\\x{one:02x}" for one in text.encode())
    return f'"{escaped}"'


if __name__ == "__main__":
    sys.exit(main())
