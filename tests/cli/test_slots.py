"""--slots: how many there may be, and what it does not go with."""

import pytest
from cli.loading import error_of, load

from leaderexec.election import KINDS

LEASE = ("--lease", "demo")


def test_without_it_there_are_none() -> None:
    """One replica leads, as ever."""
    assert load(*LEASE).slots is None


def test_it_is_given_as_a_flag_or_as_a_variable() -> None:
    """One slot is a number, too."""
    assert load(*LEASE, "--slots", "1").slots == 1
    assert load("--lock-file", "L", LEADEREXEC_SLOTS="32").slots == 32


@pytest.mark.parametrize("text", ["0", "33", "-1", "two", "1.5", "٣", ""])
def test_other_numbers_are_refused(text: str) -> None:
    """And the error says which are allowed."""
    assert "a whole number from 1 to 32" in error_of(*LEASE, "--slots", text)


@pytest.mark.parametrize(
    "election",
    [
        ("--election", "off"),
        ("--sse-url", "http://localhost:1/sse"),
        ("--etcd", "http://localhost:1", "--etcd-key", "k"),
        ("--redis", "redis://localhost", "--redis-key", "k"),
        ("--postgres", "postgresql://localhost/a", "--postgres-name", "n"),
    ],
    ids=lambda words: words[0],
)
def test_kinds_with_one_leader_refuse_it(election: tuple[str, ...]) -> None:
    """With a clear word, and the kinds that can."""
    said = error_of(*election, "--slots", "2")
    assert "--slots is 2, and with --election" in said
    assert said.endswith("only one replica can lead; allowed: with --election file or lease")


def test_the_kinds_that_have_slots_are_these() -> None:
    """A new one has to say so, and then has to have a test."""
    assert [kind.name for kind in KINDS if kind.has_slots] == ["file", "lease"]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("--once", "--once-key", "v1"), "--once"),
        (("--warm",), "--warm"),
        (("--leader-label", "role=leader"), "--leader-label"),
    ],
)
def test_what_is_for_one_leader_does_not_go_with_it(words: tuple[str, ...], name: str) -> None:
    """The error names both, and why."""
    said = error_of(*LEASE, "--slots", "2", *words)
    assert said.startswith(f"--slots is 2, and {name} is set, but ")
    assert said.endswith("; leave one of them out")


def test_a_lease_s_name_leaves_room_for_the_slot_s_number() -> None:
    """The API server would refuse the slots' Leases, each time."""
    longest = ".".join(["a" * 62] * 4)[:250]
    assert load("--lease", longest, "--slots", "2").slots == 2
    assert "250 characters at most" in error_of("--lease", f"{longest}b", "--slots", "2")
    assert load("--lease", f"{longest}b").slots is None
