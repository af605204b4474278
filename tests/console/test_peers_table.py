"""How all replicas are shown on a terminal."""

from typing import Any

from leaderexec.console.peers_table import table
from leaderexec.peers.replica import silent

MOMENT = "2026-11-23T10:11:12.000Z"


def replica(name: str, **changes: Any) -> dict[str, Any]:
    """Return a standby, as its /status is summarized."""
    standby = {
        "address": "10.0.0.1:8080",
        "identity": name,
        "role": "standby",
        "role_since": MOMENT,
        "reason": "another replica leads",
        "is_leader": False,
        "term": 2,
        "fence": None,
        "healthy": None,
        "unfit": None,
    }
    return standby | changes


def shown(*replicas: dict[str, Any], left_out: int = 0, width: int = 200) -> list[str]:
    """Return the lines of the table."""
    answers = {"summary": "In a sentence.", "replicas": list(replicas), "left_out": left_out}
    return table(answers, width, colours=False).splitlines()


def test_the_leader_and_unfit_replicas_are_marked_and_described_in_words() -> None:
    """Also for a reader without colours."""
    lines = shown(
        replica("app-a"),
        replica("app-b", is_leader=True, role="running", fence=17, healthy=True, reason="won"),
        replica("app-c", unfit="it has no contact with the election"),
        replica("app-d", is_leader=True, unfit="its command has not proved healthy"),
        silent("10.0.0.4:8080", "no answer within 2s"),
    )
    assert lines[:2] == ["In a sentence.", ""]
    assert [line[:3] for line in lines[3:]] == ["   ", "*  ", " ! ", "*! ", " ! "]
    words = [line.split() for line in lines[2:]]
    assert words[0] == ["REPLICA", "ROLE", "SINCE", "TERM", "FENCE", "HEALTH", "NOTE"]
    assert words[2][:3] == ["*", "app-b", "running"]
    assert words[2][-5:] == ["ago", "2", "17", "healthy", "won"]
    assert lines[5].endswith("UNFIT: it has no contact with the election")
    assert lines[7].endswith("UNFIT: no answer within 2s")
    assert "10.0.0.4:8080" in lines[7]


def test_the_columns_are_aligned() -> None:
    """However long a name is; a very long one is cut."""
    lines = shown(replica("a" * 200), replica("b"))
    assert len({line.index("another replica leads") for line in lines[3:]}) == 1
    assert "a" * 37 + "..." in lines[3]


def test_a_command_that_does_not_run_is_not_called_unhealthy() -> None:
    """A standby with a probe has nothing that could be healthy."""
    assert "not healthy" not in shown(replica("app-a", healthy=False))[3]
    assert "not healthy" in shown(replica("app-a", healthy=False, role="running"))[3]


def test_a_servers_answer_cannot_control_the_terminal() -> None:
    """Nor break the table."""
    lines = shown(replica("\x1b]0;title\x07", role_since="no time", reason="a\nb", role="\u202e"))
    assert len(lines) == 4
    assert all(line.isprintable() for line in lines)
    assert "\\x1b]0;title" in lines[3]


def test_lines_fit_the_terminal_and_replicas_that_were_not_asked_are_counted() -> None:
    """Nothing is wrapped."""
    lines = shown(replica("app-a", reason="x" * 300), left_out=3, width=60)
    assert max(map(len, lines)) == 60
    assert lines[-1] == "   and 3 more, which were not asked"
