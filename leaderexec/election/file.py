"""``--election file``: a lock file, as it is declared."""

from collections.abc import Sequence

from leaderexec.config import options
from leaderexec.config.options import Given, Settings, UsageError, option
from leaderexec.election.kind import (
    Clock,
    ElectionUnknown,
    Kind,
    Overlap,
    Put,
    Source,
    in_slots,
    named,
    overlap,
)
from leaderexec.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leaderexec.config.settings import Config
    from leaderexec.election.slots import SlotsElection
    from leaderexec.logs import Log


class FileSettings(Settings):
    """The lock file's options."""

    lock_file: str | None = option(
        "PATH",
        None,
        str,
        "The file to lock with flock(2), for --election file. It is created with mode 0600; an"
        " existing file is accepted only if it is empty or was written by leaderexec.",
        options.ELECTION,
        kinds=("file",),
    )


_KILLED = Overlap(
    "leaderexec-killed",
    None,
    "leaderexec itself is killed",
    "a command that --warm has started before the lock was won does not hold it; check"
    " LEADEREXEC_FENCE where it writes",
)


class FileKind(Kind):
    """Leads while this process holds the lock file."""

    name = "file"
    leads_when = "this process holds the lock file"
    settings = FileSettings
    chosen_by = ("lock-file",)
    ways = "--lock-file PATH (replicas on one machine or volume)"
    free_when_gone = True
    releases = True
    keeps_success = True
    has_slots = True

    def own_name(self, hostname: str, pid: int | None) -> Given:
        """Add the pid: replicas on one machine share a hostname."""
        if pid is None:
            return named(hostname, "hostname")
        return named(f"{hostname}.{pid}", "hostname and pid")

    def missing(self, source: str) -> str:
        """Name the option."""
        return f"{source} is 'file', but no --lock-file PATH is set"

    def warnings(self, config: "Config") -> tuple[str, ...]:
        """Warn if others can hold the lock."""
        from leaderexec.election.lockfile import open_to_others

        mode = open_to_others(_path(config))
        if mode is None:
            return ()
        open_to_all = (
            f"{_path(config)} has mode {mode}: any user who can open it can lock it, and no replica"
            " would lead; chmod 600"
        )
        return (open_to_all,)

    def overlaps(self, config: "Config") -> tuple[Overlap, ...]:
        """The kernel does not free the lock before the last process of the tree has exited; but
        after the file is removed, another can be locked. A warm command has not inherited the
        lock."""
        removed = overlap(
            config,
            "lock-file-removed",
            "the lock file is removed by hand",
            ("poll-interval", config.look_interval),
            ("grace-lost", config.grace_lost),
        )
        return (removed, _KILLED) if config.warm else (removed,)

    def open(self, config: "Config", put: Put, log: "Log", clock: Clock) -> Source:
        """Open the file, and lock it if it is free."""
        from leaderexec.election import lockfile

        try:
            if config.slots is not None:
                return _open_slots(config, config.slots, put, log, clock)
            return lockfile.LockFile(
                *(config.identity, _path(config), config.look_interval, put, log, clock),
                once_key=config.done_key,
            )
        except lockfile.CannotLock as error:
            raise UsageError(f"{error} (--lock-file)") from None

    def ask(self, config: "Config", *, was_named: bool) -> tuple[str | None, bool | None]:
        """Answer from the lock file, or from that of each slot."""
        if config.slots is not None:
            return in_slots(self.ask_slots(config, was_named=was_named))
        return _who_holds(_path(config), config, was_named=was_named)

    def ask_slots(
        self, config: "Config", *, was_named: bool
    ) -> Sequence[tuple[str | None, bool | None]]:
        """Answer from each slot's lock file."""
        from leaderexec.election.slotfile import path_of

        paths = [path_of(_path(config), slot) for slot in range(config.slots or 0)]
        return [_who_holds(path, config, was_named=was_named) for path in paths]


def _who_holds(path: str, config: "Config", *, was_named: bool) -> tuple[str | None, bool | None]:
    """Return who holds this lock, and whether that is this replica. Raises ElectionUnknown.

    By default an identity includes the pid of its leaderexec, which is not ours. But in a
    container, or below the leader, only one leaderexec can be meant, and a name that was set
    explicitly is not a default one. Otherwise several may run here, and a wrong guess could run
    a job twice, or never.
    """
    from leaderexec.election import holder, lockfile

    try:
        found = lockfile.who_holds(path)
    except lockfile.CannotLock as error:
        raise ElectionUnknown(str(error)) from None
    if found is None:
        return None, False
    if holder.has_ended(found):
        # Its leftovers keep the lock; a leaderexec with its name now is in standby.
        return found.name, False
    if was_named:
        return found.name, found.name == config.identity
    here = holder.is_here(found)
    if here and (found.pid == 1 or holder.is_above_us(found)):
        return found.name, True
    by_default = f"{config.identity.rpartition('.')[0]}.{found.pid}"
    return found.name, None if here is not False and found.name == by_default else False


def _path(config: "Config") -> str:
    return config.of(FileSettings).lock_file or ""


def _open_slots(
    config: "Config", count: int, put: Put, log: "Log", clock: Clock
) -> "SlotsElection":
    """Return the source with --slots. Raises CannotLock, UsageError."""
    from leaderexec.election import slotfile
    from leaderexec.election.slots import Claim, SlotsElection

    path, claim = _path(config), Claim()
    try:
        named = slotfile.join(path, config.identity, count)
    except slotfile.OtherNumber as error:
        raise UsageError(str(error)) from None

    def make(slot: int, put: Put) -> slotfile.SlotFile:
        return slotfile.SlotFile(
            *(claim, slot, config.identity, path, config.look_interval, put, log, clock)
        )

    return SlotsElection(config.identity, count, claim, make, put, log, (named,))
