"""``--election etcd`` as it is declared: what is accepted, refused, and shown."""

from pathlib import Path

import pytest

from leaderexec.config import options
from leaderexec.config.options import UsageError
from leaderexec.config.settings import OPTIONS, Config, load
from leaderexec.election import kind_called
from leaderexec.election.complaints import Trouble
from leaderexec.election.etcd import answers
from leaderexec.election.etcd.kind import EtcdSettings
from leaderexec.election.etcd.store import prefix_of

WORDS = ("--etcd", "https://a:2379,http://[::1]:1", "--etcd-key", "leaderexec/demo")


def config(*words: str) -> Config:
    """Read a command line."""
    given, _ = options.parse(words, OPTIONS)
    return load(given, ("true",), {}, "host")


def test_the_members_choose_the_kind() -> None:
    """As repeated options or as a list; each is one member."""
    found = config(*WORDS)
    assert found.election == "etcd"
    assert found.of(EtcdSettings).etcd == ("https://a:2379", "http://[::1]:1")
    assert found.takeover_delay == 0


@pytest.mark.parametrize(
    "text",
    [
        *("etcd:2379", "http://user:secret@etcd:2379", "http://etcd:99999", "ftp://etcd", ","),
        *("http://[.]:2379", "http://etcd/ä", "http://etcd/\x7f"),
    ],
)
def test_a_bad_member_is_refused(text: str) -> None:
    """With what is allowed."""
    with pytest.raises(UsageError, match="allowed: comma-separated URLs of members"):
        config("--etcd", text, "--etcd-key", "k")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--lease-duration", "20s"), r"21s = 10s \(--renew-deadline\) \+ 10s \(--grace-lost\)"),
        (("--retry-period", "9s"), "more than 1.2 x --retry-period"),
        (("--etcd-user", "me"), "only work together"),
        (("--etcd-cert-key", "key.pem"), "not --etcd-cert"),
    ],
)
def test_times_that_do_not_fit_together_are_refused(more: tuple[str, ...], said: str) -> None:
    """The sums are written out."""
    with pytest.raises(UsageError, match=said):
        config(*WORDS, *more)


def test_an_election_needs_a_name() -> None:
    """Two programs of one cluster must not share an election by accident."""
    with pytest.raises(UsageError, match="--etcd-key leaderexec/my-worker"):
        config(*WORDS[:2])


def test_unreadable_certificates_are_reported_before_the_start(tmp_path: Path) -> None:
    """With the name of the option."""
    found = config(*WORDS, "--etcd-ca", str(tmp_path / "none.pem"))
    with pytest.raises(UsageError, match="--etcd-ca"):
        kind_called("etcd").open(found, lambda _: None, None, lambda: 0.0)  # type: ignore[arg-type]


def test_the_overlaps_are_stated() -> None:
    """The expiry of a lease causes none."""
    causes = {one.cause: one.seconds for one in kind_called("etcd").overlaps(config(*WORDS))}
    assert causes == {"etcd-key-deleted": 12.0, "frozen-holder": None}


def test_an_elections_keys_are_below_its_name() -> None:
    """With one slash, so that no other election's keys have the same prefix."""
    assert prefix_of("a/b") == prefix_of("a/b/") == "a/b/"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (403, b'{"error":"etcdserver: permission denied"}', "forbidden"),
        (400, b'{"message":"etcdserver: user name is empty"}', "no-user"),
        (400, b'{"message":"etcdserver: authentication failed, invalid user ID or password"}',
         "bad-password"),
        (503, b'{"message":"etcdserver: no leader"}', "unavailable"),
        (500, b"oops", "unavailable"),
        (429, b'{"message":"etcdserver: too many requests"}', "unavailable"),
        (500, b'{"message":"etcdserver: mvcc: database space exceeded"}', "no-space"),
        (404, b"Not Found", "http-404"),
        (301, b"", "http-301"),
        (200, b"<html>", "broken-answer"),
        (200, b"[" * 100000, "broken-answer"),
        (200, b'{"error":{"grpc_code":14,"http_code":503,"message":"transport is closing"}}',
         "unavailable"),
        (200, b'{"error":{"http_code":"x","message":"what"}}', "http-0"),
    ],
)  # fmt: skip
def test_each_refusal_has_its_kind_and_a_remedy(status: int, body: bytes, kind: str) -> None:
    """However it is worded."""
    with pytest.raises(Trouble) as raised:
        answers.check(status, body, "k/")
    assert raised.value.kind == kind
    assert raised.value.remedy


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("etcdserver: invalid auth token", answers.TokenEnded),
        ("etcdserver: revision of auth store is old", answers.TokenEnded),
        ("etcdserver: requested lease not found", answers.NoLease),
        ("etcdserver: authentication is not enabled", answers.AuthOff),
    ],
)
def test_refusals_that_the_client_expects_are_recognized(said: str, kind: type[Trouble]) -> None:
    """The client handles it itself; where it does not expect it, it is trouble like any other."""
    found = answers.refusal(401, said, "k/")
    assert isinstance(found, kind)
    assert found.remedy
