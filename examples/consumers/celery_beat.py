"""celery beat in every replica, running in one: two beats would send each task twice.

    leaderexec --takeover-delay 11s -- celery --app celery_beat beat --pidfile= --schedule /tmp/beat

No pid file: after a KILL a stale one would keep the next beat from starting, and who may run is
leaderexec's to say. The schedule file is a cache; the next leader makes its own.

Needs celery, and BROKER_URL.
"""

import os
from typing import Any

SCHEDULE = {
    "report-every-minute": {"task": "celery_beat.report", "schedule": 60.0},
}


def application() -> Any:
    """Return the celery application."""
    from celery import Celery  # type: ignore[import-not-found,unused-ignore]

    made = Celery("celery_beat", broker=os.environ["BROKER_URL"])
    made.conf.beat_schedule = SCHEDULE
    made.conf.timezone = "UTC"
    made.task(name="celery_beat.report")(report)
    return made


def report() -> None:
    """Do the work."""
    print("reported", flush=True)


def __getattr__(name: str) -> object:
    # celery looks for `app`; a test of the schedule needs no celery.
    if name == "app":
        return application()
    raise AttributeError(name)
