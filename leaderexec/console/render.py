"""``--status``: the status of a running leaderexec, drawn for a terminal. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from leaderexec.printable import all_printable

BOLD, DIM, RED, GREEN, YELLOW = "1", "2", "31", "32", "33"
_ROLES = {"running": GREEN, "standby": DIM, "ended": DIM}
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


class Painter:
    """Colours text, or leaves it as it is."""

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours

    def __call__(self, code: str, text: str) -> str:
        """Return the text in a colour (ECMA-48, SGR)."""
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours and text else text


def picture(
    status: Mapping[str, Any], ago: Mapping[str, float], width: int, *, colours: bool
) -> str:
    """Return the picture of a /status response; `ago`: the age in seconds of each timestamp."""
    paint = Painter(colours=colours)
    status = all_printable(status)

    def since(moment: str | None) -> str:
        return "" if moment is None else f"{moment[11:19]}Z, {duration(ago[moment])} ago"

    lines = [
        paint(BOLD, status["identity"]) + paint(DIM, f"   leaderexec {status['version']}"),
        "",
        f"  leader    {_leader(status, paint)}" + paint(DIM, f"   since {since(status['since'])}")
        if status["leader"]
        else f"  leader    {paint(YELLOW, 'no leader is known')}",
        f"  contact   {_contact(status, paint)}",
        *_lease(status, paint),
        f"  role      {paint(_ROLES.get(status['role'], YELLOW), status['role'])}"
        + paint(DIM, f"   since {since(status['role_since'])}: {status['reason']}"),
        f"  term      {_term(status)}",
        f"  command   {_command(status, paint, since)}",
    ]
    if slots := status.get("slots"):
        lines.append(f"  slots     {_slots(slots, status)}")
    if once := status.get("once"):
        lines.append(f"  once      {once['key']}: {'done' if once['done'] else 'not done yet'}")
    if status.get("leader_label"):
        lines.append(f"  label     {_label(status['leader_label'], paint)}")
    if status["tree"]:
        lines += [
            "",
            paint(BOLD, f"  {'PID':>7}  {'STATE':<10}{'CPU':>9}  {'MEMORY':>9}  COMMAND"),
        ]
        lines += _tree(status["tree"], width)
    if status["transitions"]:
        lines += ["", paint(BOLD, f"  {'TIME':<10}{'FROM':<11}{'TO':<11}{'TERM':>4}  REASON")]
        lines += [_transition(told)[:width] for told in reversed(status["transitions"])]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _term(status: Mapping[str, Any]) -> str:
    known = [name for name in ("slot", "fence") if status.get(name) is not None]
    numbers = [f"{name} {status[name]}" for name in known]
    return f"{status['term']} ({', '.join(numbers)})" if numbers else str(status["term"])


def _slots(holders: Sequence[str | None], status: Mapping[str, Any]) -> str:
    """Return who holds each slot; that of this replica is its own word."""
    known = dict(enumerate(holders))
    if status["is_leader"]:
        known[status["slot"]] = status["identity"]
    return ", ".join(f"{slot}: {who or 'free'}" for slot, who in known.items())


def _label(label: Mapping[str, Any], paint: Painter) -> str:
    word = "set" if label["set"] else "not set"
    colour = "" if label["set"] == label["wanted"] else YELLOW
    text = f"{label['label']} {paint(colour, word) if colour else word} on {label['pod']}"
    return text + (paint(RED, f"   {label['error']}") if label["error"] else "")


def _transition(told: Mapping[str, Any]) -> str:
    at, roles = told["at"][11:19], f"{told['from']:<11}{told['to']:<11}"
    return f"  {at}  {roles}{told['term']:>4}  {told['reason']}"


def duration(seconds: float) -> str:
    """Write seconds with their two largest units."""
    if seconds < 10:  # noqa: PLR2004 - tenths matter
        return f"{seconds:.1f}s"
    rest = int(seconds)
    parts: list[str] = []
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def _leader(status: Mapping[str, Any], paint: Painter) -> str:
    if status["is_leader"]:
        return paint(GREEN, f"{status['leader']} (this replica)")
    return str(status["leader"])


def _contact(status: Mapping[str, Any], paint: Painter) -> str:
    contact, election = status["contact"], status["election"]
    said = paint(GREEN, "confirmed") if status["confirmed"] else paint(RED, "UNCONFIRMED")
    if election != "elector":
        return f"{said}   election {election}"
    ages = []
    for name, age in (
        ("heard", contact["age_seconds"]),
        ("announced", contact["announcement_age_seconds"]),
    ):
        ages.append(f"{name} {duration(age)} ago" if age is not None else f"never {name}")
    limit = contact["timeout_seconds"]
    ages.append(f"timeout {duration(limit)}" if limit is not None else "no timeout")
    ages.append("stream open" if contact["stream_open"] else "stream closed")
    return said + paint(DIM, f"   {', '.join(ages)}")


def _lease(status: Mapping[str, Any], paint: Painter) -> list[str]:
    """Return the line on the elector's Lease; none where the API server is not asked."""
    lease = status.get("lease")
    if lease is None:
        return []
    said = {
        True: paint(GREEN, "confirms the leader"),
        False: paint(RED, "DOES NOT CONFIRM THE LEADER"),
        None: paint(YELLOW, "not known yet"),
    }[lease["confirms"]]
    if lease["refused"]:
        said = paint(YELLOW, "may not be read")
    fence = "" if lease["fence"] is None else f", fence {lease['fence']}"
    return [f"  lease     {said}" + paint(DIM, f"   {lease['name']}{fence}")]


def _command(status: Mapping[str, Any], paint: Painter, since: Any) -> str:
    command = status["command"]
    parts = []
    if status["hook"]:
        parts.append(f"--{status['hook']} runs")
    elif command["pid"] is not None:
        parts.append(f"pid {command['pid']}, started {since(command['started'])}")
        if status.get("warm"):
            parts.append("warm, and ready to lead" if status["warm"] == "ready" else "warming up")
        elif status["healthy"] is not None:
            parts.append("healthy" if status["healthy"] else "not healthy yet")
        if command.get("said"):
            parts.append(f"it says: {command['said']}")
    if command["starts_in_seconds"] is not None:
        parts.append(f"starts in {duration(command['starts_in_seconds'])}")
    if command["killed_in_seconds"] is not None:
        parts.append(f"killed in {duration(command['killed_in_seconds'])}")
    if command["last_code"] is not None:
        parts.append(f"last ended with {command['last_code']}")
    if command["starts"] > 1:
        parts.append(f"{command['starts']} starts")
    return " ".join(command["arguments"]) + paint(DIM, f"   {', '.join(parts)}" if parts else "")


def _tree(tree: list[Mapping[str, Any]], width: int) -> list[str]:
    depth: dict[int, int] = {}
    lines = []
    for process in tree:
        level = depth[process["pid"]] = depth.get(process["parent"], -1) + 1
        minutes, seconds = divmod(process["cpu_seconds"], 60)
        memory = f"{process['resident_memory_bytes'] / 1e6:.1f} MB"
        branch = "   " * (level - 1) + ("└─ " if level else "")
        lines.append(
            f"  {process['pid']:>7}  {process['state']:<10}{int(minutes):>4}:{seconds:04.1f}"
            f"  {memory:>9}  {branch}{process['command']}"[:width]
        )
    return lines
