"""Kinds of election from other packages: found by name, checked, and distinct from ours."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import Wrapper

from leaderexec.config import settings as configuration
from leaderexec.config.options import UsageError
from leaderexec.election import KINDS, plugins
from leaderexec.election.kind import INTERFACE

Run = Callable[..., subprocess.CompletedProcess[str]]

KIND = f"""
from leaderexec.config import options
from leaderexec.config.options import Settings, option
from leaderexec.election.always import AlwaysKind


class CoinSettings(Settings):
    coin: str | None = option(
        "SIDE", None, options.OneOf("heads", "tails"), "Which side.", options.ELECTION,
        kinds=("coin",),
    )


class Coin(AlwaysKind):
    name = "coin"
    interface = {INTERFACE}
    leads_when = "the coin shows it"
    settings = CoinSettings
    chosen_by = ("coin",)
    ways = "--coin SIDE"
"""


class Site:
    """A folder with packages, as pip leaves it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(
        self, package: str, name: str, code: str = KIND, version: str = "1.2", what: str = "Coin"
    ) -> None:
        """Install a package with a plug-in of this name, made of one module."""
        module = package.replace("-", "_")
        (self.folder / f"{module}.py").write_text(code)
        meta = self.folder / f"{module}-{version}.dist-info"
        meta.mkdir()
        (meta / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
        )
        (meta / "entry_points.txt").write_text(f"[{plugins.GROUP}]\n{name} = {module}:{what}\n")

    @property
    def program(self) -> tuple[str, ...]:
        """The command of a leaderexec that finds these packages."""
        start = (
            f"import sys; sys.path.append({str(self.folder)!r})\n"
            "from leaderexec.__main__ import main; main()"
        )
        return (sys.executable, "-c", start)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A folder that this process also imports from."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Site(tmp_path)
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", "").startswith(str(tmp_path)):
            del sys.modules[name]


def refused(name: str) -> str:
    """Return why a plug-in of this name can't be loaded."""
    with pytest.raises(UsageError) as error:
        plugins.load(name, "--election", configuration.OPTIONS)
    return str(error.value)


def test_a_plug_in_is_a_kind_like_any_other(site: Site, run: Run, environ: dict[str, str]) -> None:
    """Its options are set on the command line or in the environment, and checked alike."""
    site.install("leaderexec-coin", "coin")
    words = (*site.program, "--election", "coin")
    told = ("--", "sh", "-c", "echo $LEADEREXEC_SOURCE")
    assert run(*words, "--coin", "heads", *told).stdout == "coin\n"
    environ["LEADEREXEC_COIN"] = "heads"
    assert run(*words, *told).stdout == "coin\n"
    environ["LEADEREXEC_COIN"] = "edge"
    result = run(*words, *told)
    assert result.returncode == 125
    assert "LEADEREXEC_COIN is 'edge'; allowed: heads or tails" in result.stderr
    del environ["LEADEREXEC_COIN"]
    result = run(*words, *told)
    assert "--election is 'coin', which needs --coin SIDE" in result.stderr


def test_a_plug_in_can_be_named_in_the_environment_and_is_then_in_the_help(
    site: Site, run: Run, environ: dict[str, str]
) -> None:
    """An option outranks it; the plug-in is then not even looked up."""
    site.install("leaderexec-coin", "coin")
    environ["LEADEREXEC_ELECTION"] = "Coin"
    assert "  --coin SIDE" in run(*site.program, "--help").stdout
    (site.folder / "leaderexec_coin.py").write_text("raise SystemExit(7)")
    assert run(*site.program, "--election", "off", "--", "true").returncode == 0
    assert run(*site.program, "--election=off", "--", "true").returncode == 0


def test_the_help_works_even_if_the_named_plug_in_is_missing(
    run: Run, environ: dict[str, str]
) -> None:
    """Users who ask which kinds there are must get an answer."""
    environ["LEADEREXEC_ELECTION"] = "coin"
    for question in ("--help", "--version", "--elections"):
        assert run(sys.executable, "-m", "leaderexec", question).returncode == 0
    assert run(sys.executable, "-m", "leaderexec", "--check").returncode == 125


def test_an_unknown_name_is_answered_with_the_known_ones(site: Site) -> None:
    """With the nearest name, and how to install a plug-in."""
    site.install("leaderexec-coin", "coin")
    said = refused("Coyn")
    assert said.startswith("--election is 'Coyn'; allowed: auto, elector, ")
    assert "coin" in said
    assert "did you mean coin?" in said
    assert f"{sys.executable} -m pip install PACKAGE" in said


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
        ("raise ValueError('first\\nsecond')", "ValueError: first;"),
        ("raise SystemExit(7)", "SystemExit: 7"),
        ("Coin = 7", "TypeError: 'int' object is not callable"),
    ],
)
def test_a_plug_in_that_cannot_be_loaded_is_explained_in_one_line(
    site: Site, code: str, said: str
) -> None:
    """And what may help."""
    site.install("leaderexec-coin", "coin", code)
    told = refused("coin")
    assert f"leaderexec-coin 1.2, can't be loaded: {said}" in told
    assert "pip install --upgrade leaderexec-coin" in told
    assert "second" not in told


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        (f"interface = {INTERFACE}", f"interface = {INTERFACE + 1}", "written for interface"),
        (f"    interface = {INTERFACE}\n", "", "written for interface 0"),
        ('name = "coin"', 'name = "dice"', "it calls itself 'dice'"),
        ("    coin: str", "    lease: str", "--lease is one of leaderexec's own"),
        ('kinds=("coin",)', 'kinds=("off",)', "--coin does not declare kinds=('coin',)"),
        ("class Coin(AlwaysKind)", "class Coin", "is no leaderexec.election.kind.Kind"),
    ],
)
def test_a_plug_in_that_does_not_fit_is_refused(
    site: Site, wrong: str, right: str, said: str
) -> None:
    """By name, and with the reason."""
    site.install("leaderexec-coin", "coin", KIND.replace(wrong, right))
    told = refused("coin")
    assert "leaderexec-coin 1.2, does not fit leaderexec" in told
    assert said in told


def test_two_packages_with_one_name_are_refused(site: Site) -> None:
    """There is no guess as to which one is meant."""
    site.install("leaderexec-coin", "coin")
    site.install("coins", "coin")
    assert "coins 1.2 and leaderexec-coin 1.2 both have a plug-in of this name" in refused("coin")


def test_a_plug_in_never_takes_the_name_of_a_kind_that_is_built_in(site: Site, run: Run) -> None:
    """It is not loaded, and the list says so."""
    site.install("leaderexec-off", "off", "raise SystemExit(7)")
    assert run(*site.program, "--election", "off", "--", "true").returncode == 0
    lines = run(*site.program, "--elections").stdout.splitlines()
    assert any(line.startswith("off ") and "leaderexec-off 1.2" in line for line in lines)
    assert "ignored: the kind that is built in has this name" in lines[-1]


def test_the_kinds_that_are_installed_are_listed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with its package, its description, and what is still missing."""
    site.install("leaderexec-coin", "coin", KIND + '    library = "mint"\n')
    site.install("leaderexec-broken", "broken", "import nowhere")
    monkeypatch.setitem(sys.modules, "redis", None)
    lines = {line.split()[0]: line for line in plugins.listed()}
    assert set(lines) >= {kind.name for kind in KINDS} | {"coin", "broken"}
    assert "leaderexec-coin 1.2" in lines["coin"]
    assert "the coin shows it; can't be used yet: " in lines["coin"]
    assert lines["coin"].endswith("-m pip install leaderexec-coin")
    assert lines["redis"].endswith("-m pip install 'leaderexec[redis]'")
    assert "can't be used: its plug-in, leaderexec-broken 1.2, can't be loaded" in lines["broken"]
    assert "can't be used" not in lines["postgres"]


def test_no_plug_in_is_looked_up_for_a_built_in_kind(run: Run) -> None:
    """The lookup takes longer than everything else."""
    code = (
        "import sys; from leaderexec.cli import _plug_in; _plug_in(sys.argv[1:], {});"
        "print('importlib.metadata' in sys.modules)"
    )
    for words in ((), ("--election", "file"), ("--election=OFF",)):
        assert run(sys.executable, "-c", code, *words).stdout == "False\n"


def test_a_plug_in_stands_by_and_is_stopped_like_any_other_kind(
    site: Site, environ: dict[str, str]
) -> None:
    """Its name is the source of the term."""
    site.install("leaderexec-coin", "coin")
    words = ("--log-format", "json", "--election", "coin", "--coin", "tails")
    worker = ("--", "sh", "-c", "echo up; exec sleep 100")
    wrapper = Wrapper((*words, *worker), environ, program=site.program)
    try:
        wrapper.output("up")
        assert wrapper.log("leaderexec started")["election"] == "coin"
    finally:
        wrapper.close()
        wrapper.join()


def test_the_suite_without_pytest_says_what_to_install(run: Run) -> None:
    """It is part of the wheel, and pytest need not be installed."""
    code = "import sys; sys.modules['pytest'] = None; import leaderexec.testing"
    result = run(sys.executable, "-c", code)
    assert result.returncode == 1
    assert "leaderexec.testing needs pytest" in result.stderr
    assert "pip install 'leaderexec[testing]'" in result.stderr
