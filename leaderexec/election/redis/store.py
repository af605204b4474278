"""The election in Redis: a key with the holder's token, which expires, and a fence counter.

Every decision is made in a script, which Redis runs atomically. The fence is one more than
the last, and no less than Redis's own time in milliseconds: a replica that takes over without
having received the last one, or a Redis that has lost all data, does not issue it again.

A Redis that has just started may have forgotten who led, or have loaded outdated data. So
no replica takes the key until any old leader's command must have exited. There are two exceptions:
a key that was released since the start says so, and is free; and the replica that held it until now
may take it again, since no other could have.
"""

import os
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from leaderexec.election.complaints import Trouble
from leaderexec.election.redis.answers import trouble
from leaderexec.election.redis.bounded import bound
from leaderexec.election.redis.sentinels import Sentinels
from leaderexec.election.redis.target import RedisUrl
from leaderexec.election.store.source import Answer

_TAKE = """
local held, released = redis.call('GET', KEYS[1]) or '', ''
if string.sub(held, 1, 9) == 'released ' then
  held, released = '', string.sub(held, 10)
end
if held ~= '' and held ~= ARGV[1] then
  return {'', held, redis.call('PTTL', KEYS[1])}
end
local info = redis.call('INFO', 'server')
local life = string.match(info, 'run_id:(%w+)')
local certain = released == life or (held ~= '' and ARGV[4] == life)
if not certain and not (held == '' and ARGV[3] == 'held') then
  local up = tonumber(string.match(info, 'uptime_in_seconds:(%d+)'))
  local wait = tonumber(ARGV[2]) + 1000 - up * 1000
  if wait > 0 then
    return {'', '', wait}
  end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local fence = redis.call('INCR', KEYS[2])
if fence < now then
  fence = now
  redis.call('SET', KEYS[2], string.format('%.0f', fence))
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {string.format('%.0f', fence), life, 0}
"""
_RENEW = """
local held = redis.call('GET', KEYS[1])
if held == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return held or ''
"""
_LET_GO = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
local life = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
redis.call('SET', KEYS[1], 'released ' .. life)
redis.call('PUBLISH', KEYS[1], 'released')
return 1
"""
_RELEASED = "released"
# A stream of news is checked at least this often.
_NEWS_WITHIN = 60.0
_LONGEST_REQUEST = 5.0


class RedisStore:
    """One election. `duration` is in seconds, and `within` limits each exchange."""

    def __init__(
        self, url: RedisUrl, key: str, identity: str, duration: float, within: float
    ) -> None:
        self._url = url
        self._key = key
        self._milliseconds = int(duration * 1000)
        self._within = min(within, _LONGEST_REQUEST)
        # Unique to this process: what another process with our name holds is not ours.
        self._token = f"{os.urandom(8).hex()} {identity}"
        self._redis = connect(url, self._within)
        self._by_sentinels = url.service() is not None
        bound(self._redis, self._within)
        self._take = self._redis.register_script(_TAKE)
        self._renew = self._redis.register_script(_RENEW)
        self._let_go = self._redis.register_script(_LET_GO)
        self._another_leads = False
        # The key was missing at our renewal, while we led.
        self._held_until_now = False
        # The instance of Redis (its run_id) in which we took it.
        self._life = ""

    @property
    def topic(self) -> Hashable:
        """The channel on which releases are published, while another leads."""
        return self._key if self._another_leads else None

    def look(self, seconds: float) -> str:
        """Return the name in the key."""
        del seconds
        return _name(self._ask(lambda: self._redis.get(self._key)))

    def take(self, seconds: float) -> Answer:
        """Take the key if it is free or ours. With Sentinels, on the master that they name now: a
        former one may go on for a while without knowing that it was replaced."""
        del seconds
        held, self._held_until_now = self._held_until_now, False
        pool = self._redis.connection_pool
        if self._by_sentinels:
            master = pool.master_address
            self._ask(pool.get_master_address)
            # What is missing elsewhere was not ours until now.
            held = held and pool.master_address == master
        keys = [self._key, f"{self._key}:fence"]
        values = [self._token, self._milliseconds, "held" if held else "", self._life]
        fence, holder, left = self._ask(lambda: _taken(self._take(keys, values)))
        self._another_leads = not fence
        if fence:
            self._life = holder
            return Answer(fence)
        if holder:
            return Answer(None, _name(holder), left / 1000 if left >= 0 else None)
        return Answer(
            None,
            waits="Redis has just started, and may have forgotten who led: in"
            f" {left / 1000:g}s any old leader's command must have exited",
        )

    def renew(self, seconds: float) -> bool:
        """Extend the key's expiry, if it is ours."""
        del seconds
        values = [self._token, self._milliseconds]
        held = _text(self._ask(lambda: self._renew([self._key], values)))
        self._held_until_now = not _name(held)
        if held == self._token and self._by_sentinels:
            self._leave_a_former_master()
        return held == self._token

    def _leave_a_former_master(self) -> None:
        """Have the next renewal go to the master that the Sentinels name, if that is another one:
        there the key, which was copied, is about to expire. One is asked; all, if it does."""
        pool = self._redis.connection_pool
        sentinels, service = pool.sentinel_manager, pool.service_name
        named = sentinels.named_by_one(service)
        if named in (None, pool.master_address) or not sentinels.most_name(named, service):
            return
        pool.disconnect()

    def let_go(self, seconds: float) -> bool:
        """Mark the key as free, if it is ours."""
        del seconds
        self._another_leads = False
        return bool(self._ask(lambda: self._let_go([self._key], [self._token])))

    def close(self) -> None:
        """Close the connections."""
        disconnect(self._redis)

    def watch(self, topic: Hashable, seconds: float) -> "Releases":
        """Wait for a release."""
        return Releases(self._url, str(topic), min(seconds, self._within))

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except (redis.RedisError, OSError) as error:
            raise trouble(error, self._key, self._url) from None
        except Exception as error:  # noqa: BLE001 - of a server that is no Redis, redis-py raises any
            # A connection that was opened without choosing the user and the database would be kept.
            self.close()
            raise trouble(error, self._key, self._url) from None


class Releases:
    """A subscription to the channel on which releases are published."""

    def __init__(self, url: RedisUrl, channel: str, within: float) -> None:
        """Subscribe. Raises Trouble."""
        self._url = url
        self._channel = channel
        self._closed = False
        self._redis = connect(url, within)
        self._bounds = bound(self._redis, _NEWS_WITHIN + within)
        self._subscription = self._redis.pubsub(ignore_subscribe_messages=True)
        try:
            self._subscription.subscribe(channel)
            # The confirmation.
            self._subscription.get_message(timeout=within)
        except Exception as error:  # noqa: BLE001 - as above
            self._end()
            raise self._trouble(error) from None

    def events(self) -> Iterator[None]:
        """Yield at once, as it may have been released before we subscribed, and at each release.
        Raises Trouble."""
        try:
            yield
            while not self._closed:
                self._bounds.begin()
                if self._subscription.get_message(timeout=_NEWS_WITHIN) is not None:
                    yield
        except Exception as error:  # noqa: BLE001 - as above
            if not self._closed:
                raise self._trouble(error) from None
        finally:
            self._end()

    def close(self) -> None:
        """Close it: the reader wakes up."""
        self._closed = True
        self._bounds.end()

    def _end(self) -> None:
        with suppress(redis.RedisError, OSError):
            self._subscription.close()
        disconnect(self._redis)

    def _trouble(self, error: Exception) -> Trouble:
        return trouble(error, self._channel, self._url)


def connect(url: RedisUrl, within: float) -> Any:
    """Return a client, which has not connected yet. Raises ValueError for an invalid URL."""
    bounds: dict[str, Any] = {
        "socket_timeout": within,
        "socket_connect_timeout": within,
        # The campaign retries what has failed.
        "retry": Retry(NoBackoff(), 0),
    }
    service = url.service()
    if service is None:
        return redis.Redis.from_url(url.text, **bounds)
    parse_url: Any = redis.connection.parse_url
    of_url = dict(parse_url(service.url))
    for name in ("host", "port"):
        of_url.pop(name, None)
    is_tls = of_url.pop("connection_class", None) is redis.SSLConnection
    to_sentinel = {
        name.removeprefix("sentinel_"): of_url.pop(name)
        for name in ("sentinel_username", "sentinel_password")
        if name in of_url
    }
    made: Any = Sentinels
    sentinels = made(service.sentinels, sentinel_kwargs={**bounds, **to_sentinel})
    for sentinel in sentinels.sentinels:
        bound(sentinel, within)
    return sentinels.master_for(service.name, ssl=is_tls, **bounds, **of_url)


def disconnect(client: Any) -> None:
    """Close a client's connections, and those to the Sentinels, which it leaves open."""
    manager = getattr(client.connection_pool, "sentinel_manager", None)
    for one in (client, *(() if manager is None else manager.sentinels)):
        with suppress(redis.RedisError, OSError):
            one.close()
            # Which close() does not do in redis-py 5.0.0.
            one.connection_pool.disconnect()


def _taken(said: Any) -> tuple[int, str, int]:
    """Return what _TAKE has returned: the fence, 0 if another leads; the life or the holder; and
    the milliseconds left."""
    fence, holder, left = said
    return int(fence or 0), _text(holder), int(left)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")


def _name(token: object) -> str:
    """Return the name in a token, "" if there is none; of a key that something else wrote, its
    content."""
    text = _text(token)
    nonce, _, name = text.partition(" ")
    return "" if nonce == _RELEASED else name or text
