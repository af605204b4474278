"""``--peers``: all replicas side by side, each asked at its own ``--http`` address."""
