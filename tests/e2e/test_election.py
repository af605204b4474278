"""The command runs on the replica that leads, and only there."""

import signal
import subprocess
import time
from collections.abc import Callable

import psutil
import pytest
from support import Wrapper, alive, wait_for

from leaderexec_elector.running import RunningElector

Start = Callable[..., Wrapper]
WORKER = ("sh", "-c", "trap 'exit 21' TERM; echo up; while :; do sleep 0.02; done")
ME = "app-a"


def replica(
    leaderexec: Start, elector: RunningElector, *words: str, name: str = ME, **options: object
) -> Wrapper:
    """Start a replica that is in contact with the elector."""
    command = () if "--" in words else ("--", *WORKER)
    wrapper = leaderexec(
        "--sse-url", elector.sse_url, "--identity", name, *words, *command, **options
    )
    wrapper.log("leadership confirmed")
    return wrapper


@pytest.mark.parametrize("variable", ["ELECTOR_SSE_URL", "ELECTOR_GET_URL", "ELECTOR_PATH"])
def test_any_one_of_the_platforms_variables_is_enough(
    leaderexec: Start, elector: RunningElector, variable: str
) -> None:
    """The stream and the poll are derived from it."""
    value = {
        "ELECTOR_SSE_URL": elector.sse_url,
        "ELECTOR_GET_URL": elector.url,
        "ELECTOR_PATH": ":".join(map(str, elector.address)),
    }[variable]
    wrapper = leaderexec(
        "--identity", ME, "--poll-interval", "200ms", "--", *WORKER, env={variable: value}
    )
    elector.lead(ME)
    wrapper.log("command started")
    assert elector.wait_gets(1).connects == 1


def test_the_command_runs_on_the_named_replica_and_moves_with_leadership(
    leaderexec: Start, elector: RunningElector
) -> None:
    """It starts on a win, stops on a loss, and starts again on the next win, in a new term."""
    first, second = (replica(leaderexec, elector, name=name) for name in (ME, "app-b"))
    for term in (1, 2, 3):
        elector.lead(ME)
        first.log("command started", term=term)
        elector.lead("app-b")
        second.log("command started", term=term)
        first.log("transition", count=term, to="standby")
    assert len(first.events("command started")) == 3


def test_a_standby_exits_with_0_at_once(leaderexec: Start, elector: RunningElector) -> None:
    """Nothing runs, so there is nothing to wait for."""
    wrapper = replica(leaderexec, elector)
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_leader_that_is_ordered_to_stop_exits_with_its_commands_code(
    leaderexec: Start, elector: RunningElector, number: int
) -> None:
    """Whichever signal it was."""
    wrapper = replica(leaderexec, elector)
    elector.lead(ME)
    wrapper.output("up")
    wrapper.send(number)
    assert wrapper.wait() == 21


def test_the_environment_has_the_term_and_the_leader(
    leaderexec: Start, elector: RunningElector
) -> None:
    """Each start with its own term."""
    show = "echo $LEADEREXEC_TERM $LEADEREXEC_LEADER $LEADEREXEC_SOURCE; exec sleep 100"
    wrapper = replica(leaderexec, elector, "--", "sh", "-c", show)
    for term in (1, 2):
        elector.lead(ME)
        wrapper.output(f"{term} {ME} elector")
        elector.lead("other")
        wrapper.log("transition", count=term, to="standby")


def test_announcing_the_same_leader_again_changes_nothing(
    leaderexec: Start, elector: RunningElector
) -> None:
    """Electors announce each change twice, and resyncs repeat it."""
    wrapper = replica(leaderexec, elector)
    elector.lead(ME)
    pid = wrapper.command_pid()
    for _ in range(5):
        elector.announce()
    elector.lead("other")
    wrapper.log("transition", to="standby")
    assert len(wrapper.events("command started")) == 1
    assert not alive(pid)


def test_after_a_flap_faster_than_a_stop_the_last_announcement_holds(
    leaderexec: Start, elector: RunningElector
) -> None:
    """There is at most one command at any time, and in the end it runs on the named replica."""
    slow_end = "trap 'sleep 0.3; exit 0' TERM; echo up; while :; do sleep 0.02; done"
    wrapper = replica(leaderexec, elector, "--", "sh", "-c", slow_end)
    elector.fault("flap", names="app-a/other/app-b", times=8, gap="10ms", final=ME)
    wait_for(lambda: elector.state().leader == ME and wrapper.events("command started"))
    last = wrapper.events("transition")[-1]["to"]
    wait_for(lambda: wrapper.events("transition")[-1]["to"] == "running", f"running, not {last}")
    order = [line["event"] for line in wrapper.lines if line["event"].startswith("command ")]
    assert order == (["command started", "command ended"] * len(order))[: len(order)]


def test_a_loss_within_the_takeover_delay_starts_nothing(
    leaderexec: Start, elector: RunningElector
) -> None:
    """The next win waits for the whole delay again."""
    wrapper = replica(leaderexec, elector, "--takeover-delay", "1500ms")
    elector.lead(ME)
    wrapper.log("transition", to="takeover")
    elector.lead("other")
    wrapper.log("transition", to="standby")
    before = time.monotonic()
    elector.lead(ME)
    wrapper.log("transition", to="running")
    assert time.monotonic() - before >= 1.5
    assert wrapper.log("command started")["term"] == 2


def test_on_lost_exit_exits_with_124(leaderexec: Start, elector: RunningElector) -> None:
    """After a clean stop."""
    wrapper = replica(leaderexec, elector, "--on-lost", "exit")
    elector.lead(ME)
    wrapper.output("up")
    elector.lead("other")
    assert wrapper.wait() == 124


def test_a_command_that_outlasts_grace_lost_is_killed_and_the_replica_stays(
    leaderexec: Start, elector: RunningElector
) -> None:
    """On standby, ready for the next win."""
    stubborn = "trap '' TERM; echo up; while :; do sleep 0.02; done"
    graces = ("--grace-lost", "300ms", "--grace", "300ms")
    wrapper = replica(leaderexec, elector, *graces, "--", "sh", "-c", stubborn)
    elector.lead(ME)
    wrapper.output("up")
    elector.lead("other")
    assert wrapper.log("command ended")["signal"] == "SIGKILL"
    wrapper.log("transition", to="standby")
    elector.lead(ME)
    wrapper.log("command started", term=2)


def test_an_elector_that_is_down_at_the_start_is_waited_for(
    leaderexec: Start, elector: RunningElector
) -> None:
    """It is logged once, on standby; the replica starts once the elector is up."""
    elector.lead(ME)
    elector.fault("refuse")
    wrapper = leaderexec("--sse-url", elector.sse_url, "--identity", ME, "--", *WORKER)
    trouble = wrapper.log("elector trouble", url=elector.sse_url)
    assert wrapper.lines[0]["event"] == "leaderexec started"
    assert trouble["kind"] == "unreachable"
    assert "remedy" in trouble
    elector.clear()
    wrapper.output("up")
    wrapper.log("elector recovered")
    assert len(wrapper.events("elector trouble", url=elector.sse_url)) == 1


def test_an_elector_without_a_leader_starts_nothing(
    leaderexec: Start, elector: RunningElector
) -> None:
    """Its first response may be {}."""
    elector.lead(None)
    wrapper = leaderexec("--sse-url", elector.sse_url, "--identity", ME, "--", *WORKER)
    wrapper.log("elector trouble", kind="nobody-known")
    assert not wrapper.events("command started")
    elector.lead(ME)
    wrapper.output("up")


def test_a_name_that_differs_only_in_case_is_another_leader_and_is_warned_of(
    leaderexec: Start, elector: RunningElector
) -> None:
    """Case is never guessed at."""
    elector.lead("APP-A")
    wrapper = replica(leaderexec, elector)
    assert "--identity APP-A" in wrapper.log("elector trouble", kind="case-differs")["remedy"]
    assert not wrapper.events("command started")


def test_an_identity_longer_than_a_hostname_matches_its_truncated_form(
    leaderexec: Start, elector: RunningElector
) -> None:
    """The elector announces the kernel's hostname, which has 63 characters at most."""
    pod = "a-pod-of-a-deployment-with-a-name-that-is-longer-than-a-hostname-6d5f7c9b8-x2x7k"
    wrapper = replica(leaderexec, elector, name=pod)
    elector.lead(pod[:63])
    wrapper.output("up")


@pytest.mark.parametrize(
    "number",
    [signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGQUIT, signal.SIGSTOP],
)
def test_a_signal_to_the_whole_group_on_standby_does_not_reach_the_next_command(
    leaderexec: Start, elector: RunningElector, number: int
) -> None:
    """Its process already waits, but has not become the command yet."""
    wrapper = replica(leaderexec, elector)
    wrapper.log("leadership confirmed")
    (waiting,) = psutil.Process(wrapper.pid).children()
    waiting.send_signal(number)
    elector.lead(ME)
    wrapper.output("up")
    assert wrapper.command_pid() == waiting.pid


def test_a_command_that_ended_while_the_wrapper_was_frozen_is_not_run_again(
    leaderexec: Start, elector: RunningElector
) -> None:
    """It ended before contact was lost, so its exit code is ours."""
    wrapper = leaderexec(
        *("--sse-url", elector.sse_url, "--identity", ME, "--poll-interval", "100ms"),
        *("--contact-timeout", "400ms", "--", "sh", "-c", "echo up; read line; exit 3"),
        stdin=subprocess.PIPE,
    )
    elector.lead(ME)
    wrapper.output("up")
    command = psutil.Process(wrapper.command_pid())
    wrapper.send(signal.SIGSTOP)
    assert wrapper.process.stdin is not None
    wrapper.process.stdin.close()
    wait_for(lambda: command.status() == psutil.STATUS_ZOMBIE, "the command to end")
    over = time.monotonic() + 1.0
    wait_for(lambda: time.monotonic() > over, "contact to be too old")
    wrapper.send(signal.SIGCONT)
    assert wrapper.wait() == 3
    assert len(wrapper.events("command started")) == 1


def test_hooks_run_around_each_term(leaderexec: Start, elector: RunningElector) -> None:
    """At once, term after term: nothing waits for a timeout."""
    wrapper = replica(
        leaderexec,
        elector,
        *("--on-start", "sh -c 'echo on-start $LEADEREXEC_TERM'", "--on-start-timeout", "10m"),
        *("--on-stop", "sh -c 'echo on-stop $LEADEREXEC_EXIT_CODE'", "--grace-lost", "10m"),
    )
    for term in (1, 2, 3):
        elector.lead(ME)
        wrapper.output("up", count=term)
        assert wrapper.out[-2:] == [f"on-start {term}", "up"]
        elector.lead("app-b")
        wrapper.output("on-stop 21", count=term)
        wrapper.log("transition", count=term, to="standby")
    assert not wrapper.events("killed")
    assert not wrapper.events("stopping what the command left behind")
    elector.lead(ME)
    wrapper.output("up", count=4)
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 21
    wrapper.output("on-stop 21", count=4)
