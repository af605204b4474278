"""What several Sentinels say together, each of them made up."""

from typing import Any

import pytest
from redis import exceptions

from leaderexec.election.redis.sentinels import Sentinels, SentinelsAway, SentinelsRefuse

OLD, NEW = ("old", 1), ("new", 2)
AWAY, REFUSES = exceptions.ConnectionError("away"), exceptions.AuthenticationError("who are you")


class Made:
    """A Sentinel that gives this answer, or fails."""

    connection_pool = property(lambda self: self)
    connection_kwargs = {"host": "s", "port": 9}  # noqa: RUF012 - never changed

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def execute_command(self, *_: object) -> object:
        """Answer."""
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def sentinels(*answers: object) -> Sentinels:
    """Return as many."""
    made: Any = Sentinels([])  # type: ignore[no-untyped-call]
    made.sentinels = [Made(answer) for answer in answers]
    return made  # type: ignore[no-any-return]


def test_the_first_that_knows_the_master_is_believed() -> None:
    """Others may be away, or not know it."""
    assert sentinels(AWAY, None, [b"new", b"2"], OLD).discover_master("demo") == NEW


@pytest.mark.parametrize("answers", [(OLD, NEW), (OLD, NEW, AWAY), (NEW, AWAY, AWAY, OLD)])
def test_a_minority_moves_no_leader(answers: tuple[object, ...]) -> None:
    """It may be cut off together with a former master."""
    assert not sentinels(*answers).most_name(NEW, "demo")


@pytest.mark.parametrize("answers", [(NEW,), (OLD, NEW, NEW), (NEW, AWAY, NEW)])
def test_a_majority_moves_the_leader(answers: tuple[object, ...]) -> None:
    """More than half of all, whoever is away."""
    assert sentinels(*answers).most_name(NEW, "demo")


def test_after_one_without_an_answer_another_one_is_asked() -> None:
    """A leader must not wait for the same one at each renewal."""
    some = sentinels(AWAY, NEW)
    assert [some.named_by_one("demo"), some.named_by_one("demo")] == [None, NEW]


@pytest.mark.parametrize(
    ("answers", "kind"), [((AWAY, AWAY), SentinelsAway), ((AWAY, REFUSES), SentinelsRefuse)]
)
def test_if_none_can_be_asked_each_reason_is_said(
    answers: tuple[object, ...], kind: type[Exception]
) -> None:
    """With the address."""
    with pytest.raises(kind, match="s:9 could not be asked: away; s:9 could not be asked: "):
        sentinels(*answers).discover_master("demo")
