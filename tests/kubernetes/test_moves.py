"""Leadership moved by every cause, in the short form of `make moves`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = ":".join(map(str, (ROOT, ROOT / "tests", ROOT / "examples/plugin/tests")))
APART = ("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--time", "true")


def _missing() -> str:
    """Return why it can't run here; empty if it can."""
    if not os.environ.get("KUBE_APISERVER") or not os.environ.get("KUBE_RIVAL"):
        return "KUBE_APISERVER or KUBE_RIVAL is not set: make kubernetes"
    for program in ("ip", "iptables", "cc", "nsenter"):
        if shutil.which(program) is None:
            return f"there is no {program}"
    if os.geteuid() or subprocess.run(APART, check=False, capture_output=True).returncode:
        return "namespaces of its own are refused"
    return ""


@pytest.mark.skipif(bool(_missing()), reason=_missing())
@pytest.mark.timeout(600)
def test_never_two_commands_whatever_moves_leadership(
    run: Callable[..., subprocess.CompletedProcess[str]], environ: dict[str, str]
) -> None:
    """Released, stepped down, killed, cut off in two ways, frozen, the Lease deleted, clocks that
    differ and jump; when a frozen leader wakes, its writes are refused."""
    done = run(
        *(sys.executable, str(ROOT / "benchmarks/moves.py"), "--short"),
        env=environ | {"PYTHONPATH": MODULES},
        timeout=580,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "leaderexec 6/3/0.5, grace 1s: 0 times in 30 moves" in done.stdout
    print(done.stdout)


@pytest.mark.skipif(bool(_missing()), reason=_missing())
@pytest.mark.timeout(600)
def test_never_two_commands_with_etcd_postgresql_or_redis_either(
    run: Callable[..., subprocess.CompletedProcess[str]], environ: dict[str, str]
) -> None:
    """Released, stepped down, killed, cut off in two ways, frozen, and the server unreachable."""
    done = run(
        *(sys.executable, str(ROOT / "benchmarks/moves.py"), "--short"),
        *("--engines", "etcd,postgres,redis"),
        env=environ | {"PYTHONPATH": MODULES},
        timeout=580,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.count("leaderexec 6/3/0.5, grace 1s: 0 times in 13 moves") == 3
    print(done.stdout)
