"""The Sentinels, asked as Redis's guide for their clients has it: for one service at a time. So the
answer is short, however many there are, and it is the new master as soon as that is promoted."""

from contextlib import suppress
from typing import Any

from redis import exceptions
from redis.sentinel import MasterNotFoundError, Sentinel

# Also what reading an answer of another shape raises.
_FAILURES = (exceptions.RedisError, OSError, ValueError, TypeError)


class SentinelsAway(exceptions.ConnectionError):
    """No Sentinel could be asked."""


class SentinelsRefuse(exceptions.AuthenticationError):
    """No Sentinel could be asked, at least one because of the user or its password."""


class Sentinels(Sentinel):
    """Knows where a service's master is."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return the host and port that the first Sentinel names that knows them. Raises
        MasterNotFoundError, SentinelsAway or SentinelsRefuse."""
        failures: list[tuple[str, Exception]] = []
        for sentinel in self.sentinels:
            try:
                if (found := _master(sentinel, service_name)) is not None:
                    return found
            except _FAILURES as error:
                where = sentinel.connection_pool.connection_kwargs
                failures.append((f"{where['host']}:{where['port']}", error))
        reasons = [f"{where} could not be asked: {error}" for where, error in failures]
        if len(failures) < len(self.sentinels):
            known = f"no master is known for {service_name!r}"
            raise MasterNotFoundError("; ".join([known, *reasons]))
        refused = any(isinstance(one, exceptions.AuthenticationError) for _, one in failures)
        raise (SentinelsRefuse if refused else SentinelsAway)("; ".join(reasons))

    def named_by_one(self, service_name: str) -> tuple[str, int] | None:
        """Ask only one of them, so that it does not take long; return None if it has no answer.
        Then another one is asked the next time."""
        first, *others = self.sentinels
        try:
            return _master(first, service_name)
        except _FAILURES:
            self.sentinels = [*others, first]
            return None

    def most_name(self, address: tuple[str, int], service_name: str) -> bool:
        """Return whether more than half of them name this one: a few may be cut off together with
        a former master."""
        count = 0
        for sentinel in self.sentinels:
            with suppress(*_FAILURES):
                count += _master(sentinel, service_name) == address
        return count > len(self.sentinels) / 2


def _master(sentinel: Any, service: str) -> tuple[str, int] | None:
    found = sentinel.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", service)
    if found is None:
        return None
    host, port = found
    return host.decode() if isinstance(host, bytes) else str(host), int(port)
