"""KEY=VALUE has to be a valid Kubernetes label; errors say what is wrong with it."""

import pytest

from leaderexec.config.options import UsageError, label
from leaderexec.config.settings import load
from leaderexec.election import identity


@pytest.mark.parametrize(
    "text", ["role=leader", "a=1", "x.y/z_-.0=A.b_c-9", f"{'k' * 63}={'v' * 63}", "a.b-c/d=e"]
)
def test_labels_are_read_unchanged(text: str) -> None:
    """With a prefix or without."""
    assert str(label(text)) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("leader", "there is no ="),
        ("=leader", "the key's name ''"),
        ("role=", "the value ''"),
        ("role=a=b", "the value 'a=b'"),
        ("role=-a", "the value '-a'"),
        ("role=a b", "the value 'a b'"),
        ("role=a\n", "the value 'a\\n'"),
        ("röle=a", "the key's name 'röle'"),
        (f"{'k' * 64}=v", "the key's name"),
        (f"k={'v' * 64}", "the value"),
        ("Prefix/k=v", "the key's prefix 'Prefix'"),
        ("/k=v", "the key's prefix ''"),
        ("a..b/k=v", "the key's prefix 'a..b'"),
        ("a/b/k=v", "the key's prefix 'a/b'"),
        (f"{'a' * 254}/k=v", "the key's prefix"),
    ],
)
def test_a_bad_label_is_refused_with_the_reason(text: str, reason: str) -> None:
    """By option, value and what is allowed."""
    with pytest.raises(UsageError) as caught:
        load({"lease": "demo", "leader-label": text}, ("true",), {}, "host")
    for part in ("--leader-label is ", "allowed: KEY=VALUE", reason):
        assert part in str(caught.value)


def test_without_a_token_the_pod_is_named_by_the_identity_or_the_hostname() -> None:
    """The default identity is not a Pod's name."""
    assert identity.pod_name("worker-0", "host", "/none") == "worker-0"
    assert identity.pod_name("host_0a1b2c3d", "host", "/none") == "host"
