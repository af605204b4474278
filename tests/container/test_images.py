"""The images of the Dockerfile in real containers; `make containers` builds and runs them."""

import json
import os
import re
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import leaderexec

PAGE = Path(__file__).parents[2] / "docs" / "images.md"
RECIPES = re.findall(
    r"^```dockerfile\n(FROM my/(\S+)\n.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
)
pytestmark = pytest.mark.apart
IMAGES = ("image", "with-binary")
WORKER = "trap 'echo stopping; exit 21' TERM; echo up; while :; do sleep 0.05; done"
PATIENCE = 60
HARDENED = (
    *("--read-only", "--user", "12345:0", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges", "--env", "HOME="),
)
# Without cgroups or limits another runtime may still work.
_ENGINES = (
    ("podman",),
    ("podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs"),
)
_LIMITS = ("--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000")


def name_of(image: str) -> str:
    """Return an image's full name."""
    return f"localhost/leaderexec-test:{image}"


@cache
def engine() -> tuple[str, ...] | str:
    """Return the command that runs containers on this machine, or why there is none."""
    if shutil.which("podman") is None:
        return "podman is not installed"
    why = ""
    for words in _ENGINES:
        tried = subprocess.run(
            [*words, "run", "--rm", *_LIMITS, name_of("image"), "true"],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LEADEREXEC_ELECTION": "off"},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        # 125 is leaderexec's own exit code, since no election is set: it ran.
        if "no kind of election is set" in tried.stderr or tried.returncode == 0:
            return words
        why = tried.stderr.strip().rpartition("\n")[2]
    return f"no container can be run ({why}); make containers builds the images"


@pytest.fixture(autouse=True)
def _possible() -> None:
    found = engine()
    if isinstance(found, str):
        pytest.fail(found)


def run(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Call the engine."""
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [*engine(), *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        **options,
    )


@pytest.fixture
def name() -> Iterator[str]:
    """Name a container, and remove it afterwards."""
    made = f"leaderexec-{uuid.uuid4().hex[:8]}"
    yield made
    run("rm", "--force", "--time", "0", made)


def started(name: str, image: str, *options: str, script: str = WORKER) -> None:
    """Start a container that runs a script, and wait until it is up."""
    started_command(name, image, *options, command=("sh", "-c", script))


def started_command(name: str, image: str, *options: str, command: tuple[str, ...] = ()) -> None:
    """Start a container, by default with its own command, and wait until this is up."""
    environment = ("--env", "LEADEREXEC_ELECTION=off", "--env", "LEADEREXEC_GRACE=3s")
    result = run(
        *("run", "--detach", "--name", name, *_LIMITS, *environment, *options),
        *(name_of(image), *command),
    )
    assert result.returncode == 0, result.stderr
    give_up = time.monotonic() + PATIENCE
    while "up\n" not in run("logs", name).stdout:
        assert time.monotonic() < give_up, run("logs", name).stderr


def stopped(name: str) -> tuple[int, float]:
    """Stop it; return the exit code and the time that it took."""
    began = time.monotonic()
    run("stop", "--time", "20", name)
    took = time.monotonic() - began
    return int(run("inspect", "--format", "{{.State.ExitCode}}", name).stdout), took


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("options", [(), ("--init",), HARDENED], ids=["plain", "init", "hardened"])
def test_after_a_stop_the_exit_code_is_the_commands(
    name: str, image: str, options: tuple[str, ...]
) -> None:
    """Long before the engine's own KILL; as PID 1 or below an init; read-only, with any uid."""
    started(name, image, *options)
    code, took = stopped(name)
    assert code == 21
    assert took < 15


@pytest.mark.parametrize("image", IMAGES)
def test_a_command_that_ignores_term_is_killed_within_the_grace(name: str, image: str) -> None:
    """By us: 137, and before the engine would do it."""
    started(name, image, script="trap '' TERM; echo up; while :; do sleep 0.05; done")
    code, took = stopped(name)
    assert code == 137
    assert took < 15


@pytest.mark.parametrize("image", IMAGES)
def test_the_leader_can_be_queried_inside(name: str, image: str) -> None:
    """As a cron job or a script would; and the status on its Unix socket."""
    started(name, image, "--tmpfs", "/run", "--user", "0:0", "--env", "LEADEREXEC_HTTP=unix:/run/s")
    asked = run("exec", name, "leaderexec", "--is-leader", "--quiet")
    assert (asked.returncode, asked.stdout) == (0, "")
    give_up = time.monotonic() + PATIENCE
    while (shown := run("exec", name, "leaderexec", "--status")).returncode != 0:
        assert time.monotonic() < give_up, shown.stderr
    assert "running" in shown.stdout


@pytest.mark.parametrize("image", IMAGES)
def test_the_command_gets_the_images_environment(image: str) -> None:
    """Nothing of the bundled Python's leaks into it, and PYTHONPATH is only the worker's."""
    result = run(
        *("run", "--rm", *_LIMITS, "--env", "LEADEREXEC_ELECTION=off", "--env", "PYTHONPATH=/no"),
        *("--env", "LD_LIBRARY_PATH=/no", name_of(image), "env"),
    )
    lines = set(result.stdout.split())
    assert {"PYTHONPATH=/no", "LD_LIBRARY_PATH=/no"} <= lines
    assert not any(line.startswith(("PYTHONHOME", "LD_PRELOAD", "LC_CTYPE")) for line in lines)


@pytest.mark.parametrize("image", IMAGES)
def test_a_wrong_command_is_reported_at_once(image: str) -> None:
    """127, before any election."""
    result = run("run", "--rm", *_LIMITS, name_of(image), "/no/such")
    assert result.returncode == 127


def test_an_image_without_python_needs_none() -> None:
    """There is only leaderexec's own."""
    result = run(
        *("run", "--rm", *_LIMITS, "--env", "LEADEREXEC_ELECTION=off", name_of("with-binary")),
        *("sh", "-c", "command -v python3 perl; exit 5"),
    )
    assert "python3" not in result.stdout
    assert result.returncode == 5


@pytest.mark.parametrize("image", IMAGES)
def test_the_launcher_is_in_the_image(name: str, image: str) -> None:
    """It was compiled in a stage of its own."""
    started(name, image)
    found = run(
        *("exec", name, "sh", "-c"),
        "find / -xdev -path '*/leaderexec/process/launcher.*' -perm -111 2>/dev/null",
    )
    assert found.stdout.strip().endswith(f"leaderexec/process/launcher.{os.uname().machine}")


@pytest.mark.parametrize("image", ["image", "binary"])
def test_the_same_source_gives_the_same_image(image: str) -> None:
    """To the digest, though it was built twice, without a cache."""
    digests = {
        run("image", "inspect", "--format", "{{.Digest}}", name_of(built)).stdout
        for built in (image, f"{image}-again")
    }
    assert len(digests) == 1
    assert digests.pop().startswith("sha256:")


@pytest.mark.parametrize("image", ["image", "binary"])
def test_an_image_says_what_it_is(image: str) -> None:
    """By the labels of the OCI: name, version, and the commit from which it was built."""
    shown = run("image", "inspect", "--format", "{{json .Labels}}", name_of(image)).stdout
    labels = {
        name.removeprefix("org.opencontainers.image."): value
        for name, value in json.loads(shown).items()
    }
    assert (labels["title"], labels["version"]) == ("leaderexec", leaderexec.__version__)
    assert labels["description"]
    assert labels["revision"]


@pytest.mark.parametrize("options", [(), HARDENED], ids=["plain", "hardened"])
@pytest.mark.parametrize(("recipe", "app"), RECIPES, ids=[app for _, app in RECIPES])
def test_a_recipe_of_the_documentation_works(
    name: str, recipe: str, app: str, options: tuple[str, ...]
) -> None:
    """Without a shell, on musl and with a JVM: the command runs, and its exit code is ours."""
    mine = recipe.replace("FROM my/", f"FROM {name_of('')}").replace(
        "=leaderexec:binary", f"={name_of('binary')}"
    )
    tag = f"recipe-{app}"
    built = run("build", "--tag", name_of(tag), "--file", "-", str(PAGE.parent), input=mine)
    assert built.returncode == 0, built.stderr
    started_command(name, tag, *options)
    assert stopped(name)[0] == (143 if app == "java-app" else 21)


def test_sizes_and_start_up_times_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """For docs/images.md: what leaderexec adds, and how long `true` takes in a container."""
    with capsys.disabled():
        for image in ("python", "image", "plain", "binary", "with-binary"):
            size = run("image", "inspect", "--format", "{{.Size}}", name_of(image)).stdout
            print(f"\n{image}: {int(size) / 1e6:.1f} MB", end="")
        for image in IMAGES:
            script = (
                "a=$(date +%s%N); for i in 1 2 3 4 5 6 7 8 9 10; do"
                " leaderexec --election off --log-level error -- true; done;"
                " b=$(date +%s%N); echo $(( (b - a) / 10000000 ))"
            )
            result = run(
                *("run", "--rm", *_LIMITS, "--entrypoint", "sh", name_of(image), "-c", script)
            )
            print(
                f"\n{image}: `leaderexec --election off -- true` {result.stdout.strip()} ms", end=""
            )
        print()
