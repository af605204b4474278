"""The page at / of --http, in a real browser: live, and for eyes, ears and keyboards."""

import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

import browser
import pytest
from browser import Browser, Failed, Page
from support import Wrapper, wait_for

from leaderexec_elector.running import RunningElector

Start = Callable[..., Wrapper]
Open = Callable[[str], Page]
Replica = Callable[..., Wrapper]
WORKER = ("sh", "-c", "trap 'exit 21' TERM; echo up; while :; do sleep 0.1; done")
HOSTILE = "<img src=x onerror=alert(1)>"
# Where the documentation's pictures are written; otherwise they are only taken.
PICTURES = os.environ.get("PICTURES")
# The browser's own log messages while a server is gone.
_AWAY = re.compile(r"Failed to load resource: net::ERR_\w+")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Start a browser."""
    path = browser.program()
    if path is None:
        reason = "chromium is not installed: apt-get install chromium (.ci/prepare does)"
        if os.environ.get("BROWSER") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    started = Browser(path, tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.fixture
def opened(chromium: Browser) -> Iterator[Open]:
    """Open pages, which are closed at the end."""
    with ExitStack() as pages:

        def begin(address: str) -> Page:
            page = Page(chromium, f"http://{address}/")
            pages.callback(page.close)
            return page

        yield begin


@pytest.fixture
def replica(leaderexec: Start, elector: RunningElector) -> Replica:
    """Start a replica; it is in contact with the elector when this returns."""

    def start(name: str, *words: str, http: str = "127.0.0.1:0") -> Wrapper:
        wrapper = leaderexec(
            *("--sse-url", elector.sse_url, "--identity", name, "--http", http, *words),
            *("--", *WORKER),
        )
        wrapper.log("leadership confirmed")
        return wrapper

    return start


def address_of(wrapper: Wrapper) -> str:
    """Return its address."""
    return str(wrapper.log("http listening")["address"])


@pytest.fixture
def whole(replica: Replica, opened: Open, elector: RunningElector) -> Page:
    """A leader's page with its processes, and with a replica that does not answer."""
    elector.lead("app-a")
    page = opened(address_of(replica("app-a", "--peers", "127.0.0.1:9")))
    page.shows("MB", "#tree")
    page.shows("no answer", "#peers-rows")
    return page


def test_the_page_shows_who_leads_and_what_runs(
    replica: Replica, opened: Open, elector: RunningElector
) -> None:
    """And the browser logs no errors."""
    elector.lead("app-a")
    wrapper = replica("app-a")
    wrapper.output("up")
    page = opened(address_of(wrapper))
    page.shows("This replica leads, and its command runs.", "#headline")
    assert page.text("h1") == "app-a"
    page.shows("MB", "#tree")
    leadership = page.text("#leadership")
    assert "app-a, since" in leadership
    assert "running, since" in leadership
    assert "heard" in leadership
    assert f"pid {wrapper.command_pid()}" in page.text("#command")
    assert str(wrapper.command_pid()) in page.text("#tree-rows")
    assert "→ running, term 1: " in page.text("#transitions")
    assert not page.does("document.getElementById('peers').checkVisibility()")
    assert page.does("document.title") == "★ app-a: running"
    assert page.complaints() == []


def test_a_move_is_shown_while_the_page_is_open(
    replica: Replica, opened: Open, elector: RunningElector
) -> None:
    """There and back, without a reload."""
    wrapper = replica("app-a")
    page = opened(address_of(wrapper))
    page.shows("other leads. This replica is in standby.", "#headline")
    page.does("window.here = true")
    elector.lead("app-a")
    page.shows("This replica leads, and its command runs.", "#headline")
    elector.lead("app-b")
    page.shows("app-b leads. This replica is in standby.", "#headline")
    assert len(page.texts("#transitions li")) == 3
    assert page.does("window.here") is True
    assert page.complaints() == []


def test_the_page_survives_a_restart_of_the_replica(
    replica: Replica, opened: Open, elector: RunningElector
) -> None:
    """It says that its content is old, and continues without a reload."""
    elector.lead("app-a")
    wrapper = replica("app-a")
    address = address_of(wrapper)
    page = opened(address)
    page.shows("This replica leads, and its command runs.", "#headline")
    wrapper.close()
    page.shows("No word from this replica's server since", "#lost")
    elector.lead("app-b")
    replica("app-a", http=address)
    page.shows("app-b leads. This replica is in standby.", "#headline")
    assert not page.does("document.getElementById('lost').checkVisibility()")
    assert page.does("document.body.className") == ""
    assert [one for one in page.complaints() if not _AWAY.match(one)] == []


def test_hostile_names_are_shown_as_text(
    replica: Replica, opened: Open, elector: RunningElector
) -> None:
    """Of the replica, the leader and another replica; none of it runs or becomes markup."""
    elector.lead(f"{HOSTILE}<script>alert(2)</script>")
    other = replica(f"{HOSTILE}b")
    wrapper = replica(f"{HOSTILE}a", "--peers", address_of(other))
    page = opened(address_of(wrapper))
    page.shows(f"{HOSTILE}<script>alert(2)</script> leads.", "#headline")
    page.shows(f"{HOSTILE}b", "#peers-rows")
    assert page.text("h1") == f"{HOSTILE}a"
    assert page.does("document.images.length") == 0
    assert page.does("document.scripts.length") == 1
    assert page.complaints() == []


def test_no_text_can_become_markup_even_by_a_bug_of_ours(replica: Replica, opened: Open) -> None:
    """The page's content security policy forbids it."""
    page = opened(address_of(replica("app-a")))
    page.shows("leads. This replica is in standby.", "#headline")
    with pytest.raises(Failed, match="TrustedHTML"):
        page.does("document.body.innerHTML = '<b>bold</b>'")
    with pytest.raises(Failed, match="TrustedScript"):
        page.does("document.createElement('script').text = 'alert(1)'")


def test_all_replicas_are_shown_side_by_side(
    replica: Replica,
    leaderexec: Start,
    opened: Open,
    elector: RunningElector,
    tmp_path: Path,
) -> None:
    """At a glance one sees which of five leads and which are unfit; the test takes pictures."""
    others = [replica(f"app-{letter}") for letter in "bcd"]
    lonely = leaderexec(
        *("--sse-url", "http://127.0.0.1:9/sse", "--identity", "app-e", "--http", "127.0.0.1:0"),
        *("--", *WORKER),
    )
    served = [address_of(one) for one in (*others, lonely)]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        own = f"127.0.0.1:{probe.getsockname()[1]}"
    wrapper = replica("app-a", "--peers", ",".join([own, *served]), http=own)
    elector.lead("app-a")
    wrapper.output("up")
    page = opened(own)
    page.shows("app-a leads, as 4 of 5 replicas say.", "#peers-summary")
    page.shows("MB", "#tree")
    expected = [
        ["app-a", "leads", "running"],
        ["app-b", "fit", "standby"],
        ["app-c", "fit", "standby"],
        ["app-d", "fit", "standby"],
        ["app-e", "unfit", "standby"],
    ]

    def all_there() -> list[str]:
        rows = page.texts("#peers-rows tr")
        return rows if [row.split("\t")[:3] for row in rows] == expected else []

    # One that is too slow on a busy machine has answered a second later.
    assert "it has no contact with the election" in wait_for(all_there)[4]
    others[0].close()
    page.shows("no answer: ", "#peers-rows")
    page.shows("app-a leads, as 3 of 5 replicas say.", "#peers-summary")
    folder = Path(PICTURES) if PICTURES else tmp_path
    for name, width, scheme in (
        ("light", 1000, "light"),
        ("dark", 1000, "dark"),
        ("phone", 390, "light"),
    ):
        page.looks(width, 800, scheme, mobile=name == "phone")
        path = folder / f"page-{name}.png"
        page.picture(path)
        assert path.read_bytes().startswith(b"\x89PNG")
    elector.lead("app-c")
    page.shows("app-c leads, as 3 of 5 replicas say.", "#peers-summary")
    assert page.complaints() == []


def test_it_fits_a_phone_and_follows_the_preferred_colour_scheme(whole: Page) -> None:
    """Only a table may be wider than the screen, and then it scrolls on its own."""
    grounds = set()
    for scheme in ("light", "dark"):
        whole.looks(360, 640, scheme, mobile=True)
        assert whole.does("document.documentElement.scrollWidth") == 360
        grounds.add(whole.does("getComputedStyle(document.body).backgroundColor"))
    assert grounds == {"rgb(255, 255, 255)", "rgb(13, 17, 23)"}


def test_a_screen_reader_gets_landmarks_headings_and_changes(
    whole: Page, elector: RunningElector
) -> None:
    """Each region has a name, each table headers; changes of the headline are announced."""
    tree = whole.tree()
    roles = [role for role, _ in tree]
    for landmark in ("banner", "main", "contentinfo"):
        assert roles.count(landmark) == 1, landmark
    assert ("navigation", "For programs") in tree
    for name in ("Leadership", "Replicas", "Command", "Last transitions"):
        assert ("heading", name) in tree
        assert ("region", name) in tree
    assert ("columnheader", "Role") in tree
    assert ("columnheader", "Memory") in tree
    assert any(role == "rowheader" for role in roles)
    assert whole.does("document.getElementById('headline').ariaLive") == "polite"
    whole.does(
        "window.changes = 0; new MutationObserver(all => changes += all.length)"
        ".observe(document.getElementById('headline'),"
        " {childList: true, subtree: true, characterData: true, attributes: true})"
    )
    heard = whole.does("document.getElementById('leadership').innerText")
    wait_for(lambda: whole.does("document.getElementById('leadership').innerText") != heard)
    assert whole.does("changes") == 0
    elector.lead("app-b")
    whole.shows("app-b leads.", "#headline")
    assert whole.does("changes") > 0


def test_everything_can_be_reached_by_the_keyboard(whole: Page) -> None:
    """The tables, which may have to be scrolled, and the links, in order."""
    reached = []
    for _ in range(7):
        whole.press("Tab")
        reached.append(
            whole.does(
                "document.activeElement.getAttribute('href')"
                " ?? document.activeElement.getAttribute('role')"
            )
        )
    assert reached == ["region", "region", "status", "leader", "readyz", "livez", "metrics"]
    assert whole.does("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_the_page_is_self_contained_and_only_for_browsers(replica: Replica) -> None:
    """Nothing is loaded from elsewhere, and programs get the paths as before."""
    address = address_of(replica("app-a"))
    answers = {}
    for accept in ("text/html,application/xhtml+xml,*/*;q=0.8", "*/*"):
        connection = HTTPConnection(address, timeout=20)
        connection.request("GET", "/", headers={"Accept": accept})
        answer = connection.getresponse()
        answers[accept[:4]] = answer.headers, answer.read().decode()
        connection.close()
    headers, html = answers["text"]
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    nonce = policy["script-src"].removeprefix("'nonce-").removesuffix("'")
    assert len(nonce) == 24
    assert html.count(f'nonce="{nonce}"') == 2
    assert not re.search(r"%(NONCE|page)", html)
    assert not re.search(r"""(src|href)=["'](?!data:,|status|leader|readyz|livez|metrics)""", html)
    assert "url(" not in html
    assert "://" not in html
    headers, paths = answers["*/*"]
    assert headers["Content-Type"].startswith("text/plain")
    assert paths.split() == ["/livez", "/readyz", "/leader", "/status", "/metrics", "/events"]


def luminance(colour: str) -> float:
    """Return the relative luminance of #rrggbb (WCAG 2.2)."""
    full = colour if len(colour) == 7 else "#" + "".join(2 * digit for digit in colour[1:])
    parts = [int(full[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return sum(share * one for share, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_every_colour_is_readable_on_its_background() -> None:
    """With the contrast of WCAG 2.2, level AA, in both schemes."""
    import leaderexec.http.page as room

    style = (Path(room.__file__).parent / "page.css").read_text()
    schemes = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]+)", scheme))
        for name in ("text", "quiet", "good", "bad", "doubt", "link"):
            for ground in ("ground", "panel"):
                pair = sorted((luminance(colours[name]), luminance(colours[ground])))
                assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (name, ground)
