"""Extract the schemas for checking the examples from the packages that contain all of them.

    pip install '.[schemas]'
    python packaging/schemas.py tests/examples/schemas

Those packages are 120 MB. Extracted are the kinds that the examples use and everything that these
refer to, for the oldest Kubernetes that they run on and a newer one; and the compose specification.
Only the descriptions are omitted.
"""

import argparse
import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

EXAMPLES = Path(__file__).parents[1] / "examples" / "kubernetes"
# The first with native sidecars, and a newer one.
VERSIONS = ("1.29", "1.34")


def main() -> None:
    """Write one file per schema."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    kinds = sorted(
        {
            (document["apiVersion"], document["kind"])
            for path in EXAMPLES.glob("*.yaml")
            for document in yaml.safe_load_all(path.read_text())
        }
    )
    for version in VERSIONS:
        write(folder / f"kubernetes-{version}.json", kubernetes(version, kinds))
    compose = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    write(folder / "compose.json", plain(json.loads(compose.read_text())))


def kubernetes(version: str, kinds: list[tuple[str, str]]) -> dict[str, Any]:
    """Return the strict definitions that these kinds need, and the location of each kind's own."""
    source = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}.0-local-strict"
    everything = json.loads((source / "_definitions.json").read_text())["$defs"]
    roots = {
        f"{api}/{kind}": name
        for api, kind in kinds
        for name, definition in everything.items()
        for mark in definition.get("x-kubernetes-group-version-kind", [])
        if mark == {"group": api.rpartition("/")[0], "version": api.split("/")[-1], "kind": kind}
    }
    needed: set[str] = set()
    waiting = set(roots.values())
    while waiting:
        needed |= waiting
        found = {ref for name in waiting for ref in references(everything[name])}
        waiting = {ref.rpartition("/")[2] for ref in found} - needed
    return {
        "kinds": {kind: f"#/$defs/{name}" for kind, name in roots.items()},
        "$defs": {name: plain(everything[name]) for name in sorted(needed)},
    }


def references(value: Any) -> Iterator[str]:
    """Yield every $ref inside."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def plain(value: Any) -> Any:
    """Return it without descriptions; a property may have that name."""
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    return {
        name: plain(inner)
        for name, inner in value.items()
        if not (name == "description" and isinstance(inner, str))
    }


def write(path: Path, schema: dict[str, Any]) -> None:
    """Write it with one line per definition."""
    lines = []
    for name, value in schema.items():
        if name in {"$defs", "definitions", "kinds"}:
            inner = ",\n".join(
                f"  {json.dumps(key)}: {json.dumps(part, separators=(',', ':'))}"
                for key, part in value.items()
            )
            lines.append(f" {json.dumps(name)}: {{\n{inner}\n }}")
        else:
            lines.append(f" {json.dumps(name)}: {json.dumps(value, separators=(',', ':'))}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
