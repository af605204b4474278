"""The way to the wanted label, whatever happens to the requests."""

from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leaderexec.core.actions import Cause, Job
from leaderexec.core.lifecycle import State
from leaderexec.core.record import replace
from leaderexec.core.run import Run, Stage
from leaderexec.label.course import Course, Step, is_wanted, may_wait

RUNNING = State(run=Run(Job.COMMAND, 1.0))


def test_it_is_wanted_while_the_command_runs() -> None:
    """Not while a hook runs, nor once a stop has begun."""
    assert is_wanted(RUNNING, probed=False)
    assert not is_wanted(State(), probed=False)
    for job in (Job.ON_START, Job.ON_STOP):
        assert not is_wanted(State(run=Run(job, 1.0)), probed=False)
    for stage in (Stage.STOPPING, Stage.KILLING):
        assert not is_wanted(State(run=Run(Job.COMMAND, 1.0, stage=stage)), probed=False)


def test_the_commands_own_notifications_count() -> None:
    """Not once it says that it is stopping; nor before it says that it is ready, if it has to."""
    says = [State(run=Run(Job.COMMAND, 1.0, ready=ready)) for ready in (None, True, False)]
    assert [is_wanted(one, probed=False) for one in says] == [True, True, False]
    assert [is_wanted(one, probed=False, says_ready=True) for one in says] == [False, True, False]


def test_with_a_health_check_it_is_wanted_once_the_check_has_succeeded() -> None:
    """A selected replica can serve requests."""
    assert not is_wanted(RUNNING, probed=True)
    assert is_wanted(replace(RUNNING, healthy_since=2.0), probed=True)


def test_no_stop_after_a_loss_waits_for_it() -> None:
    """A rival may be about to start."""
    waits = {cause for cause in Cause if may_wait(State(cause=cause))}
    assert waits == {Cause.ORDERED, Cause.STEPPED_DOWN, Cause.UNHEALTHY}


def test_nothing_is_written_if_nothing_has_to_change() -> None:
    """A standby only reads."""
    course = Course()
    assert course.next() is Step.READ
    course.has_read("1", is_on=False)
    assert course.next() is Step.REST


def test_a_label_left_by_a_former_life_is_removed() -> None:
    """At the first read."""
    course = Course()
    course.has_read("1", is_on=True)
    assert course.next() is Step.REMOVE
    course.has_written("2", 0, is_on=False)
    assert course.next() is Step.REST


def test_a_label_that_is_set_after_it_is_no_longer_wanted_is_removed() -> None:
    """The newest wish counts, at the next step."""
    course = Course()
    course.has_read("1", is_on=False)
    course.wish(wanted=True)
    assert course.next() is Step.SET
    course.wish(wanted=False)
    course.has_written("2", 1, is_on=True)
    assert course.next() is Step.REMOVE


def test_after_a_lost_write_another_is_sent_even_if_the_label_seems_to_be_off() -> None:
    """It could still be carried out, as long as the Pod has not changed."""
    course = Course()
    course.has_read("1", is_on=False)
    course.wish(wanted=True)
    course.is_in_doubt()
    course.wish(wanted=False)
    assert course.next() is Step.READ
    course.has_read("1", is_on=False)
    assert course.next() is Step.REMOVE
    course.was_refused()
    course.has_read("2", is_on=False)
    assert course.next() is Step.REST


def test_each_term_rewrites_it_and_then_removes_that_of_earlier_leaders() -> None:
    """With its own fence, so that a late earlier leader can't mistake it for an old one."""
    course = Course()
    course.has_read("1", is_on=False)
    course.wish(wanted=True)
    course.has_written("2", course.wish_number, is_on=True)
    assert course.next() is Step.CLEAR
    course.has_cleared(course.wish_number)
    assert course.next() is Step.REST
    before = course.wish_number
    course.wish(wanted=False)
    course.wish(wanted=True)
    assert course.next() is Step.SET
    course.has_written("3", before, is_on=True)
    assert course.next() is Step.SET


class Write(NamedTuple):
    """A request that is on its way."""

    version: str
    on: bool


class Server:
    """A Pod, and writes that may arrive late."""

    def __init__(self) -> None:
        self.version = 1
        self.is_on = False
        self.late: list[Write] = []

    def carry_out(self, write: Write) -> bool:
        """Do it, unless the Pod has changed since; each write changes something."""
        if write.version != str(self.version):
            return False
        self.version, self.is_on = self.version + 1, write.on
        return True


FATES = st.sampled_from(
    ["answered", "answer lost", "late", "lost", "someone else writes", "wish", "a late one arrives"]
)


@settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))
@given(st.booleans(), st.lists(FATES, max_size=30))
def test_the_final_state_is_the_wanted_one(left_over: bool, fates: list[str]) -> None:
    """In any order of responses, losses and late arrivals: no late write changes it at the end."""
    server, course = Server(), Course()
    server.is_on = left_over
    for fate in [*fates, *["answered"] * 6]:
        if fate == "wish":
            course.wish(wanted=not course.wanted)
        elif fate == "someone else writes":
            server.version += 1
        elif fate == "a late one arrives" and server.late:
            server.carry_out(server.late.pop(0))
        else:
            step(server, course, fate)
    assert course.next() is Step.REST
    for write in server.late:
        server.carry_out(write)
    assert server.is_on is course.wanted


def step(server: Server, course: Course, fate: str) -> None:
    """Do the next step, as the thread does, with this outcome."""
    step = course.next()
    if step is Step.READ:
        if fate == "answered":
            course.has_read(str(server.version), is_on=server.is_on)
        return
    if step is Step.CLEAR:
        course.has_cleared(course.wish_number)
        return
    # At rest the thread sleeps; others' changes to the Pod are not its business.
    if step is Step.REST:
        return
    assert course.version is not None
    write = Write(course.version, step is Step.SET)
    if fate in ("late", "lost"):
        server.late += [write] if fate == "late" else []
        course.is_in_doubt()
    elif not server.carry_out(write):
        course.was_refused()
    elif fate == "answered":
        course.has_written(str(server.version), course.wish_number, is_on=write.on)
    else:
        course.is_in_doubt()
