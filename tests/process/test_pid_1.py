"""As a container's first process, and as an ordinary process that still adopts orphans."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from support import LEADEREXEC, MARK, Wrapper, marked, wait_for

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Wrapper]
OFF = ("--election", "off")
UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
FOREVER = "while :; do sleep 0.05; done"
STORM = 10_000


def why_not() -> str | None:
    """Return why no PID namespace can be made here; None if one can."""
    try:
        tried = subprocess.run(
            [*UNSHARE, "true"], capture_output=True, text=True, timeout=20, check=False
        )
    except FileNotFoundError:
        return "unshare(1) is not installed"
    return f"unshare --pid is refused: {tried.stderr.strip()}" if tried.returncode else None


class Place(NamedTuple):
    """How leaderexec is started: the command in front of it."""

    prefix: tuple[str, ...]

    def pid(self, wrapper: Wrapper) -> int:
        """Wait until leaderexec has been executed; return its pid as seen from here."""
        if not self.prefix:
            return wrapper.pid
        return wait_for(lambda: child_called("leaderexec", wrapper.pid), "leaderexec as PID 1")


@pytest.fixture(params=["PID 1", "ordinary"])
def place(request: pytest.FixtureRequest) -> Place:
    """Both ways to start it."""
    if request.param == "ordinary":
        return Place(())
    if why := why_not():
        pytest.skip(why)
    return Place(UNSHARE)


def children(parent: int) -> dict[int, str]:
    """Return the states of a process's children, zombies included."""
    states = {}
    for name in os.listdir("/proc"):
        try:
            fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            states[int(name)] = fields[0]
    return states


def child_called(name: str, parent: int) -> int:
    """Return the child that runs the program of this name; 0 while there is none."""
    for pid in children(parent):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0] != b"unshare" and any(word.endswith(name.encode()) for word in words[:2]):
            return pid
    return 0


def blocks_term(pid: int) -> bool:
    """Return whether a process has begun to read its signals from its signalfd."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    for line in status.splitlines():
        if line.startswith("SigBlk:"):
            return bool(int(line.split()[1], 16) & 1 << (signal.SIGTERM - 1))
    return False


@pytest.mark.parametrize("code", [0, 1, 42, 126, 127, 128, 143, 255])
def test_every_exit_code_of_the_command_is_ours(run: Run, place: Place, code: int) -> None:
    result = run(*place.prefix, LEADEREXEC, *OFF, "--", "sh", "-c", f"exit {code}")
    assert result.returncode == code


@pytest.mark.parametrize("name", ["TERM", "KILL", "HUP", "SEGV"])
def test_a_death_by_signal_is_reported_as_128_plus_its_number(
    run: Run, place: Place, name: str
) -> None:
    """A first process can't die of a signal itself; its exit code says so."""
    result = run(*place.prefix, LEADEREXEC, *OFF, "--", "sh", "-c", f"ulimit -c 0; kill -{name} $$")
    assert result.returncode == 128 + getattr(signal, f"SIG{name}")


def test_term_while_leading_stops_the_command(leaderexec: Start, place: Place) -> None:
    """The kernel drops a TERM for which a first process has no handler; we have one."""
    wrapper = leaderexec(
        *OFF, "--", "sh", "-c", f"trap 'exit 33' TERM; echo up; {FOREVER}", prefix=place.prefix
    )
    wrapper.output("up")
    os.kill(place.pid(wrapper), signal.SIGTERM)
    assert wrapper.wait() == 33


def test_a_program_that_is_told_of_a_change_and_hangs_delays_no_end(
    leaderexec: Start, place: Place, tmp_path: Path
) -> None:
    """Nor is it killed in place of the command, when that has to be."""
    pids = tmp_path / "pids"
    hangs = f"sh -c 'trap \"\" TERM; echo $$ >> {pids}; exec sleep 600'"
    wrapper = leaderexec(
        *(*OFF, "--on-change", hangs, "--on-change-timeout", "1h", "--grace", "9.2s"),
        *(
            "--on-stop-timeout",
            "9s",
            "--on-stop",
            f"sh -c 'kill -0 $(cat {pids}) && echo there'",
        ),
        *("--", "sh", "-c", f"trap '' TERM; echo up; {FOREVER}"),
        prefix=place.prefix,
    )
    wrapper.output("up")
    wait_for(pids.exists)
    os.kill(place.pid(wrapper), signal.SIGTERM)
    assert wrapper.wait() == 137
    assert wrapper.out == ["up", "there"]


@pytest.mark.parametrize("_again", range(8))
def test_term_in_the_first_milliseconds_is_not_lost(
    leaderexec: Start, place: Place, _again: int
) -> None:
    """From the moment signals are blocked, long before the command runs, TERM ends it."""
    wrapper = leaderexec(*OFF, "--", "sleep", "100", prefix=place.prefix)
    pid = place.pid(wrapper)
    wait_for(lambda: blocks_term(pid), "signals to be blocked")
    os.kill(pid, signal.SIGTERM)
    assert wrapper.wait() in (0, 143)


def test_an_orphan_is_adopted_and_reaped(leaderexec: Start, place: Place) -> None:
    """A zombie would hold its pid for as long as the container runs."""
    wrapper = leaderexec(
        *OFF,
        "--",
        "sh",
        "-c",
        "(sh -c 'echo orphan; read line' <&3 &) 3<&0; exec sleep 100",
        stdin=subprocess.PIPE,
        prefix=place.prefix,
    )
    wrapper.output("orphan")
    pid = place.pid(wrapper)
    wait_for(lambda: len(children(pid)) == 2, "the orphan to be adopted")
    assert wrapper.process.stdin is not None
    wrapper.process.stdin.write("\n")
    wrapper.process.stdin.flush()
    wait_for(lambda: len(children(pid)) == 1, "the orphan to be reaped")
    os.kill(pid, signal.SIGTERM)
    assert wrapper.wait() == 143


def test_escapees_get_the_stop_signal_and_are_gone(
    leaderexec: Start, environ: dict[str, str], place: Place
) -> None:
    """Setsid and a double fork don't help them, and those that end properly get the time to."""
    left = "trap 'echo told $0; exit 0' TERM; echo ready $0; while :; do sleep 0.05; done"
    wrapper = leaderexec(
        *OFF,
        "--",
        "sh",
        "-c",
        f'setsid sh -c "$LEFT" session & (setsid sh -c "$LEFT" daemon &); {FOREVER}',
        env={"LEFT": left},
        prefix=place.prefix,
    )
    wrapper.output("ready session")
    wrapper.output("ready daemon")
    os.kill(place.pid(wrapper), signal.SIGTERM)
    assert wrapper.wait() == 143
    assert not list(marked(environ[MARK]))
    wrapper.output("told session")
    wrapper.output("told daemon")


def test_an_escapee_that_ignores_term_is_killed_after_the_grace(
    leaderexec: Start, environ: dict[str, str], place: Place
) -> None:
    """And a frozen one, too; the command's own exit code is kept."""
    left = f"trap '' TERM; echo ready; kill -STOP $$; {FOREVER}"
    wrapper = leaderexec(
        *OFF,
        # Long enough for the command to set its own trap on a busy machine.
        "--grace",
        "2s",
        "--",
        "sh",
        "-c",
        'trap "exit 9" TERM; setsid sh -c "$LEFT" & while :; do sleep 0.05; done',
        env={"LEFT": left},
        prefix=place.prefix,
    )
    wrapper.output("ready")
    os.kill(place.pid(wrapper), signal.SIGTERM)
    assert wrapper.wait() == 9
    assert not list(marked(environ[MARK]))


# They end once the middle process of their double fork has. A shell forks at less cost than Python.
STORMS = f"""
storms=0
while [ $storms -lt {STORM // 100} ]; do
    (left=0; while [ $left -lt 100 ]; do : <"$GATE" & left=$((left + 1)); done)
    : >"$GATE"
    storms=$((storms + 1))
done
exec 3<>"$GATE"
echo stormed
read line
exit 42
"""


@pytest.mark.timeout(150)
def test_ten_thousand_orphans_leave_no_zombie(
    leaderexec: Start, place: Place, tmp_path: Path
) -> None:
    """Each is reaped, and the command's exit code is kept."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    wrapper = leaderexec(
        *OFF,
        "--",
        "sh",
        "-c",
        STORMS,
        stdin=subprocess.PIPE,
        env={"GATE": str(gate)},
        prefix=place.prefix,
    )
    wait_for(lambda: "stormed" in wrapper.out, "the storm to be over", patience=100)
    pid = place.pid(wrapper)
    wait_for(lambda: len(children(pid)) == 1, "every orphan to be reaped")
    assert wrapper.process.stdin is not None
    wrapper.process.stdin.write("\n")
    wrapper.process.stdin.flush()
    assert wrapper.wait() == 42


REAPING = """
import os
from leaderexec.process import reaper

def fork(last):
    pid = os.fork()
    if pid == 0:
        os._exit(last())
    return pid

reaper.BATCH = 3
read, write = os.pipe()
for pid in [fork(lambda: 0) for _ in range(4)]:
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
living = fork(lambda: os.close(write) or len(os.read(read, 1)))
print(*(reaper.reap({})[1] for _ in range(3)))
os.close(write)
os.waitpid(living, 0)
"""


def test_reaping_goes_on_at_once_only_after_a_full_batch(run: Run) -> None:
    """Otherwise the main loop would keep spinning after a storm."""
    assert run(sys.executable, "-c", REAPING).stdout.split() == ["True", "False", "False"]
