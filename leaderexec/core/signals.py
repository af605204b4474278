"""Signal names."""

import signal


def signal_name(number: int) -> str:
    """Return SIGTERM for 15, and SIGRTMIN+3 for a real-time signal (signal(7))."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
