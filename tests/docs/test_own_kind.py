"""The page on writing a kind of election leads to one that works."""

import re
from pathlib import Path

import pytest
from plugin_venv import PluginVenv

PAGE = Path(__file__).parents[2] / "docs" / "own-kind.md"


@pytest.mark.apart
@pytest.mark.timeout(600)
def test_the_pages_steps_lead_to_a_kind_that_passes_the_suite(tmp_path: Path) -> None:
    """With just the files that the page shows, installed and listed."""
    project = tmp_path / "project"
    project.mkdir()
    files = re.findall(
        r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    assert len(files) == 3
    for name, text in files:
        (project / name).write_text(text)
    environment = PluginVenv(tmp_path / "venv")
    environment.install(project)
    listed = environment.run("leaderexec", "--elections", cwd=project)
    assert re.search(
        r"^sqlite +leaderexec-sqlite 0\.1\.0 +this process holds", listed, re.MULTILINE
    )
    assert re.match(r"\d+ passed in", environment.test(project))
