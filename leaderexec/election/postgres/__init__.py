"""``--election postgres``: an advisory lock, or a row, of a PostgreSQL server."""
