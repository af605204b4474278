"""What `make nemesis` finds in the logs of a night, on nights made by hand."""

from collections.abc import Sequence
from typing import Any

import pytest
from haunting.checker import ANYONE, Calm, Deed, History, Life, Promise, Sample, Write, judged

from examples.demo import Line

PROMISE = Promise(overlaps={"freeze-both": 2.0}, leads_within=10.0)
STRICT = PROMISE._replace(overlaps={})
CALM = History(lines=(), writes=(), deeds=(), lives=(), samples=(), calm=(), end=100.0, left=())


def run(name: str, start: float, end: float, pid: int = 7) -> list[Line]:
    """Return what a worker writes that starts and ends at these times, with a beat each second."""
    beats = [start + beat for beat in range(int(end - start) + 1)]
    return [
        Line(start, name, pid, "start"),
        *(Line(at, name, pid, "work") for at in beats),
        Line(end, name, pid, "end"),
    ]


def found(promise: Promise = PROMISE, **happened: Any) -> list[str]:
    """Judge a night in which this happened."""
    return judged(CALM._replace(**happened), promise)


def one(wrong: Sequence[str]) -> str:
    """Return the only thing that was wrong."""
    assert len(wrong) == 1, wrong
    return wrong[0]


def test_commands_one_after_the_other_are_fine() -> None:
    """Even if the next one starts as the last one ends."""
    assert not found(lines=run("a", 0, 5) + run("b", 5, 9))


def test_two_commands_at_once_are_found() -> None:
    """With who, and for how long."""
    said = one(found(lines=run("a", 0, 5) + run("b", 4.5, 9)))
    assert "b (pid 7) worked at 4.500" in said
    assert "0.500s longer" in said


def test_two_at_once_are_found_where_a_third_one_ran_between() -> None:
    """A long one beside several short ones."""
    wrong = found(lines=run("a", 0, 9) + run("b", 1, 2) + run("c", 3, 4))
    assert len(wrong) == 2


def test_what_a_command_leaves_behind_is_the_command() -> None:
    """It writes in its name after the main process has ended."""
    left = Line(6.0, "a", 7, "work")
    assert "two at once" in one(found(lines=[*run("a", 0, 5), left, *run("b", 5.5, 9)]))


def test_a_pid_that_comes_again_is_another_command() -> None:
    """Each replica counts its pids from 1."""
    assert not found(lines=run("a", 0, 2) + run("b", 3, 5) + run("a", 6, 8))


def test_a_frozen_leader_may_go_on_when_it_wakes_if_the_program_says_so() -> None:
    """A lock file stays with it, so that there it may not."""
    lines = [*run("a", 0, 2), *run("b", 5, 9), Line(6.5, "a", 7, "refused")]
    frozen = (Deed("freeze-both", "a", 2.5, 6.0),)
    assert not found(lines=lines, deeds=frozen)
    assert "two at once" in one(found(STRICT, lines=lines, deeds=frozen))


def test_a_frozen_leader_that_does_not_stop_is_found() -> None:
    """Its time is over some seconds after it has woken up."""
    lines = [*run("a", 0, 2), *run("b", 5, 9), Line(8.5, "a", 7, "refused")]
    assert "two at once" in one(found(lines=lines, deeds=(Deed("freeze-both", "a", 2.5, 6.0),)))


def test_who_is_frozen_excuses_nobody_else() -> None:
    """And a frozen command alone is stopped as any other."""
    lines = run("a", 0, 6) + run("b", 5, 9)
    assert found(lines=lines, deeds=(Deed("freeze-both", "c", 0, 9),))
    assert found(lines=lines, deeds=(Deed("freeze-command", "a", 0, 9),))


def test_an_older_write_that_was_accepted_is_found() -> None:
    """Whoever was frozen."""
    writes = (Write(5, "a", 7), Write(6, "b", 7), Write(5, "a", 7), Write(5, "a", 7))
    said = one(found(writes=writes, deeds=(Deed("freeze-both", "a", 0, 99),)))
    assert said.startswith("an older write was accepted")


def test_two_commands_with_one_fence_are_found() -> None:
    """Where there is none, every write is accepted."""
    assert "one fence" in one(found(writes=(Write(5, "a", 7), Write(5, "b", 7))))
    assert not found(writes=(Write(0, "a", 7), Write(0, "b", 7)))


def test_a_refused_write_of_the_newest_command_is_found() -> None:
    """Its fence was no greater than an earlier one's; a full disk can't keep one."""
    lines = [*run("a", 0, 2), Line(3, "b", 7, "start"), Line(3.1, "b", 7, "refused")]
    assert "the newest command's write" in one(found(lines=lines))
    assert not found(lines=lines, deeds=(Deed("disk-full", "c", 2, 4),))


def test_a_write_that_was_frozen_amid_it_is_refused_once_there_is_a_successor() -> None:
    """Its line has the time at which it began."""
    frozen = [*run("a", 0, 2), Line(2.1, "a", 7, "refused"), Line(9, "a", 7, "refused")]
    lines = [*frozen, *run("b", 5, 8)]
    assert not any("the newest command's write" in said for said in found(lines=lines))


def test_a_refused_write_of_who_has_a_successor_is_what_the_fence_is_for() -> None:
    """It is only found if both were at work, which is another matter."""
    lines = [*run("a", 0, 2), *run("b", 5, 9), Line(6, "a", 7, "refused")]
    assert not found(lines=lines, deeds=(Deed("freeze-both", "a", 3, 6),))


def test_that_nobody_leads_in_time_is_found() -> None:
    """Counted from the end of the last fault, unless the night was over before."""
    lines = run("a", 0, 5) + run("b", 20, 25)
    assert "nobody led within 10s after 6" in one(
        found(lines=lines, calm=(Calm(0.5), Calm(6.0), Calm(21.0)))
    )
    assert not found(lines=lines, calm=(Calm(15.0),))
    assert not found(lines=lines, calm=(Calm(95.0),))


def test_a_busy_machine_is_given_the_time_that_it_takes() -> None:
    """Twice as many processes as CPUs: each of them is half as fast."""
    lines = run("a", 0, 5) + run("b", 20, 25)
    assert not found(lines=lines, calm=(Calm(6.0, 2.0),))
    assert "nobody led within 20s" in one(found(lines=run("a", 0, 5), calm=(Calm(6.0, 2.0),)))


def test_what_a_command_leaves_behind_does_not_lead() -> None:
    """It only has not ended yet."""
    lines = [*run("a", 0, 5), Line(6.5, "a", 7, "work")]
    assert "nobody led" in one(found(lines=lines, calm=(Calm(6.0),)))


@pytest.mark.parametrize(
    ("code", "deed"),
    [
        (0, "stop"),
        (0, "update"),
        (0, "close"),
        (137, "kill-wrapper"),
        (137, "kill-command"),
        (137, "stop"),
        (143, "stop"),
        (125, "fork-refused"),
        (137, "out-of-memory"),
    ],
)
def test_a_code_is_explained_by_what_was_done(code: int, deed: str) -> None:
    """To that process."""
    assert not found(lives=(Life("a", 1, 9, code),), deeds=(Deed(deed, "a", 5, 5),))


@pytest.mark.parametrize(
    "deed",
    [
        Deed("stop", "b", 5, 5),
        Deed("stop", "a", 0.5, 0.5),
        Deed("stop", "a", 9.5, 9.5),
        Deed("drop", "a", 5, 8),
    ],
)
def test_a_code_is_not_explained_by_what_was_done_to_another(deed: Deed) -> None:
    """Another replica, an earlier or a later process, or what ends none."""
    assert "a ended with 0" in one(found(lives=(Life("a", 1, 9, 0),), deeds=(deed,)))


def test_a_code_that_nothing_leads_to_is_found() -> None:
    """An order to stop is no reason for 125."""
    life = Life("a", 1, 9, 125)
    assert "125" in one(found(lives=(life,), deeds=(Deed("stop", "a", 5, 5),)))


def test_what_is_left_running_is_found() -> None:
    """By its command line."""
    assert one(found(left=("77 worker",))) == "left running: 77 worker"


def test_what_the_program_takes_for_a_bug_is_found() -> None:
    """By what it logs, or leaves on stderr."""
    assert one(found(bugs=("a: election source failed",))).startswith("a bug of its own: a")


def test_what_was_done_to_all_excuses_anyone_for_as_long_as_is_declared() -> None:
    """Redis's clock is set forward; to set that of a replica is no excuse."""
    declared = Promise(overlaps={"clock-engine": 2.0}, leads_within=10.0)
    lines = run("a", 0, 5) + run("b", 4.5, 9)
    assert not found(declared, lines=lines, deeds=(Deed("clock-engine", ANYONE, 4, 4),))
    assert found(declared, lines=lines, deeds=(Deed("clock", "a", 4, 4),))
    assert found(declared, lines=lines, deeds=(Deed("clock-engine", ANYONE, 2, 2),))


def test_growing_memory_and_descriptors_are_found() -> None:
    """Of one process in one role; to lead takes more than to stand by."""

    def sample(at: float, role: str, memory: int, descriptors: int) -> Sample:
        return Sample("a", 1.0, at, role, memory, descriptors)

    standing, leading = "standby", "leading"
    flat = [sample(5, standing, 20_000_000, 10), sample(9, leading, 30_000_000, 20)]
    assert not found(samples=flat)
    assert "grew" in one(found(samples=[*flat, sample(20, standing, 25_000_000, 10)]))
    assert "descriptors" in one(found(samples=[*flat, sample(20, leading, 30_000_000, 30)]))
