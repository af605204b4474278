"""The command's output arrives, marked, whatever writes it and however the reader reads."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
from support import LEADEREXEC, Wrapper, alive, wait_for

from leaderexec_elector.running import RunningElector

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Wrapper]
OFF = ("--election", "off", "--identity", "app-a")
JSON = (*OFF, "--child-logs", "json")
PREFIX = (*OFF, "--child-logs", "prefix")
FOREVER = "while :; do sleep 0.05; done"
FLOOD = "while :; do echo a line of a flood; done"


def objects(lines: list[str], stream: str) -> list[dict[str, Any]]:
    """Return the command's lines of a stream."""
    found = [json.loads(line) for line in lines]
    return [line for line in found if line.get("stream") == stream]


@pytest.fixture
def pipe() -> Iterator[tuple[FileIO, FileIO]]:
    """A pipe for the output, which stays unread until the test reads it."""
    read, write = os.pipe()
    with FileIO(read, "r") as reader, FileIO(write, "w") as writer:
        yield reader, writer


def is_full(writer: FileIO) -> bool:
    """Return whether a writer to the pipe would have to wait."""
    return not select.select([], [writer], [], 0)[1]


def test_lines_are_objects_on_the_stream_they_were_written_to(run: Run) -> None:
    """Stdout stays on stdout and stderr on stderr; the exit code is the command's."""
    script = 'echo $$; echo \'{"msg": "hello"}\'; echo oops >&2; exit 7'
    result = run(LEADEREXEC, *JSON, "--", "sh", "-c", script)
    first, second = objects(result.stdout.splitlines(), "stdout")
    assert first["event"] == str(first["pid"])
    assert {**first, "timestamp": "", "event": "", "pid": 0} == {
        "timestamp": "",
        "level": "info",
        "event": "",
        "identity": "app-a",
        "term": 1,
        "stream": "stdout",
        "pid": 0,
    }
    assert second["msg"] == "hello"
    (error,) = objects(result.stderr.splitlines(), "stderr")
    assert error["event"] == "oops"
    assert result.returncode == 7


def test_lines_have_a_prefix_on_the_stream_they_were_written_to(run: Run) -> None:
    """With the term, and with stderr marked as such."""
    result = run(LEADEREXEC, *PREFIX, "--", "sh", "-c", "echo out; echo err >&2")
    assert result.stdout == "app-a 1 | out\n", result.stderr
    assert [line for line in result.stderr.splitlines() if line[0] != "{"] == ["app-a 1 ! err"]


def test_inherited_output_is_the_descriptors_themselves(run: Run, tmp_path: Path) -> None:
    """It is the default, and loads no code of the other forms."""
    file = tmp_path / "out"
    with file.open("w") as out:
        result = subprocess.run(
            [LEADEREXEC, *OFF, "--", "readlink", "/proc/self/fd/1"],
            stdout=out,
            stderr=subprocess.DEVNULL,
            check=True,
        )
    assert result.returncode == 0
    assert file.read_text() == f"{file}\n"
    code = (
        "import sys; from leaderexec import cli;"
        "from leaderexec.process.signals import block_all; block_all();"
        "cli.run(['--election', 'off', '--', 'true'], {'PATH': '/bin:/usr/bin'});"
        "print('leaderexec.stdio.relay' in sys.modules)"
    )
    assert run(sys.executable, "-c", code).stdout == "False\n"


@pytest.mark.parametrize("form", [JSON, PREFIX])
def test_the_last_output_before_a_crash_arrives(run: Run, form: tuple[str, ...]) -> None:
    """Even without a newline, on both streams."""
    script = "printf 'last words'; printf 'last cry' >&2; kill -SEGV $$"
    result = run(LEADEREXEC, *form, "--", "sh", "-c", script)
    assert result.returncode == 128 + signal.SIGSEGV
    assert "last words" in result.stdout
    assert result.stdout.endswith("\n")
    assert "last cry" in result.stderr


def test_a_flood_arrives_in_order_and_without_loss(run: Run) -> None:
    """More than any buffer holds, on both streams at once."""
    script = "seq 1 100000 >&2 & seq 1 100000; wait"
    result = run(LEADEREXEC, *PREFIX, "--", "sh", "-c", script)
    numbers = [str(number) for number in range(1, 100_001)]
    assert result.stdout.split("\n") == [*(f"app-a 1 | {number}" for number in numbers), ""]
    marked = [line for line in result.stderr.split("\n") if line.startswith("app-a 1 ! ")]
    assert [line.removeprefix("app-a 1 ! ") for line in marked] == numbers


def test_lines_stay_in_one_piece_if_everything_goes_to_one_pipe(environ: dict[str, str]) -> None:
    """Stdout, stderr and leaderexec's own log in one pipe, as with 2>&1."""
    script = "seq 1 30000 >&2 & seq 1 30000; wait"
    result = subprocess.run(
        [LEADEREXEC, "--log-level", "debug", *JSON, "--", "sh", "-c", script],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    lines = result.stdout.splitlines()
    # Sequences of digits are JSON too, but not objects.
    for stream in ("stdout", "stderr"):
        events = [line["event"] for line in objects(lines, stream)]
        assert events == [str(number) for number in range(1, 30_001)]


def test_long_lines_and_any_bytes_arrive(environ: dict[str, str]) -> None:
    """One megabyte in one line, three megabytes in parts, and every byte value."""
    script = (
        "import sys; out = sys.stdout.buffer;"
        r"out.write(b'x' * 1_000_000 + b'\n' + b'y' * 3_000_000 + b'\n' + bytes(range(256)))"
    )
    result = subprocess.run(
        [LEADEREXEC, *PREFIX, "--", sys.executable, "-c", script],
        env=environ,
        capture_output=True,
        check=True,
    )
    first, *parts, last, end, nothing = result.stdout.split(b"\n")
    assert first == b"app-a 1 | " + b"x" * 1_000_000
    assert b"".join(part[10:] for part in parts) == b"y" * 3_000_000
    assert [part[8:10] for part in parts] == [b"|+", b"|+", b"| "]
    assert last[10:] + b"\n" + end[10:] == bytes(range(256))
    assert nothing == b""


def test_the_output_of_descendants_that_are_being_stopped_arrives(leaderexec: Start) -> None:
    """This is after the command itself has ended."""
    left = f"trap 'echo left told; exit 0' TERM; echo left ready; {FOREVER}"
    script = f'sh -c "$LEFT" left & {FOREVER}'
    wrapper = leaderexec(*PREFIX, "--", "sh", "-c", script, env={"LEFT": left})
    wrapper.output("app-a 1 | left ready")
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 143
    wrapper.output("app-a 1 | left told")


@pytest.mark.parametrize("form", [JSON, PREFIX])
def test_a_flood_of_output_does_not_delay_a_stop(leaderexec: Start, form: tuple[str, ...]) -> None:
    """The command gets the signal, and its exit code is ours."""
    flood = f"trap 'exit 33' TERM; ({FLOOD}) & {FLOOD}"
    wrapper = leaderexec(*form, "--", "sh", "-c", flood)
    wait_for(lambda: len(wrapper.out) > 1000)
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 33


def test_a_reader_that_stopped_reading_makes_the_command_wait(
    leaderexec: Start, pipe: tuple[FileIO, FileIO]
) -> None:
    """Nothing is lost, and little is buffered; once the reader continues, it gets everything."""
    reader, writer = pipe
    script = "seq 1 200000; echo written >&2"
    wrapper = leaderexec(*PREFIX, "--", "sh", "-c", script, stdout=writer)
    wait_for(lambda: is_full(writer))
    writer.close()
    assert not wrapper.plain
    assert reader.readall().split(b"\n") == [
        *(b"app-a 1 | %d" % number for number in range(1, 200_001)),
        b"",
    ]
    assert wrapper.wait() == 0


def test_a_reader_that_stopped_reading_does_not_delay_the_exit(
    leaderexec: Start, pipe: tuple[FileIO, FileIO]
) -> None:
    """What the reader does not take is dropped after a while, and that is logged."""
    wrapper = leaderexec(*JSON, "--", "sh", "-c", f"echo up >&2; {FLOOD}", stdout=pipe[1])
    wrapper.log("up", stream="stderr")
    wait_for(lambda: is_full(pipe[1]))
    # That may be all that was written so far; once the command's own is full, too, something has
    # been left over. Not sooner: while it echoes to stderr, dash has that as its fd 1.
    with open(f"/proc/{wrapper.command_pid()}/fd/1", "wb", buffering=0) as written:
        wait_for(lambda: is_full(written), lambda: f"a full pipe, got {wrapper.lines}")
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 143
    given_up = wrapper.log("command output dropped")
    assert given_up["stream"] == "stdout"
    assert given_up["about_bytes"] > 0


def test_a_reader_that_stopped_reading_does_not_block_the_other_stream(
    leaderexec: Start, pipe: tuple[FileIO, FileIO]
) -> None:
    """Each has its own thread."""
    script = f"({FLOOD}) & read line; echo alive >&2; {FOREVER}"
    wrapper = leaderexec(*PREFIX, "--", "sh", "-c", script, stdin=-1, stdout=pipe[1])
    wait_for(lambda: is_full(pipe[1]))
    assert wrapper.process.stdin is not None
    wrapper.process.stdin.close()
    wait_for(lambda: "app-a 1 ! alive\n" in wrapper.plain)


def test_the_command_notices_that_the_reader_is_gone(
    leaderexec: Start, pipe: tuple[FileIO, FileIO]
) -> None:
    """Its next write fails, as if it wrote to that reader itself."""
    wrapper = leaderexec(*PREFIX, "--", "sh", "-c", FLOOD, stdout=pipe[1])
    wait_for(lambda: is_full(pipe[1]))
    for end in pipe:
        end.close()
    assert wrapper.wait() == 128 + signal.SIGPIPE
    assert wrapper.log("command output closed")["stream"] == "stdout"


def test_a_full_disk_makes_the_command_wait(leaderexec: Start) -> None:
    """There may be room again later; a stop is not delayed."""
    with open("/dev/full", "wb") as full:
        wrapper = leaderexec(
            *PREFIX, "--", "sh", "-c", "echo out; echo up >&2; sleep 1000", stdout=full
        )
    wait_for(lambda: "app-a 1 ! up\n" in wrapper.plain)
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 143
    wrapper.log("command output dropped", stream="stdout")


def test_a_pipe_held_open_outside_the_tree_does_not_delay_the_exit(leaderexec: Start) -> None:
    """Everything written so far is passed on, without waiting for an end that never comes."""
    wrapper = leaderexec(*PREFIX, "--", "sh", "-c", "echo up; read line; printf last", stdin=-1)
    wrapper.output("app-a 1 | up")
    with open(f"/proc/{wrapper.command_pid()}/fd/1", "wb", buffering=0):
        assert wrapper.process.stdin is not None
        wrapper.process.stdin.close()
        assert wrapper.wait() == 0
    wrapper.output("app-a 1 | last")


def test_each_run_has_its_own_mark(leaderexec: Start) -> None:
    """The second term's command is not mistaken for the first's."""
    with RunningElector("app-a", "app-b") as elector:
        wrapper = leaderexec(
            *("--identity", "app-a", "--get-url", elector.url, "--child-logs", "prefix"),
            *("--", "sh", "-c", f"printf 'up\\nunfinished'; {FOREVER}"),
        )
        wrapper.output("app-a 1 | up")
        elector.lead("app-b")
        wrapper.output("app-a 1 | unfinished")
        elector.lead("app-a")
        wrapper.output("app-a 2 | up")
        wrapper.send(signal.SIGTERM)
        wrapper.wait()
        wrapper.output("app-a 2 | unfinished")


def test_the_output_of_a_process_outside_the_tree_is_still_read(leaderexec: Start) -> None:
    """Also on standby, with the mark of the term in which it got its pipe."""
    with RunningElector("app-a", "app-b") as elector:
        wrapper = leaderexec(
            *("--identity", "app-a", "--get-url", elector.url, "--child-logs", "prefix"),
            *("--", "sh", "-c", f"echo up; {FOREVER}"),
        )
        wrapper.output("app-a 1 | up")
        with open(f"/proc/{wrapper.command_pid()}/fd/1", "wb", buffering=0) as escaped:
            elector.lead("app-b")
            wrapper.log("transition", to="standby")
            elector.lead("app-a")
            wrapper.output("app-a 2 | up")
            escaped.write(b"escaped\n")
            wrapper.output("app-a 1 | escaped")


def test_many_runs_with_a_reader_that_stopped_reading_use_bounded_resources(
    leaderexec: Start, pipe: tuple[FileIO, FileIO]
) -> None:
    """The oldest output is dropped, and that is logged; descriptors don't run out."""
    with RunningElector("app-a", "app-b") as elector:
        wrapper = leaderexec(
            *("--identity", "app-a", "--get-url", elector.url, "--child-logs", "prefix"),
            *("--grace-lost", "0s", "--", "sh", "-c", "echo out; echo up >&2; exec yes flood"),
            stdout=pipe[1],
        )
        for term in range(1, 22):
            wait_for(partial(wrapper.plain.__contains__, f"app-a {term} ! up\n"))
            if term == 1:
                wait_for(lambda: is_full(pipe[1]))
            elector.lead("app-b")
            wrapper.log("transition", to="standby", count=term)
            elector.lead("app-a")
        wrapper.log("command output dropped", stream="stdout")
        assert len(os.listdir(f"/proc/{wrapper.pid}/fd")) < 80


NO_DESCRIPTORS_LEFT = """
import os, resource
from leaderexec.process.command import Command, Launch
command = Command(Launch("/bin/true", ["true"], {}, piped=True))
lowest = os.open("/dev/null", os.O_RDONLY)
os.close(lowest)
for more in range(8):
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + more, lowest + 100))
    try:
        command.prepare()
    except OSError as error:
        print(error.strerror)
resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 100, lowest + 100))
print(os.dup(0) - lowest)
"""


def test_no_descriptor_leaks_when_descriptors_run_out(run: Run) -> None:
    """The start is retried; a failed attempt must not leave some of its four pipes open."""
    result = run(sys.executable, "-c", NO_DESCRIPTORS_LEFT)
    assert result.stdout.splitlines() == ["Too many open files"] * 8 + ["0"]


BROKEN = """
import sys
import leaderexec.supervisor as supervisor
from leaderexec.__main__ import main
from leaderexec.core import events
decide = supervisor.decide
def broken(policy, state, event, now):
    if isinstance(event, events.Signalled):
        raise RuntimeError("a bug")
    return decide(policy, state, event, now)
supervisor.decide = broken
sys.argv = ["leaderexec", *sys.argv[1:]]
main()
"""


def test_the_last_output_arrives_even_after_a_bug_of_ours(run: Run) -> None:
    """Including the command's response to its stop."""
    script = f"trap 'printf told; exit 0' TERM; kill -HUP $PPID; {FOREVER}"
    result = run(sys.executable, "-c", BROKEN, *PREFIX, "--", "sh", "-c", script)
    assert (result.returncode, result.stdout) == (125, "app-a 1 | told\n")


def test_the_command_keeps_the_terminal(environ: dict[str, str]) -> None:
    """It is in the foreground and may read; its output is marked."""
    script = 'read line; echo "got $line"'
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(
            LEADEREXEC,
            ["leaderexec", "--log-level", "error", *PREFIX, "--", "sh", "-c", script],
            environ,
        )
    os.write(terminal, b"hello\n")
    seen = b""
    while b"app-a 1 | got hello" not in seen:
        seen += os.read(terminal, 4096)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)
    assert not alive(pid)
