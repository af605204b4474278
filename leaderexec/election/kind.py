"""What a kind of election declares: its options, how it is chosen, its rules, and how it opens.

Everything else uses the declaration, and no other file compares a kind's name. Declarations are
light: the dependencies for opening a source are imported then.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from leaderexec.config.options import Given, Settings, UsageError, find, identity, show_duration
from leaderexec.core.belief import Belief, ContactPolicy
from leaderexec.core.record import Record
from leaderexec.light_typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from leaderexec.config.settings import Config
    from leaderexec.core.events import Event
    from leaderexec.election.store.source import Store
    from leaderexec.logs import Log

Put = Callable[["Event"], None]
Clock = Callable[[], float]

# A plug-in declares the number for which it was written; any other is refused. It is increased
# when plug-ins have to be changed because of a change in this file.
INTERFACE = 1
_ASK_WITHIN = 5.0


class Source(Protocol):
    """Where leadership comes from. It puts what it learns into the inbox and decides nothing."""

    def start(self, now: float) -> None:
        """Begin to put events into the inbox."""

    def resubscribe(self) -> None:
        """Replace a stream that no longer carries announcements."""

    def release(self) -> None:
        """Release leadership at once, if this is the leader and the kind supports it, and stop
        competing: nothing of the command is left, and this process is about to exit. Waits for a
        few seconds at most."""

    def step_down(self, hold_off: float) -> None:
        """Release leadership, as nothing of the command is left, and do not compete for `hold_off`
        seconds. Returns at once. Before it reports leadership of ours again, the source reports
        that no replica or another leads, or reports another fence. Only called for a kind that
        `releases`."""

    def inherited(self) -> tuple[int, ...]:
        """Return the descriptors through which the command shares leadership."""

    def troubles(self) -> Mapping[tuple[str, str], int]:
        """Return how often each kind of failure occurred, by part of the source and by kind. For
        any thread."""


class Keeping(Protocol):
    """A source that can keep with the election that the command has succeeded, for the key of
    --once (`Kind.keeps_success`). If that is kept already, it reports Done, and does so before it
    reports leadership of ours."""

    def keep_success(self, fence: int | None) -> None:
        """Have it kept for the term of this fence, unless another replica has or may have led since
        that began, even if this one leads again. Returns at once. Reports Done when
        it is certain, or NotKept if it has become impossible; what fails is tried again."""


class Slotted(Protocol):
    """A source of --slots (`Kind.has_slots`). It reports leadership of ours together with the slot,
    and of no other replica: those in standby need to know none."""

    def holders(self) -> Sequence[str | None]:
        """Return who holds each slot, as far as it is known; None for a free one. For any
        thread."""


class Confirming(Protocol):
    """What asks somebody else than the source who leads, as the belief comes to need it. It puts
    what it hears into the inbox and decides nothing."""

    def start(self) -> None:
        """Be ready to ask. Raises RuntimeError where no thread can be made."""

    def follow(self, belief: Belief) -> None:
        """Ask what this belief needs to have asked. Never waits for an answer."""

    def troubles(self) -> Mapping[tuple[str, str], int]:
        """Return how often what went wrong, by part and by kind. Any thread may ask."""


class ElectionUnknown(Exception):
    """The leader can't be determined; the message says why and what to do."""


class Overlap(Record):
    """The longest time for which an old and a new leader's command can both run, for one cause;
    `seconds` is None if there is no bound."""

    cause: str
    seconds: float | None
    what: str
    sum: str

    def __str__(self) -> str:
        if self.seconds is None:
            return f"{self.what}: no bound ({self.sum})"
        return f"{self.what}: {show_duration(self.seconds)} ({self.sum})"


# No election can prevent this one.
FROZEN_HOLDER = Overlap(
    "frozen-holder",
    None,
    "the old leader is frozen, or its command hangs in the kernel",
    "a frozen process can't stop its command; check LEADEREXEC_FENCE where it writes",
)


class Kind:
    """A kind of election. The defaults suit most kinds."""

    name: str
    # The value of INTERFACE for which it was written; only checked for plug-ins.
    interface = 0
    # A required module that a plain installation lacks, and the extra that provides it.
    library: str = ""
    extra: str = ""
    # When this replica leads, for the help.
    leads_when: str
    # The options that only this kind has (`Option.kinds` contains its name).
    settings: type[Settings] = Settings
    # Which of them choose this kind by being set, and a description of what to set.
    chosen_by: tuple[str, ...] = ()
    ways: str = ""
    # Which of them distinguish its elections from each other; none: the first that chooses it.
    told_apart_by: tuple[str, ...] = ()
    # There must be contact from time to time for leadership to be known.
    needs_contact = False
    # It becomes free only after the old leader's command has exited, so a winner need not wait.
    free_when_gone = False
    # Leadership can move while leaderexec runs.
    can_be_lost = True
    # A leader that exits, or steps down, lets another take over at once.
    releases = False
    # Its sources are `Keeping`: it can be used with --once.
    keeps_success = False
    # Several replicas can lead at once, each in its slot: its sources with --slots are `Slotted`.
    has_slots = False
    # Leadership is held by renewing it: --lease-duration, --renew-deadline and --retry-period.
    renews = False
    # It uses a Kubernetes API server, or can: --leader-label, --api-server, --kubeconfig.
    asks_api_server = False
    # Seconds for what ends after the command: the release, or the elector beside it in the pod.
    ends_within = 0.0
    # The command's process may be created before leadership is won.
    prepares = False

    def complete(self, values: dict[str, Given], environ: Mapping[str, str]) -> None:
        """Add what follows from the environment, or from the other settings. Raises UsageError."""

    def own_name(self, hostname: str, pid: int | None) -> Given:
        """Return this replica's default name; `pid` is None if this process is not a replica."""
        del pid
        return named(hostname, "hostname")

    def which(self, shown: Mapping[str, str]) -> str:
        """Return what identifies one of its elections; `shown`: all options in text form."""
        return " ".join(shown[name] for name in self.told_apart_by or self.chosen_by[:1])

    def missing(self, source: str) -> str:
        """Return the error for when `source` chose this kind and nothing that it needs is set."""
        return f"{source} is {self.name!r}, which needs {self.ways}"

    def contact(self, config: "Config") -> ContactPolicy:
        """Return when leadership becomes unconfirmed for lack of contact."""
        del config
        return ContactPolicy(timeout=None)

    def check(self, config: "Config") -> None:
        """Raise UsageError if the options don't fit together."""

    def warnings(self, config: "Config") -> tuple[str, ...]:
        """Return warnings about questionable settings."""
        del config
        return ()

    def overlaps(self, config: "Config") -> tuple[Overlap, ...]:
        """Return what can make two commands run at once, and for how long."""
        del config
        return ()

    def ordinary_move(self, config: "Config") -> str | None:
        """Return what a move costs in normal operation, and how to choose otherwise; None if the
        election itself waits for the old leader's command."""
        del config
        return None

    def startup_fields(self, config: "Config") -> dict[str, object]:
        """Return this kind's fields of the start-up line."""
        del config
        return {}

    def open(self, config: "Config", put: Put, log: "Log", clock: Clock) -> Source:
        """Return the source, not yet started. Raises UsageError if it can't work."""
        raise NotImplementedError

    def confirming(
        self, config: "Config", put: Put, log: "Log", clock: Clock
    ) -> "Confirming | None":
        """Return what asks somebody else, too, who leads; None where nobody else is asked. Raises
        UsageError where it can't."""
        del config, put, log, clock
        return None

    def inspect(self, config: "Config") -> Iterator[tuple[str, bool]]:
        """Yield what ``--check`` reports besides the leader, line by line, and whether each is as
        required."""
        del config
        return iter(())

    def ask(self, config: "Config", *, was_named: bool) -> tuple[str | None, bool | None]:
        """Return who leads, and whether that is this replica: None if that can't be determined.

        `was_named`: the identity was given explicitly, not made up by this process. Raises
        ElectionUnknown.
        """
        raise NotImplementedError

    def ask_slots(
        self, config: "Config", *, was_named: bool
    ) -> Sequence[tuple[str | None, bool | None]]:
        """Return the same for each slot. Only called for a kind that `has_slots`, with --slots."""
        raise NotImplementedError


class RenewingKind(Kind):
    """A kind whose leader renews its leadership, and leads no longer than until --renew-deadline
    after the last successful renewal. It releases leadership only when the whole tree has exited;
    without a release it becomes free only after the old leader's command has exited."""

    needs_contact = True
    free_when_gone = True
    releases = True
    ends_within = 3.0
    renews = True

    def own_name(self, hostname: str, pid: int | None) -> Given:
        """Add something that makes the name unique."""
        from leaderexec.election import identity

        return identity.own_name(hostname, pid)

    def check(self, config: "Config") -> None:
        """Refuse times under which the old command could still run when another takes over."""
        from leaderexec.election import renewing

        renewing.check_duration(config)
        renewing.check_retries(config)

    def contact(self, config: "Config") -> ContactPolicy:
        """Leadership ends at the renew deadline, whether or not a stream is open."""
        return ContactPolicy(config.renew_deadline)

    def startup_fields(self, config: "Config") -> dict[str, object]:
        """Return the times."""
        from leaderexec.election import renewing

        return renewing.startup_fields(config)

    def holder(self, config: "Config") -> str | None:
        """Ask once, and return who leads; None or "" for no leader. Raises complaints.Trouble."""
        raise NotImplementedError

    def ask(self, config: "Config", *, was_named: bool) -> tuple[str | None, bool | None]:
        """Answer from the holder's name."""
        from leaderexec.election.complaints import Trouble

        try:
            return is_held_by(self.holder(config), config, was_named=was_named)
        except Trouble as trouble:
            raise ElectionUnknown(f"{trouble}; {trouble.remedy}") from None


def is_held_by(
    holder: str | None, config: "Config", *, was_named: bool
) -> tuple[str | None, bool | None]:
    """Return a holder, and whether that is this replica; None or "" for no holder."""
    from leaderexec.election import identity

    if not holder:
        return None, False
    return holder, identity.is_ours(holder, config.identity, was_named=was_named)


class StoreKind(RenewingKind):
    """A kind whose leadership is held in a store that gives it to one at a time, and takes it away
    --lease-duration after the holder last renewed it."""

    def store(self, config: "Config") -> "Store":
        """Return the store, not yet connected. Raises UsageError where it can't serve."""
        raise NotImplementedError

    def where(self, config: "Config") -> Mapping[str, object]:
        """Return what names the election in log lines."""
        raise NotImplementedError

    def startup_fields(self, config: "Config") -> dict[str, object]:
        """Return which election, and the times."""
        return {**self.where(config), **super().startup_fields(config)}

    def open(self, config: "Config", put: Put, log: "Log", clock: Clock) -> Source:
        """Return a source that campaigns in the store."""
        store = self.store(config)
        from leaderexec.election.renewing import Terms
        from leaderexec.election.store.campaign import Campaign
        from leaderexec.election.store.source import StoreElection

        return StoreElection(
            Campaign(config.identity, Terms(config.renew_deadline, config.retry_period)),
            store,
            self.name,
            self.where(config),
            config.lease_duration,
            put,
            log,
            clock,
        )

    def holder(self, config: "Config") -> str | None:
        """Ask the store."""
        from contextlib import closing

        with closing(self.store(config)) as store:
            return store.look(_ASK_WITHIN)


def named(text: str, source: str) -> Given:
    """Return an identity. Raises UsageError."""
    try:
        return Given(identity(text), source)
    except ValueError:
        raise UsageError(
            f"the kernel's hostname is {text!r}, which can't name a replica; set --identity"
        ) from None


def in_slots(
    answers: Sequence[tuple[str | None, bool | None]],
) -> tuple[str | None, bool | None]:
    """Return who leads in each slot, as one answer of `Kind.ask`; this replica has one at most."""
    said = [f"{who} (slot {slot})" for slot, (who, _) in enumerate(answers) if who is not None]
    ours = [mine for _, mine in answers]
    return ", ".join(said) or None, True if True in ours else None if None in ours else False


# An option and its value; None if it never detects anything.
Term = tuple[str, float | None]


def overlap(config: "Config", cause: str, what: str, *terms: Term) -> Overlap:
    """Add up the time from the move until the old command has exited, less the takeover delay.

    The new leader starts --takeover-delay after it has won. The old one's command has exited after
    a grace period, which begins when its replica learns of the loss.
    """
    names = " + ".join(name for name, _ in terms)
    unbounded = [name for name, seconds in terms if seconds is None]
    if unbounded:
        from leaderexec.config.settings import OPTIONS

        setting = f"--{unbounded[0]} {find(unbounded[0], OPTIONS).none}"
        return Overlap(cause, None, what, f"not detected, because of {setting}")
    total = sum(seconds or 0.0 for _, seconds in terms) - config.takeover_delay
    return Overlap(cause, max(0.0, total), what, f"{names} - takeover-delay, at least 0")
