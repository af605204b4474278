"""Real PostgreSQL servers on Unix sockets, and poolers, for tests and benchmarks."""

import functools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any, Self

import psutil
import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult
from support import PATIENCE, wait_for

_WORKED = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)


def program(name: str) -> str | None:
    """Return the path of one of PostgreSQL's own programs: Debian keeps them out of the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(found[-1]) if found else None)


def missing() -> str | None:
    """Return what is not installed here; None if everything is."""
    for name in ("initdb", "postgres", "psql"):
        if program(name) is None:
            return f"{name} is not installed"
    return None


def _as_nobody(folder: str) -> tuple[str, ...]:
    """Return the command in front of a server, which must not run as root."""
    if os.getuid() != 0:
        return ()
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    ids = (f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")
    return ("setpriv", *ids)


@functools.cache
def _initialised() -> IO[bytes]:
    """Return an archive of initdb's result: that takes seconds of work, and each server starts
    from the same. The file has no name, so nothing of it is left behind."""
    initdb = program("initdb")
    assert initdb is not None, "PostgreSQL is not installed"
    archive = tempfile.TemporaryFile()  # noqa: SIM115 - kept for the next server
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as folder:
        become, data = _as_nobody(folder), f"{folder}/data"
        options = ("--no-sync", "--username=postgres", "--auth=trust")
        _run(*become, initdb, *options, data)
        _run(*become, "tar", "-C", folder, "-c", "data", stdout=archive)
    return archive


def _run(
    *words: str, stdin: IO[bytes] | None = None, stdout: IO[bytes] | int = subprocess.DEVNULL
) -> None:
    errors = subprocess.PIPE
    subprocess.run(words, check=True, stdin=stdin, stdout=stdout, stderr=errors, cwd="/")


class PostgreSQL:
    """One server with its own folder, or a standby of `primary`."""

    def __init__(
        self,
        *settings: str,
        port: int | None = None,
        primary: "PostgreSQL | None" = None,
        prefix: Sequence[str] = (),
    ) -> None:
        """`port`: on loopback, in addition to the socket. `prefix`: a command that becomes it."""
        self.port = str(port or 5432)
        self._prefix = prefix
        self._stack = ExitStack()
        self.folder = tempfile.mkdtemp(prefix="pg-", dir="/tmp")
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._become = _as_nobody(self.folder)
        self._data = f"{self.folder}/data"
        self._settings = settings
        self._server: subprocess.Popen[bytes] | None = None
        if primary is None:
            archive = _initialised()
            archive.seek(0)
            _run(*self._become, "tar", "-C", self.folder, "-x", stdin=archive)
        else:
            copy = program("pg_basebackup") or "pg_basebackup"
            words = ("--no-sync", "-c", "fast", "-R", "-U", "postgres", "-D", self._data)
            _run(*self._become, copy, "-h", primary.folder, "-p", primary.port, *words)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack:
            self.stop(signal.SIGINT)

    @property
    def url(self) -> str:
        """Return how to connect to it."""
        return f"postgresql://postgres@/postgres?host={self.folder}"

    @property
    def log(self) -> str:
        """Return the server's log."""
        return Path(f"{self.folder}/log").read_text()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options: tuple[str, ...] = ("-D", self._data, "-k", self.folder, "-c", "fsync=off")
        options += ("-c", "listen_addresses=")
        if self.port != "5432":
            options += ("-c", "listen_addresses=127.0.0.1", "-p", self.port)
        options += tuple(word for setting in self._settings for word in ("-c", setting))
        with open(f"{self.folder}/log", "ab") as log:
            self._server = subprocess.Popen(
                (*self._become, *self._prefix, program("postgres") or "postgres", *options),
                stderr=log,
                cwd="/",
            )
        wait_for(self._answers, "PostgreSQL to answer")

    def stop(self, number: int = signal.SIGINT) -> None:
        """Stop it: INT ends the sessions, QUIT and KILL everything at once."""
        if self._server is None:
            return
        with suppress(ProcessLookupError):
            self._server.send_signal(number)
        self._server.wait(PATIENCE)
        self._server = None
        for name in ("postmaster.pid", "postmaster.opts"):
            with suppress(FileNotFoundError):
                os.unlink(f"{self._data}/{name}")

    def freeze(self) -> None:
        """Let it hang, each of its processes: its connections stay open."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: int) -> None:
        assert self._server is not None
        # Its first process comes first, so that there are no new ones.
        self._server.send_signal(number)
        for process in psutil.Process(self._server.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def certify(self) -> str:
        """Make it use TLS from the next start on, as localhost; return the certificate's path."""
        key, certificate = f"{self._data}/server.key", f"{self._data}/server.crt"
        new = (
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        )
        name = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2")
        _run(*self._become, "openssl", *new, *name, "-keyout", key, "-out", certificate)
        self._settings += ("ssl=on",)
        return certificate

    def restart(self) -> None:
        """Stop and start it."""
        self.stop()
        self.start()

    def allow(self, *lines: str) -> None:
        """Replace pg_hba.conf, and reload it."""
        path = Path(self._data) / "pg_hba.conf"
        path.write_text("".join(f"{line}\n" for line in lines))
        assert self._server is not None
        self._server.send_signal(signal.SIGHUP)

    def psql(self, sql: str) -> subprocess.CompletedProcess[str]:
        """Run SQL on it."""
        options = ("--no-psqlrc", "--set=ON_ERROR_STOP=1", "--tuples-only", "--no-align")
        return subprocess.run(
            ("psql", "--host", self.folder, "--port", self.port, "--username=postgres", *options),
            input=sql,
            text=True,
            capture_output=True,
            check=False,
        )

    def value(self, sql: str) -> str:
        """Return the result of one query, or of the last one, as psql prints it."""
        with self._connected() as connection:
            found = connection.pgconn.exec_(sql.encode())
            assert found.status in _WORKED, found.error_message.decode()
            rows = range(found.ntuples)
            return "\n".join("|".join(_row(found, number)) for number in rows)

    def _answers(self) -> bool:
        with suppress(psycopg.OperationalError), self._connected():
            return True
        return False

    def _connected(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=self.folder, port=self.port, user="postgres", dbname="postgres", autocommit=True
        )


def _row(found: PGresult, number: int) -> list[str]:
    return [(found.get_value(number, field) or b"").decode() for field in range(found.nfields)]


class PgBouncer:
    """A pooler in front of a server."""

    def __init__(self, server: PostgreSQL, mode: str) -> None:
        self.folder = tempfile.mkdtemp(prefix="pgb-", dir="/tmp")
        become = _as_nobody(self.folder)
        settings = Path(self.folder) / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n* = host={server.folder} user=postgres\n[pgbouncer]\nlisten_addr =\n"
            f"unix_socket_dir = {self.folder}\nauth_type = any\npool_mode = {mode}\n"
            f"logfile = {self.folder}/log\npidfile =\ndefault_pool_size = 5\n"
        )
        settings.chmod(0o644)
        words = (*become, shutil.which("pgbouncer") or "/usr/sbin/pgbouncer", "-q", str(settings))
        self._process = subprocess.Popen(
            words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/"
        )
        path = Path(self.folder) / ".s.PGSQL.6432"
        wait_for(path.exists, "pgbouncer's socket")

    @property
    def url(self) -> str:
        """Return how to connect to it."""
        return f"postgresql://postgres@/postgres?host={self.folder}&port=6432"

    def freeze(self) -> None:
        """Freeze it: nothing passes, and neither side notices."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it continue."""
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # On TERM it waits for its clients, from version 1.23 on.
        self._process.kill()
        self._process.wait(PATIENCE)
        shutil.rmtree(self.folder, ignore_errors=True)
