"""Celery beat, which must run only once: two would send every task twice.

    leaderexec --takeover-delay 11s -- celery --app celery_beat beat --pidfile= --schedule /tmp/beat

The workers need no leader; run them as usual. beat's own file (--schedule) records when each task
was last sent. Here it is lost with its pod, so a crontab() time that passes while no replica leads
is not made up for, and an interval starts over. Without a --pidfile nothing prevents a start after
KILL.
On TERM beat exits with 0, or with 1 if it arrives during a send, whose connection its handler
closes. (With the scheduler that keeps no file such a TERM is lost, and beat continues until
leaderexec's KILL.)
"""

import os

from celery import Celery  # type: ignore[import-untyped]
from celery.schedules import crontab  # type: ignore[import-untyped]

app = Celery("example", broker=os.environ.get("BROKER_URL", "redis://localhost:6379/0"))
app.conf.update(
    timezone="UTC",
    beat_schedule={
        "heartbeat": {"task": "example.heartbeat", "schedule": 1.0},
        "nightly-report": {"task": "example.report", "schedule": crontab(hour="3", minute="30")},
    },
)


def heartbeat() -> str:
    """Done by a worker every second."""
    return "alive"


def report() -> str:
    """Done by a worker every night."""
    return "reported"


app.task(heartbeat, name="example.heartbeat")
app.task(report, name="example.report")
