"""Which kind of election is chosen, and the warnings about settings without effect."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import LEADEREXEC, Wrapper

from leaderexec.config import options
from leaderexec.config import settings as config

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Wrapper]


def chosen(*words: str, **environ: str) -> str:
    """Return the chosen kind."""
    given, _ = options.parse(words, config.OPTIONS)
    return str(config.settle(given, environ, "host")["election"].value)


@pytest.mark.parametrize(
    ("words", "environ", "kind"),
    [
        ([], {"ELECTOR_PATH": "h:1"}, "elector"),
        ([], {"LEADEREXEC_LOCK_FILE": "L"}, "file"),
        ([], {"LEADEREXEC_LOCK_FILE": "L", "ELECTOR_PATH": "h:1"}, "file"),
        ([], {"LEADEREXEC_ELECTION": "off", "LEADEREXEC_LOCK_FILE": "L"}, "off"),
        ([], {"LEADEREXEC_ELECTION": "elector", "ELECTOR_PATH": "h:1"}, "elector"),
        (["--lock-file", "L"], {"LEADEREXEC_ELECTION": "off"}, "file"),
        (["--lock-file", "L"], {"LEADEREXEC_SSE_URL": "http://h/"}, "file"),
        (["--sse-url", "http://h/"], {"LEADEREXEC_LOCK_FILE": "L"}, "elector"),
        (["--election", "off"], {"ELECTOR_PATH": "h:1"}, "off"),
        (["--election", "OFF", "--lock-file", "L"], {}, "off"),
        (["--election", "file", "--lock-file", "L", "--sse-url", "http://h/"], {}, "file"),
    ],
)
def test_an_option_outranks_our_variables_and_they_outrank_the_platforms(
    words: list[str], environ: dict[str, str], kind: str
) -> None:
    """Whatever a base image sets."""
    assert chosen(*words, **environ) == kind


@pytest.mark.parametrize(
    ("words", "environ"),
    [
        (["--lock-file", "L", "--sse-url", "http://h/"], {}),
        ([], {"LEADEREXEC_LOCK_FILE": "L", "LEADEREXEC_GET_URL": "http://h/"}),
    ],
)
def test_two_kinds_at_one_level_are_refused(words: list[str], environ: dict[str, str]) -> None:
    """There is no guess as to which one is meant."""
    with pytest.raises(options.UsageError, match=r"both set.*--election"):
        chosen(*words, **environ)


def test_bad_settings_of_a_kind_that_is_not_chosen_do_not_matter() -> None:
    """The platform's variables are not the user's to fix."""
    assert chosen("--election", "off", ELECTOR_PATH="a b") == "off"
    assert chosen("--lock-file", "L", ELECTOR_SSE_URL="localhost") == "file"
    with pytest.raises(options.UsageError, match="ELECTOR_PATH is 'a b'"):
        chosen(ELECTOR_PATH="a b")


def test_no_variable_that_the_command_gets_is_an_option() -> None:
    """A leaderexec inside a leaderexec must not inherit the outer one's options."""
    assert not {option.variable for option in config.OPTIONS} & set(config.ADDED_VARIABLES)


def test_an_inner_leaderexec_takes_its_own_lock(
    run: Run, leaderexec: Start, tmp_path: Path
) -> None:
    """An outer --election off does not affect the inner election."""
    lock = str(tmp_path / "lock")
    holder = leaderexec("--lock-file", lock, "--identity", "holder", "--", "sleep", "100")
    holder.log("command started")
    inner = [LEADEREXEC, "--lock-file", lock, "--identity", "inner", "--is-leader"]
    result = run(LEADEREXEC, "--election", "off", "--", *inner)
    assert (result.returncode, result.stdout) == (1, "holder\n")


def warned(*words: str, **environ: str) -> str:
    """Return the warnings."""
    given, _ = options.parse(words, config.OPTIONS)
    values = config.settle(given, environ, "host")
    return "\n".join(config.warnings(values, environ))


@pytest.mark.parametrize(
    ("words", "environ", "said"),
    [
        ([], {"LEADEREXEC_GRACE_LOSS": "1s"}, "did you mean LEADEREXEC_GRACE_LOST?"),
        ([], {"LEADEREXEC_LOCK_FILE": "L"}, "LEADEREXEC_LOCK_FILE has no effect"),
        (["--lock-file", "L"], {}, "--lock-file has no effect with --election off"),
        (["--restart-limit", "3"], {}, "no effect without --restart"),
        (["--on-stop-timeout", "3s"], {}, "no effect without --on-stop"),
        (["--contact-timeout", "3s"], {}, "no effect with --election off"),
        (["--restart", "never", "--restart-limit", "3"], {}, "no effect without --restart"),
        (["--hook-failure", "abort"], {}, "no effect without --on-start or --on-stop"),
    ],
)
def test_a_setting_without_effect_is_warned_of(
    words: list[str], environ: dict[str, str], said: str
) -> None:
    """It is never ignored silently."""
    assert said in warned("--election", "off", *words, **environ)


def test_a_setting_with_its_partner_is_not_warned_of() -> None:
    """One of several is enough."""
    words = ("--restart", "always", "--restart-limit", "3")
    assert warned("--election", "off", *words) == ""
    words = ("--on-stop", "true", "--hook-failure", "abort")
    assert warned("--election", "off", *words) == ""


def test_variables_of_the_platform_or_an_outer_leaderexec_are_not_warned_of() -> None:
    """The user has not set it."""
    environ = dict.fromkeys(config.ADDED_VARIABLES, "x") | {"ELECTOR_PATH": "h:1", "PATH": "/bin"}
    assert warned("--election", "off", **environ) == ""


@pytest.mark.parametrize("option", [("--unhealthy", "abdicate"), ("--abdicate-after", "3")])
def test_an_abdication_that_is_impossible_is_warned_of(option: tuple[str, str]) -> None:
    """With an elector, or without an election."""
    probe = ("--health-file", "alive")
    said = f"{option[0]} can't move leadership with --election off"
    assert said in warned("--election", "off", *probe, *option)
    assert warned("--lock-file", "L", *probe, *option) == ""


def test_warnings_are_logged_at_the_start(leaderexec: Start) -> None:
    """With what to do."""
    wrapper = leaderexec("--election", "off", "--", "true", env={"LEADEREXEC_GRACE_LOSS": "1s"})
    assert "LEADEREXEC_GRACE_LOST" in wrapper.log("doubtful setting")["reason"]
    assert wrapper.wait() == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--is-leader", "--check"], "--is-leader and --check can't be combined"),
        (["--quiet", "--", "true"], "--quiet is used with --is-leader"),
        (["--watch"], "--watch is used with --status"),
        (["--is-leader", "--", "true"], "--is-leader starts nothing"),
        (["--is-leader", "--quiet=1"], "--quiet takes no value"),
        (["--election", "off", "--is-leadr"], "did you mean --is-leader?"),
        (["--election", "off", "--rewrite", "HUP", "--", "true"], "SIGNAL=SIGNAL"),
        (["--election", "off", "--rewrite", "HUP=FOO", "--", "true"], "'FOO' is not a signal"),
        (["--election", "off", "--end-on", "KILL", "--", "true"], "--end-on is 'KILL'"),
        (
            ["--election", "off", "--end-on", "QUIT", "--rewrite", "QUIT=", "--", "true"],
            "--rewrite QUIT= swallows",
        ),
    ],
)
def test_options_that_cannot_be_combined_are_refused_and_named(
    run: Run, words: list[str], said: str
) -> None:
    """On one line, with exit code 125."""
    result = run(LEADEREXEC, *words)
    assert result.returncode == 125
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_query_without_an_election_gets_no_error_about_a_command(run: Run) -> None:
    """It would not start one anyway."""
    result = run(LEADEREXEC, "--is-leader")
    assert result.returncode == 125
    assert "--election off" in result.stderr
    assert "command" not in result.stderr


def test_the_command_gets_no_variables_of_an_outer_leaderexec(run: Run) -> None:
    """The command would trust another process's fence or hook name."""
    environ = {"PATH": "/bin:/usr/bin", "LEADEREXEC_GRACE": "3s"} | dict.fromkeys(
        config.ADDED_VARIABLES, "x"
    )
    result = run(LEADEREXEC, "--election", "off", "--", "env", env=environ)
    told = dict(line.split("=", 1) for line in result.stdout.splitlines())
    assert "x" not in told.values()
    assert not {"LEADEREXEC_FENCE", "LEADEREXEC_HOOK", "LEADEREXEC_GATE"} & set(told)
    assert told["LEADEREXEC_GRACE"] == "3s"


def test_an_options_value_may_look_like_a_query(run: Run) -> None:
    """The value is the word after the option, whatever it is."""
    words = ("--election", "off", "--identity", "-V", "--", "printenv", "LEADEREXEC_REPLICA")
    result = run(LEADEREXEC, *words)
    assert (result.returncode, result.stdout) == (0, "-V\n")


def test_choices_are_read_in_any_case(run: Run) -> None:
    """LEADEREXEC_LOG_LEVEL=DEBUG is what many people write."""
    environ = {
        "LEADEREXEC_LOG_LEVEL": "ERROR",
        "LEADEREXEC_ELECTION": "Off",
        "PATH": "/bin:/usr/bin",
    }
    assert run(LEADEREXEC, "--", "true", env=environ).returncode == 0


def test_for_a_command_in_one_word_the_error_says_that_there_is_no_shell(run: Run) -> None:
    """Without a PATH of 400 characters, and without the command line's secrets in the log."""
    result = run(LEADEREXEC, "--election", "off", "--", "echo --password=s3cret")
    assert result.returncode == 127
    assert "there is no shell" in result.stderr
    assert "-- echo ..." in result.stderr
    assert "/usr/bin" not in result.stderr
    assert "s3cret" not in result.stderr


def test_a_refused_url_is_shown_without_its_password(run: Run) -> None:
    """Errors in the container's environment end up in its logs."""
    refused = run(LEADEREXEC, "--etcd", "http://u:s3cret@etcd:2379", "--", "true")
    assert "--etcd is 'http://...@etcd:2379'; allowed" in refused.stderr
    assert "s3cret" not in refused.stderr
