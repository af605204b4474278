"""What is done to the replicas, and when: drawn from a seed, printed and read as text. Pure."""

import random
from collections.abc import Iterator
from typing import NamedTuple

NAMES = ("a", "b", "c", "d", "e")
LEADER, STANDBY, ALL, ENGINE = "leader", "standby", "all", "engine"
SOURCES = ("file", "lease", "etcd", "postgres", "redis", "elector")
# How often two faults come at once.
_TWO_AT_ONCE = 0.4
_APART = 2.0
# How often the leader is meant, where it is not half of the time.
_LEADER = {"step-down": 1.0, "move": 0.0}
_PAUSE = 1.5


class Sort(NamedTuple):
    """A sort of fault. `at`: at a replica, at the engine or at all. `lasts`: it is undone after a
    while; otherwise it is over at once. `sources`: where it means something."""

    says: str
    at: str = LEADER
    lasts: bool = True
    sources: tuple[str, ...] = SOURCES
    weight: int = 2


_BY_NETWORK = SOURCES[1:]
# How something answers that has the engine's address.
MANNERS = {
    "garbage": "random bytes",
    "errors": "refusals (as 500, 429 and 503 with Retry-After)",
    "slow": "a byte at a time",
    "long": "answers that are too long",
    "reset": "connections reset amid an answer",
    "shape": "valid answers of the wrong shape or type",
}
_ALL_BUT_ELECTOR = SOURCES[:-1]
SORTS = {
    "reject": Sort("cut off, connections reset (REJECT)", sources=_BY_NETWORK),
    "drop": Sort("cut off, packets lost (DROP)", sources=_BY_NETWORK),
    "deaf": Sort("cut off one way: it receives nothing", sources=_BY_NETWORK),
    "mute": Sort("cut off one way: nothing it sends arrives", sources=_BY_NETWORK),
    "slow": Sort("a slow network (a bucket of 10 packets a second)", sources=_BY_NETWORK),
    "stop": Sort("leaderexec is ordered to stop (TERM)", lasts=False, weight=4),
    "step-down": Sort("asked to step down", lasts=False, sources=_ALL_BUT_ELECTOR),
    "move": Sort("the elector names another", lasts=False, sources=("elector",), weight=10),
    "kill-wrapper": Sort("leaderexec killed (SIGKILL)", lasts=False, weight=4),
    "kill-command": Sort("the command killed (SIGKILL)", lasts=False),
    "freeze-wrapper": Sort("leaderexec frozen (SIGSTOP, SIGCONT)"),
    "freeze-command": Sort("the command frozen (SIGSTOP, SIGCONT)"),
    "freeze-both": Sort("leaderexec and its command frozen (SIGSTOP, SIGCONT)", weight=4),
    "restart-engine": Sort("the engine killed, away, and started", ENGINE, sources=_BY_NETWORK),
    "freeze-engine": Sort("the engine frozen (SIGSTOP, SIGCONT)", ENGINE, sources=_BY_NETWORK),
    "promote": Sort(
        "the primary killed, its standby promoted, and later a new standby",
        ENGINE,
        sources=("postgres", "redis"),
    ),
    "freeze-master": Sort(
        "Redis's master frozen, its replica promoted", ENGINE, sources=("redis",)
    ),
    "restart-member": Sort("one of three etcds killed, and started", ENGINE, sources=("etcd",)),
    "freeze-member": Sort("one of three etcds frozen", ENGINE, sources=("etcd",)),
    **{
        f"answers-{manner}": Sort(f"in the engine's place: {says}", ENGINE, True, _BY_NETWORK, 1)
        for manner, says in MANNERS.items()
    },
    "clock-engine": Sort(
        "the engine's wall clock jumps by an hour",
        ENGINE,
        lasts=False,
        sources=("postgres", "redis", "elector"),
    ),
    "clock": Sort("one replica's wall clock jumps by an hour, and back"),
    "disk-full": Sort(
        "the disk of the lock file or control socket is full", sources=_ALL_BUT_ELECTOR
    ),
    "fork-refused": Sort("no process or thread can be created (pids.max)"),
    "out-of-memory": Sort("out of memory: the kernel kills leaderexec or the command"),
    "log-stuck": Sort("nobody reads the log"),
    "update": Sort("a rolling update of all replicas", ALL, lasts=False),
}


class Fault(NamedTuple):
    """One fault: what, at whom, and for how many seconds."""

    what: str
    who: str
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.what} {self.who} {self.seconds:g}"


class Step(NamedTuple):
    """Faults that overlap in time. The next ones begin `apart` seconds after the one before; ahead
    of all of them is a pause."""

    faults: tuple[Fault, ...]
    apart: float = 0.0
    pause: float = 0.5

    def __str__(self) -> str:
        return " + ".join(map(str, self.faults))


def drawn(seed: int, source: str, longest: float, without: frozenset[str]) -> Iterator[Step]:
    """Yield steps without end; the same for the same arguments. `longest`: seconds that a fault
    lasts at most. `without`: the sorts that can't be had here."""
    chance = random.Random(seed)
    sorts = [name for name, sort in SORTS.items() if source in sort.sources and name not in without]
    weights = [SORTS[name].weight for name in sorts]
    while True:
        count = 2 if chance.random() < _TWO_AT_ONCE else 1
        first, *others = chance.choices(sorts, weights, k=count)
        # What is already done to the engine is not done to it at the same time.
        others = [name for name in others if not SORTS[first].at == SORTS[name].at == ENGINE]
        faults = tuple(_fault(name, longest, chance) for name in (first, *others))
        yield Step(
            faults,
            round(chance.uniform(0, _APART), 2),
            round(chance.uniform(0.1, _PAUSE), 2),
        )


def _fault(name: str, longest: float, chance: random.Random) -> Fault:
    sort = SORTS[name]
    who = sort.at
    if who == LEADER and chance.random() > _LEADER.get(name, 0.5):
        who = chance.choice(NAMES)
    # As many that are over before anybody notices as that cost leadership.
    limits = chance.choice([(0.1, longest / 4), (longest / 4, longest)])
    seconds = round(chance.uniform(*limits), 2)
    return Fault(name, who, seconds if sort.lasts else 0.0)


def read(text: str) -> tuple[Step, ...]:
    """Read steps as they are printed, separated by semicolons. Raises ValueError."""
    return tuple(_step(part) for part in text.split(";") if part.strip())


def _step(text: str) -> Step:
    faults = []
    for part in text.split("+"):
        what, who, seconds = part.split()
        if what not in SORTS or who not in (*NAMES, LEADER, STANDBY, ALL, ENGINE):
            raise ValueError(f"no such fault: {part.strip()!r}")
        faults.append(Fault(what, who, float(seconds)))
    return Step(tuple(faults), apart=0.5)
