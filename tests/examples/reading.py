"""Read the examples as their users would: manifests, units, and the command lines in headers."""

import configparser
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from leaderexec.config import options
from leaderexec.config import settings as config

ROOT = Path(__file__).parents[2] / "examples"

Document = dict[str, Any]


def files() -> list[Path]:
    """Return all examples; the plug-in has its own tests and options."""
    return sorted(
        path
        for path in ROOT.rglob("*")
        if path.is_file()
        and not {"__pycache__", "plugin"}.intersection(path.parts)
        and path.suffix != ".pyc"
    )


def name_of(path: Path) -> str:
    """Return the file's name, for test names and messages."""
    return str(path.relative_to(ROOT))


def documents(name: str) -> list[Document]:
    """Read all documents of a YAML file."""
    return list(yaml.safe_load_all((ROOT / name).read_text()))


def of_kind(kind: str, *names: str) -> list[Document]:
    """Return the documents of one kind."""
    return [found for name in names for found in documents(name) if found["kind"] == kind]


def schema(name: str) -> Document:
    """Read one of the platforms' own schemas, as cut out by `packaging/schemas.py`."""
    path = Path(__file__).with_name("schemas") / f"{name}.json"
    found: Document = json.loads(path.read_text())
    return found


def faults(document: Document, by: Document) -> list[str]:
    """Return where a document does not match a schema, and why."""
    found = Draft202012Validator(by).iter_errors(document)
    return [f"{fault.json_path}: {fault.message}" for fault in found]


def environment(container: Document) -> dict[str, str]:
    """Return a container's variables."""
    return {variable["name"]: variable["value"] for variable in container.get("env", [])}


def unit(name: str) -> Mapping[str, str]:
    """Read the [Service] section of a systemd unit."""
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(ROOT / name)
    return parser["Service"]


def command_lines(path: Path) -> Iterator[list[str]]:
    """Yield each complete leaderexec command line in an example, as words."""
    for line in path.read_text().splitlines():
        found = re.match(r"(?:ExecStart=|(?://)?[#\s]*)((?:/\S*/)?leaderexec\s.*-- \S.*)$", line)
        if found:
            yield shlex.split(found[1], comments=True)


def options_of(words: Sequence[str]) -> dict[str, str]:
    """Parse a command line's options with the real table; raise UsageError if one is unknown."""
    return options.parse(words[1 : words.index("--")], config.OPTIONS)[0]


def configured(words: Sequence[str], environ: Mapping[str, str]) -> config.Config:
    """Build the configuration that leaderexec would run with."""
    return config.load(options_of(words), words[words.index("--") + 1 :], environ, "app-a")
