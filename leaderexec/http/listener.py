"""The socket of ``--http ADDR``."""

import errno
import os
import socket
import stat
from contextlib import suppress

from leaderexec.config.options import Address, UsageError

_BACKLOG = 128


def listen(where: Address) -> socket.socket:
    """Return a listening socket; raise UsageError that says what to do."""
    try:
        listener = _unix(where.path) if where.path is not None else _tcp(where)
    except OSError as error:
        raise UsageError(f"--http is '{where}', but {_why(where, error)}") from None
    listener.setblocking(False)
    return listener


def unlink(where: Address) -> None:
    """Remove the socket file, if there is one."""
    if where.path is not None:
        with suppress(OSError):
            os.unlink(where.path)


def _tcp(where: Address) -> socket.socket:
    if where.host:
        family, *_, target = socket.getaddrinfo(
            where.host, where.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(target[:2], family=family, backlog=_BACKLOG)
    try:
        return socket.create_server(
            ("::", where.port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG
        )
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise
        # A kernel without IPv6.
        return socket.create_server(("0.0.0.0", where.port), backlog=_BACKLOG)  # noqa: S104


def _unix(path: str) -> socket.socket:
    remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def remove_stale(path: str) -> None:
    """Remove what a killed predecessor left behind, but not a socket that a process listens on."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
    except OSError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(1)
        try:
            caller.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)


def _why(where: Address, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        taken = f"{where.path} already exists" if where.path else f"port {where.port} is in use"
        return f"{taken}{_by_whom(where)}; stop that process, or choose another address"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "this user may not listen there; choose a port from 1024, or another directory"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address; use :PORT for all of its addresses"
    return f"nothing can listen there: {error.strerror or error}; choose another address"


def _by_whom(where: Address) -> str:
    """Name the process that listens there, as far as this user may see it."""
    if where.path is not None:
        return ""
    import psutil

    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr
            if listens and listens.port == where.port and connection.pid:
                return f" by pid {connection.pid} ({psutil.Process(connection.pid).name()})"
    return f" (see `ss -ltnp sport = :{where.port}`)"
