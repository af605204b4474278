"""The control socket: requests to a running leaderexec from its own machine and user."""
