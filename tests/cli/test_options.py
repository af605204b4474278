"""Options come from the command line, a variable or a default; errors include the remedy."""

import signal

import pytest
from cli.loading import error_of, load
from hypothesis import given
from hypothesis import strategies as st

from leaderexec.config import options
from leaderexec.config import settings as config
from leaderexec.election.elector.kind import ElectorSettings

URL = "http://localhost:4040/sse"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("10s", 10), ("2m", 120), ("1h", 3600), ("1.5s", 1.5), ("0", 0), ("0s", 0)],
)
def test_durations_have_units(text: str, seconds: float) -> None:
    """Milliseconds to hours."""
    assert options.duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["10", "", "s", "-1s", "1d", "10 s", "1e3s", "10S", "\uff11s", "721h"]
)
def test_a_number_without_a_known_unit_is_no_duration(text: str) -> None:
    """Users should not have to guess whether 10 means seconds."""
    with pytest.raises(ValueError, match=r"500ms|720h"):
        options.duration(text)


@given(st.integers(0, 10**6))
def test_a_shown_duration_can_be_read_back(milliseconds: int) -> None:
    """What `--check` and the log show can be pasted into an option."""
    shown = options.show_duration(milliseconds / 1000)
    assert options.duration(shown) == pytest.approx(milliseconds / 1000)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("TERM", 15),
        ("SIGTERM", 15),
        ("sigterm", 15),
        ("15", 15),
        ("RTMIN", signal.SIGRTMIN),
        ("SIGRTMIN+3", signal.SIGRTMIN + 3),
        ("RTMAX-1", signal.SIGRTMAX - 1),
    ],
)
def test_signals_have_names_or_numbers(text: str, number: int) -> None:
    """As kill(1) accepts them."""
    assert options.signal_number(text) == number


@pytest.mark.parametrize("text", ["", "0", "FOO", "SIG", "99", "-1", "RTMIN+99", "BLOCK", "_DFL"])
def test_unknown_signals_are_refused(text: str) -> None:
    """Including names in the signal module that are not signals."""
    with pytest.raises(ValueError, match="TERM"):
        options.signal_number(text)


def test_an_option_outranks_its_variable_and_that_outranks_the_default() -> None:
    """Also in the form with an equals sign."""
    assert load(ELECTOR_SSE_URL=URL).grace == 25
    assert load(ELECTOR_SSE_URL=URL, LEADEREXEC_GRACE="3s").grace == 3
    assert load("--grace=4s", ELECTOR_SSE_URL=URL, LEADEREXEC_GRACE="3s").grace == 4
    assert load("--grace", "5s", ELECTOR_SSE_URL=URL, LEADEREXEC_GRACE="x").grace == 5


def test_an_empty_variable_counts_as_unset() -> None:
    """Manifests often leave one empty."""
    assert load(ELECTOR_SSE_URL=URL, LEADEREXEC_GRACE="", ELECTOR_GET_URL="").grace == 25


@pytest.mark.parametrize(
    ("words", "environ", "parts"),
    [
        (["--grace", "10"], {}, ["--grace is '10'", "10s"]),
        ([], {"LEADEREXEC_GRACE": "soon"}, ["LEADEREXEC_GRACE is 'soon'", "10s"]),
        (["--stop-signal", "FOO"], {}, ["--stop-signal is 'FOO'", "TERM"]),
        (
            ["--election", "on"],
            {},
            ["--election is 'on'", "auto, elector, file, lease, etcd, postgres, redis or"],
        ),
        (["--sse-url", "https://x/sse"], {}, ["--sse-url is 'https://x/sse'", "http://"]),
        (["--sse-url", "http://user@x/sse"], {}, ["--sse-url", "http://"]),
        (["--get-url", "http://x:99999/"], {}, ["--get-url", "host and port"]),
        (["--get-url", "http://[.]/"], {}, ["--get-url", "host and port"]),
        (["--get-url", "http://x/ä"], {}, ["--get-url", "http://"]),
        (["--health-http", "http://x/\x7f"], {}, ["--health-http", "http://"]),
        (["--stop-signal", "9" * 5000], {}, ["--stop-signal", "TERM"]),
        (["--stop-signal", f"RTMIN+{'9' * 5000}"], {}, ["--stop-signal", "TERM"]),
        (["--success-exit-status", "9" * 5000], {}, ["--success-exit-status", "0 to 255"]),
        (["--wait-exit-code", "9" * 5000], {}, ["--wait-exit-code", "0 to 255"]),
        (["--api-server", "http://x/ä"], {}, ["--api-server", "http://"]),
        ([], {"ELECTOR_SSE_URL": "localhost"}, ["ELECTOR_SSE_URL is 'localhost'", "http://"]),
        (
            [],
            {"ELECTOR_GET_URL": "", "ELECTOR_PATH": "a b"},
            ["ELECTOR_PATH is 'a b'"],
        ),
        (["--identity", ""], {}, ["--identity is ''", "253"]),
        (["--restart-limit", "-1"], {}, ["--restart-limit is '-1'", "whole number"]),
        (["--contact-timeout", "0s"], {}, ["--contact-timeout is '0s'", "never"]),
        (["--leader-label", f"{'A' * 5000}/a=b"], {}, ["--leader-label", "KEY=VALUE"]),
        (["--gracee", "1s"], {}, ["no option --gracee", "did you mean --grace?"]),
        (["--zzz"], {}, ["no option --zzz", "--help"]),
        (["--grace"], {}, ["--grace needs a value", "DURATION"]),
        (["--grace", "--on-lost"], {}, ["--grace needs a value"]),
        (["python"], {}, ["'python' is not an option", "put -- before the command"]),
    ],
)
def test_a_bad_option_is_named_with_its_value_and_what_is_allowed(
    words: list[str], environ: dict[str, str], parts: list[str]
) -> None:
    """In one line, for whoever is on call at 3 a.m."""
    message = error_of(*words, **({"ELECTOR_GET_URL": "http://localhost/"} | environ))
    for part in parts:
        assert part in message
    assert "\n" not in message
    assert len(message) < 1000


def test_without_any_election_the_three_ways_out_are_named() -> None:
    """The command must never run by accident."""
    message = error_of()
    for way in ("--sse-url", "ELECTOR_PATH", "--lock-file", "--lease", "--election off"):
        assert way in message


@pytest.mark.parametrize(
    ("environ", "sse", "get"),
    [
        ({"ELECTOR_SSE_URL": "http://h:1/sse"}, "http://h:1/sse", "http://h:1/"),
        ({"ELECTOR_GET_URL": "http://h:1/"}, "http://h:1/sse", "http://h:1/"),
        ({"ELECTOR_GET_URL": "http://h:1"}, "http://h:1/sse", "http://h:1"),
        ({"ELECTOR_PATH": "h:1"}, "http://h:1/sse", "http://h:1/"),
        ({"ELECTOR_PATH": "http://h:1/"}, "http://h:1/sse", "http://h:1/"),
        (
            {"ELECTOR_PATH": "x:1", "ELECTOR_GET_URL": "http://h:1/", "ELECTOR_SSE_URL": URL},
            URL,
            "http://h:1/",
        ),
        (
            {"ELECTOR_GET_URL": "http://h:1/", "LEADEREXEC_SSE_URL": URL},
            URL,
            "http://localhost:4040/",
        ),
        ({"ELECTOR_SSE_URL": URL, "LEADEREXEC_GET_URL": "http://h/"}, "http://h/sse", "http://h/"),
        ({"ELECTOR_SSE_URL": "http://[::1]:1/x/sse"}, "http://[::1]:1/x/sse", "http://[::1]:1/x/"),
    ],
)
def test_one_url_is_enough_and_derived_urls_have_the_same_origin(
    environ: dict[str, str], sse: str, get: str
) -> None:
    """A stream must not be compared with another elector."""
    loaded = load(**environ)
    urls = loaded.of(ElectorSettings)
    assert (loaded.election, urls.sse_url, urls.get_url) == ("elector", sse, get)


def test_a_kind_of_election_without_what_it_needs_is_refused() -> None:
    """With what to set."""
    assert "ELECTOR_SSE_URL" in error_of("--election", "elector")
    assert "--lock-file" in error_of("--election", "file")
    assert "--lease" in error_of("--election", "lease")


def test_a_contact_timeout_shorter_than_one_poll_is_refused() -> None:
    """It would occasionally stop a healthy leader."""
    message = error_of("--contact-timeout", "15s", ELECTOR_PATH="h:1")
    for part in ("--contact-timeout is 15s", "--poll-interval 10s", "request timeout 5s", "never"):
        assert part in message
    assert load("--contact-timeout", "16s", ELECTOR_PATH="h:1").policy.contact.timeout == 16
    assert load("--contact-timeout", "never", ELECTOR_PATH="h:1").policy.contact.timeout is None
    loaded = load("--contact-timeout", "1s", "--poll-interval", "off", ELECTOR_PATH="h:1")
    assert (loaded.poll_interval, loaded.policy.contact.timeout) == (None, 1)


def test_the_identity_is_the_hostname_unless_set() -> None:
    """A pod leads when its hostname is announced."""
    assert load(ELECTOR_PATH="h:1", host="pod-1").identity == "pod-1"
    assert load("--identity", "me", ELECTOR_PATH="h:1").identity == "me"


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("true", True), ("0", False), ("no", False)]
)
def test_a_switchs_variable_is_1_or_0(text: str, value: bool) -> None:
    """Or words for them."""
    assert options.switch(text) is value
    with pytest.raises(ValueError, match="1 or 0"):
        options.switch("maybe")


def test_every_option_is_documented_and_has_a_readable_default() -> None:
    """The table is the documentation."""
    for option in config.OPTIONS:
        assert option.help.endswith(".")
        assert option.variable == "LEADEREXEC_" + option.name.upper().replace("-", "_")
        if option.default is not None:
            option.read(option.default)


@pytest.mark.parametrize("grace", ["--grace", "--grace-lost"])
def test_on_stop_must_leave_part_of_each_grace_to_the_command(grace: str) -> None:
    """Both share one deadline."""
    words = ("--sse-url", URL, grace, "5s", "--on-stop", "true", "--on-stop-timeout", "5s")
    said = error_of(*words)
    assert "--on-stop-timeout is 5s" in said
    assert f"less than {grace}" in said
    load("--sse-url", URL, grace, "5s", "--on-stop-timeout", "5s")


@pytest.mark.parametrize("text", ["", " ", "echo 'unclosed"])
def test_a_hook_is_a_command_quoted_as_in_a_shell(text: str) -> None:
    """If it can't be split into words, the error says why."""
    assert "a command with its arguments" in error_of("--sse-url", URL, "--on-start", text)


def test_a_hook_may_quote() -> None:
    """A hook that needs a shell names it."""
    assert load("--sse-url", URL, "--on-start", "sh -c 'a && b'").on_start == ("sh", "-c", "a && b")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (":8080", ":8080"),
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("[::1]:8080", "[::1]:8080"),
        ("localhost:0", "localhost:0"),
        ("unix:/run/x.sock", "unix:/run/x.sock"),
    ],
)
def test_an_address_is_shown_as_it_was_given(text: str, shown: str) -> None:
    """So that it can be pasted."""
    assert str(load("--sse-url", URL, "--http", text).http) == shown


@pytest.mark.parametrize(
    "text", ["8080", ":65536", "::1:80", "[.]:80", "unix:relative", "a b:80", "x:y"]
)
def test_a_malformed_address_is_refused_with_the_allowed_forms(text: str) -> None:
    """There are four of them."""
    assert "unix:" in error_of("--sse-url", URL, "--http", text)


def test_every_value_is_shown_in_its_options_own_format() -> None:
    """As it could be set again."""
    given_options, _ = options.parse(
        [
            "--sse-url",
            URL,
            "--rewrite",
            "HUP=USR1,WINCH=",
            "--stop-signal",
            "3",
            "--end-on",
            "3,RTMIN+3",
            "--on-stop",
            "a 'b c'",
        ],
        config.OPTIONS,
    )
    shown = config.shown(config.settle(given_options, {}, "app-a"))
    assert shown["rewrite"] == "HUP=USR1,WINCH="
    assert shown["stop-signal"] == "QUIT"
    assert shown["end-on"] == "QUIT,RTMIN+3"
    assert shown["takeover-delay"] == "11s"
    assert shown["on-stop"] == "a 'b c'"
    assert shown["grace"] == "25s"
    assert shown["metrics"] == "auto"
    assert shown["signal-group"] == "0"
    assert shown["http"] == "-"


def test_a_warm_command_that_cannot_say_that_it_is_ready_is_refused() -> None:
    """It would never be told that it leads."""
    assert "but --notify is off" in error_of("--sse-url", URL, "--warm", "--notify", "off")


def test_a_warm_command_has_the_start_period_to_become_ready() -> None:
    """Without --warm the start period does not affect decisions."""
    assert load("--sse-url", URL, "--warm", "--health-start-period", "7s").policy.warm == 7.0
    assert load("--sse-url", URL).policy.warm is None
