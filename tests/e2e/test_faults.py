"""A bad night, fault by fault: noise decides nothing, and no replica leads without contact."""

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Wrapper, alive, wait_for

from leaderexec_elector.running import RunningElector

Start = Callable[..., Wrapper]
ME = "app-a"
WORKER = ("sh", "-c", "trap 'exit 21' TERM; echo up; while :; do sleep 0.02; done")
PATIENT = ("--poll-interval", "200ms", "--contact-timeout", "15s")
HASTY = ("--poll-interval", "200ms", "--contact-timeout", "1s")


def leader(
    leaderexec: Start, elector: RunningElector, *words: str, env: dict[str, str] | None = None
) -> Wrapper:
    """Start a replica that leads and whose command is up."""
    elector.lead(ME)
    wrapper = leaderexec(
        "--sse-url", elector.sse_url, "--identity", ME, *words, "--", *WORKER, env=env
    )
    wrapper.output("up")
    return wrapper


# A fault, its settings, and the kind of trouble that is logged.
NOISE = [
    ("refuse", {}, "unreachable"),
    ("restart", {"for_": "1s", "empty": "500ms"}, "unreachable"),
    ("500", {}, "http-500"),
    ("500", {"status": 404}, "http-404"),
    ("redirect", {}, "redirect"),
    ("content-type", {}, "content-type"),
    ("garbage", {"kind": "text"}, "not-json"),
    ("garbage", {"kind": "utf8"}, None),
    ("garbage", {"kind": "array"}, "not-an-object"),
    ("garbage", {"kind": "number"}, "not-an-object"),
    ("garbage", {"kind": "name-number"}, "name-not-a-string"),
    ("garbage", {"kind": "name-null"}, "name-not-a-string"),
    ("garbage", {"kind": "html"}, "not-json"),
    ("oversized", {"kind": "get"}, "too-long"),
    ("empty", {}, "nobody-known"),
    ("truncate", {"only": "get", "count": 3}, None),
]


@pytest.mark.parametrize(("fault", "settings", "kind"), NOISE)
def test_noise_changes_nothing_within_the_contact_timeout(
    leaderexec: Start,
    elector: RunningElector,
    fault: str,
    settings: dict[str, object],
    kind: str | None,
) -> None:
    """It is logged once per kind, with a remedy, and the command keeps running."""
    wrapper = leader(leaderexec, elector, *PATIENT)
    pid = wrapper.command_pid()
    elector.fault(fault, **settings)
    trouble = wrapper.log("elector trouble", **({"kind": kind} if kind else {}))  # type: ignore[arg-type]
    assert trouble["reason"]
    assert trouble["remedy"]
    before = elector.state().gets
    if fault not in ("refuse", "restart"):
        # More of the same is not logged again.
        elector.wait_gets(before + 3)
    told = [(line["kind"], line["url"]) for line in wrapper.events("elector trouble")]
    assert len(told) == len(set(told))
    elector.clear()
    wrapper.log("elector recovered")
    assert alive(pid)
    assert len(wrapper.events("command started")) == 1
    assert elector.state().followed == 0


@pytest.mark.parametrize(
    ("fault", "settings"),
    [
        ("refuse", {}),
        ("silence", {}),
        ("500", {}),
        ("redirect", {}),
        ("content-type", {}),
        ("garbage", {}),
        ("oversized", {"kind": "get"}),
        ("empty", {}),
    ],
)
def test_without_contact_for_too_long_the_command_is_stopped_and_comes_back(
    leaderexec: Start, elector: RunningElector, fault: str, settings: dict[str, object]
) -> None:
    """Unconfirmed, it does not lead; once confirmed it runs again, without a new wrapper."""
    wrapper = leader(leaderexec, elector, *HASTY)
    elector.fault(fault, **settings)
    wrapper.log("leadership unconfirmed")
    stopping = wrapper.log("transition", to="stopping")
    silent = re.search(r"no contact with the election for ([0-9.]+)s", stopping["reason"])
    assert silent
    assert float(silent[1]) >= 1.0
    wrapper.log("transition", to="standby")
    elector.clear()
    wrapper.log("command started", term=2)
    wrapper.output("up", count=2)


@pytest.mark.parametrize(
    ("fault", "settings"),
    [
        ("reset", {}),
        ("truncate", {}),
        ("oversized", {"kind": "line", "only": "sse", "count": 1}),
        ("oversized", {"kind": "event", "only": "sse", "count": 1}),
    ],
)
def test_a_broken_stream_is_opened_again_and_its_half_event_decides_nothing(
    leaderexec: Start, elector: RunningElector, fault: str, settings: dict[str, object]
) -> None:
    """The command keeps running, and the next announcement arrives."""
    wrapper = leader(leaderexec, elector, *PATIENT)
    elector.wait_subscribers(1)
    elector.fault(fault, **settings)
    if fault == "oversized":
        elector.announce()
    elector.wait_connects(2)
    elector.clear()
    elector.wait_subscribers(1)
    assert not wrapper.events("transition", to="stopping")
    elector.lead("other")
    wrapper.log("transition", to="standby")


@pytest.mark.parametrize(
    ("fault", "settings"),
    [
        ("bom", {}),
        ("mixed-newlines", {}),
        ("not-chunked", {}),
        ("split", {}),
        ("slow", {"delay": "1ms"}),
        ("garbage", {"only": "get"}),
        ("500", {"only": "get"}),
    ],
)
def test_however_the_stream_is_written_an_event_is_acted_on_when_it_arrives(
    leaderexec: Start, elector: RunningElector, fault: str, settings: dict[str, object]
) -> None:
    """While the stream stays open, and without help from the poll."""
    elector.fault(fault, **settings)
    wrapper = leaderexec(
        "--sse-url",
        elector.sse_url,
        "--identity",
        ME,
        "--poll-interval",
        "10m",
        "--contact-timeout",
        "never",
        "--",
        *WORKER,
    )
    wrapper.log("leadership confirmed")
    elector.wait_subscribers(1)
    for term in (1, 2):
        elector.lead(ME)
        wrapper.log("command started", term=term)
        elector.lead("other")
        wrapper.log("transition", count=term, to="standby")
    assert elector.state().connects == 1


@pytest.mark.parametrize("fault", ["500", "silence", "garbage", "content-type"])
def test_without_a_stream_the_poll_alone_wins_and_loses(
    leaderexec: Start, elector: RunningElector, fault: str
) -> None:
    """GET is enough, if slower."""
    elector.fault(fault, only="sse")
    wrapper = leaderexec("--sse-url", elector.sse_url, "--identity", ME, *PATIENT, "--", *WORKER)
    wrapper.log("leadership confirmed")
    elector.lead(ME)
    wrapper.output("up")
    elector.lead("other")
    wrapper.log("transition", to="standby")


def test_a_lost_subscription_is_detected_by_the_poll_and_renewed(
    leaderexec: Start, elector: RunningElector
) -> None:
    """The stream stays open and silent forever; the GET detects the loss and the win."""
    wrapper = leader(leaderexec, elector, *PATIENT)
    elector.wait_subscribers(1)
    elector.fault("drop-subscriber")
    elector.wait_subscribers(0)
    elector.lead("other")
    wrapper.log("transition", to="standby")
    wrapper.log("resubscribing")
    elector.wait_connects(2)
    elector.wait_subscribers(1)
    elector.lead(ME)
    wrapper.log("command started", term=2)


def test_silence_alone_opens_no_new_stream(leaderexec: Start, elector: RunningElector) -> None:
    """Each reconnect would leak memory in the elector."""
    wrapper = leader(leaderexec, elector, "--poll-interval", "50ms", "--contact-timeout", "10s")
    elector.wait_gets(30)
    assert elector.state().connects == 1
    assert len(wrapper.events("command started")) == 1


def test_half_open_streams_are_followed_by_the_poll(
    leaderexec: Start, elector: RunningElector
) -> None:
    """They are open but silent: leadership still moves."""
    elector.fault("half-open")
    wrapper = leaderexec("--sse-url", elector.sse_url, "--identity", ME, *PATIENT, "--", *WORKER)
    wrapper.log("leadership confirmed")
    elector.lead(ME)
    wrapper.output("up")
    elector.lead("other")
    wrapper.log("transition", to="standby")


def test_without_polling_a_silent_stream_is_contact_and_a_broken_one_is_not(
    leaderexec: Start, elector: RunningElector
) -> None:
    """For electors that have no GET."""
    wrapper = leader(leaderexec, elector, "--poll-interval", "off", "--contact-timeout", "600ms")
    elector.wait_subscribers(1)
    assert elector.state().gets == 0
    elector.fault("refuse")
    elector.fault("reset")
    wrapper.log("transition", to="standby")
    assert "no contact" in wrapper.log("transition", to="stopping")["reason"]
    elector.clear()
    wrapper.log("command started", term=2)
    assert elector.state().gets == 0


def test_a_restart_of_the_elector_is_no_loss(leaderexec: Start, elector: RunningElector) -> None:
    """It ends its streams in mid-chunk, refuses, returns with {}, and names the same leader."""
    wrapper = leader(leaderexec, elector, *PATIENT)
    elector.fault("restart", for_="500ms", empty="500ms")
    wrapper.log("elector trouble", url=elector.sse_url)
    elector.wait_connects(2)
    elector.wait_subscribers(1)
    wrapper.log("elector recovered")
    assert not wrapper.events("transition", to="stopping")


def test_requests_to_the_elector_ignore_proxies_and_netrc(
    leaderexec: Start, elector: RunningElector, tmp_path: Path
) -> None:
    """The worker's environment is not ours."""
    (tmp_path / ".netrc").write_text("default login a password b\n")
    dead = "http://127.0.0.1:1"
    wrapper = leader(
        leaderexec,
        elector,
        *HASTY,
        env={"http_proxy": dead, "HTTP_PROXY": dead, "all_proxy": dead, "HOME": str(tmp_path)},
    )
    elector.wait_gets(5)
    assert not wrapper.events("elector trouble")


def test_a_wrapper_frozen_past_the_contact_timeout_stops_its_command_first_on_resume(
    leaderexec: Start, elector: RunningElector
) -> None:
    """As after the machine was suspended; meanwhile leadership moved, and the elector hung."""
    wrapper = leader(leaderexec, elector, *HASTY)
    pid = wrapper.command_pid()
    os.kill(wrapper.pid, signal.SIGSTOP)
    elector.fault("silence")
    wait_for_seconds = 1.5
    began = os.times().elapsed
    wait_for(lambda: os.times().elapsed - began > wait_for_seconds, "the timeout to pass")
    os.kill(wrapper.pid, signal.SIGCONT)
    wrapper.log("transition", to="stopping")
    wait_for(lambda: not alive(pid), "the command to end")


def test_term_ends_it_whatever_the_elector_does(leaderexec: Start, elector: RunningElector) -> None:
    """A hung elector delays no shutdown."""
    wrapper = leader(leaderexec, elector, *PATIENT)
    elector.fault("silence")
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 21
