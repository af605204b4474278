"""How a running wrapper is shown on a terminal."""

import copy
from typing import Any

from leaderexec.console.render import duration, picture

SINCE = "2026-11-23T10:11:12.000Z"
AGO = {SINCE: 3725.0}
LEADING: dict[str, Any] = {
    "version": "1.2.3",
    "identity": "app-a",
    "is_leader": True,
    "leader": "app-a",
    "confirmed": True,
    "since": SINCE,
    "fence": None,
    "healthy": None,
    "term": 3,
    "election": "elector",
    "role": "running",
    "role_since": SINCE,
    "reason": "won leadership",
    "contact": {
        "last": SINCE,
        "age_seconds": 2.13,
        "announcement_age_seconds": 3725.0,
        "timeout_seconds": 30.0,
        "stream_open": True,
        "troubles": [],
    },
    "command": {
        "arguments": ["python", "worker.py"],
        "pid": 12,
        "started": SINCE,
        "last_code": None,
        "starts": 2,
        "restarts_in_a_row": 0,
        "starts_in_seconds": None,
        "killed_in_seconds": None,
    },
    "hook": None,
    "tree": [
        {
            "pid": 12,
            "parent": 7,
            "state": "sleeping",
            "command": "python worker.py",
            "resident_memory_bytes": 34_100_000,
            "cpu_seconds": 72.34,
        },
        {
            "pid": 13,
            "parent": 12,
            "state": "running",
            "command": "gzip -9",
            "resident_memory_bytes": 1_000_000,
            "cpu_seconds": 0.0,
        },
    ],
    "transitions": [
        {
            "at": SINCE,
            "from": "standby",
            "to": "running",
            "term": 3,
            "reason": "won leadership",
            "after_seconds": 1.0,
        }
    ],
}


def changed(**fields: Any) -> dict[str, Any]:
    """Return the status with some fields changed."""
    status = copy.deepcopy(LEADING)
    for name, value in fields.items():
        part, _, field = name.partition("__")
        if field:
            status[part][field] = value
        else:
            status[name] = value
    return status


def test_the_leader_is_shown_completely() -> None:
    """The leader, contact, the command with its tree, recent transitions with the newest first."""
    assert (
        picture(LEADING, AGO, 100, colours=False)
        == """\
app-a   leaderexec 1.2.3

  leader    app-a (this replica)   since 10:11:12Z, 1h 2m ago
  contact   confirmed   heard 2.1s ago, announced 1h 2m ago, timeout 30s, stream open
  role      running   since 10:11:12Z, 1h 2m ago: won leadership
  term      3
  command   python worker.py   pid 12, started 10:11:12Z, 1h 2m ago, 2 starts

      PID  STATE           CPU     MEMORY  COMMAND
       12  sleeping     1:12.3    34.1 MB  python worker.py
       13  running      0:00.0     1.0 MB  └─ gzip -9

  TIME      FROM       TO         TERM  REASON
  10:11:12  standby    running       3  won leadership
"""
    )


def test_a_standby_without_contact_stands_out() -> None:
    """In red, and with the time of the last contact."""
    status = changed(
        is_leader=False,
        leader=None,
        confirmed=False,
        since=None,
        role="standby",
        tree=[],
        contact__age_seconds=None,
        contact__announcement_age_seconds=None,
        contact__timeout_seconds=None,
        contact__stream_open=False,
        command__pid=None,
        transitions=[],
    )
    drawn = picture(status, AGO, 100, colours=True)
    assert "\x1b[31mUNCONFIRMED\x1b[0m" in drawn
    assert "never heard, never announced, no timeout, stream closed" in drawn
    assert "no leader is known" in drawn
    assert "COMMAND" not in drawn


def test_the_api_servers_answer_has_a_line_if_it_is_asked() -> None:
    """It stands out if it differs from the elector."""
    lease: dict[str, object] = {"name": "demo", "confirms": True, "refused": False, "fence": 4711}
    drawn: dict[str, dict[str, object]] = {
        "confirms the leader   demo, fence 4711": {},
        "DOES NOT CONFIRM THE LEADER   demo": {"confirms": False, "fence": None},
        "not known yet   demo": {"confirms": None, "fence": None},
        "may not be read   demo": {"confirms": None, "refused": True, "fence": None},
    }
    for line, other in drawn.items():
        said = picture(changed(lease=lease | other), AGO, 100, colours=False)
        assert f"  lease     {line}\n" in said
    assert "  lease  " not in picture(changed(lease=None), AGO, 100, colours=False)


def test_deadlines_hooks_and_exit_codes_are_shown_if_there_are_any() -> None:
    """What will happen next, and what happened last."""
    drawn = picture(
        changed(command__starts_in_seconds=1.5, command__last_code=3, command__pid=None),
        AGO,
        200,
        colours=False,
    )
    assert "starts in 1.5s, last ended with 3" in drawn
    drawn = picture(
        changed(hook="on-stop", command__killed_in_seconds=12.0), AGO, 200, colours=False
    )
    assert "--on-stop runs, killed in 12s" in drawn
    assert "contact   confirmed   election file" in picture(
        changed(election="file"), AGO, 200, colours=False
    )


def test_what_is_to_be_done_once_has_a_line() -> None:
    """With its key; without --once there is no such line."""
    for done, word in ((True, "done"), (False, "not done yet")):
        drawn = picture(changed(once={"key": "v1", "done": done}), AGO, 100, colours=False)
        assert f"  once      v1: {word}\n" in drawn
    assert "  once  " not in picture(changed(once=None), AGO, 100, colours=False)


def test_who_holds_which_slot_has_a_line() -> None:
    """What this replica holds itself is its own word; without --slots there is none."""
    drawn = picture(changed(slots=["x", None, None], slot=1, fence=7), AGO, 100, colours=False)
    assert "  slots     0: x, 1: app-a, 2: free\n" in drawn
    assert "  term      3 (slot 1, fence 7)\n" in drawn
    standby = changed(slots=["x", "y"], slot=None, is_leader=False, leader=None)
    assert "  slots     0: x, 1: y\n" in picture(standby, AGO, 100, colours=False)
    assert "  slots  " not in picture(changed(slots=None), AGO, 100, colours=False)


def test_long_lines_of_the_tables_are_cut_at_the_terminals_edge() -> None:
    """So that a row stays a row."""
    status = changed()
    status["tree"][0]["command"] = "x" * 500
    status["transitions"][0]["reason"] = "y" * 500
    table = picture(status, AGO, 60, colours=False).split("\n\n", 2)[2]
    assert max(map(len, table.splitlines())) == 60


def test_durations_have_their_two_largest_units() -> None:
    """More digits say nothing."""
    assert [duration(seconds) for seconds in (0, 9.96, 10, 61, 3600, 90_061)] == [
        "0.0s",
        "10.0s",
        "10s",
        "1m 1s",
        "1h 0m",
        "1d 1h",
    ]


def test_processes_names_cannot_control_the_terminal() -> None:
    """Such as a name set by prctl(2), or a script of many lines as an argument."""
    status = copy.deepcopy(LEADING)
    status["tree"][0]["command"] = "[\x1b]0;title\x07]"
    status["command"]["arguments"] = ["sh", "-c", "a\n\x9b2Jb"]
    status["reason"] = "\u202eevil"
    shown = picture(status, AGO, 100, colours=False)
    assert shown.replace("\n", "").isprintable()
    assert shown.count("\n") == picture(LEADING, AGO, 100, colours=False).count("\n")
    assert "[\\x1b]0;title\\x07]" in shown


def test_a_probed_command_is_healthy_or_not_yet() -> None:
    """Without a probe, nothing is shown."""
    for healthy, said in ((None, False), (False, True), (True, True)):
        status = {**copy.deepcopy(LEADING), "healthy": healthy}
        text = picture(status, AGO, 200, colours=False)
        assert ("healthy" in text) is said
        assert ("not healthy yet" in text) is (healthy is False)


def test_a_warm_command_waits_ready_or_not_yet() -> None:
    """Its probes have not begun, whatever their result would be."""
    for warm, said in (("ready", "warm, and ready to lead"), ("starting", "warming up")):
        status = {**copy.deepcopy(LEADING), "warm": warm, "role": "standby", "healthy": False}
        text = picture(status, AGO, 120, colours=False)
        assert said in text
        assert "healthy" not in text
