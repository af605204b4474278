"""Import a library without optional parts that this program never uses.

OpenSSL (through ssl and hashlib) and charset detection would take a third of the memory
of http.client, requests and structlog. All of them are optional there: they also run on a Python
built without OpenSSL. The elector is reached by plain HTTP on loopback, in a known encoding.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_needed: set[str] = set()


def allow_ssl() -> None:
    """Stop excluding OpenSSL: prometheus_client can't be imported after http.client was imported
    without OpenSSL."""
    _needed.update(("ssl", "_ssl"))


@contextmanager
def imports() -> Iterator[None]:
    """Within this context the unused modules can't be imported; afterwards they can again."""
    from importlib.util import find_spec

    unused = {"ssl", "_ssl", "chardet", "charset_normalizer"}
    # Only if Python has its own hash functions; some distributions omit them.
    if all(map(find_spec, ("_blake2", "_md5", "_sha1", "_sha3"))):
        unused.add("_hashlib")
    unused -= sys.modules.keys() | _needed
    # None makes an import fail (the import system, "The module cache").
    sys.modules.update(dict.fromkeys(unused))  # type: ignore[arg-type]
    try:
        with warnings.catch_warnings():
            # requests warns that it can't guess character sets.
            warnings.simplefilter("ignore")
            yield
    finally:
        for name in unused:
            sys.modules.pop(name, None)
