"""``/status``: everything about a running leaderexec, as JSON values. Times are RFC 3339, ages and
durations are in seconds."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from leaderexec._version import __version__
from leaderexec.config.settings import Config
from leaderexec.core.actions import Job, Role
from leaderexec.core.belief import Belief
from leaderexec.core.lifecycle import State
from leaderexec.core.run import Run, is_command, waiting
from leaderexec.status.counters import Transition
from leaderexec.status.snapshot import Snapshot
from leaderexec.timestamps import rfc_3339

if TYPE_CHECKING:
    # psutil, which only /status needs, takes 1.5 MB.
    from leaderexec.status.processes import Process


def healthy(config: Config, state: State) -> bool | None:
    """Return whether the command runs and has proved healthy; None without probes, if it has not
    said whether it is ready."""
    run, asked = state.run, []
    said = None if run is None or waiting(run) else run.ready
    if config.proves_healthy:
        asked.append(state.healthy_since is not None)
    if config.notify == "required" or said is not None:
        asked.append(said is True)
    return state.role is Role.RUNNING and all(asked) if asked else None


class Document:
    """Converts snapshots to what people and programs read."""

    def __init__(
        self,
        config: Config,
        shown: Mapping[str, str],
        troubles: Callable[[], Mapping[tuple[str, str], int]],
        clock: Callable[[], float],
        label: Callable[[], dict[str, Any]] | None = None,
        holders: Callable[[], Sequence[str | None]] | None = None,
    ) -> None:
        """`shown`: the effective configuration, in the options' own words; `holders` returns who
        holds each slot, with --slots."""
        self._config = config
        self._shown = shown
        self._troubles = troubles
        self._clock = clock
        self._label = label
        self._holders = holders
        self._polls = config.kind.needs_contact
        contact = config.kind.contact(config)
        self._contact_timeout = contact.timeout
        self._asks_for_lease = contact.lease is not None

    def leads(self, belief: Belief) -> bool:
        """Return whether this replica leads, with confirmation."""
        return belief.confirmed and belief.leader == self._config.identity

    def healthy(self, now: Snapshot) -> bool | None:
        """Return whether the command is healthy; see the function."""
        return healthy(self._config, now.state)

    @property
    def warms(self) -> bool:
        """Whether the command is started on standby, too."""
        return self._config.warm

    @property
    def slot_count(self) -> int | None:
        """The number of slots; None without --slots."""
        return self._config.slots

    def warm(self, now: Snapshot) -> str | None:
        """Return how far the warm command is that waits to be told that this replica leads; None if
        there is none."""
        warm = waiting(now.state.run)
        if warm is None:
            return None
        return "ready" if warm.ready else "starting"

    def why_not_ready(self, now: Snapshot) -> str | None:
        """Return why ``/readyz`` is 503; None if it is 200."""
        belief = now.state.belief
        if not belief.confirmed:
            never = belief.contact_at is None
            lost = belief.failure or "contact lost"
            return "no contact with the election yet" if never else lost
        if self._config.readyz == "healthy" and self.leads(belief) and self.healthy(now) is False:
            return "this replica leads, and its command is not healthy"
        return None

    def leader(self, now: Snapshot) -> dict[str, Any]:
        """Return the content of ``/leader``."""
        belief = now.state.belief
        return {
            "version": __version__,
            "identity": self._config.identity,
            "is_leader": self.leads(belief),
            "role": now.state.role.value,
            "role_since": self._moment(now.role_since),
            "reason": now.state.reason,
            "leader": belief.leader,
            "confirmed": belief.confirmed,
            "since": self._moment(belief.since) if belief.leader else None,
            "term": now.state.term,
            "fence": belief.fence if self.leads(belief) else None,
            "slot": belief.slot if self.leads(belief) else None,
            "healthy": self.healthy(now),
            "warm": self.warm(now),
        }

    def status(self, now: Snapshot, processes: "list[Process]") -> dict[str, Any]:
        """Return the content of ``/status``."""
        state, belief, counters = now.state, now.state.belief, now.counters
        run = state.run
        of_command = is_command(run)
        runs = state.role is Role.RUNNING or waiting(run) is not None
        key = self._config.done_key
        return {
            **self.leader(now),
            "election": self._config.election,
            "contact": {
                "last": self._moment(belief.contact_at),
                "age_seconds": self.contact_age(belief),
                "announcement_age_seconds": self.announcement_age(belief),
                "timeout_seconds": self._contact_timeout,
                "stream_open": belief.stream_open,
                "troubles": [
                    {"part": part, "kind": kind, "count": count}
                    for (part, kind), count in sorted(self._troubles().items())
                ],
            },
            "lease": self._lease(belief),
            "command": {
                "arguments": self._arguments(),
                "pid": now.pid if run is not None and of_command and run.alive else None,
                "started": self._moment(run.started_at) if run is not None and runs else None,
                "said": now.said,
                "last_code": state.last.code if state.last is not None else None,
                "starts": counters.starts,
                "restarts_in_a_row": state.restarts,
                "starts_in_seconds": self.until(state.start_at),
                "killed_in_seconds": self.until(run.deadline if run is not None else None),
            },
            "slots": None if self._holders is None else list(self._holders()),
            "once": None if key is None else {"key": key, "done": state.done},
            "leader_label": None if self._label is None else self._label(),
            "hook": self._hook(run),
            "on_change": None if now.changes is None else dict(now.changes),
            "tree": [process._asdict() for process in processes],
            "transitions": [_transition(told) for told in counters.last_transitions],
            "options": self._options(),
        }

    def _hook(self, run: Run | None) -> str | None:
        if run is None or (is_command(run) and not run.preparing):
            return None
        return Job.ON_START.value if run.preparing else run.job.value

    def _arguments(self) -> list[str]:
        """Return the command line, or just the program's name: arguments may contain secrets."""
        command = self._config.command
        return list(command) if self._config.show_command else [os.path.basename(command[0])]

    def _options(self) -> dict[str, str]:
        shown = dict(self._shown)
        for name, words in (
            ("on-start", self._config.on_start),
            ("on-stop", self._config.on_stop),
            ("health-cmd", self._config.health_cmd),
            ("on-change", self._config.on_change),
        ):
            if words is not None and not self._config.show_command:
                shown[name] = os.path.basename(words[0])
        return shown

    def lease_confirms(self, belief: Belief) -> bool | None:
        """Tell whether the API server's last word on the elector's Lease names the leader that the
        elector names; None where it is not asked."""
        said = belief.confirmation
        return (said is not None and said.agrees is True) if self._asks_for_lease else None

    def _lease(self, belief: Belief) -> dict[str, Any] | None:
        """Return what the API server has said; None where it is not asked."""
        if not self._asks_for_lease:
            return None
        said = belief.confirmation
        lease = None if said is None else said.lease
        return {
            "name": self._shown["confirm-lease"],
            "confirms": None if said is None else said.agrees,
            "refused": said is not None and said.refused,
            "seen": self._moment(said.seen_at) if said is not None else None,
            "uid": lease.uid if lease is not None else None,
            "fence": lease.fence if lease is not None else None,
        }

    def contact_age(self, belief: Belief) -> float | None:
        """Return the seconds since the last contact with the elector; None for other elections,
        which need no contact."""
        return self._age(belief.contact_at) if self._polls else None

    def announcement_age(self, belief: Belief) -> float | None:
        """Return the seconds since the elector's last announcement."""
        return self._age(belief.announced_at) if self._polls else None

    def _age(self, moment: float | None) -> float | None:
        return None if moment is None else round(max(0.0, self._clock() - moment), 3)

    def until(self, moment: float | None) -> float | None:
        """Return the seconds until a time on the deciding thread's clock."""
        return None if moment is None else round(max(0.0, moment - self._clock()), 3)

    def _moment(self, moment: float | None) -> str | None:
        if moment is None:
            return None
        return rfc_3339(time.time() - (self._clock() - moment))


def _transition(told: Transition) -> dict[str, Any]:
    return {
        "at": rfc_3339(told.at),
        "from": told.from_role,
        "to": told.to_role,
        "term": told.term,
        "reason": told.reason,
        "after_seconds": told.after_seconds,
    }
