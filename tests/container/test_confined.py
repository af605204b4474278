"""As in a hardened pod: any uid, no home, no capabilities, nothing writable, no new privileges.

In namespaces of this machine, without an image: ``make containers`` does the same in real images.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import LEADEREXEC, PATIENCE, Wrapper

from leaderexec_elector.running import RunningElector

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Wrapper]
OFF = ("--election", "off", "--log-level", "error")

# /proc stays writable, as in a container, for the next namespace's table of uids. A uid other than
# 0 loses its capabilities when it executes a program; --keep-caps lets setpriv(1) drop the rest.
CONFINE = """
set -e
findmnt --raw --noheadings --output TARGET | grep -v ^/proc | while read -r place; do
    mount -o remount,bind,ro "$place" 2>/dev/null || [ "$place" != / ]
done
exec unshare --user --map-user=12345 --map-group=0 --keep-caps \
    setpriv --bounding-set=-all --inh-caps=-all --ambient-caps=-all --no-new-privs \
    env --unset=HOME --unset=PYTHONDONTWRITEBYTECODE "$@"
"""
CONFINED = (
    *("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc"),
    *("--kill-child", "sh", "-c", CONFINE, "sh"),
)


@pytest.fixture(scope="module", autouse=True)
def _possible() -> None:
    try:
        tried = subprocess.run(
            [*CONFINED, "true"], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except FileNotFoundError:
        pytest.skip("unshare(1) is not installed")
    if tried.returncode:
        pytest.skip(f"user namespaces are refused: {tried.stderr.strip()}")


def test_the_environment_is_as_hardened_as_it_should_be(run: Run, tmp_path: Path) -> None:
    """The other tests here rely on this."""
    look = "id -u; id -g; grep ^Cap /proc/self/status; echo ${HOME-none}; touch x /x /tmp/x; true"
    result = run(*CONFINED, "sh", "-c", look, cwd=tmp_path)
    uid, gid, *capabilities, home = result.stdout.splitlines()
    assert (uid, gid, home) == ("12345", "0", "none")
    assert {int(line.split()[1], 16) for line in capabilities} == {0}
    assert result.stderr.count("Read-only file system") == 3


def test_every_exit_code_of_the_command_is_ours(run: Run) -> None:
    """And neither of the two logs anything about what is missing."""
    result = run(*CONFINED, LEADEREXEC, *OFF, "--", "sh", "-c", "exit 42")
    assert (result.returncode, result.stderr) == (42, "")


def test_term_stops_the_command(run: Run) -> None:
    """Signals from inside also reach a first process without capabilities."""
    script = "trap 'exit 33' TERM; kill -TERM 1; while :; do sleep 0.05; done"
    assert run(*CONFINED, LEADEREXEC, *OFF, "--", "sh", "-c", script).returncode == 33


def test_the_command_gets_the_environment_without_a_home(run: Run) -> None:
    """Nothing is invented for what is missing."""
    result = run(*CONFINED, LEADEREXEC, *OFF, "--", "sh", "-c", "echo ${HOME-none}")
    assert result.stdout == "none\n"


def test_the_elector_is_followed(leaderexec: Start) -> None:
    """Everything that an elector needs is loaded without a writable directory; a loss stops it."""
    with RunningElector("app-a", "app-b") as elector:
        wrapper = leaderexec(
            *("--identity", "app-a", "--sse-url", elector.sse_url, "--on-lost", "exit"),
            *(
                "--",
                "sh",
                "-c",
                "trap 'echo stopped; exit' TERM; echo up; while :; do sleep 0.05; done",
            ),
            prefix=CONFINED,
        )
        wrapper.output("up")
        elector.lead("app-b")
        wrapper.output("stopped")
        assert wrapper.wait() == 124
        assert not wrapper.plain
