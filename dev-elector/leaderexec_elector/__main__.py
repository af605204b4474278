"""The command `leaderexec-elector`."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from leaderexec_elector import control, faults, keyboard
from leaderexec_elector.server import Address, Elector
from leaderexec_elector.settings import candidate, integer

_DEFAULT = "127.0.0.1:27070"
_PORT = integer(0, 65535)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the elector until it is ordered to stop; return the exit code.

    Invalid options exit with 2, by SystemExit.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    leader = _leader(parser, options)
    try:
        return asyncio.run(_serve(options, leader))
    except OSError as error:
        parser.error(f"cannot listen: {error.strerror}: choose another --listen or --control")


async def _serve(options: argparse.Namespace, leader: str | None) -> int:
    elector = Elector(options.candidates, leader, listen=options.listen, control=options.control)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    try:
        for name, texts in options.fault:
            try:
                await elector.arm(name, texts)
            except faults.FaultError as error:
                sys.stderr.write(f"leaderexec-elector: error: argument --fault: {error}\n")
                return 2
        await elector.open()
        _announce_doors(elector)
        with ExitStack() as stack:
            fd = sys.stdin.fileno() if sys.stdin else -1
            if options.keyboard and keyboard.usable(fd):
                stack.enter_context(keyboard.keys(fd, elector, stop.set))
            await stop.wait()
    finally:
        await elector.aclose()
    return 0


def _announce_doors(elector: Elector) -> None:
    url = elector.door.url
    sys.stdout.write(f"leaderexec-elector listening on {url} (sse {url}sse)\n")
    if elector.control_door is not None:
        sys.stdout.write(f"leaderexec-elector control on {elector.control_door.url}dev/\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="leaderexec-elector",
        description="A development elector: announces who leads, as the real elector does, while "
        "you move leadership by keys or by HTTP.",
        epilog=f"{keyboard.HELP}\ncontrol:\n{control.ROUTES}\nfaults:\n{faults.table()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("candidates", nargs="*", metavar="CANDIDATE", type=_reads(candidate), help="can lead")
    add(
        "--listen",
        metavar="ADDR",
        type=_reads(_address),
        default=_DEFAULT,
        help=f"HOST:PORT, port 0 for a free one (default {_DEFAULT})",
    )
    add(
        "--control",
        metavar="ADDR",
        type=_reads(_address),
        help="a second address that serves only /dev/, whatever the fault",
    )
    add("--leader", metavar="NAME", help="the candidate that leads (default: the first)")
    add(
        "--fault",
        metavar="FAULT[:KEY=VALUE,...]",
        type=_reads(faults.written),
        action="append",
        default=[],
        help="set a fault at start-up; may be repeated",
    )
    add("--no-keyboard", dest="keyboard", action="store_false", help="read no keys")
    return parser


def _leader(parser: argparse.ArgumentParser, options: argparse.Namespace) -> str | None:
    candidates: list[str] = options.candidates
    if len(set(candidates)) != len(candidates):
        parser.error(f"argument CANDIDATE: {' '.join(candidates)}: give each name only once")
    if options.leader is None:
        return candidates[0] if candidates else None
    if options.leader not in candidates:
        allowed = ", ".join(candidates) or "none; give some candidates first"
        parser.error(
            f"argument --leader: {options.leader!r} is not a candidate: allowed: {allowed}"
        )
    return str(options.leader)


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    try:
        return host.strip("[]") or "127.0.0.1", _PORT(port)
    except ValueError:
        raise ValueError("write HOST:PORT, with a port from 0 to 65535") from None


def _reads(read: Callable[[str], Any]) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None

    return convert


if __name__ == "__main__":
    sys.exit(main())
