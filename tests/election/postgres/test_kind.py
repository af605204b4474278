"""What this kind of election declares: its options, its sums, and what it shows of them."""

import json
import sys

import pytest

from leaderexec.config.options import UsageError
from leaderexec.config.settings import Config, load, settle, shown
from leaderexec.election.postgres.kind import Target
from leaderexec.election.postgres.lock import Name


def config(environ: dict[str, str] | None = None, **given: str) -> Config:
    """Return the configuration from these options."""
    words = {"postgres": "service", "postgres-name": "demo"}
    words |= {name.replace("_", "-"): text for name, text in given.items()}
    return load(words, ("true",), environ or {}, "host")


def refusal(**given: str) -> str:
    """Return why these options are refused."""
    with pytest.raises(UsageError) as caught:
        config(None, **given)
    return str(caught.value)


def test_leadership_ends_at_the_renew_deadline_and_no_delay_is_added() -> None:
    """A winner waits as the row says."""
    ours = config(renew_deadline="9s")
    assert ours.policy.contact.timeout == 9.0
    assert ours.takeover_delay == 0.0


def test_an_election_without_a_name_is_refused() -> None:
    """Two programs in one database would be rivals."""
    with pytest.raises(UsageError, match="--postgres-name my-worker"):
        load({"postgres": "service"}, ("true",), {}, "host")


def test_a_deadline_without_room_for_a_second_try_is_refused() -> None:
    """With the sum."""
    assert "1.2 x --retry-period (9s)" in refusal(retry_period="9s")


def test_a_row_that_may_expire_too_soon_is_refused_with_the_sum() -> None:
    """A session lock has no duration."""
    assert "23s = 10s (--renew-deadline) + 12s" in refusal(postgres_lock="row", grace_lost="12s")
    assert config(grace_lost="12s").grace_lost == 12.0


def test_libpqs_variables_never_choose_the_kind() -> None:
    """Nor do they affect any other kind."""
    environ = {"PGHOST": "h", "PGSERVICE": "s", "PGDATABASE": "d"}
    with pytest.raises(UsageError, match="no kind of election is set"):
        settle({}, environ, "host")
    with pytest.raises(UsageError, match="no --postgres URL is set"):
        settle({"election": "postgres"}, environ, "host")


def test_overlaps_that_cannot_be_prevented_are_never_stated_as_none() -> None:
    """Cause by cause."""
    ours = config()
    found = {one.cause: one.seconds for one in ours.kind.overlaps(ours)}
    assert found == {"session-ended": 10.0, "split-brain": None, "frozen-holder": None}
    careful = config(takeover_delay="10s")
    assert {one.cause: one.seconds for one in careful.kind.overlaps(careful)}["session-ended"] == 0
    by_row = config(postgres_lock="row")
    assert {one.cause for one in by_row.kind.overlaps(by_row)} >= {"row-edited"}


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("postgresql://u:s3cr3t@h/d", "postgresql://u:***@h/d"),
        ("postgres://u:s3cr3t@h1,h2:5433/d?x=1", "postgres://u:***@h1,h2:5433/d?x=1"),
        ("postgresql://u:s3cr3t@s3cr3t/@h/d", "postgresql://u:***@h/d"),
        ("postgresql://h/d?user=u&password=s3cr3t&x=1", "postgresql://h/d?user=u&password=***&x=1"),
        ("postgresql://h/d?sslpassword=s3cr3t", "postgresql://h/d?sslpassword=***"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql:///d", "postgresql:///d"),
        ("host=h password=s3cr3t user=u", "host=h password=*** user=u"),
        (r"password = 's3cr3t \' s3cr3t' host=h", "password = *** host=h"),
        ("host=h sslpassword=s3cr3t", "host=h sslpassword=***"),
        ("service-name", "service-name"),
    ],
)
def test_no_password_is_ever_shown(text: str, seen: str) -> None:
    """Not in the configuration, not in the start-up line, not in a debugger."""
    assert str(Target(text)) == seen
    values = settle({"postgres": text, "postgres-name": "demo"}, {}, "host")
    ours = load({"postgres": text, "postgres-name": "demo"}, ("true",), {}, "host")
    everything = f"{shown(values)}{json.dumps(ours.kind.startup_fields(ours))}{values}"
    assert "s3cr3t" not in everything
    assert seen in shown(values)["postgres"]


def test_a_bare_word_is_a_service() -> None:
    """From libpq's service file."""
    assert Target("mine").conninfo == "service=mine"
    assert Target("host=h").conninfo == "host=h"
    assert Target("postgresql://h").conninfo == "postgresql://h"


def test_each_name_has_its_own_lock() -> None:
    """The same on every replica, and within the range of a bigint."""
    assert Name("demo").key == Name("demo").key != Name("demo2").key
    for number in range(100):
        assert -(2**63) <= Name(f"{number}").key < 2**63
        assert Name(f"{number}").channel.isidentifier()


def test_without_psycopg_the_error_has_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the source is opened, and when it is queried."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    ours = config()
    with pytest.raises(UsageError, match=r"pip install 'leaderexec\[postgres\]'"):
        ours.kind.open(ours, print, None, float)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"pip install 'leaderexec\[postgres\]'"):
        ours.kind.ask(ours, was_named=True)
