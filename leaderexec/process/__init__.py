"""Everything that touches processes: starting, signalling, reaping, killing a tree."""
