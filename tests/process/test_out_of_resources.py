"""When the machine has run out of something, starting and stopping the command still work."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable

from support import LEADEREXEC, Wrapper, wait_for

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Wrapper]
OFF = ("--election", "off")
FOREVER = "while :; do sleep 0.05; done"


def test_a_full_disk_behind_stderr_costs_only_the_log(run: Run) -> None:
    """There is an ENOSPC on every line."""
    result = run("sh", "-c", f"{LEADEREXEC} --election off -- sh -c 'echo out; exit 3' 2>/dev/full")
    assert (result.returncode, result.stdout) == (3, "out\n")


def test_closed_standard_descriptors_stay_closed_for_the_command(run: Run) -> None:
    """No descriptor of ours takes their numbers."""
    result = run(
        "sh", "-c", f"{LEADEREXEC} --election off -- sh -c 'ls /proc/$$/fd; exit 4' 0<&- 2>&-"
    )
    assert (result.returncode, result.stdout.split()) == (4, ["1"])
    result = run("sh", "-c", f"{LEADEREXEC} --election off -- sh -c 'exit 5' 0<&- 1>&- 2>&-")
    assert result.returncode == 5


def test_a_usage_error_with_stderr_closed_still_exits_with_125(run: Run) -> None:
    """The message can't be read, but the exit code can."""
    assert run("sh", "-c", f"{LEADEREXEC} --nonsense 2>&-").returncode == 125


def test_a_stderr_without_a_reader_does_not_delay_the_stop(
    environ: dict[str, str],
) -> None:
    """The pipe is full before we begin; the command still starts, stops and has its exit code."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    try:
        while True:
            os.write(write, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(write, True)
    script = f"trap 'exit 6' TERM; echo up; {FOREVER}"
    with subprocess.Popen(
        [LEADEREXEC, *OFF, "--log-level", "debug", "--", "sh", "-c", script],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=write,
    ) as process:
        os.close(write)
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        for _ in range(200):
            process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 6
    os.close(read)


def test_few_descriptors_are_enough_for_a_stop_of_the_tree(leaderexec: Start) -> None:
    """With EMFILE there is no pidfd and no reading of /proc for long; the group is killed."""
    script = f"trap '' TERM; (trap '' TERM; {FOREVER}) & echo up; {FOREVER}"
    wrapper = leaderexec(*OFF, "--grace", "200ms", "--", "sh", "-c", script)
    wrapper.output("up")
    highest = max(int(name) for name in os.listdir(f"/proc/{wrapper.pid}/fd"))
    resource.prlimit(wrapper.pid, resource.RLIMIT_NOFILE, (highest + 1, highest + 1))
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 137


# Limits on processes don't apply to root (setrlimit(2)), who may be running the tests.
FORK_FAILS_AT_FIRST = """
import errno, os, sys
from leaderexec.__main__ import main
fork, left = os.fork, [1, 1, 1]
def failing():
    if left:
        left.pop()
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return fork()
os.fork = failing
sys.argv = ["leaderexec", *sys.argv[1:]]
main()
"""


def test_a_failed_fork_is_retried_until_there_is_room(run: Run) -> None:
    """EAGAIN passes: ahead of time a failure is harmless; later it must be retried."""
    result = run(sys.executable, "-c", FORK_FAILS_AT_FIRST, *OFF, "--", "sh", "-c", "exit 11")
    assert result.returncode == 11
    assert result.stderr.count('"no process could be made"') == 1
    assert "limit" in result.stderr


BROKEN = """
import sys
import leaderexec.supervisor as supervisor
from leaderexec.__main__ import main
from leaderexec.core import events
decide = supervisor.decide
def broken(policy, state, event, now):
    if isinstance(event, events.Signalled):
        raise RuntimeError("a bug")
    return decide(policy, state, event, now)
supervisor.decide = broken
sys.argv = ["leaderexec", *sys.argv[1:]]
main()
"""


def test_a_bug_of_ours_stops_the_command_and_exits_with_125(
    run: Run, environ: dict[str, str]
) -> None:
    """No command keeps running unsupervised."""
    script = (
        "(trap '' TERM; while :; do sleep 0.05; done) &"
        " trap 'echo told; exit 0' TERM; kill -HUP $PPID; while :; do sleep 0.05; done"
    )
    result = run(
        sys.executable,
        "-c",
        BROKEN,
        *OFF,
        "--grace-lost",
        "300ms",
        "--",
        "sh",
        "-c",
        script,
        env=environ,
    )
    assert result.returncode == 125
    assert result.stdout == "told\n"
    assert "a bug" in result.stderr
    assert "internal error" in result.stderr


def test_the_command_reads_the_same_stdin_in_each_run(leaderexec: Start) -> None:
    """The next run gets what the first one left unread."""
    wrapper = leaderexec(
        *OFF,
        "--restart",
        "on-failure",
        "--",
        "sh",
        "-c",
        'read line; echo "got $line"; [ "$line" = three ]',
        stdin=subprocess.PIPE,
    )
    assert wrapper.process.stdin is not None
    for line in ("one", "two", "three"):
        wrapper.process.stdin.write(f"{line}\n")
        wrapper.process.stdin.flush()
        wrapper.output(f"got {line}")
    assert wrapper.wait() == 0
    wait_for(lambda: len(wrapper.events("command started")) == 3)


SLOW_TO_REAP = """
import os, sys, time
from leaderexec.__main__ import main
from leaderexec.core import run
waitpid = os.waitpid
def slow(pid, options):
    time.sleep(0.02)
    return waitpid(pid, options)
os.waitpid = slow
run.KILL_PATIENCE = 1.5
sys.argv = ["leaderexec", *sys.argv[1:]]
main()
"""


def test_zombies_waiting_to_be_reaped_do_not_count_as_survivors(leaderexec: Start) -> None:
    """If that takes longer than the wait after a KILL, nothing is given up."""
    script = f"trap '' TERM; for i in $(seq 300); do sleep 100 & done; echo up; {FOREVER}"
    wrapper = leaderexec(
        *OFF,
        "--grace",
        "100ms",
        "--",
        "sh",
        "-c",
        script,
        program=(sys.executable, "-c", SLOW_TO_REAP),
    )
    wrapper.output("up")
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 137
    wrapper.log("transition", to="ended")
    assert not wrapper.events("processes survive SIGKILL")
