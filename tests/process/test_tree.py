"""Descendants are found and signalled exactly: no reused pid, no unrelated process."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from support import alive, wait_for

from leaderexec.core.record import replace
from leaderexec.process import tree
from leaderexec.process.tree import Process

Run = Callable[..., subprocess.CompletedProcess[str]]
# Above what the kernel gives (pid_max is 2**22 at most).
FREE = 2**22 + 100


def process(pid: int, parent: int, group: int | None = None, state: str = "S") -> Process:
    """Make up a process, by default the first of its group. A group of another namespace is 0."""
    return Process(pid, state, parent, pid if group is None else group, threads=1, started=pid)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that sleeps until it is killed."""
    with subprocess.Popen(["sleep", "100"], start_new_session=True) as running:
        yield running
        running.kill()


def test_a_process_is_read_whatever_its_name() -> None:
    """The name in /proc/PID/stat may contain spaces and parentheses (proc_pid_stat(5))."""
    script = "import sys; open('/proc/self/comm', 'w').write(') R 1 ('); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as running:
        with open(f"/proc/{running.pid}/comm") as name:
            wait_for(lambda: name.seek(0) == 0 and ") R 1 (" in name.read())
        found = tree.read(running.pid)
        assert found is not None
        assert (found.pid, found.parent) == (running.pid, os.getpid())
        running.communicate()


def test_nothing_is_read_of_a_process_that_is_gone() -> None:
    """It may vanish between the listing and the reading."""
    with subprocess.Popen(["true"]) as running:
        running.wait()
    assert tree.read(running.pid) is None


def test_descendants_are_all_levels_below_and_nothing_else() -> None:
    """Siblings, parents and unrelated processes are left out; zombies are no longer alive."""
    everyone = [
        process(1, 0),
        process(10, 1),
        process(11, 10),
        process(12, 11, state="Z"),
        process(13, 12),
        process(20, 1),
    ]
    assert [one.pid for one in tree.below(everyone, 10)] == [11, 12, 13]
    assert [one.pid for one in tree.living(tree.below(everyone, 10))] == [11, 13]


def test_a_group_with_an_unrelated_process_is_not_killed_as_a_group() -> None:
    """Nor is our own; a group that only our zombie identifies is."""
    me, own_group = 10, os.getpgrp()
    everyone = [
        process(1, 0),
        process(me, 1, group=own_group),
        process(11, me, group=11),
        process(12, me, group=20),
        process(20, 1, group=20),
        process(13, me, group=own_group),
        process(14, me, group=14, state="Z"),
    ]
    ours = tree.below(everyone, me)
    assert tree.groups_of(ours, everyone) == {11, 14}


def test_a_process_just_orphaned_is_not_unrelated() -> None:
    """Its parent vanished during the look; below us it will be ours."""
    everyone = [process(1, 0), process(10, 1), process(11, 10), process(12, 99, group=11)]
    assert tree.groups_of(tree.below(everyone, 10), everyone) == {11}


def test_a_reused_pid_is_not_signalled(sleeper: subprocess.Popen[bytes]) -> None:
    """With another start time it is another process."""
    seen = tree.read(sleeper.pid)
    assert seen is not None
    before = replace(seen, started=seen.started - 1)
    assert not tree.signal_one(before, signal.SIGKILL)
    assert alive(sleeper.pid)
    assert tree.signal_one(seen, signal.SIGKILL)
    assert sleeper.wait(10) == -signal.SIGKILL


def test_the_pid_of_a_process_that_is_gone_is_not_signalled() -> None:
    with subprocess.Popen(["true"]) as running:
        seen = tree.read(running.pid)
        running.wait()
    assert seen is not None
    assert not tree.signal_one(seen, signal.SIGKILL)


def test_without_pidfds_the_start_time_is_still_compared(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sandbox may forbid pidfd_open, and descriptors may have run out."""

    def refused(_pid: int) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "pidfd_open", refused)
    seen = tree.read(sleeper.pid)
    assert seen is not None
    assert not tree.signal_one(replace(seen, started=1), signal.SIGKILL)
    assert alive(sleeper.pid)
    assert tree.signal_one(seen, signal.SIGKILL)
    assert sleeper.wait(10) == -signal.SIGKILL


def test_without_proc_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may not be mounted, or no descriptor is left to read it: there is still the group."""

    def refused(_path: str) -> list[str]:
        raise OSError

    monkeypatch.setattr(os, "listdir", refused)
    assert tree.snapshot() == []


def test_the_search_goes_on_while_it_finds_new_processes_even_dead_ones() -> None:
    """A process that sets up a session, forks and exits in a loop is new at every look."""
    looks = 0

    def look() -> list[Process]:
        nonlocal looks
        looks += 1
        return [process(FREE - min(looks, 4), os.getpid(), group=os.getpgrp(), state="Z")]

    assert tree.kill_all(set(), look=look) == 0
    assert looks == 5


@pytest.mark.parametrize(
    ("end", "number"),
    [
        (lambda look: tree.stop_leftovers(signal.SIGTERM, look=look), signal.SIGTERM),
        (lambda look: tree.kill_all(set(), look=look), signal.SIGKILL),
    ],
    ids=["stopped", "killed"],
)
def test_a_process_that_leaves_its_group_after_the_look_gets_the_signal(
    sleeper: subprocess.Popen[bytes],
    end: Callable[[Callable[[], list[Process]]], int],
    number: int,
) -> None:
    """By its pid, since it is no longer in the group that was seen: a background job that calls
    setsid(2) just then."""
    seen = tree.read(sleeper.pid)
    assert seen is not None
    before = replace(seen, group=FREE)
    assert end(lambda: [before]) == 1
    assert sleeper.wait(10) == -number


def test_a_group_that_may_not_be_signalled_does_not_count_as_killed(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log must not say that it was, over and over."""

    def refused(_whom: int, _number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "killpg", refused)
    monkeypatch.setattr(signal, "pidfd_send_signal", refused)
    seen = tree.read(sleeper.pid)
    assert seen is not None
    assert tree.kill_all(set(), look=lambda: [seen]) == 0


def test_a_killed_process_is_left_to_die(sleeper: subprocess.Popen[bytes]) -> None:
    """Thousands of dying processes need the CPU time that a second look at them would take."""
    seen = tree.read(sleeper.pid)
    assert seen is not None
    looks = 0

    def look() -> list[Process]:
        nonlocal looks
        looks += 1
        return [seen]

    killed: set[tree.Owner] = set()
    assert tree.kill_all(killed, look=look) == 1
    assert looks == 2
    assert tree.kill_all(killed, look=look) == 0
    assert looks == 3


# In a process of its own, whose only children are those that it makes here.
CHILDREN = """
import os, signal
from leaderexec.process import syscalls, tree

def made(*, leads=True, waits=True, leaves=None):
    told, tells = os.pipe()
    pid = os.fork()
    if pid == 0:
        if leads:
            os.setpgid(0, 0)
        left = os.fork() if leaves else 1
        if left == 0:
            if leaves == "outside":
                os.setsid()
            os.write(tells, str(os.getpid()).encode())
            signal.pause()
        if not leaves:
            os.write(tells, b"0")
        while waits:
            signal.pause()
        os._exit(0)
    return pid, int(os.read(told, 20))

def end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)

syscalls.become_subreaper()
assert tree.children() == []
beside, _ = made()
apart = frozenset({beside})
assert tree.children() == [beside]
assert tree.are_all_in(apart), "alone"

command, _ = made()
assert not tree.are_all_in(apart), "beside another one"
os.kill(command, signal.SIGKILL)
os.waitid(os.P_PID, command, os.WEXITED | os.WNOWAIT)
assert not tree.are_all_in(apart), "beside one that is not reaped"
os.waitpid(command, 0)
assert tree.are_all_in(apart), "alone again"

command, left = made(waits=False, leaves="outside")
os.waitpid(command, 0)
assert not tree.are_all_in(apart), "beside what another one has left"
end(left)
end(beside)

beside, left = made(waits=False, leaves="inside")
os.waitid(os.P_PID, beside, os.WEXITED | os.WNOWAIT)
assert sorted(tree.children()) == sorted([beside, left])
assert tree.are_all_in(frozenset({beside})), "with what it has left in its group"
end(left)
os.waitpid(beside, 0)
print("ok")
"""


def test_the_end_of_a_tree_is_seen_beside_what_is_apart(run: Run) -> None:
    """Only when nothing else is left, living or not, ours from the start or adopted."""
    result = run(sys.executable, "-c", CHILDREN)
    assert (result.stdout, result.stderr) == ("ok\n", "")
