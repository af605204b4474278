"""leaderexec: run a command only on the replica that leads."""

from leaderexec._version import __version__

__all__ = ["__version__"]
