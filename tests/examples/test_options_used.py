"""leaderexec accepts everything that the examples pass to it."""

import re
import shlex
from pathlib import Path

import pytest
from examples.reading import ROOT, command_lines, configured, files, name_of

from leaderexec.config import settings as config

ELECTOR = {"ELECTOR_PATH": "localhost:4040"}
# Set by leaderexec for its command.
FOR_THE_COMMAND = {"LEADEREXEC_TERM", "LEADEREXEC_FENCE", "LEADEREXEC_LEADER", "LEADEREXEC_REPLICA"}
FOR_THE_COMMAND |= {"LEADEREXEC_GATE", "LEADEREXEC_EVENT", "LEADEREXEC_ROLE", "LEADEREXEC_REASON"}
FOR_THE_COMMAND |= {"LEADEREXEC_SLOT", "LEADEREXEC_SLOT_COUNT"}
NOT_IN_THE_TABLE = {
    *("is-leader", "check", "help", "manifest", "say-ready"),
    # The elector's, and the development elector's.
    *("election", "listen", "no-keyboard"),
    # redis-server's.
    *("appendonly", "maxmemory-policy", "requirepass"),
    # celery's, and the cron loop's job's.
    *("app", "pidfile", "schedule", "all"),
    # pip's and install's; docker's, systemctl's and kubectl's.
    *("eval", "no-cache-dir", "directory", "owner", "group"),
    *("file", "build", "signal", "now", "for", "target", "build-arg", "from"),
}

each_file = pytest.mark.parametrize("path", files(), ids=name_of)


@each_file
def test_leaderexec_reads_each_variable(path: Path) -> None:
    """Misspelt variables are ignored, so there must be none here."""
    used = set(re.findall(r"\bLEADEREXEC_[A-Z_]+", path.read_text()))
    assert used <= {option.variable for option in config.OPTIONS} | FOR_THE_COMMAND


@each_file
def test_each_command_line_is_accepted(path: Path) -> None:
    """By the real parser, including checks of combined values."""
    for words in command_lines(path):
        assert configured(words, ELECTOR).command


@pytest.mark.parametrize(
    "path", [path for path in files() if path.parent.name == "consumers"], ids=name_of
)
def test_each_consumer_says_how_to_run_it(path: Path) -> None:
    """Its header has exactly one command line, which runs this very file and is in the table."""
    (words,) = command_lines(path)
    assert path.stem in shlex.join(words)
    assert f"`{shlex.join(words)}`" in (ROOT / "README.md").read_text()


@each_file
def test_each_option_exists(path: Path) -> None:
    """In comments, too: leaderexec's own, or of another program that is listed above."""
    used = set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", path.read_text()))
    assert used <= {option.name for option in config.OPTIONS} | NOT_IN_THE_TABLE


def test_every_example_is_in_the_table() -> None:
    """The page's table is where users look first."""
    table = (ROOT / "README.md").read_text()
    missing = [
        name_of(path)
        for path in files()
        if name_of(path) != "README.md" and f"]({name_of(path)})" not in table
    ]
    assert not missing


def test_every_file_in_the_table_exists() -> None:
    """No link is broken."""
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
