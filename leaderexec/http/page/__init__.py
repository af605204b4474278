"""The page at ``/``: its files, put together when a browser first asks for it."""

import os
import pkgutil
from binascii import b2a_base64
from functools import cache

# Nothing but the page's own style and script, and only text becomes part of it: whatever a process
# or a replica calls itself, it can't become markup.
_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self';"
    " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)


def made() -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """Return the page, with a nonce of its own, and the headers that protect it."""
    nonce = b2a_base64(os.urandom(18), newline=False)
    headers = (
        ("Content-Security-Policy", _POLICY.format(nonce=nonce.decode())),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Vary", "Accept"),
    )
    return _page().replace(b"%NONCE%", nonce), headers


@cache
def _page() -> bytes:
    page = _file("page.html")
    for name in ("page.css", "page.js"):
        page = page.replace(b"%%%s%%" % name.encode(), _file(name))
    return page


def _file(name: str) -> bytes:
    """Read a file of this package, which may be in an archive."""
    data = pkgutil.get_data(__name__, name)
    assert data is not None  # noqa: S101 - it raises OSError if there is none
    return data
