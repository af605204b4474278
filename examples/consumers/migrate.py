"""A database migration that one replica runs, and no two at once.

As a guard in front of the application, in every replica:

    leaderexec --on-lost exit -- python migrate.py app.db

leaderexec ends with 0 once the migration is done, on the leader. On the others it stands by and can
be ended: what they wait for is the schema's version, which they ask for themselves.

Each step is one transaction that also notes its number, so that a KILL in the middle leaves the
step undone, not half done: leadership keeps the crowd away, the transaction keeps the data right.
"""

import sqlite3
import sys

STEPS = (
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT NOT NULL)",
    "ALTER TABLE orders ADD COLUMN paid INTEGER NOT NULL DEFAULT 0",
)


def migrate(database: str) -> int:
    """Bring the schema up to date; return how many steps that took."""
    connection = sqlite3.connect(database, isolation_level=None, timeout=10)
    done = 0
    try:
        while True:
            connection.execute("BEGIN IMMEDIATE")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version >= len(STEPS):
                connection.execute("ROLLBACK")
                return done
            connection.execute(STEPS[version])
            connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
            done += 1
    finally:
        connection.close()


if __name__ == "__main__":
    print(f"{migrate(sys.argv[1])} steps done", flush=True)
