"""The status of a running leaderexec, for people and programs."""
