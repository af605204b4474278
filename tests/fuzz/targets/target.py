"""A target: a promise about all bytes that others may write."""

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Target(NamedTuple):
    """`holds` raises unless the promise holds for this input. `longest` is the longest input tried,
    in bytes; `words` are pieces of which inputs are likely to be made."""

    holds: Callable[[bytes], None]
    longest: int
    words: tuple[str, ...] = ()

    @property
    def promise(self) -> str:
        """The promise, in a sentence."""
        return (self.holds.__doc__ or "").strip().replace("\n    ", " ")


def cuts(data: bytes, tries: int = 3) -> Iterator[list[bytes]]:
    """Yield the bytes in chunks: whole, byte by byte, and cut at some places, always the same for
    the same bytes."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    drawn = random.Random(data)
    for _ in range(tries):
        places = sorted(drawn.choices(range(len(data) + 1), k=1 + len(data) // 8))
        yield [data[at:to] for at, to in zip([0, *places], [*places, len(data)], strict=True)]


def check_shown(text: str, longest: int) -> None:
    """Raise AssertionError unless this is for people: with words, and not longer than this."""
    assert any(one.isalpha() for one in text), f"no words: {text[:300]!r}"
    assert len(text) <= longest, f"{len(text)} characters: {text[:300]!r}"
