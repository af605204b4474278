"""Five replicas, each in namespaces of its own, one engine, and faults from a printed seed.

Judged by the workers' own log on disk and the store that refuses older fences: never two commands
beyond what the program itself declares, no older write accepted, some replica leads again after each
fault, every exit code explained, nothing left running, memory and descriptors flat. Exit code 0 only
then. As root, with iproute2 and iptables.
"""

import argparse
import itertools
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path

from haunting import checker, plan, replicas
from haunting.night import Night
from haunting.replicas import ElectorTimes, FileTimes, Replica
from kubernetes.cluster import Cluster
from moving import engines, network
from moving.candidates import Site, Times
from moving.engines import Engine
from moving.network import Host

HERE = Path(__file__).parent
ELECTION = "nemesis"
TIMES = {"file": FileTimes(0, 0, 0.5, 1), "elector": ElectorTimes(1.5, 3.5, 0.3, 1)}
RENEWED = Times(6, 3, 0.5, 1)
# From the end of the last fault: what was held has run out, the winner has waited, connections and
# restarts have backed off by 5 s at most; the rest is for starts.
SLACK = 15.0
# Until a holder whose key is gone learns of it: a retry period, and the answer.
RENEWS_WITHIN = 2.0
# Between what stops a command and its end, beside --grace-lost.
STOPS_WITHIN = 3.0


def engine_for(
    source: str, apiserver: str | None, folder: Path, wall: str, stack: ExitStack
) -> Engine:
    """Start what leadership is held in."""
    if source == "lease":
        if apiserver is None:
            raise SystemExit("--apiserver, or KUBE_APISERVER: build it by make kubernetes-programs")
        return engines.Lease(stack.enter_context(Cluster(apiserver, folder, network.API_ADDRESS)))
    several = {"etcd": "etcds", "postgres": "postgreses", "redis": "redises"}
    name = several.get(source, source)
    clock = engines.Clock(wall, folder / "engine.clock")
    engine = stack.enter_context(engines.running(name, folder / "server", clock))
    if isinstance(engine, engines.File):
        replicas.mount_disk(engine.folder)
    return engine


def made(site: Site, times: Times, count: int, stack: ExitStack) -> list[Replica]:
    """Return the replicas, not yet started. A lock file's disk is shared."""
    found = []
    for number, name in enumerate(plan.NAMES[:count]):
        disk = site.folder / f"disk-{name}"
        if isinstance(site.engine, engines.File):
            disk = site.engine.folder
        else:
            replicas.mount_disk(disk)
        limits = stack.enter_context(replicas.groups(name))
        found.append(Replica(site, Host(number), ELECTION, name, times, disk=disk, limits=limits))
    return found


def overlaps(declared: Collection[str], times: Times) -> dict[str, float]:
    """Return the deeds after which two commands may be at work, by what the program itself says,
    and for how long."""
    stops = times.grace_lost + STOPS_WITHIN
    found: dict[str, float] = {}
    if "frozen-holder" in declared:
        found |= {"freeze-wrapper": stops, "freeze-both": stops}
    if "redis-key-lost" in declared:
        # Until the next renewal finds out.
        found |= {"clock-engine": RENEWS_WITHIN + stops}
    if "etcd-key-deleted" in declared:
        # By a member that was the leader of its cluster when it was frozen, and still thinks so.
        found |= {"thaw": RENEWS_WITHIN + stops}
    if "redis-failover" in declared:
        found |= {"key-lost": times.deadline + stops}
    if "redis-split" in declared:
        # While one that was frozen still takes itself for the master.
        found |= {"split": RENEWS_WITHIN + stops}
    return found


def compiled(source: Path, target: Path, *words: str) -> str:
    """Build a program, or a library."""
    subprocess.run(["cc", "-O2", *words, "-o", target, source], check=True)
    return str(target)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--program", default=str(Path(sys.executable).with_name("leaderexec")))
    add("--worker", type=Path, default=HERE / "moving" / "worker.c")
    add("--apiserver", default=os.environ.get("KUBE_APISERVER"))
    add("--source", choices=plan.SOURCES, default="redis")
    add("--replicas", type=int, default=len(plan.NAMES), help="how many, with --steps")
    add("--seconds", type=float, default=60)
    add("--seed", type=int, default=random.randrange(10**6))
    add("--plan", type=int, metavar="COUNT", help="print so many steps of the plan, and exit")
    add("--steps", type=plan.read, help="do these in place of a plan, as they are printed")
    add(network.INSIDE, action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Haunt the replicas; return the exit code."""
    arguments = _arguments()
    source, seed = arguments.source, arguments.seed
    times = TIMES.get(source, RENEWED)
    longest = 1.5 * max(times.duration, 3.0)
    if arguments.plan is not None:
        for step in itertools.islice(
            plan.drawn(seed, source, longest, frozenset()), arguments.plan
        ):
            print(step)
        return 0
    if network.INSIDE not in sys.argv:
        sys.argv += ["--seed", str(seed)]
    network.enter()
    random.seed(seed)
    print(f"{source} for {arguments.seconds:g}s, with --seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="nm") as name, ExitStack() as stack:
        folder = Path(name)
        # PostgreSQL, which is not run as root, gets the library, too.
        folder.chmod(0o711)
        wall = compiled(HERE / "moving" / "wall.c", folder / "wall.so", "-shared", "-fPIC")
        engine = engine_for(source, arguments.apiserver, folder, wall, stack)
        engine.prepare(ELECTION)
        worker = compiled(arguments.worker, folder / "worker")
        site = Site(arguments.program, "", worker, wall, engine, folder)
        count = arguments.replicas if arguments.steps else len(plan.NAMES)
        ones = made(site, times, count, stack)
        without = frozenset(ones[0].limits.missing)
        if without:
            print(f"not to be had here: {', '.join(sorted(without))}")
        leads_within = times.duration + times.deadline + times.grace_lost + SLACK
        # Before the folder is removed.
        stack.callback(replicas.unmount_disks, folder)
        night = Night(engine, ones, leads_within)
        try:
            night.run(
                arguments.steps or plan.drawn(seed, source, longest, without), arguments.seconds
            )
        finally:
            history = night.close()
        promise = checker.Promise(overlaps(night.declared(), times), leads_within)
        wrong = checker.judged(history, promise)
        for one in ones if wrong else ():
            print(f"--- {one.name}\n{one.log.read_text(errors='replace')[-20000:]}")
    for what, count in sorted(night.counts.items()):
        print(f"  {count:4} x {plan.SORTS[what].says if what in plan.SORTS else what}")
    print(f"{checker.told(history)}")
    for problem in wrong:
        print(f"VIOLATION: {problem}")
    print(f"{source}, seed {seed}: {len(wrong) or 'no'} violations")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
