"""``--http``: a small server, its paths, and how they are put together."""
