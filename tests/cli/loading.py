"""Configurations, as they are loaded from a command line and an environment."""

import pytest

from leaderexec.config import options
from leaderexec.config import settings as config
from leaderexec.config.options import UsageError


def load(*words: str, host: str = "app-a", **environ: str) -> config.Config:
    """Load a configuration."""
    given, _ = options.parse(words, config.OPTIONS)
    return config.load(given, ["true"], environ, host)


def error_of(*words: str, **environ: str) -> str:
    """Return the message about a bad configuration."""
    with pytest.raises(UsageError) as caught:
        load(*words, **environ)
    return str(caught.value)
