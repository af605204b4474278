"""--once and its key: what is refused, and what is warned of."""

import pytest
from cli.loading import error_of, load

from leaderexec.config import options
from leaderexec.config import settings as config

FILE = ("--lock-file", "L")
LEASE = ("--lease", "demo")


@pytest.mark.parametrize("election", [FILE, LEASE])
def test_it_can_be_used_with_a_key(election: tuple[str, ...]) -> None:
    """As an option, or in a variable, as in an init container."""
    assert load(*election, "--once", "--once-key", "v1").done_key == "v1"
    by_variables = load(*election, LEADEREXEC_ONCE="1", LEADEREXEC_ONCE_KEY="v1")
    assert by_variables.done_key == "v1"
    assert by_variables.policy.once


def test_without_a_key_it_is_refused() -> None:
    """The next release could not be distinguished from this one."""
    assert "--once-key v1.4.2" in error_of(*FILE, "--once")


def test_a_key_alone_does_nothing_and_is_warned_of() -> None:
    """Like any option that has no effect."""
    assert load(*FILE, "--once-key", "v1").done_key is None
    given, _ = options.parse((*FILE, "--once-key", "v1"), config.OPTIONS)
    values = config.settle(given, {}, "host")
    assert "--once-key has no effect without --once" in config.warnings(values, {})


@pytest.mark.parametrize(
    "election",
    [
        ("--sse-url", "http://localhost:4040/sse"),
        ("--election", "off"),
        ("--etcd", "http://localhost:2379"),
        ("--postgres", "postgresql://localhost/db"),
        ("--redis", "redis://localhost", "--redis-key", "k"),
    ],
    ids=lambda words: words[0].strip("-"),
)
def test_it_is_refused_if_a_success_cannot_be_recorded(election: tuple[str, ...]) -> None:
    """With what to choose instead."""
    said = error_of(*election, "--once", "--once-key", "v1")
    assert "can't keep that the command has succeeded" in said
    assert "--election file or lease" in said


@pytest.mark.parametrize("key", ["", " ", "a b", "a\nb", "-v1", "x" * 129, "v1,v2", "\u00fc"])
def test_a_key_is_a_word(key: str) -> None:
    """Several are stored as one text."""
    assert "--once-key" in error_of(*FILE, "--once", "--once-key", key)


@pytest.mark.parametrize("key", ["v1.4.2", "sha256:0a1b", "app@v1+2", "2026-01-01", "a/b_c"])
def test_names_of_releases_and_images_are_keys(key: str) -> None:
    """Unchanged."""
    assert load(*FILE, "--once", "--once-key", key).done_key == key


def test_it_can_be_used_with_success_codes() -> None:
    """Even without --restart."""
    words = (*FILE, "--once", "--once-key", "v1", "--success-exit-status", "3")
    given, _ = options.parse(words, config.OPTIONS)
    assert config.warnings(config.settle(given, {}, "host"), {}) == ()
