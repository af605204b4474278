"""Leadership by a Lease, moved by every cause there is, next to client-go in the same run.

A real kube-apiserver and etcd; each replica in its own network namespace. The workers' own log
on disk decides: one line for each beat, stamped by CLOCK_MONOTONIC, which all processes of a machine
share. Exit code 0 only if two of leaderexec's commands never ran at once, except for frozen ones
that woke, whose writes the fence must have refused. With --engines the same in other servers.
"""

import argparse
import itertools
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from kubernetes.cluster import Cluster
from moving import costs, engines, network
from moving.candidates import Candidate, ClientGo, Ours, Site, Times
from moving.engines import Engine, Lease
from moving.network import Host
from moving.track import Move, Track, Wrong

DEFAULT = Times(22, 10, 2, 10)
CLIENT_GO = Times(15, 10, 2, 4)
SHORT = Times(6, 3, 0.5, 1)
HOUR = 3600
WHAT = {
    "release": "ordered to stop (TERM)",
    "step-down": "asked to step down",
    "kill": "killed (SIGKILL)",
    "reject": "cut off, connections reset (REJECT)",
    "drop": "cut off, packets lost (DROP)",
    "frozen": "frozen (SIGSTOP), then woken",
    "deleted": "the Lease or key deleted",
    "away": "the server away for longer than the deadline: from its return",
    "jump, release": "wall clocks jump by an hour, then ordered to stop",
    "jump, kill": "wall clocks jump by an hour, then killed",
    "apart, release": "monotonic and boot time an hour apart, ordered to stop",
    "apart, kill": "monotonic and boot time an hour apart, killed",
}


class Course(NamedTuple):
    """A kind of candidate, how often each cause moves it, and on how many tracks at once."""

    kind: type[Candidate]
    times: Times
    tracks: int
    counts: dict[str, int]

    @property
    def who(self) -> str:
        """Return its name in the table."""
        if self.kind is ClientGo:
            return f"client-go {self.times}"
        return f"leaderexec {self.times}, grace {self.times.grace_lost:g}s"


WHOLE = (
    Course(Ours, DEFAULT, 6, {"kill": 30, "reject": 24, "drop": 24, "frozen": 24}),
    Course(Ours, DEFAULT, 3, {"release": 210, "step-down": 90, "deleted": 45}),
    Course(Ours, CLIENT_GO, 5, {"kill": 30, "reject": 20, "drop": 20, "frozen": 20}),
    Course(Ours, CLIENT_GO, 3, {"release": 210, "step-down": 90, "deleted": 45}),
    Course(Ours, DEFAULT, 1, {"jump, release": 24, "jump, kill": 8}),
    Course(Ours, DEFAULT, 1, {"apart, release": 24, "apart, kill": 8}),
    Course(Ours, CLIENT_GO, 1, {"jump, release": 24, "jump, kill": 8}),
    Course(Ours, CLIENT_GO, 1, {"apart, release": 24, "apart, kill": 8}),
    Course(ClientGo, CLIENT_GO, 3, {"release": 90, "kill": 20, "reject": 9, "drop": 9}),
    Course(ClientGo, DEFAULT, 3, {"release": 60, "kill": 15, "reject": 6, "drop": 6}),
)
# A check that each cause works; its figures say nothing.
BRIEF = (
    Course(Ours, SHORT, 2, {"release": 8, "step-down": 4, "deleted": 4}),
    Course(Ours, SHORT, 2, {"kill": 2, "reject": 2, "drop": 2, "frozen": 2}),
    Course(Ours, SHORT, 1, {"jump, release": 2, "jump, kill": 1}),
    Course(Ours, SHORT, 1, {"apart, release": 2, "apart, kill": 1}),
    Course(ClientGo, SHORT, 1, {"release": 2, "kill": 1}),
)
# In servers other than an API server; an unreachable one is unreachable for all, so it is separate.
ENGINE = (
    Course(Ours, DEFAULT, 5, {"kill": 25, "reject": 25, "drop": 25, "frozen": 20}),
    Course(Ours, DEFAULT, 2, {"release": 75, "step-down": 20}),
)
ENGINE_AWAY = (Course(Ours, DEFAULT, 1, {"away": 10}),)
ENGINE_BRIEF = (
    Course(Ours, SHORT, 1, {"release": 3, "step-down": 2}),
    Course(Ours, SHORT, 2, {"kill": 2, "reject": 2, "drop": 2, "frozen": 2}),
)
ENGINE_BRIEF_AWAY = (Course(Ours, SHORT, 1, {"away": 2}),)


class Run:
    """All tracks of a run, each in its own thread."""

    def __init__(self, site: Site, hosts: Iterator[Host]) -> None:
        self._site = site
        self._hosts = hosts
        self._numbers = itertools.count()
        self.tracks: list[tuple[str, Track]] = []
        self.wrong: list[str] = []
        self.overlaps: dict[str, int] = {}

    def all(self, courses: Iterable[Course]) -> None:
        """Run these courses at the same time, and judge them."""
        self.join(self.begin(courses))

    def begin(self, courses: Iterable[Course]) -> list[threading.Thread]:
        """Start these courses."""
        threads = []
        for course in courses:
            for turn in range(course.tracks):
                causes = [
                    cause
                    for cause, count in course.counts.items()
                    for _ in range(count // course.tracks + (turn < count % course.tracks))
                ]
                random.shuffle(causes)
                track = Track(*self._candidates(course, causes))
                self.tracks.append((course.who, track))
                threads.append(threading.Thread(target=self._one, args=(course.who, track, causes)))
        for thread in threads:
            thread.start()
            # So that they don't all start at once.
            time.sleep(0.5)
        return threads

    def join(self, threads: Iterable[threading.Thread]) -> None:
        """Wait for them, and judge them."""
        for thread in threads:
            thread.join()
        for who, track in self.tracks:
            overlapped, others = track.judge()
            self.overlaps[who] = self.overlaps.get(who, 0) + len(overlapped)
            # A rival's faults are shown, and are not ours to fix.
            ours = overlapped if isinstance(track.holder, Ours) else []
            self.wrong += [f"{who}: {what}" for what in (*ours, *others)]

    def _candidates(self, course: Course, causes: list[str]) -> tuple[Candidate, Candidate]:
        lease = f"moves-{next(self._numbers)}"

        def candidate(name: str) -> Candidate:
            found = course.kind(self._site, next(self._hosts), lease, name, course.times)
            if any(cause.startswith("apart") for cause in causes) and name == "a":
                found.prefix = ("unshare", "--time", f"--monotonic={HOUR}", f"--boottime={HOUR}")
            if any(cause.startswith("jump") for cause in causes):
                clock = self._site.folder / f"{lease}-{name}.clock"
                clock.write_text("+0\n")
                found.variables = {"LD_PRELOAD": self._site.wall, "WALL_CLOCK": str(clock)}
            return found

        return candidate("a"), candidate("b")

    def _one(self, who: str, track: Track, causes: list[str]) -> None:
        try:
            track.run(causes)
        except Wrong as wrong:
            self._tell(who, track, str(wrong))
        except Exception:  # noqa: BLE001 - other tracks' moves must not be lost
            self._tell(who, track, traceback.format_exc())
        finally:
            track.close()
        print(f"{who}: {track.lease} has ended, {len(track.moves)} moves", file=sys.stderr)

    def _tell(self, who: str, track: Track, what: str) -> None:
        self.wrong.append(f"{who}, {track.lease}: {what}")
        for candidate in track.candidates.values():
            log = candidate.log.read_text(errors="replace")[-4000:]
            print(f"--- {who}, {track.lease}, {candidate.name}\n{log}", file=sys.stderr)

    def table(self) -> None:
        """Print how long each kind of move took, and what overlapped."""
        print("| who | cause | moves | median | worst | after the Lease's end: median | worst |")
        print("|---|---|---|---|---|---|---|")
        for who in dict.fromkeys(who for who, _ in self.tracks):
            moves = [move for name, track in self.tracks if name == who for move in track.moves]
            for cause, what in WHAT.items():
                if found := [move for move in moves if move.cause == cause]:
                    print(f"| {who} | {what} | {_row(found)} |")
        print("\nTwo commands at once, frozen ones aside:")
        for who, overlapped in self.overlaps.items():
            count = sum(len(track.moves) for name, track in self.tracks if name == who)
            print(f"- {who}: {overlapped} times in {count} moves")
        woken = [one for _, track in self.tracks for one in track.woken()]
        if woken:
            went_on = [seconds * 1000 for seconds, _ in woken]
            refused = sum(count > 0 for _, count in woken)
            print(
                f"\nFrozen ones that woke: {len(woken)}; went on for {statistics.median(went_on):.0f}"
                f" ms (worst {max(went_on):.0f}); of {refused} the store refused what they wrote."
            )
            if refused < len(woken):
                self.wrong.append("a frozen worker that woke did not try to write")


def only(courses: Iterable[Course], causes: str) -> Iterator[Course]:
    """Yield these courses with only the causes that begin with this word."""
    for course in courses:
        counts = {cause: n for cause, n in course.counts.items() if cause.startswith(causes)}
        if counts:
            yield course._replace(counts=counts)


def _row(moves: list[Move]) -> str:
    took = [move.first - move.at for move in moves]
    after = [move.first - move.end_of_lease for move in moves if move.end_of_lease]
    ends = [_shown(statistics.median(after)), _shown(max(after))] if after else ["", ""]
    return " | ".join([str(len(moves)), _shown(statistics.median(took)), _shown(max(took)), *ends])


def _shown(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if abs(seconds) < 1 else f"{seconds:.2f} s"


def print_costs(site: Site, hosts: Iterator[Host], seconds: float, standbys: int) -> None:
    """Print what a leader and its standbys cost, for each kind and the times that both have."""

    def maker(kind: type[Candidate], times: Times) -> costs.Make:
        return lambda lease, name, host: kind(site, host, lease, name, times, works=False)

    kinds = {
        f"{title} {times}": maker(kind, times)
        for times in (DEFAULT, CLIENT_GO)
        for title, kind in (("leaderexec", Ours), ("client-go", ClientGo))
    }
    print("\n| who | | resident | processor a minute | bytes a minute |\n|---|---|---|---|---|")
    minutes = seconds / 60
    for who, role, cost in costs.of_pairs(kinds, hosts, seconds):
        print(
            f"| {who} | {role} | {cost.resident / 1e6:.1f} MB | {cost.busy / 1e6 / minutes:.0f} ms"
            f" | {cost.octets / 1000 / minutes:.1f} kB |"
        )
    print(f"\n| who | requests a minute of {standbys} standbys |\n|---|---|")
    pair = (next(hosts), next(hosts))
    for number, (who, make) in enumerate(kinds.items()):
        asked = costs.requests(make, f"standbys-{number}", pair, standbys, seconds)
        print(f"| {who} | {asked / minutes:.0f} |", flush=True)


def on_engines(
    names: Iterable[str], site: Callable[[Engine], Site], folder: Path, *, short: bool
) -> list[str]:
    """Move leadership in each of these servers, all at once, and print the tables; return what was
    wrong."""
    hosts = map(Host, itertools.count())
    wrong = []
    with ExitStack() as stack:
        begun = []
        for name in names:
            for courses, place in (
                (ENGINE_BRIEF if short else ENGINE, folder / name),
                (ENGINE_BRIEF_AWAY if short else ENGINE_AWAY, folder / f"{name}-away"),
            ):
                place.mkdir()
                engine = stack.enter_context(engines.running(name, place / "server"))
                run = Run(replace(site(engine), folder=place), hosts)
                begun.append((name, run, run.begin(courses)))
        for name, run, threads in begun:
            run.join(threads)
            print(f"\n## {name}\n")
            run.table()
            wrong += [f"{name}: {what}" for what in run.wrong]
    return wrong


def main() -> int:
    """Move leadership; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default=str(Path(sys.executable).with_name("leaderexec")))
    parser.add_argument("--apiserver", default=os.environ.get("KUBE_APISERVER"))
    parser.add_argument("--rival", default=os.environ.get("KUBE_RIVAL"))
    parser.add_argument("--short", action="store_true", help="tens of moves, with short times")
    parser.add_argument("--only", choices=["moves", "costs"])
    parser.add_argument("--causes", default="", help="only those that begin with this word")
    parser.add_argument("--seconds", type=float, default=120, help="to measure costs for")
    parser.add_argument("--standbys", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument(
        "--engines",
        type=lambda text: text.split(","),
        help=f"in place of a Lease: a list of {', '.join(engines.NAMES)}",
    )
    parser.add_argument(network.INSIDE, action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    network.enter()
    random.seed(arguments.seed)
    print(f"with --seed {arguments.seed}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="mv") as name:
        folder = Path(name)
        worker, wall = str(folder / "worker"), str(folder / "wall.so")
        sources = Path(__file__).parent / "moving"
        subprocess.run(["cc", "-O2", "-o", worker, sources / "worker.c"], check=True)
        shared = ("-shared", "-fPIC", "-o", wall, sources / "wall.c")
        subprocess.run(["cc", "-O2", *shared], check=True)
        if arguments.engines:

            def site_of(engine: Engine) -> Site:
                return Site(arguments.program, "", worker, wall, engine, folder)

            wrong = on_engines(arguments.engines, site_of, folder, short=arguments.short)
            for what in wrong:
                print(f"WRONG: {what}")
            return 1 if wrong else 0
        with Cluster(arguments.apiserver, folder, network.API_ADDRESS) as cluster:
            rival = arguments.rival
            site = Site(arguments.program, rival, worker, wall, Lease(cluster), folder)
            hosts = map(Host, itertools.count())
            run = Run(site, hosts)
            if arguments.only != "costs":
                run.all(only(BRIEF if arguments.short else WHOLE, arguments.causes))
                run.table()
            if arguments.only != "moves":
                short = arguments.short
                print_costs(
                    site, hosts, *((5, 4) if short else (arguments.seconds, arguments.standbys))
                )
    for what in run.wrong:
        print(f"WRONG: {what}")
    return 1 if run.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
