"""The control requests under /dev/, separate from the elector's own protocol."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from leaderexec_elector import faults, wire
from leaderexec_elector.request import Request
from leaderexec_elector.settings import candidate

if TYPE_CHECKING:
    from leaderexec_elector.server import Elector

Answer = tuple[int, str, bytes]

ROUTES = """\
GET    /dev/                        this help
GET    /dev/state                   who leads, the candidates, counts, armed faults
POST   /dev/leader/NAME             move leadership
POST   /dev/leader                  no leader is known
POST   /dev/announce                announce the same leader again
POST   /dev/flap?names=a,b&gap=10ms the fault flap
POST   /dev/fault/NAME?key=value    arm a fault
DELETE /dev/fault/NAME              disarm it
DELETE /dev/fault                   disarm all
"""


async def answer(elector: "Elector", request: Request) -> Answer:
    """Execute the request; return the status, the content type and the body."""
    _, first, what, name = [*request.path.split("/", 3), "", "", ""][:4]
    if first != "dev":
        what = request.path
    try:
        return await _do(elector, request, what, name)
    except ValueError as error:
        return 400, wire.TEXT, f"{error}\n".encode()


async def _do(elector: "Elector", request: Request, what: str, name: str) -> Answer:
    match request.method, what, name:
        case "GET" | "HEAD", "", "":
            return 200, wire.TEXT, f"{ROUTES}\nFaults:\n{faults.table()}\n".encode()
        case "GET" | "HEAD", "state", "":
            pass
        case "POST", "leader", _:
            await elector.lead(candidate(name) if name else None)
        case "POST", "announce", "":
            await elector.announce()
        case "POST", "flap", "":
            await elector.arm("flap", request.query)
        case "POST", "fault", _ if name:
            await elector.arm(name, request.query)
        case "DELETE", "fault", _:
            await elector.disarm(faults.known(name) if name else None)
        case _, "" | "state" | "leader" | "announce" | "flap" | "fault", _:
            return 405, wire.TEXT, f"{request.method} is not allowed here: use\n{ROUTES}".encode()
        case _:
            return 404, wire.TEXT, f"no such path: use\n{ROUTES}".encode()
    return 200, wire.JSON, json.dumps(asdict(elector.snapshot())).encode()
