"""What a series of results means."""

from leaderexec.core.events import Health
from leaderexec.health.judge import Judge, Rules

RULES = Rules(interval=10.0, threshold=3, start_period=30.0)


def test_only_the_first_success_is_reported() -> None:
    """The next ones change nothing."""
    judge = Judge(RULES, 100.0)
    assert judge.take(None, 101.0) == Health(True, 100.0, 101.0)
    assert judge.take(None, 111.0) is None


def test_only_failures_in_a_row_make_it_unhealthy() -> None:
    """A success between two failures resets the count; the verdict says when the series began."""
    judge = Judge(RULES, 100.0)
    judge.take(None, 101.0)
    answers = ["no", "no", None, "no", "no"]
    told = [judge.take(failure, 110.0 + 10 * at) for at, failure in enumerate(answers)]
    assert told == [None] * 5
    verdict = judge.take("no answer", 160.0)
    assert verdict == Health(False, 100.0, 140.0, "no answer (3 times in a row)")


def test_failures_in_the_start_period_do_not_count() -> None:
    """During it the probe runs every second, so that readiness shows soon."""
    judge = Judge(RULES, 100.0)
    now = 100.0
    while now < 130.0:
        assert judge.take("not yet", now) is None
        assert judge.next_after(now) == now + 1.0
        now = judge.next_after(now)
    assert judge.next_after(now) == now + 10.0
    assert [judge.take("never", at) for at in (130.0, 140.0)] == [None, None]
    assert judge.take("never", 150.0) is not None


def test_the_start_period_ends_with_the_first_success() -> None:
    """A program that hangs right after its start is detected as soon as any other."""
    judge = Judge(RULES, 100.0)
    judge.take(None, 101.0)
    assert judge.next_after(101.0) == 111.0
    assert [judge.take("no", at) is None for at in (111.0, 121.0, 131.0)] == [True, True, False]
