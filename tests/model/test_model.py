"""The timing rules of the Lease and of PostgreSQL's lock, by models of which spin searches every
history."""

import shutil

import pytest
from model import models

pytestmark = [
    pytest.mark.apart,
    pytest.mark.skipif(shutil.which("spin") is None, reason="spin is not installed"),
]
SHORT = ("DEADLINE=2", "GRACE=1")


@pytest.mark.parametrize("model", models.MODELS)
def test_by_the_rule_there_are_never_two_commands(model: str) -> None:
    """Whatever is slow, lost or late, and wherever the holder pauses."""
    found = models.checked(model, "", SHORT)
    assert not found.two_at_once
    assert found.states > 1_000


@pytest.mark.parametrize(
    ("model", "left_out"),
    [(model, name) for model, parts in models.MODELS.items() for name in parts if name],
)
def test_without_any_part_of_it_there_can_be_two(model: str, left_out: str) -> None:
    """So each part is needed; and a frozen holder needs a fence."""
    assert models.checked(model, left_out, SHORT).two_at_once
