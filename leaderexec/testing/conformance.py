"""What every kind of election promises, as tests to inherit.

Each is checked with the installed program, or with the source opened in this process. A kind that
can't do something declares that, and then must not claim to.
"""

import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from leaderexec.config import options
from leaderexec.config import settings as configuration
from leaderexec.config.options import find
from leaderexec.config.settings import OPTIONS, load, settle
from leaderexec.core.lifecycle import EXIT_FAILURE
from leaderexec.election import KINDS
from leaderexec.election.kind import Kind, Source
from leaderexec.testing.processes import (
    LEADEREXEC,
    Wrapper,
    alive,
    clean_environment,
    run_to_its_end,
    wait_for,
    wrappers,
)

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Wrapper]
Words = tuple[str, ...]
# Longer than any test waits.
LONG = 1000.0
WORKER = ("--", "sh", "-c", "echo up; exec sleep 100")
# Short enough for a test to wait for them.
TIMES = (
    *("--lease-duration", "5s", "--renew-deadline", "2s", "--retry-period", "500ms"),
    *("--grace-lost", "1s"),
)


class Election:
    """An election of one kind on a real server: the options that select it, as words, and `elect`,
    which makes a replica lead if something else decides that."""

    def __init__(self, *words: str, elect: Callable[[str], object] | None = None) -> None:
        self.words = words
        self._elect = elect

    def elect(self, name: str) -> None:
        """Make this replica lead, if something else decides that."""
        if self._elect is not None:
            self._elect(name)


class Quiet:
    """A log that discards everything."""

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_args, **_fields: None


def opened(kind: Kind, words: Words, name: str) -> tuple[Source, list[object]]:
    """Open a replica's source in this process, and start it; return it with what it reports."""
    given, _ = options.parse([*words, "--identity", name], OPTIONS)
    heard: list[object] = []
    source = kind.open(load(given, ("true",), {}, name), heard.append, Quiet(), time.monotonic)  # type: ignore[arg-type]
    source.start(time.monotonic())
    return source, heard


def names(heard: list[object], leader: str) -> bool:
    """Return whether this leader was named."""
    return any(getattr(event, "leader", None) == leader for event in list(heard))


class Conformance:
    """The suite. A subclass whose name begins with Test has two fixtures: `kind`, the declaration,
    and `election`, an Election without a leader."""

    # The installed program.
    program: tuple[str, ...] = (LEADEREXEC,)
    # What is logged on standby, once it is known that another replica leads.
    on_standby = "leadership confirmed"

    @pytest.fixture
    def kind(self) -> Kind:
        """The declaration."""
        raise NotImplementedError("a fixture `kind` has to return the declaration of the kind")

    @pytest.fixture
    def election(self) -> Iterator[Election]:
        """An election of this kind."""
        raise NotImplementedError("a fixture `election` has to yield an Election on a real server")

    @pytest.fixture
    def known(self, kind: Kind) -> Iterator[None]:
        """Register the kind in this process, as naming it on the command line does."""
        if kind.name in [one.name for one in KINDS]:
            yield
            return
        configuration.plug_in(kind)
        yield
        configuration.unplug(kind)

    @pytest.fixture
    def words(self, kind: Kind, election: Election, known: None) -> Words:
        """The options that choose the election."""
        del known
        return ("--election", kind.name, *election.words)

    @pytest.fixture
    def environ(self) -> Iterator[dict[str, str]]:
        """An environment without leaderexec's variables."""
        with clean_environment() as clean:
            yield clean

    @pytest.fixture
    def leaderexec(self, environ: dict[str, str]) -> Iterator[Start]:
        """Start the installed program; whatever is left of it at the end fails the test."""
        with wrappers(environ) as start:
            yield partial(start, program=self.program)

    @pytest.fixture
    def run(self, environ: dict[str, str]) -> Run:
        """Run a command to its end, bounded."""
        return partial(run_to_its_end, environ)

    def test_the_one_that_leads_runs_and_is_told_by_whom(
        self, kind: Kind, election: Election, words: Words, leaderexec: Start
    ) -> None:
        """Its source is the kind's name, its leader itself."""
        show = "echo $LEADEREXEC_SOURCE $LEADEREXEC_LEADER $LEADEREXEC_REPLICA; exec sleep 100"
        wrapper = leaderexec(*words, "--identity", "a", "--", "sh", "-c", show)
        election.elect("a")
        wrapper.output(f"{kind.name} a a")

    def test_is_leader_says_what_the_replicas_do(
        self, kind: Kind, election: Election, words: Words, leaderexec: Start, run: Run
    ) -> None:
        """0 for the one that leads; without an election every replica leads."""
        election.elect("a")
        leaderexec(*words, "--identity", "a", *WORKER).output("up")

        def asked(name: str) -> tuple[int, ...]:
            result = run(*self.program, *words, "--identity", name, "--is-leader")
            # A busy machine can be too slow for a request: then it is asked again.
            return () if result.returncode == EXIT_FAILURE else (result.returncode,)

        answers = {name: wait_for(partial(asked, name))[0] for name in ("a", "b")}
        assert answers == {"a": 0, "b": 1 if kind.can_be_lost else 0}

    def test_a_check_says_who_leads_and_starts_nothing(
        self, kind: Kind, election: Election, words: Words, leaderexec: Start, run: Run
    ) -> None:
        """From the same source."""
        election.elect("a")
        leaderexec(*words, "--identity", "a", *WORKER).output("up")
        result = run(*self.program, *words, "--identity", "a", "--check", "--", "echo", "ran")
        assert result.returncode == 0
        assert "election: a leads (this replica)" in result.stdout
        assert f"{kind.name}  (--election)" in result.stdout
        assert "ran" not in result.stdout.splitlines()

    def test_a_second_replica_takes_over_when_the_first_has_ended(
        self, kind: Kind, election: Election, words: Words, leaderexec: Start
    ) -> None:
        """And not before; without an election both run."""
        election.elect("a")
        first = leaderexec(*words, "--identity", "a", *WORKER)
        first.output("up")
        second = leaderexec(*words, "--identity", "b", *WORKER)
        second.log("leaderexec started")
        if kind.can_be_lost:
            second.log(self.on_standby if kind.needs_contact else "leaderexec started")
            assert not second.events("command started")
        first.close()
        election.elect("b")
        second.output("up")

    def test_an_order_to_end_ends_it_in_standby_and_while_it_leads(
        self, kind: Kind, election: Election, words: Words, leaderexec: Start
    ) -> None:
        """With 0 in standby, and with the command's code."""
        election.elect("a")
        first = leaderexec(*words, "--identity", "a", *WORKER)
        first.output("up")
        second = leaderexec(*words, "--identity", "b", *WORKER)
        second.log("leaderexec started")
        if not kind.can_be_lost:
            second.output("up")
        second.process.terminate()
        assert second.wait() == (0 if kind.can_be_lost else 143)
        first.process.terminate()
        assert first.wait() == 143

    def test_the_source_says_what_it_heard_and_decides_nothing(
        self, kind: Kind, election: Election, words: Words
    ) -> None:
        """Opened in this process: its events name the leader, at a time of the given clock."""
        election.elect("a")
        source, heard = opened(kind, words, "a")
        wait_for(lambda: names(heard, "a"))
        assert all(isinstance(number, int) for number in source.inherited())
        assert dict(source.troubles()) == {} or kind.needs_contact
        source.resubscribe()
        source.release()

    def test_a_leader_that_lets_go_is_followed_at_once_where_the_kind_can(
        self, kind: Kind, election: Election, words: Words
    ) -> None:
        """While it keeps running; if the kind can't release, letting go changes nothing."""
        election.elect("a")
        first, heard_by_first = opened(kind, words, "a")
        wait_for(lambda: names(heard_by_first, "a"))
        second, heard_by_second = opened(kind, words, "b")
        assert not kind.can_be_lost or not names(heard_by_second, "b")
        first.release()
        if kind.releases:
            wait_for(lambda: names(heard_by_second, "b"))
        second.release()

    def test_a_leader_that_steps_down_is_followed_and_competes_again_after_its_hold_off(
        self, kind: Kind, election: Election, words: Words
    ) -> None:
        """Before it reports that it leads again, it reports that it does not, or another fence."""
        if not kind.releases:
            source, heard = opened(kind, words, "a")
            source.step_down(0.1)
            election.elect("a")
            wait_for(lambda: names(heard, "a"))
            source.release()
            return
        first, heard_by_first = opened(kind, words, "a")
        wait_for(lambda: names(heard_by_first, "a"))
        second, heard_by_second = opened(kind, words, "b")

        def next_is_known(since: int) -> bool:
            return names(heard_by_second, "b") or names(heard_by_first[since:], "a")

        hold_off = 0.1
        while not names(heard_by_second, "b"):
            before = len(heard_by_first)
            first.step_down(hold_off)
            wait_for(partial(next_is_known, before))
            # A standby that only polls may have come too late.
            hold_off *= 2
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

    def test_the_next_leader_has_a_greater_fence_when_the_first_was_killed(
        self, kind: Kind, words: Words, leaderexec: Start
    ) -> None:
        """And starts only after the first one's command has exited; if something else decides who
        is next, or nothing does, nothing is promised."""
        if not (kind.free_when_gone and kind.can_be_lost):
            return
        times = TIMES if kind.renews else ()
        first = leaderexec(*words, *times, "--identity", "a", *WORKER)
        before = first.log("command started")
        second = leaderexec(*words, *times, "--identity", "b", *WORKER)
        second.log(self.on_standby if kind.needs_contact else "leaderexec started")
        first.process.kill()
        after = second.log("command started")
        assert not alive(before["pid"])
        if before.get("fence") is not None:
            assert int(after["fence"]) > int(before["fence"])

    def test_a_success_is_kept_for_its_key_where_the_kind_can(
        self, kind: Kind, election: Election, words: Words, leaderexec: Start, run: Run
    ) -> None:
        """Then nobody runs the command again; where the kind can't, --once is refused."""
        election.elect("a")
        job = ("--", "echo", "ran")
        if not kind.keeps_success:
            once = ("--once", "--once-key", "v1")
            result = run(*self.program, *words, "--identity", "a", *once, *job)
            assert result.returncode == 125
            assert f"--election {kind.name}" in result.stderr
            assert not result.stdout
            return
        ran = []
        for name, key in (("a", "v1"), ("b", "v1"), ("b", "v2"), ("a", "v1")):
            once = ("--once", "--once-key", key)
            wrapper = leaderexec(*words, "--identity", name, *once, *job)
            assert wrapper.wait() == 0
            wrapper.log("transition", to="ended")
            ran.append(len(wrapper.events("command started")))
        assert ran == [1, 0, 1, 0]

    @pytest.mark.usefixtures("known")
    def test_a_kind_declares_what_everybody_asks_of_it(self, kind: Kind) -> None:
        """Options of its own, and texts for people."""
        assert kind.leads_when
        assert kind.ways
        everybodys = {option.name for option in OPTIONS}
        own = {option.name for option in kind.settings.options}
        assert set(kind.chosen_by) <= own <= everybodys
        assert set(kind.told_apart_by) <= own
        assert all(option.kinds == (kind.name,) for option in kind.settings.options)

    @pytest.mark.usefixtures("known")
    def test_a_setting_that_chooses_it_is_enough(self, kind: Kind, election: Election) -> None:
        """On the command line, and in the environment."""
        given, _ = options.parse(election.words, OPTIONS)
        environ = {find(name, OPTIONS).variable: text for name, text in given.items()}
        for words, variables in ((given, {}), ({}, environ)):
            chosen = settle(words, variables, "host")["election"] if kind.chosen_by else None
            assert chosen is None or chosen.value == kind.name
