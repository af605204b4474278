"""The program with what `make nemesis` puts in an engine's place, by each of its manners."""

from collections.abc import Callable

import pytest
from haunting.hostile import Hostile
from haunting.plan import MANNERS
from support import Wrapper, wait_for

Start = Callable[..., Wrapper]
TIMES = ("--lease-duration", "3s", "--renew-deadline", "1s", "--retry-period", "100ms")
ADDRESSES = {
    "redis": "--redis=redis://127.0.0.1:{} --redis-key=demo",
    "postgres": "--postgres=postgresql://u@127.0.0.1:{}/d --postgres-name=demo",
    "etcd": "--etcd=http://127.0.0.1:{} --etcd-key=demo",
    "lease": "--lease=team/demo --api-server=http://127.0.0.1:{}",
    "elector": "--get-url=http://127.0.0.1:{0}/ --sse-url=http://127.0.0.1:{0}/sse",
}
# How often, so that different answers come in each part of an exchange.
OFTEN = 5
pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("source", ADDRESSES)
def test_a_hostile_answer_is_trouble_and_neither_a_bug_nor_leadership(
    leaderexec: Start, source: str
) -> None:
    """Whatever answers in the engine's place, and however."""
    engine = Hostile((), source if source in ("redis", "postgres") else "http")
    with engine.listening() as port:
        where = ADDRESSES[source].format(port).split()
        times = TIMES if source != "elector" else ("--poll-interval", "100ms")
        grace = ("--grace-lost", "500ms", "--identity", "a")
        wrapper = leaderexec(*where, *times, *grace, "--", "sleep", "100")
        for manner in MANNERS:
            engine.manner, before = manner, engine.asked
            # One that is slow keeps its client waiting.
            enough = before + (2 if manner in ("slow", "long") else OFTEN)
            wait_for(lambda enough=enough: engine.asked >= enough, f"{manner} to be asked for", 240)  # type: ignore[misc]
        assert wrapper.log(f"{source} trouble")
        assert not [said for said in wrapper.lines if "this bug" in str(said.get("remedy"))]
        assert not wrapper.events("command started")
