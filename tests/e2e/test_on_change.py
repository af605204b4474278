"""--on-change: a program is told each change, and delays nothing."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from apiserver import ApiServer
from e2e.test_election import replica
from e2e.test_health import QUICK, get
from support import Wrapper, alive, wait_for

from leaderexec.config.options import listen_address
from leaderexec_elector.running import RunningElector

Start = Callable[..., Wrapper]
SAYS = (
    'echo "$LEADEREXEC_EVENT, $LEADEREXEC_ROLE, $LEADEREXEC_LEADER, $LEADEREXEC_TERM,'
    ' $LEADEREXEC_HEALTHY" >> "$SAID"\n'
)
WAITS = 'while [ ! -e "$GO" ]; do sleep 0.02; done\n'
# Writes its pid, and stays.
HANGS = "trap '' TERM; echo $$ >> \"$PIDS\"; exec sleep 600\n"
FOR_EVER = ("--on-change-timeout", "1h", "--grace", "1h", "--grace-lost", "1h")
SLEEP = ("--", "sleep", "600")


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, str]:
    """Where the scripts write, and what they wait for."""
    return {name: str(tmp_path / name) for name in ("SAID", "PIDS", "GO", "SCRIPT")}


def tells(paths: dict[str, str], script: str) -> tuple[str, ...]:
    """Return the option that has a shell run this."""
    Path(paths["SCRIPT"]).write_text(script)
    return ("--on-change", f"sh {paths['SCRIPT']}")


def lines(path: str) -> list[str]:
    """Return the lines of a file that may not be there yet."""
    return Path(path).read_text().splitlines() if os.path.exists(path) else []


def hanging(paths: dict[str, str]) -> int:
    """Wait until the program hangs, for the first time; return its pid."""
    wait_for(lambda: lines(paths["PIDS"]))
    (pid,) = lines(paths["PIDS"])
    return int(pid)


def counts(wrapper: Wrapper) -> dict[str, float]:
    """Return what became of the changes, by /metrics."""
    port = listen_address(wrapper.log("http listening")["address"]).port
    name = 'leaderexec_on_change_total{outcome="'
    found = [line.split() for line in get(port, "/metrics")[1].splitlines() if name in line]
    return {word.removeprefix(name).removesuffix('"}'): float(value) for word, value in found}


def test_it_is_told_of_leader_role_and_health(
    leaderexec: Start, elector: RunningElector, paths: dict[str, str]
) -> None:
    """On standby, as leader, and when it stops; by its environment."""
    ends_late = f"trap 'told=1' TERM; while [ ! \"$told\" ]; do sleep 0.02; done; {WAITS}"
    wrapper = replica(
        leaderexec,
        elector,
        *(*tells(paths, SAYS), *QUICK, "--grace", "1h"),
        *("--health-cmd", "true", "--", "sh", "-c", ends_late),
        env=paths,
    )
    wait_for(lambda: lines(paths["SAID"]) == ["leader, standby, other, 0, 0"])
    elector.lead("app-a")
    wait_for(lambda: lines(paths["SAID"])[-1].endswith(", running, app-a, 1, 1"))
    changed = {word for line in lines(paths["SAID"])[1:] for word in line.partition(",")[0].split()}
    assert changed == {"leader", "role", "health"}
    wrapper.send(signal.SIGTERM)
    wait_for(lambda: lines(paths["SAID"])[-1] == "role health, stopping, app-a, 1, 0")
    Path(paths["GO"]).touch()
    assert wrapper.wait() == 0


@pytest.fixture(params=["off", "file", "lease"])
def election(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """The words that choose another election."""
    if request.param == "off":
        yield ("--election", "off")
    elif request.param == "file":
        yield ("--lock-file", str(tmp_path / "lock"))
    else:
        with ApiServer() as server:
            server.add("demo")
            yield ("--lease", "demo", "--api-server", server.url)


def test_it_gets_what_hooks_get_in_every_kind_of_election(
    leaderexec: Start, election: tuple[str, ...], paths: dict[str, str]
) -> None:
    """And nothing that is the command's: no terminal, no input, no lock."""
    script = 'env > "$SAID.new"; ls -l /proc/$$/fd >> "$SAID.new"; mv "$SAID.new" "$SAID"\n'
    words = (*election, "--identity", "a", *tells(paths, script), *SLEEP)
    wrapper = leaderexec(*words, env=paths)
    wait_for(lambda: "LEADEREXEC_ROLE=running" in lines(paths["SAID"]))
    told = {line.partition("=")[0]: line.partition("=")[2] for line in lines(paths["SAID"])}
    assert told["LEADEREXEC_HOOK"] == "on-change"
    assert told["LEADEREXEC_REPLICA"] == told["LEADEREXEC_LEADER"] == "a"
    assert told["LEADEREXEC_TERM"] == "1"
    assert told["LEADEREXEC_HEALTHY"] == told["LEADEREXEC_EXIT_CODE"] == ""
    assert told["LEADEREXEC_REASON"] == "won leadership"
    assert told.get("LEADEREXEC_FENCE", "None") == str(wrapper.log("command started").get("fence"))
    assert not [line for line in lines(paths["SAID"]) if line.endswith("/lock")]


def test_with_slots_it_gets_the_one_that_this_replica_holds(
    leaderexec: Start, paths: dict[str, str], tmp_path: Path
) -> None:
    """Its fence says nothing without it."""
    script = 'env > "$SAID.new"; mv "$SAID.new" "$SAID"\n'
    slots = ("--lock-file", str(tmp_path / "lock"), "--slots", "2")
    wrapper = leaderexec(*slots, *tells(paths, script), *SLEEP, env=paths)
    wait_for(lambda: "LEADEREXEC_ROLE=running" in lines(paths["SAID"]))
    slot = wrapper.log("command started")["slot"]
    assert {f"LEADEREXEC_SLOT={slot}", "LEADEREXEC_SLOT_COUNT=2"} <= {*lines(paths["SAID"])}


def test_one_that_hangs_delays_no_start_no_stop_and_no_end(
    leaderexec: Start, elector: RunningElector, paths: dict[str, str]
) -> None:
    """However long it may take; it is none of the command's processes, and is killed at the end."""
    wrapper = replica(
        leaderexec,
        elector,
        *(*tells(paths, HANGS), *FOR_EVER, "--restart", "always"),
        *("--on-stop", "true", "--", "sh", "-c", "(setsid sleep 600 &); echo up; exec sleep 600"),
        env=paths,
    )
    pid = hanging(paths)
    for term in (1, 2):
        elector.lead("app-a")
        wrapper.output("up", count=term)
        elector.lead("other")
        wrapper.log("transition", to="standby", count=term)
    elector.lead("app-a")
    wrapper.output("up", count=3)
    os.kill(wrapper.command_pid(term=3), signal.SIGTERM)
    wrapper.log("command started", count=2, term=3)
    assert alive(pid)
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 143
    assert lines(paths["PIDS"]) == [str(pid)]
    assert not alive(pid)
    assert not wrapper.events("killed")
    assert not wrapper.events("change not told")


def test_the_kill_of_a_command_s_tree_passes_it_by(
    leaderexec: Start, elector: RunningElector, paths: dict[str, str]
) -> None:
    """And what the command has left behind is waited for beside it."""
    stays = "trap '' TERM; echo up; while :; do sleep 0.02; done"
    wrapper = replica(
        leaderexec,
        elector,
        *(*tells(paths, HANGS), *FOR_EVER, "--grace-lost", "100ms"),
        *("--", "sh", "-c", f'setsid sh -c "{stays}" & exec sleep 600'),
        env=paths,
    )
    pid = hanging(paths)
    elector.lead("app-a")
    wrapper.output("up")
    elector.lead("other")
    wrapper.log("killed")
    wrapper.log("transition", to="standby")
    assert alive(pid)


def test_what_the_command_leaves_behind_is_not_overlooked_beside_it(
    leaderexec: Start, elector: RunningElector, paths: dict[str, str]
) -> None:
    """Nothing is started before the last of it has ended."""
    stays = f"trap '' TERM; echo up; {WAITS}"
    wrapper = replica(
        leaderexec,
        elector,
        *(*tells(paths, HANGS), *FOR_EVER),
        *("--", "sh", "-c", 'setsid sh -c "$STAYS" & exec sleep 600'),
        env=paths | {"STAYS": stays},
    )
    hanging(paths)
    elector.lead("app-a")
    wrapper.output("up")
    elector.lead("other")
    wrapper.log("command ended")
    elector.lead("app-a")
    wrapper.log("leader changed", to="app-a", count=2)
    assert not wrapper.events("command started", term=2)
    Path(paths["GO"]).touch()
    wrapper.log("command started", term=2)


def test_of_the_changes_that_come_while_it_runs_only_the_newest_is_told(
    leaderexec: Start, elector: RunningElector, paths: dict[str, str]
) -> None:
    """With all that has changed since the last one; the others are counted."""
    wrapper = replica(
        leaderexec,
        elector,
        *(*tells(paths, SAYS + WAITS), "--http", "127.0.0.1:0", *SLEEP),
        env=paths,
    )
    wait_for(lambda: lines(paths["SAID"]) == ["leader, standby, other, 0, "])
    for name in ("x", "y", "app-a"):
        elector.lead(name)
        wrapper.log("leader changed", to=name)
    wrapper.log("command started")
    Path(paths["GO"]).touch()
    wait_for(lambda: counts(wrapper)["told"] == 2)
    assert lines(paths["SAID"])[1:] == ["leader role, running, app-a, 1, "]
    assert counts(wrapper) == {"told": 2, "failed": 0, "dropped": 2}


def test_one_that_fails_is_logged_with_its_last_lines(
    leaderexec: Start, paths: dict[str, str]
) -> None:
    """And counted."""
    wrapper = leaderexec(
        *("--election", "off", "--identity", "a", "--http", "127.0.0.1:0"),
        *(*tells(paths, "seq 9; echo no network >&2; exit 3"), *SLEEP),
    )
    failed = wrapper.log("change not told")
    assert failed["what"] == "leader role"
    assert failed["role"] == "running"
    assert failed["reason"] == "--on-change ended with 3"
    assert failed["output"] == ["8", "9", "no network"]
    wait_for(lambda: counts(wrapper) == {"told": 0, "failed": 1, "dropped": 0})


def test_one_that_takes_too_long_is_killed_and_the_newest_change_is_told(
    leaderexec: Start, elector: RunningElector, paths: dict[str, str]
) -> None:
    """With its process group."""
    script = f'[ -e "$PIDS" ] && {{ {SAYS} exit; }}\nsleep 600 & {HANGS}'
    wrapper = replica(
        leaderexec,
        elector,
        *(*tells(paths, script), "--on-change-timeout", "2s", *SLEEP),
        env=paths,
    )
    pid = hanging(paths)
    elector.lead("app-a")
    assert wrapper.log("change not told")["reason"] == "--on-change took longer than 2s"
    wait_for(lambda: lines(paths["SAID"]) == ["leader role, running, app-a, 1, "])
    assert not alive(pid)
    assert len(wrapper.events("change not told")) == 1


def test_one_that_runs_when_leaderexec_is_killed_is_killed_with_it(
    leaderexec: Start, paths: dict[str, str], tmp_path: Path
) -> None:
    """By the kernel: no one is left to bound it."""
    lock = ("--lock-file", str(tmp_path / "lock"))
    wrapper = leaderexec(*lock, *tells(paths, HANGS), *FOR_EVER, *SLEEP, env=paths)
    pids = (hanging(paths), wrapper.command_pid())
    os.kill(wrapper.pid, signal.SIGKILL)
    wait_for(lambda: not any(map(alive, pids)))


def test_a_program_that_is_not_there_is_a_usage_error(leaderexec: Start) -> None:
    """Before the election."""
    wrapper = leaderexec("--election", "off", "--on-change", "no-such-hook -x", "--", "true")
    assert wrapper.wait() == 125
    assert "--on-change is 'no-such-hook', but" in wrapper.plain[0]


BLIND = """
import sys
from leaderexec.__main__ import main
from leaderexec.process import tree
tree.children = lambda: None
sys.argv = ["leaderexec", *sys.argv[1:]]
main()
"""


def test_where_the_end_of_the_tree_could_not_be_seen_it_is_refused(leaderexec: Start) -> None:
    """On a kernel that does not list a process's children."""
    words = ("--election", "off", "--on-change", "true", "--", "true")
    wrapper = leaderexec(*words, program=(sys.executable, "-c", BLIND))
    assert wrapper.wait() == 125
    assert "--on-change is set, but /proc does not list" in wrapper.plain[0]
