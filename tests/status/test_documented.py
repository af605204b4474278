"""docs/operating.md knows every metric, with its type and labels, and every path."""

import re
from pathlib import Path

import pytest

from leaderexec.core.actions import Cause
from leaderexec.http import routes
from leaderexec.status import metrics

PAGE = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()


def rows(first: str) -> dict[str, list[str]]:
    """Return the cells of the table whose first cell begins so, by the first."""
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


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/leader", "/status", "/metrics"])
def test_every_path_is_documented(path: str) -> None:
    """With what it is for."""
    assert rows(path)[path][-1]
    assert f'"{path}"' in Path(routes.__file__).read_text()
