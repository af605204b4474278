"""Compare the documentation as two programs build it, page by page: `make docs`.

    python tests/docs/sites.py SITE OTHER

Compared are the set of pages and of the files that they show, and of each page the headings,
anchors, links and pictures. Each site must have an index to search, with every page in it.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import zip_longest
from pathlib import Path

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
SHOWN = (".html", ".png", ".svg")
# Of mkdocs, and of Zensical.
INDEXES = (("search/search_index.json", "docs"), ("search.json", "items"))


@dataclass
class Page(HTMLParser):
    """What a page says, without what is around it: the article."""

    headings: list[str] = field(default_factory=list)
    anchors: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    _in_article: bool = False
    _heading: str = ""
    _text: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what is compared."""
        given = {name: value or "" for name, value in attrs}
        self._in_article |= tag == "article"
        if not self._in_article:
            return
        # Those of the programs themselves begin like this.
        if not given.get("id", "__").startswith("__"):
            self.anchors.append(given["id"])
        if tag in HEADINGS:
            self._heading, self._text = tag, ""
        elif tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "img":
            self.pictures.append(given.get("src", ""))

    def handle_data(self, data: str) -> None:
        """Collect a heading's text."""
        if self._heading:
            self._text += data

    def handle_endtag(self, tag: str) -> None:
        """Note a whole heading, and the end of the article."""
        if tag == "article":
            self._in_article = False
        elif tag == self._heading:
            self.headings.append(f"{tag} {self._text}")
            self._heading = ""


def page(path: Path) -> Page:
    """Read a page."""
    made = Page()
    made.feed(path.read_text())
    return made


def shown(site: Path) -> set[str]:
    """Return the pages of a site and what they show, without the programs' own files."""
    found = (file.relative_to(site) for file in site.rglob("*") if file.suffix in SHOWN)
    return {str(file) for file in found if file.parts[0] != "assets"}


def searched(site: Path) -> set[str]:
    """Return the pages that are in the search's index."""
    for name, entries in INDEXES:
        if (site / name).exists():
            index = json.loads((site / name).read_text())
            return {entry["location"].partition("#")[0] or "index.html" for entry in index[entries]}
    return set()


def differences(site: Path, other: Path) -> Iterator[str]:
    """Tell what one has and the other has not."""
    pages = shown(site)
    for name in sorted(pages ^ shown(other)):
        yield f"{name} is only in {site if name in pages else other}"
    for name in sorted(pages & shown(other)):
        if not name.endswith(".html"):
            continue
        one, two = page(site / name), page(other / name)
        for what in ("headings", "anchors", "links", "pictures"):
            for ours, theirs in zip_longest(getattr(one, what), getattr(two, what)):
                if ours != theirs:
                    yield f"{name}: {what}: {ours!r} in {site}, {theirs!r} in {other}"
                    break
    texts = {name for name in pages if name.endswith(".html")} - {"404.html"}
    for each in (site, other):
        for name in sorted(texts - searched(each)):
            yield f"{name} can't be searched for in {each}"


def main() -> None:
    """Compare; exit with 1 if they differ."""
    site, other = map(Path, sys.argv[1:])
    found = list(differences(site, other))
    if found or not shown(site):
        sys.exit("\n".join(found) or f"{site} is empty")
    print(f"{len(shown(site))} pages and pictures are the same in {site} and {other}")


if __name__ == "__main__":
    main()
