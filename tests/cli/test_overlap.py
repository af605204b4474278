"""How long two commands can run at once, cause by cause."""

import re
from pathlib import Path

import pytest

from leaderexec.config import options
from leaderexec.config.settings import OPTIONS, Config, load
from leaderexec.election.kind import FROZEN_HOLDER, Overlap
from leaderexec.supervisor import startup_fields


def overlaps_of(config: Config) -> tuple[Overlap, ...]:
    """Ask the kind of election that was chosen."""
    return config.kind.overlaps(config)


def seconds(**given: str) -> dict[str, float | None]:
    """Return the overlap of each cause with these options."""
    words = {"sse-url": "http://h/sse"} | {
        name.replace("_", "-"): text for name, text in given.items()
    }
    return {one.cause: one.seconds for one in overlaps_of(load(words, ("true",), {}, "app-a"))}


def test_by_default_an_ordinary_move_has_no_overlap() -> None:
    """The delay is the peers' --grace-lost plus a second; what is learnt late still overlaps."""
    assert seconds() == {
        "move": 0.0,
        "lost-subscriber": 10 + 10 - 11,
        "dead-elector": 30 + 10 - 11,
        "partition": None,
        "forced-deletion": 25 - 11,
        "frozen-holder": None,
    }


def test_without_a_delay_the_whole_grace_overlaps() -> None:
    """For users who prefer speed."""
    assert seconds(takeover_delay="0s", grace_lost="4s")["move"] == 4.0


def test_a_forced_deletion_overlaps_by_grace_less_the_delay() -> None:
    """Its containers are stopped like any other pod's, and leadership does not wait for it."""
    given = {"grace": "14s", "grace_lost": "3s", "takeover_delay": "4s"}
    assert seconds(**given)["forced-deletion"] == 10.0


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ({"poll_interval": "off"}, "lost-subscriber"),
        ({"poll_interval": "off"}, "dead-elector"),
        ({"contact_timeout": "never"}, "dead-elector"),
    ],
)
def test_unnoticed_causes_have_no_bound_and_are_never_stated_as_none(
    given: dict[str, str], cause: str
) -> None:
    """An elector that hangs keeps its stream open."""
    assert seconds(**given)[cause] is None
    words = {"sse-url": "http://h/sse"} | {
        name.replace("_", "-"): text for name, text in given.items()
    }
    said = [str(one) for one in overlaps_of(load(words, ("true",), {}, "a")) if one.cause == cause]
    assert "no bound" in said[0]
    setting = " ".join(f"--{name.replace('_', '-')} {text}" for name, text in given.items())
    assert setting in said[0]


def test_a_lock_file_overlaps_only_if_it_is_removed_by_hand() -> None:
    """The kernel gives the lock to no other process before the last of the tree has ended."""
    config = load({"lock-file": "/x"}, ("true",), {}, "a")
    assert config.takeover_delay == 0.0
    assert [(one.cause, one.seconds) for one in config.kind.overlaps(config)] == [
        ("lock-file-removed", 20.0)
    ]


def test_a_warm_command_does_not_hold_the_lock() -> None:
    """It was started before there was one: if leaderexec is killed, the overlap has no bound."""
    config = load({"lock-file": "/x", "warm": "1"}, ("true",), {}, "a")
    said = {one.cause: str(one) for one in config.kind.overlaps(config)}
    assert "no bound" in said["leaderexec-killed"]


def test_a_lock_file_is_checked_even_without_polling() -> None:
    """There may be no inotify."""
    config = load({"lock-file": "/x", "poll-interval": "off"}, ("true",), {}, "a")
    assert [one.seconds for one in config.kind.overlaps(config)] == [20.0]


def test_the_example_without_overlaps_has_none() -> None:
    """Nor has the time that --grace allows a pod that is deleted by force. Nothing helps against a
    frozen leader."""
    page = (Path(__file__).parents[2] / "docs/graces.md").read_text()
    found = re.search(r"^    leaderexec (.* --takeover-delay .*) -- ", page, re.MULTILINE)
    assert found
    given, _ = options.parse(found[1].split(), OPTIONS)
    config = load(given | {"sse-url": "http://h/sse"}, ("true",), {}, "a")
    *others, frozen = config.kind.overlaps(config)
    assert frozen is FROZEN_HOLDER
    assert {one.seconds for one in others} == {0.0}


@pytest.mark.parametrize(
    ("given", "said"),
    [({}, "11s"), ({}, "--takeover-delay 0s"), ({"takeover_delay": "0s"}, "--takeover-delay auto")],
)
def test_the_cost_of_an_ordinary_move_is_shown_with_the_alternative(
    given: dict[str, str], said: str
) -> None:
    """At the start, and in --check."""
    words = {name.replace("_", "-"): text for name, text in given.items()}
    config = load(words | {"sse-url": "http://h/sse"}, ("true",), {}, "a")
    assert said in str(startup_fields(config)["ordinary_move"])


def test_off_promises_nothing() -> None:
    """Every replica runs the command."""
    assert overlaps_of(load({"election": "off"}, ("true",), {}, "a")) == ()
