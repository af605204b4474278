"""Elections with a row instead of a lock: they also work through a transaction pooler."""

import signal
from collections.abc import Callable, Iterator

import pytest
from election.postgres.conftest import Replicas
from election.postgres.test_lock import needs_pgbouncer, row
from postgresql import PgBouncer, PostgreSQL
from support import alive, wait_for

from leaderexec.election.complaints import Trouble
from leaderexec.election.postgres.kind import Target
from leaderexec.election.postgres.row import Held, RowStore, Sight

# 2 + 1 + 1 is no more than 4.
ROW = ("--postgres-lock", "row", "--lease-duration", "4s")
SECONDS = 4


@pytest.fixture
def pooled(shared: PostgreSQL) -> Iterator[PgBouncer]:
    """A pooler that gives each transaction any session."""
    with PgBouncer(shared, "transaction") as between:
        yield between


@needs_pgbouncer
def test_through_a_pooler_an_orderly_stop_hands_over(pooled: PgBouncer, replicas: Replicas) -> None:
    """At the next poll, with a greater fence."""
    first, before = replicas.lead("a", pooled.url, *ROW)
    second = replicas.stand_by("b", pooled.url, *ROW)
    first.send(signal.SIGTERM)
    assert first.wait() == 0
    assert first.events("leadership released")
    assert replicas.works("b", second) > before
    assert not second.events("postgres trouble")
    assert not replicas.overlaps()


@needs_pgbouncer
def test_through_a_pooler_a_killed_holders_row_expires(
    pooled: PgBouncer, replicas: Replicas
) -> None:
    """No replica takes it before the expiry."""
    first, before = replicas.lead("a", pooled.url, *ROW)
    pid = first.command_pid()
    second = replicas.stand_by("b", pooled.url, *ROW)
    first.send(signal.SIGKILL)
    first.wait()
    assert replicas.works("b", second) > before
    assert not alive(pid)
    assert replicas.gap() > 2.0
    assert not replicas.overlaps()


@needs_pgbouncer
def test_a_holder_that_is_cut_off_has_stopped_before_another_starts(
    pooled: PgBouncer, shared: PostgreSQL, replicas: Replicas
) -> None:
    """At its own deadline."""
    first, before = replicas.lead("a", pooled.url, *ROW)
    second = replicas.stand_by("b", shared.url, *ROW)
    pooled.freeze()
    assert "no contact" in first.log("transition", to="stopping")["reason"]
    assert replicas.works("b", second) > before
    pooled.thaw()
    assert not replicas.overlaps()


def test_a_restart_of_the_server_costs_nothing(server: PostgreSQL, replicas: Replicas) -> None:
    """The term goes on: the row is unchanged. Busy machines take seconds to restart one."""
    patient = ("--postgres-lock", "row", "--lease-duration", "12s", "--renew-deadline", "10s")
    first, before = replicas.lead("a", server.url, *patient)
    server.restart()
    first.log("postgres recovered")
    version = row(server, replicas, "version")
    wait_for(lambda: row(server, replicas, "version") != version)
    assert row(server, replicas, "fence") == str(before)


def test_both_forms_at_once_are_refused(shared: PostgreSQL, replicas: Replicas) -> None:
    """Whichever comes second is refused; after a release either may be used."""
    by_lock, _ = replicas.lead("a", shared.url)
    by_row = replicas.start("b", shared.url, *ROW)
    assert "UPDATE" in by_row.log("postgres trouble", kind="other-form")["remedy"]
    by_lock.close()
    replicas.works("b", by_row)
    assert not replicas.overlaps()


def test_of_a_lock_and_a_row_only_one_leads(shared: PostgreSQL, replicas: Replicas) -> None:
    """The row was first."""
    replicas.lead("a", shared.url, *ROW)
    by_lock = replicas.start("b", shared.url)
    by_lock.log("postgres trouble", kind="other-form")
    assert not by_lock.events("command started")


def test_an_edited_row_stops_the_command(shared: PostgreSQL, replicas: Replicas) -> None:
    """At the next renewal; once the edited row has expired it is taken back."""
    first, before = replicas.lead("a", shared.url, *ROW)
    ours = f"election = '{replicas.election}'"
    edit = f"UPDATE leaderexec SET life = 'x', holder = 'x' WHERE {ours}"  # noqa: S608 - own
    shared.value(edit)
    first.log("transition", to="stopping")
    assert replicas.works("a", first, term=2) > before


class Store:
    """One candidate's store, with a clock that is set by hand."""

    def __init__(self, server: PostgreSQL, election: str, name: str) -> None:
        self.now = 0.0
        target = Target(server.url)
        self.row = RowStore(target, election, name, f"life-{name}", SECONDS, 1.0, lambda: self.now)

    def take(self) -> int | None:
        """Try; return the fence."""
        return self.row.take(5.0).fence


@pytest.fixture
def store(shared: PostgreSQL, request: pytest.FixtureRequest) -> Iterator[Callable[[str], Store]]:
    """A function that makes candidates."""
    made: list[Store] = []

    def make(name: str) -> Store:
        made.append(Store(shared, request.node.name, name))
        return made[-1]

    yield make
    for one in made:
        one.row.close()


def test_a_missing_row_is_waited_for(store: Callable[[str], Store]) -> None:
    """Another replica may have deleted it a moment ago; it is logged."""
    a = store("a")
    answer = a.row.take(5.0)
    assert (answer.fence, answer.free_in) == (None, 4.0)
    assert "no row" in answer.waits
    assert a.take() is None
    a.now = 4.1
    assert a.take()


def test_a_row_is_free_once_it_has_not_changed_for_its_duration(
    store: Callable[[str], Store],
) -> None:
    """By the clock of the candidate that looks at it."""
    a, b = store("a"), store("b")
    a.take()
    a.take()
    a.now = 4.1
    first = a.take()
    assert first
    assert b.take() is None
    b.now = 3.9
    assert b.take() is None
    assert a.row.renew(5.0)
    b.now = 4.1
    assert b.take() is None
    b.now = 8.2
    second = b.take()
    assert second
    assert second > first
    assert not a.row.renew(5.0)
    assert not a.row.let_go(5.0)
    assert b.row.let_go(5.0)
    assert (a.take() or 0) > second


def test_our_own_row_is_taken_again_with_a_new_fence(store: Callable[[str], Store]) -> None:
    """For example after a take whose response was lost."""
    a = store("a")
    a.take()
    a.take()
    a.now = 4.1
    first = a.take()
    assert first
    assert (a.take() or 0) > first


def test_the_time_for_which_a_row_is_unchanged_starts_over_with_each_version() -> None:
    """However long nothing looked at it."""
    sight = Sight()
    held = Held("row", 1, 4.0, "b", "life-b", released=False, promoted=False)
    assert sight.free_in(held, 10.0) == 4.0
    assert sight.free_in(held, 13.0) == 1.0
    assert sight.free_in(held._replace(version=2), 99.0) == 4.0
    assert sight.free_in(held._replace(version=2), 103.5) == 0.0


def test_a_release_recorded_on_a_promoted_replica_is_not_trusted(
    server: PostgreSQL,
) -> None:
    """The last write may be missing."""
    a = Store(server, "demo", "a")
    a.take()
    a.take()
    a.now = 4.1
    fence = a.take()
    a.row.let_go(5.0)
    with PostgreSQL(primary=server) as replica:
        b = Store(replica, "demo", "b")
        with pytest.raises(Trouble, match="recovery is in progress"):
            b.take()
        a.row.close()
        server.stop()
        assert replica.value("SELECT pg_promote()") == "t"
        assert b.take() is None
        b.now = 4.1
        assert (b.take() or 0) > (fence or 0)
        b.row.close()
