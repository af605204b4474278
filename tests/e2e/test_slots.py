"""--slots: several lead at once, each in its own slot, and never two in one."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from apiserver import ApiServer
from support import LEADEREXEC, Wrapper, alive, wait_for, waits_in_flock

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Wrapper]
Election = tuple[str, ...]
WORKER = (
    *("--", "sh", "-c"),
    "echo up in $LEADEREXEC_SLOT of $LEADEREXEC_SLOT_COUNT; exec sleep 100",
)
# 3 + 1 + 1 is less than 6.
SHORT = (
    *("--lease-duration", "6s", "--renew-deadline", "3s", "--retry-period", "500ms"),
    *("--grace-lost", "1s"),
)


@pytest.fixture
def lock(tmp_path: Path) -> str:
    """A path for the lock file."""
    return str(tmp_path / "lock")


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """An API server with the Leases of three slots, which nobody holds."""
    with ApiServer() as server:
        for name in ("demo", "demo-0", "demo-1", "demo-2"):
            server.add(name)
        yield server


@pytest.fixture(params=["file", "lease"])
def election(request: pytest.FixtureRequest, lock: str) -> Election:
    """The words that choose an election which has slots."""
    if request.param == "file":
        return ("--lock-file", lock)
    server: ApiServer = request.getfixturevalue("api")
    return ("--lease", "demo", "--api-server", server.url, *SHORT)


def replica(
    leaderexec: Start, election: Election, name: str, slots: int | None, *more: str, **options: Any
) -> Wrapper:
    """Start a replica."""
    number = () if slots is None else ("--slots", str(slots))
    command = () if "--" in more else WORKER
    wrapper = leaderexec(*election, *number, "--identity", name, *more, *command, **options)
    wrapper.log("leaderexec started")
    return wrapper


def leads(wrapper: Wrapper, term: int = 1) -> tuple[int, int]:
    """Wait for the command's start; return its slot and its fence."""
    started = wrapper.log("command started", term=term)
    return started["slot"], started["fence"]


def standby(leaderexec: Start, election: Election, name: str, slots: int, *more: str) -> Wrapper:
    """Start a replica that finds no slot."""
    wrapper = replica(leaderexec, election, name, slots, *more)
    wrapper.log("no slot is free")
    if "--lock-file" in election:
        wait_for(lambda: waits_in_flock(wrapper.pid), "it to wait")
    return wrapper


def test_of_three_replicas_two_lead_and_the_third_takes_the_slot_of_one_that_is_killed(
    leaderexec: Start, election: Election
) -> None:
    """The same slot, with a greater fence; the other one is not disturbed."""
    leaders = [replica(leaderexec, election, name, 2) for name in "ab"]
    found = [leads(one) for one in leaders]
    assert sorted(slot for slot, _ in found) == [0, 1]
    for one, (slot, _) in zip(leaders, found, strict=True):
        one.output(f"up in {slot} of 2")
    third = standby(leaderexec, election, "c", 2)
    assert not third.events("command started")
    pid = leaders[0].command_pid()
    leaders[0].send(signal.SIGKILL)
    leaders[0].wait()
    slot, fence = leads(third)
    assert slot == found[0][0]
    assert fence > found[0][1]
    assert not alive(pid)
    assert len(leaders[1].events("command started")) == 1
    assert not leaders[1].events("transition", to="stopping")


def test_a_slot_that_is_released_is_taken_at_once(leaderexec: Start, election: Election) -> None:
    """After its command's tree has ended, not before."""
    leaders = [replica(leaderexec, election, name, 2) for name in "ab"]
    found = [leads(one) for one in leaders]
    third = standby(leaderexec, election, "c", 2)
    leaders[1].send(signal.SIGTERM)
    assert leaders[1].wait() == 143
    slot, fence = leads(third)
    assert slot == found[1][0]
    assert fence > found[1][1]
    assert len(leaders[0].events("command started")) == 1


def test_a_step_down_releases_the_slot_and_no_other_is_taken(
    leaderexec: Start, run: Run, election: Election
) -> None:
    """Though there is a free one; who takes that very slot is told."""
    first = replica(leaderexec, election, "a", 2, "--hold-off", "1h")
    before = leads(first)
    first.log("control socket")
    result = run(LEADEREXEC, "--step-down", "--hold-off", "1h", "--identity", "a")
    assert result.returncode == 0, result.stderr
    others = [replica(leaderexec, election, name, 2) for name in "bc"]
    assert sorted(leads(one)[0] for one in others) == [0, 1]
    assert before[0] in (0, 1)
    assert len(first.events("command started")) == 1
    others[0].log("control socket")
    fourth = standby(leaderexec, election, "d", 2)
    result = run(LEADEREXEC, "--step-down", "--until-taken", "--hold-off", "1h", "--identity", "b")
    assert result.stdout.rstrip().endswith("taken by d"), result.stderr
    assert leads(fourth)[0] == leads(others[0])[0]


def test_everybody_can_ask_who_holds_which(
    leaderexec: Start, run: Run, election: Election, tmp_path: Path
) -> None:
    """One that leads, one on standby, and one that was just started to ask."""
    leaders = [replica(leaderexec, election, name, 2) for name in "ab"]
    slots = {leads(one)[0]: name for one, name in zip(leaders, "ab", strict=True)}
    address = f"unix:{tmp_path}/http"
    third = standby(leaderexec, election, "c", 2, "--http", address)
    third.log("http listening")
    said = json.loads(run(LEADEREXEC, "--status", "--json", "--http", address).stdout)
    assert said["slots"] == [slots[0], slots[1]]
    assert (said["slot"], said["leader"], said["is_leader"]) == (None, None, False)
    shown = run(LEADEREXEC, "--status", "--http", address).stdout
    assert f"0: {slots[0]}, 1: {slots[1]}" in shown
    asked = run(LEADEREXEC, *election, "--slots", "2", "--identity", "c", "--is-leader")
    assert asked.stdout == f"{slots[0]} (slot 0), {slots[1]} (slot 1)\n"
    assert asked.returncode == 1
    assert (
        run(LEADEREXEC, *election, "--slots", "2", "--identity", "a", "--is-leader").returncode == 0
    )
    checked = run(LEADEREXEC, *election, "--slots", "2", "--identity", "x", "--check").stdout
    assert f"{slots[0]} (slot 0), {slots[1]} (slot 1) leads" in checked


def test_never_two_in_one_slot_however_many_start_and_end(
    leaderexec: Start, election: Election, tmp_path: Path
) -> None:
    """Each command makes a folder for its slot, which must not be there."""
    script = (
        f'mkdir "{tmp_path}/in $LEADEREXEC_SLOT" || echo twice; '
        f"trap 'rmdir \"{tmp_path}/in $LEADEREXEC_SLOT\"; exit 0' TERM; "
        "echo up; while :; do sleep 0.02; done"
    )
    more = ("--", "sh", "-c", script)
    running = [replica(leaderexec, election, f"r{number}", 3, *more) for number in range(5)]
    everyone = list(running)
    for number in range(4):
        wait_for(lambda: sum(bool(one.events("command started")) for one in running) == 3)
        leader = next(one for one in running if one.events("command started"))
        leader.output("up")
        leader.send(signal.SIGTERM)
        leader.wait()
        running.remove(leader)
        running.append(replica(leaderexec, election, f"s{number}", 3, *more))
        everyone.append(running[-1])
    wait_for(lambda: sum(bool(one.events("command started")) for one in running) == 3)
    assert not [one for one in everyone if "twice" in one.out]


# With a lock file.


def test_what_a_killed_holder_has_left_behind_keeps_its_slot(leaderexec: Start, lock: str) -> None:
    """And the number of slots: the kernel counts its processes as holders of both locks."""
    daemon = "trap '' TERM; echo ready; while [ ! -e \"$GO\" ]; do sleep 0.02; done"
    go = f"{lock}.go"
    first = replica(
        *(leaderexec, ("--lock-file", lock), "a", 1),
        *("--", "sh", "-c", 'setsid sh -c "$DAEMON" & exec sleep 100'),
        env={"DAEMON": daemon, "GO": go},
    )
    first.output("ready")
    command = first.command_pid()
    first.send(signal.SIGKILL)
    wait_for(lambda: not alive(command), "the command to end")
    second = standby(leaderexec, ("--lock-file", lock), "b", 1)
    assert not second.events("command started")
    second.close()
    other = leaderexec("--lock-file", lock, "--slots", "2", *WORKER)
    assert other.wait() == 125
    Path(go).touch()
    third = replica(leaderexec, ("--lock-file", lock), "c", 1)
    assert leads(third)[0] == 0


def test_another_number_is_refused_while_replicas_run(leaderexec: Start, lock: str) -> None:
    """The error says what to do; once they have ended it is written instead."""
    first = replica(leaderexec, ("--lock-file", lock), "a", 2)
    leads(first)
    other = leaderexec("--lock-file", lock, "--slots", "3", *WORKER)
    assert other.wait() == 125
    (line,) = other.plain
    assert "--slots is 3, but the replicas that run now share" in line
    assert "with --slots 2; set the same number, or end all of them first" in line
    first.close()
    second = replica(leaderexec, ("--lock-file", lock), "b", 3)
    second.output("up in 0 of 3")
    assert json.loads(Path(lock).read_text())["slots"] == 3


def test_replicas_with_and_without_slots_do_not_lead_beside_each_other(
    leaderexec: Start, lock: str
) -> None:
    """Whoever comes second is refused, and told why."""
    with_slots = replica(leaderexec, ("--lock-file", lock), "a", 2)
    leads(with_slots)
    plain = leaderexec("--lock-file", lock, "--identity", "b", *WORKER)
    assert plain.wait() == 125
    assert "the replicas that run now share it with --slots 2" in plain.plain[0]
    with_slots.close()
    plain = replica(leaderexec, ("--lock-file", lock), "c", None)
    plain.log("command started")
    assert "slots" not in json.loads(Path(lock).read_text())
    late = leaderexec("--lock-file", lock, "--slots", "2", "--identity", "d", *WORKER)
    assert late.wait() == 125
    assert re.search(r"but c \(pid \d+\) leads with .* without --slots", late.plain[0])


def test_a_slot_s_file_that_is_removed_is_a_loss(leaderexec: Start, lock: str) -> None:
    """The command is stopped, and started in a slot that is free."""
    only = replica(leaderexec, ("--lock-file", lock), "a", 2)
    slot, _ = leads(only)
    pid = only.command_pid()
    os.unlink(f"{lock}.{slot}")
    only.log("lock file removed", path=f"{lock}.{slot}")
    assert leads(only, term=2)[0] in (0, 1)
    assert not alive(pid)


def test_it_has_the_locks_that_its_slot_needs_and_no_other(leaderexec: Start, lock: str) -> None:
    """The command inherits two descriptors."""
    script = f'ls -l /proc/$$/fd | grep -o "{lock}.*"; echo that is all; exec sleep 100'
    only = replica(leaderexec, ("--lock-file", lock), "a", 3, "--", "sh", "-c", script)
    only.output("that is all")
    assert sorted(only.out) == [lock, f"{lock}.0", "that is all"]


# With a Lease.


def words(api: ApiServer) -> Election:
    """Return what chooses the election."""
    return ("--lease", "demo", "--api-server", api.url, *SHORT)


def test_the_named_lease_keeps_the_number_and_is_held_by_nobody(
    leaderexec: Start, api: ApiServer
) -> None:
    """A person sees what it is; each slot's own Lease names its holder."""
    only = replica(leaderexec, words(api), "a", 3)
    slot, fence = leads(only)
    assert _number(api) == "3"
    assert api.holder("demo") == "3 slots"
    assert [api.holder(f"demo-{one}") for one in range(3)].count("a") == 1
    assert api.holder(f"demo-{slot}") == "a"
    assert int(api.leases.get(f"demo-{slot}")["metadata"]["resourceVersion"]) >= fence


def test_a_replica_without_slots_does_not_lead_beside_them(
    leaderexec: Start, api: ApiServer
) -> None:
    """What keeps the number is a holder for it, and none that ever expires."""
    leads(replica(leaderexec, words(api), "a", 2))
    plain = replica(leaderexec, words(api), "b", None)
    assert plain.log("leadership confirmed")["leader"] == "2 slots"
    assert api.spec("demo")["leaseDurationSeconds"] == 2**31 - 1


def test_it_waits_for_a_leader_without_slots_and_says_so(leaderexec: Start, api: ApiServer) -> None:
    """Until that has released the Lease."""
    plain = replica(leaderexec, words(api), "a", None)
    plain.log("command started")
    late = replica(leaderexec, words(api), "b", 2)
    reason = late.log("lease trouble", part="slots", kind="slots")["reason"]
    assert reason == "a holds the lease default/demo without --slots"
    assert not late.events("command started")
    plain.send(signal.SIGTERM)
    plain.wait()
    late.output("up in 0 of 2") if leads(late)[0] == 0 else late.output("up in 1 of 2")
    late.log("lease recovered", part="slots")


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1)])
def test_another_number_waits_until_no_slot_is_held_under_the_old_one(
    leaderexec: Start, api: ApiServer, before: int, after: int
) -> None:
    """As in a rolling update: the new one is on standby, in contact, and takes its slot then."""
    old = replica(leaderexec, words(api), "a", before)
    leads(old)
    new = replica(leaderexec, words(api), "b", after)
    reason = new.log("lease trouble", kind="slots")["reason"]
    assert reason.startswith(f"--slots is {after}, but the replicas that hold slots now have")
    assert "a holds default/demo-" in reason
    assert not new.events("command started")
    assert _number(api) == str(before)
    old.send(signal.SIGTERM)
    old.wait()
    leads(new)
    assert _number(api) == str(after)


def test_a_slot_whose_lease_can_not_be_written_keeps_nobody_from_the_others(
    leaderexec: Start, api: ApiServer
) -> None:
    """Somebody else holds it, or there is none that could be created."""
    api.edit("demo-0", holderIdentity="x", leaseDurationSeconds=3600)
    api.edit("demo-2", holderIdentity="x", leaseDurationSeconds=3600)
    assert leads(replica(leaderexec, words(api), "a", 3))[0] == 1


def test_after_a_lost_answer_one_slot_is_held(leaderexec: Start, api: ApiServer) -> None:
    """To the write that has taken it: it is asked about, and no other one is taken meanwhile."""
    api.leases.update("demo", _keeping(api, "2"))
    api.fail(0, "PUT", times=3, after=True)
    only = replica(leaderexec, words(api), "a", 2)
    slot, _ = leads(only)
    wait_for(lambda: api.holder(f"demo-{1 - slot}") == "", "the other slot to be free")
    assert api.holder(f"demo-{slot}") == "a"


def _number(api: ApiServer) -> str:
    return str(api.leases.get("demo")["metadata"]["annotations"]["leaderexec/slots"])


def _keeping(api: ApiServer, number: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(api.leases.get("demo")))
    document["metadata"]["annotations"] = {"leaderexec/slots": number}
    return document
