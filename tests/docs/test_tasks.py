"""Every command on the pages by task is run: by leaderexec, with doubles of what it starts."""

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from apiserver import ApiServer
from examples.reading import faults, schema
from support import BIN, Wrapper, wait_for

from leaderexec_elector.running import RunningElector

Start = Callable[..., Wrapper]
ROOT = Path(__file__).parents[2]
# Says that it runs. It prepares itself where it is asked to, and ends where it has an end.
PROGRAM = """#!/bin/sh
if [ -n "${LEADEREXEC_GATE:-}" ]; then
    leaderexec --say-ready && read -r _ <&"$LEADEREXEC_GATE" || exit 0
fi
echo "$(basename "$0") $*" >>"$STARTED"
case $* in *migrate*) exit 0 ;; esac
exec sleep 1000
"""
KUBECTL = """#!/bin/sh
case $1 in
    exec) while [ "$1" != -- ]; do shift; done; shift; exec "$@" ;;
    apply) cat >"$APPLIED" ;;
esac
"""
DOUBLES = {"kubectl": KUBECTL, **dict.fromkeys(("celery", "python", "report"), PROGRAM)}
QUESTIONS = ("--manifest", "--step-down", "--status", "--is-leader", "--check")


def pages() -> list[Path]:
    """The pages by task, as the navigation lists them."""
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    (listed,) = (section["By task"] for section in nav if "By task" in section)
    return [ROOT / "docs" / path for entry in listed for path in entry.values()]


def commands(page: Path) -> Iterator[str]:
    """Yield each command: indented lines, where a $ sets apart those that are typed, and those in
    other programs' configuration."""
    text = page.read_text()
    fenced = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for language, block in fenced.findall(text):
        if language == "ini":
            yield from re.findall(r"^command=(.*)$", block, re.MULTILINE)
    for block in re.findall(r"(?:^ {4,}\S.*\n)+", fenced.sub("", text), re.MULTILINE):
        lines = [line.strip().partition("  # ")[0] for line in block.splitlines()]
        typed = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        for line in typed or lines:
            yield re.sub(r"^(?:[\d*/,-]+ ){5}", "", line)


def runs(command: str) -> bool:
    """Tell whether leaderexec runs something here until it is told to end."""
    words = shlex.split(command)
    return words[0] == "leaderexec" and not set(words) & {*QUESTIONS, "|"}


def found(kind: Callable[[str], bool]) -> list[Any]:
    """Return the commands of a kind, each with its page."""
    return [
        pytest.param(page, command, id=f"{page.name}: {command}")
        for page in pages()
        for command in commands(page)
        if kind(command)
    ]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the doubles, and nothing else on the way to them."""
    for name, text in DOUBLES.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path


@pytest.fixture
def cluster(environ: dict[str, str], place: Path) -> Iterator[dict[str, str]]:
    """The variables with which the commands find the doubles."""
    with ApiServer() as server, RunningElector("app-a") as elector:
        for page in pages():
            for name in re.findall(r"--lease (\S+)", page.read_text()):
                if name not in server.leases.objects:
                    server.add(name)
        yield {
            **environ,
            "PATH": f"{place}:{BIN}:{environ['PATH']}",
            "STARTED": str(place / "started"),
            "APPLIED": str(place / "applied"),
            "LEADEREXEC_API_SERVER": server.url,
            "ELECTOR_SSE_URL": elector.sse_url,
        }


@pytest.fixture
def begin(leaderexec: Start, cluster: dict[str, str], place: Path) -> Callable[[str], Wrapper]:
    """Run a command of the first kind."""

    def start(command: str) -> Wrapper:
        _, *words = shlex.split(
            command.replace(" :8080", " 127.0.0.1:0")
            .replace("/shared/", f"{place}/")
            .replace("/usr/local/bin/", f"{place}/")
        )
        chosen = {"--lease", "--lock-file", "--election"} & set(words)
        own = {} if chosen else {"LEADEREXEC_IDENTITY": "app-a"}
        return leaderexec(*words, cwd=place, env={**cluster, **own})

    return start


def started(place: Path) -> list[str]:
    """Return the command lines of the programs that run, or have run."""
    file = place / "started"
    return [line.strip() for line in file.read_text().splitlines()] if file.exists() else []


def test_the_commands_of_each_page_are_found() -> None:
    """None has only words."""
    assert len(pages()) == 10
    for page in pages():
        assert list(commands(page)), page.name


@pytest.mark.parametrize(("page", "command"), found(runs))
def test_what_is_to_be_run_runs_and_ends_when_told(
    page: Path, command: str, begin: Callable[[str], Wrapper], place: Path
) -> None:
    """With the arguments that stand there; a stop ends it."""
    del page
    wrapper = begin(command)
    name, *arguments = shlex.split(command)[shlex.split(command).index("--") + 1 :]
    line = " ".join([os.path.basename(name), *arguments])
    wait_for(lambda: started(place) == [line], f"{line} to run; {wrapper.lines} {wrapper.plain}")
    if "--once" not in command:
        wrapper.send(signal.SIGTERM)
    stop = signal.SIGINT if "--stop-signal INT" in command else signal.SIGTERM
    assert wrapper.wait() == (0 if "--once" in command else 128 + stop)


@pytest.mark.parametrize(("page", "command"), found(lambda command: not runs(command)))
def test_what_is_to_be_asked_is_answered(
    page: Path,
    command: str,
    begin: Callable[[str], Wrapper],
    cluster: dict[str, str],
    place: Path,
) -> None:
    """By two replicas of what the page runs, where one of them is asked; and what is to be applied
    is valid."""
    environ = dict(cluster)
    if "exec" in command:
        first = next(filter(runs, commands(page)))
        for _ in range(2):
            begin(first).log("leaderexec started")
        wait_for(lambda: started(place), "one of them to lead")
    if "--manifest" in command:
        # This machine's, which is refused there.
        del environ["LEADEREXEC_API_SERVER"]
    done = subprocess.run(
        ["sh", "-c", command], env=environ, cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    if "apply" in command:
        kinds = schema("kubernetes-1.34")
        root = kinds.pop("kinds")
        for document in yaml.safe_load_all((place / "applied").read_text()):
            kind = root[f"{document['apiVersion']}/{document['kind']}"]
            assert faults(document, {**kinds, "$ref": kind}) == []
