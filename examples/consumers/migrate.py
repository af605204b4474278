"""Migrate the database on the leader, then become the program that needs it.

    leaderexec --on-lost exit --restart never -- python migrate.py python worker.py

--restart never: a migration that failed will fail again. leaderexec exits with its code, and the
container's restarts, with their growing delays, are where operators look. --on-lost exit: a replica
that lost leadership exits with 124, and its container starts from scratch, without anything that
half a migration may have left in its file system; --on-lost standby is enough if nothing is left.

To have all replicas wait for it, run it alone in an init container with --once, as in
kubernetes/migration.yaml.

Leadership alone is not a fence: in a worst-case overlap two of these may run. What makes that safe
is the transaction, in which the version is checked again. A TERM in the middle rolls it back.
This uses SQLite; other databases need a lock of their own instead (pg_advisory_xact_lock).
"""

import os
import sqlite3
import sys
from contextlib import closing

MIGRATIONS = (
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, article TEXT NOT NULL)",
    "ALTER TABLE orders ADD COLUMN amount INTEGER NOT NULL DEFAULT 1",
    "CREATE INDEX orders_by_article ON orders (article)",
)


def migrate(path: str) -> list[int]:
    """Bring the database up to date; return the versions that were applied here."""
    applied = []
    with closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as database:
        for version, statement in enumerate(MIGRATIONS, start=1):
            # Takes the write lock first: nothing can intervene between the check and the change.
            database.execute("BEGIN IMMEDIATE")
            with database:
                if database.execute("PRAGMA user_version").fetchone()[0] < version:
                    database.execute(statement)
                    database.execute(f"PRAGMA user_version = {version}")
                    applied.append(version)
    return applied


def main() -> None:
    """Migrate, then run the rest of the command line, if any, in place of this program."""
    applied = migrate(os.environ.get("DATABASE", "app.db"))
    print(f"migrations applied: {applied or 'none'}", flush=True)
    if command := sys.argv[1:]:
        os.execvp(command[0], command)


if __name__ == "__main__":
    main()
