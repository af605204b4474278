"""The pages are correct: links resolve, commands parse, every log line is explained."""

import ast
import importlib
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leaderexec import cli
from leaderexec.config import options
from leaderexec.config import settings as config
from leaderexec.election.postgres import answers
from leaderexec.election.redis import answers as redis_answers

Run = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
QUESTIONS = set(cli._ASKED.values())
WITH_VALUE = {one.flag for one in cli._WITH_VALUE}
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def slug(heading: str) -> str:
    """Return a heading's anchor."""
    words = re.sub(r"[^\w\- ]", "", heading.lower().replace("`", "")).strip()
    return re.sub(r" ", "-", words)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page."""
    return {slug(found) for found in re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)}


def code(page: Path) -> Iterator[tuple[str, str]]:
    """Yield each block of code with its language; indented ones have none."""
    text = page.read_text()
    fence = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for language, block in fence.findall(text):
        yield language, block
    for block in re.findall(r"(?:^ {4,}.*\n)+", fence.sub("", text), re.MULTILINE):
        yield "", block


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield every leaderexec command line, as words, with its place."""
    for page in PAGES:
        lines = [line for language, block in code(page) for line in block.splitlines()]
        lines += re.findall(r"`(leaderexec [^`]*)`", page.read_text())
        for line in lines:
            found = re.search(
                r"(?:^|[ \t$;&(])leaderexec((?: [^|<>]*)?)$", line.partition(" # ")[0]
            )
            if found is None or "…" in line or '"leaderexec' in line:
                continue
            words = shlex.split(found[1].partition(" && ")[0])
            if words and words[0].startswith("-"):
                yield f"{page.name}: {line.strip()}", words


@each_page
def test_every_link_resolves(page: Path) -> None:
    """To a file, and to a heading in it."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(file), f"{page.name} links to {target}"


def test_there_are_commands_to_check() -> None:
    """The search for them finds what a reader sees."""
    assert len(list(commands())) > 15


@pytest.mark.parametrize("words", [pytest.param(words, id=where) for where, words in commands()])
def test_every_command_line_is_accepted(words: list[str]) -> None:
    """Its options exist and have allowed values."""
    at = words.index("--") if "--" in words else len(words)
    own = [word for word in words[:at] if word not in QUESTIONS]
    given, _ = options.parse(own, (*config.OPTIONS, *cli._WITH_VALUE))
    for one in cli._WITH_VALUE:
        given.pop(one.name, None)
    environ = {"ELECTOR_PATH": "localhost:4040"}
    config.load(given, words[at + 1 :], environ, "app-a")


@each_page
def test_every_python_example_compiles(page: Path) -> None:
    """And shell examples parse."""
    for language, block in code(page):
        if language == "python":
            ast.parse(block)
        if language == "sh":
            subprocess.run(["sh", "-n"], input=block, text=True, check=True)


@each_page
def test_every_make_target_exists(page: Path) -> None:
    """As it is typed."""
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:^    |`)make ([a-z-]+)", page.read_text(), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@each_page
def test_every_option_and_variable_that_is_named_exists(page: Path) -> None:
    """Even in the middle of a sentence."""
    known = {option.flag for option in config.OPTIONS} | QUESTIONS | WITH_VALUE
    known |= {f"--{name}" for name in ("fault", "init", "target", "build-arg", "foo-bar")}
    # Of celery and gunicorn.
    known |= {"--pidfile", "--schedule", "--preload"}
    text = page.read_text().partition("<!-- fidelity -->")[0]
    for flag in re.findall(r"`(--[a-z][a-z-]+)[` =]", text):
        assert flag in known, flag
    for name in re.findall(r"LEADEREXEC_([A-Z_]+)", text):
        variable = f"LEADEREXEC_{name}"
        if variable not in config.ADDED_VARIABLES and name != "FOO_BAR":
            assert variable in {option.variable for option in config.OPTIONS}, variable


def log_events() -> set[str]:
    """Return the event of every line that the source can log."""
    found = set()
    for path in (ROOT / "leaderexec").rglob("*.py"):
        # It uses the logging of the program that imports it.
        if path.name == "api.py":
            continue
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or not call.args:
                continue
            name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            is_note = isinstance(call.func, ast.Name) and call.func.id == "Note"
            if is_note and isinstance(call.args[1], ast.Constant):
                found.add(str(call.args[1].value))
            first = call.args[0]
            logs = name in ("debug", "info", "warning", "error") and isinstance(first, ast.Constant)
            if logs and isinstance(first, ast.Constant):
                found.add(str(first.value))
    return found


def test_every_log_line_is_in_the_troubleshooting_table() -> None:
    """With its meaning."""
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    events = log_events()
    assert len(events) > 20
    for event in events:
        assert f"`{event}`" in text, event


def test_every_kind_of_trouble_is_explained() -> None:
    """As the field and the label have it."""
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    elector = ROOT / "leaderexec" / "election" / "elector"
    source = "".join(path.read_text() for path in elector.glob("*.py"))
    kinds = re.findall(r'(?:say|NoAnnouncement|Malformed|Trouble)\(\s*"([a-z-]+)"', source)
    lease = ROOT / "leaderexec" / "election" / "lease"
    source = "".join(path.read_text() for path in lease.glob("*.py"))
    kinds += re.findall(r'Trouble\(\s*"([a-z-]+)"', source)
    text += (ROOT / "docs" / "etcd.md").read_text()
    etcd = ROOT / "leaderexec" / "election" / "etcd"
    source = "".join(path.read_text() for path in etcd.glob("*.py"))
    kinds += re.findall(r'Trouble\(\s*"([a-z-]+)"', source)
    text += (ROOT / "docs" / "redis.md").read_text()
    kinds += [kind for _, kind, _ in (*redis_answers._IS, *redis_answers._IS_LAST)]
    kinds += [kind for _, kind, _ in redis_answers._SAYS]
    postgres = ROOT / "leaderexec" / "election" / "postgres"
    source = "".join(path.read_text() for path in postgres.glob("*.py"))
    kinds += re.findall(r'(?:SessionOver|Trouble|NoTable|Exists)\(\s*"([a-z-]+)"', source)
    kinds += [kind for kind, _, _ in answers._BY_STATE.values()]
    kinds += [kind for _, kind, _ in answers._BY_WORDS if kind not in answers._BY_STATE]
    assert len(kinds) > 50
    for kind in kinds:
        assert f"`{kind}`" in text, kind


def test_every_page_is_in_the_navigation() -> None:
    """Each page once, and nothing else."""
    nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    assert sorted(re.findall(r": (\S+\.md)$", nav, re.MULTILINE)) == sorted(
        str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")
    )


@pytest.mark.parametrize(("block", "lost"), [("costs", True), ("fidelity", False)])
def test_the_comparison_has_the_measured_rows(
    monkeypatch: pytest.MonkeyPatch, block: str, *, lost: bool
) -> None:
    """By title, in order. Fork bombs are not on the page."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    parts = importlib.import_module("fidelity").PARTS
    page = (ROOT / "docs" / "comparison.md").read_text()
    table = page.partition(f"<!-- {block} -->\n")[2].partition(f"<!-- /{block} -->")[0]
    titles = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("|")]
    assert [re.sub(r" \[\d+\]$", "", title) for title in titles[2:]] == [
        row.title
        for name, rows in parts.items()
        if name != "crowds" and (name == "costs") is lost
        for row in rows
    ]
