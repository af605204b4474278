"""The units are valid, and match how leaderexec stops."""

import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from examples.reading import ROOT, configured, unit
from support import LEADEREXEC, Wrapper

from leaderexec.core.run import KILL_PATIENCE
from leaderexec.election.etcd.kind import EtcdSettings
from leaderexec.election.file import FileSettings

LOCKING = ("systemd/leaderexec-worker.service", "systemd/leaderexec-worker@.service")
UNITS = (*LOCKING, "systemd/leaderexec-worker-etcd.service")
Run = Callable[..., subprocess.CompletedProcess[str]]

each_unit = pytest.mark.parametrize("name", UNITS)


def started(service: Mapping[str, str]) -> list[str]:
    """Return the words of ExecStart."""
    return shlex.split(service["ExecStart"])


@each_unit
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed here")
def test_systemd_finds_no_fault(name: str, run: Run, tmp_path: Path) -> None:
    """With this machine's paths; an unknown setting is a fault, too."""
    text = (ROOT / name).read_text().replace("/usr/local/bin/leaderexec", LEADEREXEC)
    path = tmp_path / Path(name).name
    path.write_text(text)
    checked = run("systemd-analyze", "verify", "--man=no", str(path))
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


@each_unit
def test_systemd_waits_longer_than_leaderexec(name: str) -> None:
    """The grace and the KILL's own time fit."""
    service = unit(name)
    settings = configured(started(service), {})
    assert float(service["TimeoutStopSec"]) > settings.grace + KILL_PATIENCE


@each_unit
def test_only_leaderexec_gets_the_stop_signal(name: str) -> None:
    """It stops its command itself; a signal to all processes would get in its way."""
    assert unit(name)["KillMode"] == "mixed"


@pytest.mark.parametrize("name", LOCKING)
def test_the_lock_outlives_a_stop(name: str) -> None:
    """It is in a folder that systemd creates, keeps, and gives to the unit's user."""
    service = unit(name)
    settings = configured(started(service), {})
    assert settings.election == "file"
    lock_file = settings.of(FileSettings).lock_file
    assert lock_file is not None
    assert str(Path(lock_file).parent) == f"/var/lib/{service['StateDirectory']}"
    assert "RuntimeDirectory" not in service


def test_both_units_share_one_lock() -> None:
    """However it was started, there is one worker."""
    locks = {configured(started(unit(name)), {}).of(FileSettings).lock_file for name in LOCKING}
    assert len(locks) == 1
    assert len({unit(name)["User"] for name in LOCKING}) == 1


def test_the_election_in_etcd_is_complete() -> None:
    """Its password is one of systemd's credentials, which only the unit can read."""
    service = unit(UNITS[-1])
    settings = configured(started(service), {})
    assert settings.election == "etcd"
    etcd = settings.of(EtcdSettings)
    assert len(etcd.etcd or ()) == 3
    assert etcd.etcd_password_file == "%d/" + service["LoadCredential"].partition(":")[0]


@each_unit
def test_a_stop_is_a_success(name: str, leaderexec: Callable[..., Wrapper]) -> None:
    """After a command was ended by TERM, leaderexec exits with a code that the unit expects."""
    wrapper = leaderexec("--election", "off", "--", "sleep", "100")
    wrapper.command_pid()
    wrapper.send(signal.SIGTERM)
    assert str(wrapper.wait()) in unit(name)["SuccessExitStatus"].split()
