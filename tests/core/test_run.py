"""The table of the stages of a run: each stage, each trigger."""

import pytest

from leaderexec.core import actions, run
from leaderexec.core.actions import Job
from leaderexec.core.run import KILL_PATIENCE, TABLE, Push, Run, Stage, Trigger, is_due, push


def test_every_stage_but_the_last_answers_every_trigger() -> None:
    """The table has no hole."""
    assert set(TABLE) == set(Stage) - {Stage.GONE}
    for row in TABLE.values():
        assert set(row) == set(Trigger)


def test_every_cell_names_the_stage_it_leads_to_or_why_it_is_ignored() -> None:
    """Nothing is dropped without a reason."""
    for row in TABLE.values():
        for cell in row.values():
            assert (cell.leads_to is None) == bool(cell.ignored)


def test_a_run_never_goes_back() -> None:
    """Stages only move forward."""
    order = list(Stage)
    for stage, row in TABLE.items():
        for cell in row.values():
            assert cell.leads_to is None or order.index(cell.leads_to) >= order.index(stage)


@pytest.mark.parametrize("stage", list(TABLE))
@pytest.mark.parametrize("trigger", list(Trigger))
def test_a_cell_leads_where_it_says(stage: Stage, trigger: Trigger) -> None:
    """Whatever the handler does."""
    before = Run(Job.COMMAND, 100.0, deadline=110.0, stage=stage)
    after, actions_ = push(before, Push(trigger, 120.0))
    target = TABLE[stage][trigger].leads_to
    assert after.stage is (target or stage)
    if target is None:
        assert (after, actions_) == (before, ())


def test_each_stop_has_a_deadline_until_nothing_is_left() -> None:
    """A stop, an exit of the command, and each KILL set one."""
    running = Run(Job.COMMAND, 100.0)
    assert is_due(running, 1e9) is None
    stopping, _ = push(running, Push(Trigger.STOP, 101.0, by=111.0))
    ended, _ = push(running, Push(Trigger.EXITED, 101.0, by=126.0))
    killing, _ = push(stopping, Push(Trigger.DUE, 111.0))
    assert (stopping.deadline, ended.deadline, killing.deadline) == (111.0, 126.0, 111.1)
    assert is_due(killing, 111.1) is Trigger.DUE
    assert is_due(killing, 111.0 + KILL_PATIENCE) is Trigger.GIVE_UP


def test_the_last_kill_comes_no_later_than_giving_up() -> None:
    """So that giving up is not late, either."""
    killing, _ = push(Run(Job.COMMAND, 0.0, 10.0, stage=Stage.STOPPING), Push(Trigger.DUE, 10.0))
    while killing.deadline is not None and (due := is_due(killing, killing.deadline)):
        killing, _ = push(killing, Push(due, killing.deadline))
    assert killing.stage is Stage.GONE
    assert killing.survived
    assert killing.killing_since == 10.0


def test_no_signal_is_sent_once_the_main_process_is_reaped() -> None:
    """Its pid may be another process's by now."""
    ended, _ = push(Run(Job.COMMAND, 0.0), Push(Trigger.EXITED, 1.0))
    assert push(ended, Push(Trigger.SIGNAL, 2.0))[1] == ()
    running = Run(Job.COMMAND, 0.0)
    assert push(running, Push(Trigger.SIGNAL, 2.0, signal=1))[1] == (actions.Forward(1),)


def test_the_module_explains_itself() -> None:
    """The diagram at its top names every stage."""
    assert run.__doc__ is not None
    assert all(stage.name in run.__doc__ for stage in Stage)
