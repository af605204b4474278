"""``/metrics``: the snapshot as Prometheus metrics, rendered for each scrape.

Names follow Prometheus's rules: base units, units and _total at the end, no label names in them.
"""

import platform
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from leaderexec._version import __version__
from leaderexec.core.actions import Role
from leaderexec.status.counters import BUCKETS, Durations
from leaderexec.status.document import Document
from leaderexec.status.processes import Processes
from leaderexec.status.snapshot import Published, Snapshot

Troubles = Callable[[], Mapping[tuple[str, str], int]]


class Metrics:
    """Renders metrics in the format that the scraper accepts."""

    def __init__(
        self, published: Published, document: Document, processes: Processes, troubles: Troubles
    ) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Wrapper(published, document, processes, troubles))
        ProcessCollector(registry=self._registry)

    def render(self, accept: str) -> tuple[str, bytes]:
        """Return content type and body."""
        try:
            encode, content_type = choose_encoder(accept)
        except Exception:  # noqa: BLE001 - some versions raise at what they can't parse
            encode, content_type = choose_encoder("")
        return content_type, encode(self._registry)


class _Wrapper(Collector):
    def __init__(
        self, published: Published, document: Document, processes: Processes, troubles: Troubles
    ) -> None:
        self._published = published
        self._document = document
        self._processes = processes
        self._troubles = troubles

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering does not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield everything."""
        now = self._published.latest
        yield InfoMetricFamily(
            "leaderexec_build",
            "The running leaderexec.",
            {"version": __version__, "python": platform.python_version()},
        )
        yield from self._election(now)
        yield from self._command(now)
        yield from self._tree(now)

    def _election(self, now: Snapshot) -> Iterator[Metric]:
        state, belief, counters = now.state, now.state.belief, now.counters
        yield _gauge(
            "leaderexec_is_leader", "1 while this replica leads.", self._document.leads(belief)
        )
        yield _gauge(
            "leaderexec_leadership_confirmed",
            "1 while there is contact with the election.",
            belief.confirmed,
        )
        yield _gauge("leaderexec_term", "Terms of this leaderexec process so far.", state.term)
        if belief.fence is not None and self._document.leads(belief):
            yield _gauge("leaderexec_fence", "The current term's fence.", belief.fence)
        if (count := self._document.slot_count) is not None:
            yield _gauge("leaderexec_slots", "The number of slots.", count)
        if belief.slot is not None and self._document.leads(belief):
            yield _gauge("leaderexec_slot", "The slot that this replica holds.", belief.slot)
        if (confirms := self._document.lease_confirms(belief)) is not None:
            yield _gauge(
                "leaderexec_lease_confirmed",
                "1 while the API server's last word names the same leader as the elector.",
                confirms,
            )
        roles = GaugeMetricFamily(
            "leaderexec_role", "1 for the current role of this replica.", labels=["role"]
        )
        for one in Role:
            roles.add_metric([one.value], float(one is state.role))
        yield roles
        for what, age in (
            ("contact", self._document.contact_age(belief)),
            ("announcement", self._document.announcement_age(belief)),
        ):
            if age is not None:
                yield _gauge(
                    f"leaderexec_{what}_age_seconds", f"Seconds since the last {what}.", age
                )
        for what, text, count in (
            ("elector_connects", "Announcement streams opened.", counters.connects),
            ("announcements", "Announcements received, repeated ones too.", counters.announcements),
            ("polls_answered", "Cross-checks answered by the elector.", counters.polls),
        ):
            yield CounterMetricFamily(f"leaderexec_{what}", text, count)
        yield _counters(
            "leaderexec_election_failures",
            "Failures of the election source, by its part and by kind.",
            ["part", "kind"],
            self._troubles(),
        )
        yield _counters(
            "leaderexec_transitions",
            "Changes of role, by the new role and by cause.",
            ["to", "reason"],
            counters.transitions,
        )

    def _command(self, now: Snapshot) -> Iterator[Metric]:
        state, counters = now.state, now.counters
        backoff = state.role is Role.BACKOFF
        for what, text, count in (
            ("command_starts", "Starts of the command.", counters.starts),
            (
                "start_failures",
                "Starts for which no process could be created.",
                counters.start_failures,
            ),
            ("killed_processes", "Processes that were sent KILL.", counters.killed),
        ):
            yield CounterMetricFamily(f"leaderexec_{what}", text, count)
        yield _counters(
            "leaderexec_command_exits",
            "Exits of the command, by its exit code or the signal that killed it.",
            ["code", "signal"],
            counters.exits,
        )
        yield _counters(
            "leaderexec_hook_failures",
            "Hooks that failed or timed out.",
            ["hook"],
            {(hook,): count for hook, count in counters.hook_failures.items()},
        )
        if now.changes is not None:
            yield _counters(
                "leaderexec_on_change",
                "Changes that --on-change was told of, or failed at, or that a newer one replaced.",
                ["outcome"],
                {(outcome,): count for outcome, count in now.changes.items()},
            )
        healthy = self._document.healthy(now)
        if healthy is not None:
            yield _gauge(
                "leaderexec_command_healthy",
                "1 while the command runs and has proved healthy.",
                healthy,
            )
        if self._document.warms:
            yield _gauge(
                "leaderexec_command_warm",
                "1 while a warm command is ready, and waits to be told that this replica leads.",
                self._document.warm(now) == "ready",
            )
        yield _gauge(
            "leaderexec_restart_backoff_seconds",
            "Seconds until the command is restarted; 0 when no restart is due.",
            (self._document.until(state.start_at) or 0.0) if backoff else 0.0,
        )
        yield _histogram(
            "leaderexec_takeover_duration_seconds",
            "From winning leadership to the command's start.",
            counters.takeovers,
        )
        yield _histogram(
            "leaderexec_stop_duration_seconds",
            "From the decision to stop, or the command's own exit, until its whole tree is gone.",
            counters.stops,
        )

    def _tree(self, now: Snapshot) -> Iterator[Metric]:
        tree = self._processes.tree(now)
        yield _gauge("leaderexec_tree_processes", "Processes in the command's tree.", len(tree))
        yield _gauge(
            "leaderexec_tree_resident_memory_bytes",
            "Resident memory of the command's tree.",
            sum(process.resident_memory_bytes for process in tree),
        )
        command = next((process for process in tree if process.pid == now.pid), None)
        if command is not None:
            yield _gauge(
                "leaderexec_command_resident_memory_bytes",
                "Resident memory of the command itself.",
                command.resident_memory_bytes,
            )
            yield CounterMetricFamily(
                "leaderexec_command_cpu_seconds",
                "CPU time of the command itself, user and system.",
                command.cpu_seconds,
            )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, float(value))


def _counters(
    name: str, text: str, labels: list[str], counts: Mapping[tuple[str, ...], int] | Any
) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in sorted(counts.items()):
        family.add_metric(list(values), count)
    return family


def _histogram(name: str, text: str, durations: Durations) -> Metric:
    buckets, so_far = [], 0
    for bound, count in zip((*map(str, BUCKETS), "+Inf"), durations.counts, strict=True):
        so_far += count
        buckets.append((bound, float(so_far)))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=durations.total)
