"""A Telegram bot that answers each message once. Only one process may ask for a bot's updates.

    leaderexec --takeover-delay 11s -- python telegram_bot.py

Two that ask at once get the error 409 in turn, and messages go to one or the other. The
--takeover-delay (the peers' --grace-lost plus one second) keeps them apart when leadership moves.

An update is confirmed by asking for the next one. It is handled before that, and a stop lets it be
finished and confirmed; only where the process was killed in between does the next leader handle it
again.
"""

import http.client
import json
import os
import signal
import time
import urllib.request
from contextlib import suppress
from types import FrameType
from typing import Any

API = os.environ.get("TELEGRAM_API", "https://api.telegram.org")
TOKEN = os.environ.get("TELEGRAM_TOKEN", "")
# How long the server waits for an update before it answers that there is none.
POLL_SECONDS = 50

_waits = False
_stopping = False


class Stopped(Exception):
    """It is ordered to stop, and has nothing in hand."""


def stop(_number: int, _frame: FrameType | None) -> None:
    """End a poll; let an update that is being handled be finished."""
    global _stopping  # noqa: PLW0603 - a signal handler has no other way
    _stopping = True
    if _waits:
        raise Stopped


def call(method: str, **parameters: object) -> Any:
    """Call a method of the Bot API; return its result."""
    request = urllib.request.Request(  # noqa: S310 - the URL is ours
        f"{API}/bot{TOKEN}/{method}",
        json.dumps(parameters).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=POLL_SECONDS + 10) as response:  # noqa: S310
        return json.load(response)["result"]


def wait_for_updates(offset: int) -> list[dict[str, Any]]:
    """Confirm what came before this offset, and wait for more."""
    global _waits  # noqa: PLW0603 - for the signal handler
    _waits = True
    try:
        if _stopping:
            raise Stopped
        found: list[dict[str, Any]] = call("getUpdates", offset=offset, timeout=POLL_SECONDS)
        return found
    finally:
        _waits = False


def handle(update: dict[str, Any]) -> None:
    """Answer a message."""
    if message := update.get("message"):
        text = f"You said: {message.get('text', 'nothing')}"
        call("sendMessage", chat_id=message["chat"]["id"], text=text)


def main() -> None:
    """Answer until ordered to stop."""
    signal.signal(signal.SIGTERM, stop)
    offset = 0
    try:
        while True:
            try:
                for update in wait_for_updates(offset):
                    handle(update)
                    offset = update["update_id"] + 1
                    if _stopping:
                        raise Stopped
            except (OSError, http.client.HTTPException) as error:
                print(f"trying again in a second: {error}", flush=True)
                time.sleep(1)
    except Stopped:
        if offset:
            # Confirms the last one. If that fails, the next leader handles it again.
            with suppress(OSError, http.client.HTTPException):
                call("getUpdates", offset=offset, timeout=0, limit=1)
    print("ended, all confirmed", flush=True)


if __name__ == "__main__":
    main()
