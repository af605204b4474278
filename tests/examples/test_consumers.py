"""The consumers do what they say, under leaderexec and without."""

import ast
import importlib.util
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import fakeredis
import pytest
from support import LEADEREXEC, Wrapper

from leaderexec import config, options

Start = Callable[..., Wrapper]
Run = Callable[..., subprocess.CompletedProcess[str]]
FOLDER = Path(__file__).parents[2] / "examples" / "consumers"
SCRIPTS = sorted(path for path in FOLDER.iterdir() if path.suffix in (".py", ".sh"))


def load(name: str) -> ModuleType:
    """Import an example."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_each_says_how_it_is_started_in_words_that_are_accepted(script: Path) -> None:
    """In its head."""
    text = script.read_text()
    line = re.search(r"leaderexec (.*)$", text, re.MULTILINE)
    assert line is not None
    words = line[1].split()
    at = words.index("--")
    given = options.parse(words[:at], config.OPTIONS)
    config.load(given, words[at + 1 :], {"ELECTOR_PATH": "localhost:4040"}, "app-a")
    assert script.name in line[1] or script.stem in line[1]
    if script.suffix == ".py":
        ast.parse(text)
    else:
        subprocess.run(["sh", "-n", script], check=True)


def test_the_next_consumer_of_a_stream_goes_on_where_the_last_one_ended(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In order, each entry once."""
    example = load("redis_stream")
    redis = fakeredis.FakeRedis()
    for number in range(3):
        redis.xadd("orders", {"number": number})
    stop = threading.Event()
    handle = example.handle

    def handle_one(entry: bytes, fields: dict[bytes, bytes]) -> None:
        handle(entry, fields)
        stop.set()

    monkeypatch.setattr(example, "handle", handle_one)
    for _ in range(3):
        stop.clear()
        assert example.consume(redis, "orders", stop) == 1
    found = re.findall(r"'number': '(\d)'", capsys.readouterr().out)
    assert found == ["0", "1", "2"]


def test_celery_beat_has_a_schedule_and_a_task_for_it() -> None:
    """Read without celery, which is imported when the application is asked for."""
    example = load("celery_beat")
    for entry in example.SCHEDULE.values():
        assert callable(getattr(example, entry["task"].partition(".")[2]))
        assert entry["schedule"] > 0
    assert "--pidfile=" in str(example.__doc__)


def test_every_sh_runs_again_and_again_and_ends_at_once(leaderexec: Start) -> None:
    """TERM interrupts its sleep; a failing command is told and tried again."""
    wrapper = leaderexec(
        "--election", "off", "--", str(FOLDER / "every.sh"), "600", "sh", "-c", "echo ran; exit 3"
    )
    wrapper.output("ran")
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 0
    wrapper.join()
    assert any("ended with 3" in line for line in wrapper.plain)


def test_a_migration_is_done_once(run: Run, tmp_path: Path) -> None:
    """By whoever leads; the next one finds nothing to do."""
    database = tmp_path / "app.db"
    words = (
        *(LEADEREXEC, "--lock-file", str(tmp_path / "lock"), "--"),
        *(sys.executable, str(FOLDER / "migrate.py"), str(database)),
    )
    assert run(*words).stdout == "2 steps done\n"
    assert run(*words).stdout == "0 steps done\n"
    connection = sqlite3.connect(database)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(orders)")]
    connection.close()
    assert columns == ["id", "item", "paid"]
