"""`make docs` builds the pages with two programs; what one makes otherwise is noticed."""

import json
from pathlib import Path

import pytest

from docs import sites

ARTICLE = """<a href="skipped">around</a><article><h1 id="a">A <code>b</code></h1>
<p><a href="other.html#c">c</a><img src="d.png"></p></article>"""


def site(folder: Path, article: str, *, location: str = "page.html") -> Path:
    """Make a site of one page and one picture."""
    (folder / "search").mkdir(parents=True)
    (folder / "page.html").write_text(article)
    (folder / "d.png").write_bytes(b"")
    index = {"docs": [{"location": f"{location}#a"}]}
    (folder / "search" / "search_index.json").write_text(json.dumps(index))
    return folder


def test_the_same_pages_have_no_difference(tmp_path: Path) -> None:
    """Whatever is around the article, since each program has a theme of its own."""
    one = site(tmp_path / "one", ARTICLE)
    other = site(tmp_path / "other", "<nav id='theirs'></nav>" + ARTICLE)
    assert list(sites.differences(one, other)) == []
    assert sites.page(one / "page.html").headings == ["h1 A b"]


@pytest.mark.parametrize(
    ("before", "after"),
    [("h1", "h2"), ('id="a"', 'id="e"'), ("#c", "#f"), ("d.png", "g.png"), ("A ", "B ")],
)
def test_a_difference_on_a_page_is_told(tmp_path: Path, before: str, after: str) -> None:
    """A heading's level or text, an anchor, a link, a picture."""
    one = site(tmp_path / "one", ARTICLE)
    other = site(tmp_path / "other", ARTICLE.replace(before, after))
    (told,) = sites.differences(one, other)
    assert told.startswith("page.html: ")


def test_a_page_that_is_missing_or_not_searched_for_is_told(tmp_path: Path) -> None:
    """By name, and with the site that lacks it."""
    one = site(tmp_path / "one", ARTICLE)
    other = site(tmp_path / "other", ARTICLE, location="elsewhere.html")
    (other / "d.png").unlink()
    assert list(sites.differences(one, other)) == [
        f"d.png is only in {one}",
        f"page.html can't be searched for in {other}",
    ]
