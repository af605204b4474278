"""The plug-in template works: it installs, is listed, and passes its own tests."""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from plugin_venv import PluginVenv

PLUGIN = Path(__file__).parents[2] / "examples" / "plugin"
JAR = Path("/usr/share/java/zookeeper.jar")


@pytest.mark.apart
@pytest.mark.timeout(900)
@pytest.mark.skipif(shutil.which("java") is None, reason="java is not installed")
@pytest.mark.skipif(not JAR.exists(), reason="ZooKeeper is not installed (Debian's zookeeper)")
@pytest.mark.skipif(find_spec("kazoo") is None, reason="kazoo is not installed")
def test_the_template_passes_the_suite_and_its_own_tests(tmp_path: Path) -> None:
    """On a real ZooKeeper."""
    project = tmp_path / "plugin"
    shutil.copytree(PLUGIN, project, ignore=shutil.ignore_patterns("__pycache__"))
    environment = PluginVenv(tmp_path / "venv")
    environment.install(project)
    listed = environment.run("leaderexec", "--elections", cwd=tmp_path)
    assert re.search(r"(?m)^zookeeper +leaderexec-zookeeper 0\.1\.0 +this process has", listed)
    assert "can't be used yet" not in listed.partition("zookeeper ")[2]
    assert re.match(r"\d+ passed in", environment.test(project))
