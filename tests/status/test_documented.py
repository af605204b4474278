"""docs/operating.md has every metric, with its type and labels, and every path."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leaderexec.config.settings import build, settle, shown
from leaderexec.core.actions import Cause
from leaderexec.core.lifecycle import State
from leaderexec.http import routes
from leaderexec.status import metrics
from leaderexec.status.counters import Counters, Transition
from leaderexec.status.document import Document
from leaderexec.status.processes import Process
from leaderexec.status.snapshot import Snapshot

PAGE = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()


def rows(first: str) -> dict[str, list[str]]:
    """Return the cells of the table whose first cell begins like this, by the first."""
    lines = [
        line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith(f"| `{first}")
    ]
    return {cells[0].strip(" `"): [cell.strip() for cell in cells[1:]] for cells in lines}


def test_every_metric_is_documented_and_every_documented_one_exists() -> None:
    """By its name in the source."""
    source = Path(metrics.__file__).read_text()
    for name in rows("leaderexec_"):
        stem = name.removeprefix("leaderexec_").removesuffix("_total").removesuffix("_info")
        generic = re.sub("^(contact|announcement)_", "{what}_", stem)
        assert stem in source or generic in source, name
    said = set(re.findall(r'"(?:leaderexec_)?(\w+)",\n? *"[A-Z1]', source))
    documented = {name.removeprefix("leaderexec_") for name in rows("leaderexec_")}
    for stem in said:
        assert {stem, f"{stem}_total", f"{stem}_info"} & documented, stem


def test_every_cause_is_documented() -> None:
    """The label's whole set of values."""
    said = rows("leaderexec_transitions_total")["leaderexec_transitions_total"][-1]
    assert set(re.findall(r"[a-z]+(?:-[a-z]+)?", said.partition(":")[2])) == {
        one.value for one in Cause
    } - {"started"}


@pytest.mark.parametrize(
    "path", ["/", "/livez", "/readyz", "/leader", "/status", "/metrics", "/events"]
)
def test_every_path_is_documented(path: str) -> None:
    """With its purpose."""
    assert rows(path)[path][-1]
    assert f'"{path}"' in Path(routes.__file__).read_text()


def fields(value: Any, name: str = "") -> Iterator[str]:
    """Yield the names of all fields, as the table has them."""
    match value:
        case dict() if name != "options":
            for key, inner in value.items():
                yield from fields(inner, f"{name}.{key}" if name else key)
        case [first, *_] if isinstance(first, dict):
            yield from fields(first, f"{name}[]")
        case _:
            yield name


def everything() -> dict[str, Any]:
    """Return a /status in which no part is missing."""
    environ = {"ELECTOR_PATH": "localhost:4040"}
    words = {"confirm-lease": "ns/app", "api-server": "http://127.0.0.1:9"}
    values = settle(words, environ, "app-a")
    config = build(values, ("true",))
    label = {"label": "a=b", "pod": "app-a", "wanted": True, "set": True, "error": None}
    document = Document(
        *(config, shown(values), lambda: {("poll", "timeout"): 1}, lambda: 1.0, lambda: label)
    )
    counters = Counters()
    counters.last_transitions.append(Transition(1.0, "standby", "running", 1, "won", 1.0))
    tree = [Process(2, 1, "running", "true", 1, 0.1)]
    return document.status(Snapshot(State(), 0.0, None, counters), tree)


def test_every_field_of_the_status_is_documented_and_every_documented_one_exists() -> None:
    """Programs rely on them."""
    table = PAGE.partition("### The fields of /status")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    documented = {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    found = set(fields(everything()))
    assert documented - {"lease", "leader_label"} == found
