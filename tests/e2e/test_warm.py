"""--warm, with real processes: the command waits on standby until it is told that it leads."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
from e2e.test_health import get
from support import BIN, LEADEREXEC, Wrapper, alive, is_held, wait_for

from leaderexec.config.options import listen_address
from leaderexec_elector.running import RunningElector

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Wrapper]
ME, OTHER = "app-a", "other"
WAITS = """
import signal
from leaderexec import fence, gate
print("prepared", flush=True)
lead = gate.wait()
print("leads", lead.term, lead.fence, flush=True)
signal.pause()
"""
# Says that it is ready, and does not read before it has to stop.
HANGS = """
import os, signal
from leaderexec import gate
def read(*_):
    print("read", os.read(int(os.environ["LEADEREXEC_GATE"]), 100), flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, read)
gate.ready()
print("hangs", flush=True)
while True:
    signal.pause()
"""
NEVER_READY = "import signal; print('up', flush=True); signal.pause()"


def python(script: str) -> tuple[str, ...]:
    """Return a command that runs this script."""
    return ("--", sys.executable, "-c", script)


def replica(leaderexec: Start, elector: RunningElector, script: str, *options: str) -> Wrapper:
    """Start a replica that does not lead yet."""
    connects = elector.state().connects
    wrapper = leaderexec(
        *("--warm", "--identity", ME, "--sse-url", elector.sse_url, "--get-url", elector.url),
        *("--poll-interval", "off", *options, *python(script)),
    )
    elector.wait_connects(connects + 1)
    return wrapper


def ready(wrapper: Wrapper, count: int = 1) -> int:
    """Wait until the command has said that it is ready; return its pid."""
    wrapper.log("command ready", count=count)
    pid = wrapper.log("warm command started", count=count)["pid"]
    assert isinstance(pid, int)
    return pid


def hold(wrapper: Wrapper) -> None:
    """Freeze leaderexec, so that the events that follow arrive together."""
    wrapper.send(signal.SIGSTOP)
    wait_for(lambda: is_held(wrapper.pid), "every thread to be stopped")


def test_it_waits_on_standby_and_leads_from_the_announcement_on(
    leaderexec: Start, elector: RunningElector
) -> None:
    """It shows that it waits; after a loss a new one does."""
    wrapper = replica(leaderexec, elector, WAITS, "--http", "127.0.0.1:0")
    port = listen_address(wrapper.log("http listening")["address"]).port
    pid = ready(wrapper)
    status, text = get(port, "/leader")
    assert (status, json.loads(text)["warm"], json.loads(text)["role"]) == (503, "ready", "standby")
    assert json.loads(get(port, "/status")[1])["command"]["pid"] == pid
    assert "leaderexec_command_warm 1.0" in get(port, "/metrics")[1]
    elector.lead(ME)
    wrapper.output("leads 1 None")
    assert wrapper.log("warm command leads")["pid"] == pid
    assert get(port, "/leader")[0] == 200
    assert "leaderexec_command_warm 0.0" in get(port, "/metrics")[1]
    elector.lead(OTHER)
    assert ready(wrapper, count=2) != pid
    wrapper.log("transition", to="standby")


def test_with_a_lock_file_it_gets_the_fence_but_not_the_descriptor(
    leaderexec: Start, tmp_path: Path
) -> None:
    """The command was started before there was a lock to inherit."""
    script = WAITS + "\n"
    script = script.replace(
        "signal.pause()",
        "import os; print([os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')"
        " if os.path.exists(f'/proc/self/fd/{n}')], fence(), flush=True); signal.pause()",
    )
    lock = tmp_path / "lock"
    wrapper = leaderexec("--warm", "--lock-file", str(lock), *python(script))
    fence = wrapper.log("warm command leads")["fence"]
    wrapper.output(f"leads 1 {fence}")
    wait_for(lambda: len(wrapper.out) == 3, "the descriptors")
    assert str(lock) not in wrapper.out[2]
    assert wrapper.out[2].endswith(str(fence))
    assert wrapper.log("leaderexec started")["worst_overlap_seconds"]["leaderexec-killed"] is None


def test_term_on_standby_stops_it_and_the_exit_code_is_0(
    leaderexec: Start, elector: RunningElector
) -> None:
    """It has never led; what it would have read is end-of-file."""
    wrapper = replica(leaderexec, elector, HANGS)
    ready(wrapper)
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 0
    wrapper.output("read b''")
    assert not wrapper.events("warm command leads")


def test_a_line_that_was_not_read_before_the_stop_is_never_read(
    leaderexec: Start, elector: RunningElector
) -> None:
    """A program that hung finds only end-of-file when it finally reads."""
    wrapper = replica(leaderexec, elector, HANGS)
    ready(wrapper)
    elector.lead(ME)
    wrapper.log("warm command leads")
    elector.lead(OTHER)
    wrapper.output("read b''")
    ready(wrapper, count=2)


def test_a_command_that_holds_its_gates_write_end_is_stopped_all_the_same(
    leaderexec: Start, elector: RunningElector
) -> None:
    """There is no end-of-file then, and nothing may wait for one."""
    opened = "import os; os.open('/proc/self/fd/' + os.environ['LEADEREXEC_GATE'], os.O_RDWR)\n"
    rest = "import signal\nfrom leaderexec import gate\ngate.ready()\nsignal.pause()\n"
    wrapper = replica(leaderexec, elector, opened + rest)
    ready(wrapper)
    elector.lead(ME)
    wrapper.log("warm command leads")
    elector.lead(OTHER)
    ready(wrapper, count=2)


def test_a_line_and_a_loss_that_come_together_are_never_read(
    leaderexec: Start, elector: RunningElector
) -> None:
    """Whether or not there was a moment between them in which the line was written."""
    wrapper = replica(leaderexec, elector, HANGS)
    ready(wrapper)
    for count in range(1, 6):
        hold(wrapper)
        elector.lead(ME)
        elector.lead(OTHER)
        wrapper.send(signal.SIGCONT)
        wrapper.log("leader changed", count=count + 1, to=OTHER)
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 0
    wrapper.join()
    assert set(wrapper.out) <= {"hangs", "read b''"}


def test_a_command_that_is_killed_as_it_wins_is_replaced_before_the_line(
    leaderexec: Start, elector: RunningElector
) -> None:
    """No line is written to a command that is known to have ended."""
    wrapper = replica(leaderexec, elector, WAITS, "--restart", "always")
    pid = ready(wrapper)
    hold(wrapper)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive(pid), "the command to have ended")
    elector.lead(ME)
    wrapper.send(signal.SIGCONT)
    second = ready(wrapper, count=2)
    assert wrapper.log("warm command leads")["pid"] == second
    wait_for(lambda: [line for line in wrapper.out if line.startswith("leads")], "the line")
    assert len(wrapper.events("warm command leads")) == 1


def test_if_it_exits_on_standby_another_is_started(
    leaderexec: Start, elector: RunningElector
) -> None:
    """After a backoff; leaderexec stays on standby."""
    wrapper = replica(leaderexec, elector, "")
    third = wrapper.log("warm command started", count=3)
    first = wrapper.log("warm command started")
    assert third["timestamp"] > first["timestamp"]
    assert wrapper.process.poll() is None
    assert not wrapper.events("transition", to="stopped")


def test_signals_reach_it_on_standby(leaderexec: Start, elector: RunningElector) -> None:
    """USR1, for example."""
    script = "import signal; signal.signal(signal.SIGUSR1, lambda *_: print('usr1', flush=True))\n"
    loop = WAITS.replace("lead = gate.wait()", "gate.ready()\nwhile True: signal.pause()")
    wrapper = replica(leaderexec, elector, script + loop)
    ready(wrapper)
    wrapper.send(signal.SIGUSR1)
    wrapper.output("usr1")


def test_a_command_that_is_never_ready_is_unhealthy_once_its_replica_leads(
    leaderexec: Start,
) -> None:
    """After the start period, by --unhealthy."""
    wrapper = leaderexec(
        *("--warm", "--election", "off", "--health-start-period", "200ms"),
        *("--unhealthy", "exit", *python(NEVER_READY)),
    )
    assert wrapper.wait() == 123
    wrapper.log("transition", to="warming")
    assert "READY=1" in wrapper.log("transition", to="stopping")["reason"]


def test_a_command_that_cannot_be_executed_makes_leaderexec_exit_on_standby(
    leaderexec: Start, elector: RunningElector, tmp_path: Path
) -> None:
    """It can't succeed, and a standby that can't take over must not look like one that can."""
    program = tmp_path / "program"
    program.write_text("#!/nowhere/sh\n")
    program.chmod(0o755)
    wrapper = leaderexec("--warm", "--sse-url", elector.sse_url, "--", str(program))
    assert wrapper.wait() == 127
    assert wrapper.log("command could not be executed")["code"] == 127


def test_a_shell_says_that_it_is_ready_and_reads_the_line(leaderexec: Start) -> None:
    """As the docs show it; the fence is empty if there is none."""
    script = (
        "leaderexec --say-ready && read -r LEAD_TERM LEAD_FENCE <&$LEADEREXEC_GATE || exit 9;"
        ' echo "leads $LEAD_TERM <$LEAD_FENCE>"'
    )
    path = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    wrapper = leaderexec("--warm", "--election", "off", "--", "sh", "-c", script, env=path)
    assert wrapper.wait() == 0
    wrapper.output("leads 1 <>")


def test_ready_fails_without_leaderexec(run: Run, environ: dict[str, str]) -> None:
    """It says what is missing."""
    result = run(LEADEREXEC, "--say-ready")
    assert result.returncode == 125
    assert "NOTIFY_SOCKET" in result.stderr
    gone = run(LEADEREXEC, "--say-ready", env={**environ, "NOTIFY_SOCKET": "@nobody"})
    assert gone.returncode == 125
    assert "nobody hears it" in gone.stderr


def test_the_gates_descriptor_has_one_digit_whatever_else_is_inherited(leaderexec: Start) -> None:
    """A shell can't read from descriptors with more digits."""
    wrapper = leaderexec(
        *("--warm", "--election", "off", "--pass-fd", "3"),
        *("--", "sh", "-c", 'echo "gate $LEADEREXEC_GATE"; cat <&3'),
        prefix=("sh", "-c", 'exec "$@" 3</dev/null', "sh"),
    )
    wait_for(lambda: wrapper.out, "the number")
    assert wrapper.out[0] in {f"gate {number}" for number in range(4, 10)}


def test_without_a_free_one_digit_descriptor_it_is_refused(run: Run) -> None:
    """Before anything is started."""
    crowd = " ".join(f"{number}</dev/null" for number in range(3, 10))
    result = run("sh", "-c", f"exec {LEADEREXEC} --warm --election off -- true {crowd}")
    assert result.returncode == 125
    assert "--warm needs a descriptor from 3 to 9" in result.stderr


def test_its_lines_are_marked_with_the_term_once_it_leads(leaderexec: Start) -> None:
    """Before that it has no term, which is written as 0."""
    wrapper = leaderexec(
        *("--warm", "--election", "off", "--identity", ME, "--child-logs", "prefix"),
        *python(WAITS),
    )
    wrapper.output(f"{ME} 0 | prepared")
    wrapper.output(f"{ME} 1 | leads 1 None")


def test_leadership_can_be_released_while_a_command_waits(
    leaderexec: Start, run: Run, environ: dict[str, str], tmp_path: Path
) -> None:
    """A step-down stops the one that led; the next one waits, and the other replica leads."""
    lock = ("--warm", "--lock-file", str(tmp_path / "lock"))
    first = leaderexec(*lock, "--identity", "a", *python(WAITS))
    first.log("warm command leads")
    path = first.log("control socket")["path"]
    assert path.startswith(environ["XDG_RUNTIME_DIR"])
    second = leaderexec(*lock, "--identity", "b", *python(WAITS))
    ready(second)
    result = run(LEADEREXEC, "--step-down", "--until-taken", "--identity", "a")
    assert result.returncode == 0, result.stderr
    second.log("warm command leads")
    ready(first, count=2)


def test_on_start_runs_next_to_it_before_the_line_and_its_group_ends_with_it(
    leaderexec: Start, elector: RunningElector
) -> None:
    """It has the term's variables, and what it leaves in its process group is killed."""
    hook = "sh -c 'sleep 1000 & echo hook $LEADEREXEC_TERM'"
    wrapper = replica(leaderexec, elector, WAITS, "--on-start", hook)
    ready(wrapper)
    elector.lead(ME)
    wrapper.output("leads 1 None")
    assert wrapper.out == ["prepared", "hook 1", "leads 1 None"]

    def left() -> list[str]:
        names = []
        for one in psutil.Process(wrapper.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                names.append(one.name())
        return names

    wait_for(lambda: "sleep" not in left(), "what the hook has left to be gone")


def test_a_loss_while_on_start_runs_next_to_it_stops_both(
    leaderexec: Start, elector: RunningElector
) -> None:
    """At once, though the hook would take long; afterwards another command waits."""
    wrapper = replica(leaderexec, elector, HANGS, "--on-start", "sh -c 'echo hook; exec sleep 900'")
    ready(wrapper)
    elector.lead(ME)
    wrapper.output("hook")
    elector.lead(OTHER)
    wrapper.output("read b''")
    ready(wrapper, count=2)
    assert not wrapper.events("killed")
    assert not wrapper.events("warm command leads")


def test_a_hook_that_takes_too_long_does_not_hold_back_the_line(
    leaderexec: Start, elector: RunningElector
) -> None:
    """The command that waited is killed with it, and the next one gets the line."""
    hook = ("--on-start", "sh -c 'exec sleep 900'", "--on-start-timeout", "100ms")
    wrapper = replica(leaderexec, elector, WAITS, *hook)
    ready(wrapper)
    elector.lead(ME)
    wrapper.output("leads 1 None")
    assert "longer than its timeout" in wrapper.log("hook failed")["reason"]
    assert len(wrapper.events("warm command started")) == 2
