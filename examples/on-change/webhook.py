"""Tell a chat, by its webhook, who leads and why.

    leaderexec --on-change "python webhook.py https://chat.example/hooks/ID" -- python worker.py

Each replica tells of its own role. If the chat does not answer, leaderexec kills this after
--on-change-timeout and logs it; nothing else waits for it.
"""

import json
import os
import sys
import urllib.request


def text(environ: os._Environ[str]) -> str | None:
    """Return what is to be said; None if it is not worth it."""
    if "role" not in environ["LEADEREXEC_EVENT"].split():
        return None
    role, why = environ["LEADEREXEC_ROLE"], environ["LEADEREXEC_REASON"]
    return f"{environ['LEADEREXEC_REPLICA']}: {role} ({why})"


def main(url: str) -> None:
    """Tell it."""
    if (said := text(os.environ)) is not None:
        body = json.dumps({"text": said}).encode()
        request = urllib.request.Request(  # noqa: S310 - the URL is ours
            url, body, {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310


if __name__ == "__main__":
    main(sys.argv[1])
