"""Redis as an election: one key that expires, by redis-py."""
