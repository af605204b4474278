"""Elections in Redis: one key that expires, using redis-py."""
