"""The keys for which a command has succeeded (--once): words of one text, the newest last. Pure.

The text is kept with the election, and people may read and edit it there.
"""

# A lock file may have 4096 bytes. The oldest keys go first.
MOST_BYTES = 2000


def has(text: object, key: str) -> bool:
    """Return whether this key is kept."""
    return key in _keys(text)


def with_key(text: object, key: str) -> str:
    """Return the text that keeps this key, too, as the newest."""
    kept: list[str] = []
    left = MOST_BYTES + 1
    for one in (key, *(other for other in reversed(_keys(text)) if other != key)):
        # Half a surrogate pair can be in JSON, and is as long as the mark that replaces it.
        left -= len(one.encode(errors="surrogatepass")) + 1
        if left < 0:
            break
        kept.append(one)
    return " ".join(reversed(kept))


def _keys(text: object) -> list[str]:
    return text.split() if isinstance(text, str) else []
