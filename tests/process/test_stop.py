"""A stop ends the whole tree, within its deadline, and never anything else."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from support import Wrapper, alive, wait_for

Start = Callable[..., Wrapper]
OFF = ("--election", "off")

# Prints a line "NAME PID" for each process, once it is ready.
READY = "echo $0 $$;"
FOREVER = "while :; do sleep 0.05; done"


def pid_of(wrapper: Wrapper, name: str) -> int:
    """Wait for a process of the tree to print its pid."""

    def find() -> int:
        found = [line.split()[1] for line in wrapper.out if line.startswith(f"{name} ")]
        return int(found[0]) if found else 0

    return wait_for(find, f"{name} to be ready, got {wrapper.out}")


def test_term_stops_the_command_and_its_code_is_ours(leaderexec: Start) -> None:
    wrapper = leaderexec(*OFF, "--", "sh", "-c", f"trap 'exit 33' TERM; echo up; {FOREVER}")
    wrapper.output("up")
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 33


def test_int_stops_the_command_with_the_stop_signal(leaderexec: Start) -> None:
    """Whichever of the two orders we get, the command gets `--stop-signal`."""
    wrapper = leaderexec(
        *OFF, "--stop-signal", "USR1", "--", "sh", "-c", f"trap 'exit 34' USR1; echo up; {FOREVER}"
    )
    wrapper.output("up")
    wrapper.send(signal.SIGINT)
    assert wrapper.wait() == 34


def test_a_command_that_ignores_term_is_killed_after_the_grace(leaderexec: Start) -> None:
    """Exit code 137, and the log says why."""
    wrapper = leaderexec(
        *OFF, "--grace", "200ms", "--", "sh", "-c", f"trap '' TERM; echo up; {FOREVER}"
    )
    wrapper.output("up")
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 137
    assert wrapper.log("transition", to="killing")["reason"] == "grace period expired"


def test_a_second_term_reaches_the_command(leaderexec: Start) -> None:
    """As a second Ctrl-C would; the deadline stays the same."""
    wrapper = leaderexec(
        *OFF,
        "--",
        "sh",
        "-c",
        f"trap 'trap \"exit 35\" TERM; echo first' TERM; echo up; {FOREVER}",
    )
    wrapper.output("up")
    wrapper.send(signal.SIGTERM)
    wrapper.output("first")
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 35


def test_the_stop_signal_goes_to_the_command_before_its_children(leaderexec: Start) -> None:
    """Prefork servers stop their workers themselves."""
    child = f"trap 'echo child told' TERM; {READY} {FOREVER}"
    script = """
        sh -c "$CHILD" child &
        trap 'echo parent told; kill -KILL $!; wait; exit 0' TERM
        echo up
        while :; do wait; done
    """
    wrapper = leaderexec(*OFF, "--", "sh", "-c", script, env={"CHILD": child})
    wrapper.output("up")
    pid_of(wrapper, "child")
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 0
    wrapper.output("parent told")
    assert "child told" not in wrapper.out


def test_processes_left_by_the_command_get_the_stop_signal_next(leaderexec: Start) -> None:
    """Leftovers may stop properly, too."""
    left = f"trap 'echo left told; exit 0' TERM; {READY} {FOREVER}"
    wrapper = leaderexec(
        *OFF, "--", "sh", "-c", f'sh -c "$LEFT" left & {FOREVER}', env={"LEFT": left}
    )
    pid_of(wrapper, "left")
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 143
    wrapper.output("left told")


@pytest.mark.parametrize(
    ("kind", "start"),
    [
        ("child", 'sh -c "$LEFT" left &'),
        ("setsid", 'setsid sh -c "$LEFT" left &'),
        ("double fork", '(setsid sh -c "$LEFT" left &) &'),
        ("grandchild", "sh -c 'sh -c \"$LEFT\" left & wait; sleep 100' &"),
    ],
)
@pytest.mark.parametrize("by_itself", [False, True])
def test_descendants_that_ignore_term_are_killed_after_the_grace(
    leaderexec: Start, kind: str, start: str, by_itself: bool
) -> None:
    """However they hid, and whether the command was stopped or exited on its own."""
    left = f"trap '' TERM INT HUP; {READY} {FOREVER}"
    after = "echo done; read line; exit 5" if by_itself else FOREVER
    wrapper = leaderexec(
        *OFF,
        "--grace",
        "300ms",
        "--",
        "sh",
        "-c",
        f"{start} {after}",
        env={"LEFT": left},
        stdin=-1,
    )
    escapee = pid_of(wrapper, "left")
    if by_itself:
        assert wrapper.process.stdin is not None
        wrapper.process.stdin.close()
    else:
        wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == (5 if by_itself else 143), kind
    assert not alive(escapee)


def test_a_frozen_command_wakes_up_to_get_its_stop_signal(leaderexec: Start) -> None:
    """SIGSTOP must not prevent a graceful stop."""
    wrapper = leaderexec(*OFF, "--", "sh", "-c", f"trap 'exit 36' TERM; echo up; {FOREVER}")
    wrapper.output("up")
    pid = wrapper.command_pid()
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 36


def test_a_frozen_leftover_that_ignores_term_is_killed(leaderexec: Start) -> None:
    """KILL ends a frozen process, too."""
    left = f"trap '' TERM CONT; {READY} kill -STOP $$; {FOREVER}"
    wrapper = leaderexec(
        *OFF,
        "--grace",
        "300ms",
        "--",
        "sh",
        "-c",
        f'setsid sh -c "$LEFT" left & {FOREVER}',
        env={"LEFT": left},
    )
    escapee = pid_of(wrapper, "left")
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 143
    assert not alive(escapee)


HOPPER = """
import os, signal, sys
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
print("hopping", flush=True)
while True:
    if os.fork():
        os._exit(0)
"""


def test_a_process_that_forks_and_exits_in_a_loop_is_caught(leaderexec: Start) -> None:
    """Each look finds another pid; only its group can be killed."""
    wrapper = leaderexec(
        *OFF,
        "--grace",
        "100ms",
        "--",
        "sh",
        "-c",
        f'"{sys.executable}" -c "$HOPPER" & {FOREVER}',
        env={"HOPPER": HOPPER},
    )
    wrapper.output("hopping")
    wrapper.send(signal.SIGTERM)
    # 137 if the storm kept the shell from its turn until the grace was over.
    assert wrapper.wait() in (143, 137)


def test_a_process_outside_the_tree_is_never_touched(
    leaderexec: Start,
) -> None:
    """A sibling of the wrapper in the same session survives everything."""
    read, write = os.pipe()
    sibling = os.fork()
    if sibling == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    try:
        wrapper = leaderexec(
            *OFF, "--grace", "100ms", "--", "sh", "-c", f"trap '' TERM; echo up; {FOREVER}"
        )
        wrapper.output("up")
        wrapper.send(signal.SIGTERM)
        assert wrapper.wait() == 137
        assert alive(sibling)
    finally:
        os.close(write)
        os.close(read)
        with suppress(ChildProcessError):
            os.waitpid(sibling, 0)


def test_restart_on_failure_restarts_until_the_limit(leaderexec: Start) -> None:
    """The last run's failure is our exit code, and every run was complete."""
    wrapper = leaderexec(
        *OFF, "--restart", "on-failure", "--restart-limit", "2", "--", "sh", "-c", "exit 12"
    )
    assert wrapper.wait() == 12
    assert len(wrapper.events("command started")) == 3


def test_term_during_the_restart_delay_exits_at_once_with_the_last_code(leaderexec: Start) -> None:
    """No exit code is lost, and nothing is started after the order."""
    wrapper = leaderexec(*OFF, "--restart", "always", "--", "sh", "-c", "exit 13")
    wrapper.log("transition", count=3, to="backoff")
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 13


def test_a_term_right_after_the_start_is_not_lost(leaderexec: Start) -> None:
    """At any moment TERM ends it: before the start with 0, afterwards by the signal."""
    for _ in range(20):
        wrapper = leaderexec(*OFF, "--", "sleep", "100")
        wait_for(lambda pid=wrapper.pid: blocks_term(pid), "signals to be blocked")  # type: ignore[misc]
        wrapper.send(signal.SIGTERM)
        assert wrapper.wait() in (0, 143)


def blocks_term(pid: int) -> bool:
    """Return whether a process has begun to read its signals from its signalfd."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigBlk:"):
            return bool(int(line.split()[1], 16) & 1 << (signal.SIGTERM - 1))
    return False
