"""What every kind of election promises, asked of each that there is."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from apiserver import ApiServer
from etcd_cluster import Etcd
from postgresql import PostgreSQL, missing
from redis_server import Redis
from support import LEADEREXEC, Wrapper, wait_for

from leaderexec.config import options
from leaderexec.config.settings import OPTIONS, load, settle
from leaderexec.election import KINDS, Kind
from leaderexec.election.kind import Source
from leaderexec_elector.running import RunningElector

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Wrapper]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
# Longer than any test waits.
LONG = 1000.0
WORKER = ("--", "sh", "-c", "echo up; exec sleep 100")


class Election:
    """An election of one kind, with what moves it."""

    def __init__(self, kind: Kind, folder: Path, stack: ExitStack) -> None:
        self.kind = kind
        self._elector = None
        self.words: tuple[str, ...] = ("--election", kind.name)
        if kind.name == "elector":
            self._elector = stack.enter_context(RunningElector("other", "a", "b"))
            self.words += ("--sse-url", self._elector.sse_url, "--poll-interval", "200ms")
        if kind.name == "file":
            self.words += ("--lock-file", str(folder / "lock"))
        if kind.name == "postgres":
            if (why := missing()) is not None:
                pytest.skip(why)
            database = stack.enter_context(PostgreSQL())
            self.words += ("--postgres", database.url, "--postgres-name", "demo")
        if kind.name == "lease":
            server = stack.enter_context(ApiServer())
            server.add("demo")
            self.words += ("--lease", "demo", "--api-server", server.url)
        if kind.name == "etcd":
            etcd = stack.enter_context(Etcd(folder / "etcd"))
            self.words += ("--etcd", etcd.urls, "--etcd-key", "leaderexec/demo")
        if kind.name == "redis":
            redis = stack.enter_context(Redis(folder / "redis"))
            redis.free("demo")
            self.words += ("--redis", redis.url, "--redis-key", "demo")

    def elect(self, name: str) -> None:
        """Have this replica lead, where somebody else decides that."""
        if self._elector is not None:
            self._elector.lead(name)


@pytest.fixture
def election(kind: Kind, tmp_path: Path) -> Iterator[Election]:
    """An election of this kind."""
    with ExitStack() as stack:
        yield Election(kind, tmp_path, stack)


@each_kind
def test_the_one_that_leads_runs_and_is_told_by_whom(
    kind: Kind, election: Election, leaderexec: Start
) -> None:
    """Its source is the kind's name, its leader itself."""
    show = "echo $LEADEREXEC_SOURCE $LEADEREXEC_LEADER $LEADEREXEC_REPLICA; exec sleep 100"
    wrapper = leaderexec(*election.words, "--identity", "a", "--", "sh", "-c", show)
    election.elect("a")
    wrapper.output(f"{kind.name} a a")


@each_kind
def test_is_leader_says_what_the_replicas_do(
    kind: Kind, election: Election, leaderexec: Start, run: Run
) -> None:
    """0 for the one that leads; every replica leads where there is no election."""
    election.elect("a")
    leaderexec(*election.words, "--identity", "a", *WORKER).output("up")
    answers = {
        name: run(LEADEREXEC, *election.words, "--identity", name, "--is-leader").returncode
        for name in ("a", "b")
    }
    assert answers == {"a": 0, "b": 0 if kind.name == "off" else 1}


@each_kind
def test_a_check_says_who_leads_and_starts_nothing(
    kind: Kind, election: Election, leaderexec: Start, run: Run
) -> None:
    """By the same source."""
    election.elect("a")
    leaderexec(*election.words, "--identity", "a", *WORKER).output("up")
    result = run(LEADEREXEC, *election.words, "--identity", "a", "--check", "--", "echo", "ran")
    assert result.returncode == 0
    assert "election: a leads (this replica)" in result.stdout
    assert f"{kind.name}  (--election)" in result.stdout
    assert "ran" not in result.stdout.splitlines()


@each_kind
def test_a_second_replica_takes_over_when_the_first_has_ended(
    kind: Kind, election: Election, leaderexec: Start
) -> None:
    """And not before; where there is no election both run."""
    election.elect("a")
    first = leaderexec(*election.words, "--identity", "a", *WORKER)
    first.output("up")
    second = leaderexec(*election.words, "--identity", "b", *WORKER)
    second.log("leaderexec started")
    if kind.name != "off":
        second.log("leadership confirmed" if kind.needs_contact else "leaderexec started")
        assert not second.events("command started")
    first.close()
    election.elect("b")
    second.output("up")


@each_kind
def test_an_order_to_end_ends_it_in_standby_and_while_it_leads(
    kind: Kind, election: Election, leaderexec: Start
) -> None:
    """With 0, and with the command's code."""
    election.elect("a")
    first = leaderexec(*election.words, "--identity", "a", *WORKER)
    first.output("up")
    second = leaderexec(*election.words, "--identity", "b", *WORKER)
    second.log("leaderexec started")
    if kind.name == "off":
        second.output("up")
    second.process.terminate()
    assert second.wait() == (143 if kind.name == "off" else 0)
    first.process.terminate()
    assert first.wait() == 143


@each_kind
def test_the_source_says_what_it_heard_and_decides_nothing(kind: Kind, election: Election) -> None:
    """Opened in this process: its events name the leader, at a moment of the given clock."""
    election.elect("a")
    source, heard = opened(kind, election, "a")
    wait_for(lambda: names(heard, "a"))
    assert all(isinstance(number, int) for number in source.inherited())
    assert dict(source.troubles()) == {} or kind.needs_contact
    source.resubscribe()
    source.release()


class Quiet:
    """No log."""

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_args, **_fields: None


def opened(kind: Kind, election: Election, name: str) -> tuple[Source, list[object]]:
    """Open a replica's source in this process, and start it; return what it hears, too."""
    given, _ = options.parse([*election.words, "--identity", name], OPTIONS)
    heard: list[object] = []
    source = kind.open(load(given, ("true",), {}, name), heard.append, Quiet(), time.monotonic)  # type: ignore[arg-type]
    source.start(time.monotonic())
    return source, heard


def names(heard: list[object], leader: str) -> bool:
    """Tell whether this leader was named."""
    return any(getattr(event, "leader", None) == leader for event in list(heard))


@each_kind
def test_a_leader_that_lets_go_is_followed_at_once_where_the_kind_can(
    kind: Kind, election: Election
) -> None:
    """It lives on meanwhile; where the kind can't, letting go changes nothing."""
    election.elect("a")
    first, heard_by_first = opened(kind, election, "a")
    wait_for(lambda: names(heard_by_first, "a"))
    second, heard_by_second = opened(kind, election, "b")
    assert kind.name == "off" or not names(heard_by_second, "b")
    first.release()
    if kind.releases:
        wait_for(lambda: names(heard_by_second, "b"))
    second.release()


@each_kind
def test_a_leader_that_steps_down_is_followed_and_competes_again_after_its_hold_off(
    kind: Kind, election: Election
) -> None:
    """It tells that it leads no more before it tells that it leads again, or of another fence."""
    if not kind.releases:
        source, heard = opened(kind, election, "a")
        source.step_down(0.1)
        election.elect("a")
        wait_for(lambda: names(heard, "a"))
        source.release()
        return
    first, heard_by_first = opened(kind, election, "a")
    wait_for(lambda: names(heard_by_first, "a"))
    second, heard_by_second = opened(kind, election, "b")
    before = len(heard_by_first)
    first.step_down(0.1)
    wait_for(lambda: names(heard_by_second, "b"))
    second.step_down(LONG)
    wait_for(lambda: names(heard_by_first[before:], "a"))
    told = [
        (event.leader, event.fence)
        for event in heard_by_first
        if hasattr(event, "leader") and hasattr(event, "fence")
    ]
    first_fence = next(fence for leader, fence in told if leader == "a")
    last_fence = [fence for leader, fence in told if leader == "a"][-1]
    assert any(leader != "a" for leader, _ in told[1:]) or last_fence != first_fence
    first.release()
    second.release()


@each_kind
def test_a_kind_declares_what_everybody_asks_of_it(kind: Kind, tmp_path: Path) -> None:
    """Options that are its own, a setting that chooses it, words for people."""
    assert kind.leads_when
    assert kind.ways
    everybodys = {option.name for option in OPTIONS}
    own = {option.name for option in kind.settings.options}
    assert set(kind.chosen_by) <= own <= everybodys
    assert set(kind.told_apart_by) <= own
    assert all(option.kinds == (kind.name,) for option in kind.settings.options)
    settings = {
        "sse-url": "http://h/sse",
        "lock-file": str(tmp_path / "lock"),
        "lease": "demo",
        "etcd": "http://localhost:2379",
        "postgres": "service",
        "redis": "redis://localhost",
    }
    for name in kind.chosen_by[:1]:
        assert settle({name: settings[name]}, {}, "host")["election"].value == kind.name
