"""Text from elsewhere, for a terminal."""


def printable(text: str) -> str:
    """Escape what could control a terminal: control characters, bidirectional overrides, line
    breaks."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
