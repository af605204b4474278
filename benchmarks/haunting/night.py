"""Five replicas, and what a plan does to them."""

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress

import psutil
from haunting import plan
from haunting.checker import ANYONE, Calm, Deed, History, Life, Sample, Write, is_work
from haunting.hostile import Hostile
from haunting.plan import ALL, ENGINE, LEADER, STANDBY, Fault, Step
from haunting.replicas import Replica, fill
from moving.engines import Elector, Engine, Etcd, Postgreses, Redises
from moving.track import jump

from examples.demo import Line, read_log
from leaderexec.control import client
from leaderexec_elector.faults import GARBAGE

_LOOK_AGAIN = 0.05
_HOUR = 3600
_UPDATES_WITHIN = 5.0
# Of those that started last: one that is stopped at once may have begun beside the leader.
_MAY_LEAD = 4
# Until a command has started, the first replica is meant.
_NOBODY = Line(0.0, plan.NAMES[0], 0, "start")
# What a fault leaves to be undone.
Undo = Callable[[], object]


class Night:
    """The replicas, what was done to them, and what was seen of it."""

    def __init__(self, engine: Engine, replicas: Iterable[Replica], leads_within: float) -> None:
        self.engine = engine
        self.replicas = {replica.name: replica for replica in replicas}
        self.journal = next(iter(self.replicas.values())).journal
        self.journal.touch()
        self.counts: dict[str, int] = {}
        self._leads_within = leads_within
        self._deeds: list[Deed] = []
        self._lives: list[Life] = []
        self._samples: list[Sample] = []
        self._led: set[tuple[str, float]] = set()
        self._ready: set[tuple[str, float]] = set()
        self._calm: list[Calm] = []
        self._left: list[str] = []
        self._read = 0
        self._lines: list[Line] = []
        # Where in them commands start.
        self._starts: list[int] = []
        # What can't be drawn beforehand: the member that is meant.
        self._turn = 0

    # The course of it.

    def run(self, steps: Iterable[Step], seconds: float) -> None:
        """Go through the steps, as many as begin in this time; end when none leads."""
        for replica in self.replicas.values():
            replica.start()
        led = self._calmed()
        end = time.monotonic() + seconds
        for step in steps:
            if time.monotonic() > end or not led:
                return
            self._linger(step.pause)
            print(f"{time.monotonic():.3f} {step}", flush=True)
            self._do(step)
            led = self._calmed()
            self._take_samples()

    def close(self) -> History:
        """End all of it; return what is to be judged."""
        # What nobody led for is in the past of it.
        end = time.monotonic()
        for name in self.replicas:
            self.note("close", name, end)
        for replica in self.replicas.values():
            replica.signal(signal.SIGTERM)
        for replica in self.replicas.values():
            replica.close()
            self._end(replica)
        self._left += [_described(one) for one in psutil.process_iter() if self._is_of_ours(one)]
        store = self.journal.with_suffix(".store")
        words = map(str.split, store.read_text().splitlines()) if store.exists() else ()
        return History(
            read_log(self.journal),
            [Write(int(fence), name, int(pid)) for fence, name, pid in words],
            self._deeds,
            self._lives,
            self._samples,
            self._calm,
            end,
            self._left,
            [bug for replica in self.replicas.values() for bug in _bugs(replica)],
        )

    def declared(self) -> frozenset[str]:
        """Return the causes of an overlap that the program itself names in its start-up line."""
        for replica in self.replicas.values():
            for line in replica.log.read_text(errors="replace").splitlines():
                with suppress(ValueError):
                    said = json.loads(line).get("worst_overlap_seconds")
                    if said is not None:
                        return frozenset(said)
        raise LookupError("no replica has said what can overlap")

    def _do(self, step: Step) -> None:
        """Begin each fault, and undo it when its time is over."""
        undone: list[tuple[float, Undo]] = []
        for number, fault in enumerate(step.faults):
            if number:
                self._until(time.monotonic() + step.apart, undone)
            self.counts[fault.what] = self.counts.get(fault.what, 0) + 1
            undo = self._begin(fault)
            if undo is not None:
                undone.append((time.monotonic() + fault.seconds, undo))
        if len(step.faults) > 1:
            self.counts["two at once"] = self.counts.get("two at once", 0) + 1
        while undone:
            self._until(min(at for at, _ in undone), undone)

    def _until(self, until: float, undone: list[tuple[float, Undo]]) -> None:
        """Let time pass, and undo what is due meanwhile."""
        for due in sorted((one for one in undone if one[0] <= until), key=lambda one: one[0]):
            self._linger(due[0] - time.monotonic())
            undone.remove(due)
            due[1]()
        self._linger(until - time.monotonic())

    def _begin(self, fault: Fault) -> Undo | None:
        if fault.who == ENGINE:
            return _ENGINE[fault.what](self, self.engine)
        if fault.who == ALL:
            self._update()
            return None
        name = self._meant(fault.who)
        replica = self.replicas[name]
        began = time.monotonic()
        undo = _REPLICA[fault.what](self, replica)
        if undo is None:
            self.note(fault.what, name, began)
            return None
        # For as long as it lasts nobody knows when it ends.
        self._deeds.append(Deed(fault.what, name, began, float("inf")))
        place = len(self._deeds) - 1

        def undone() -> None:
            undo()
            self._deeds[place] = Deed(fault.what, name, began, time.monotonic())

        return undone

    def _meant(self, who: str) -> str:
        if who not in (LEADER, STANDBY):
            return who
        leader = self._leader()
        return leader if who == LEADER else next(name for name in plan.NAMES if name != leader)

    def note(self, what: str, name: str, began: float) -> None:
        """Record what was done, until now."""
        self._deeds.append(Deed(what, name, began, time.monotonic()))

    def _update(self) -> None:
        for replica in self.replicas.values():
            self.note("update", replica.name, time.monotonic())
            replica.signal(signal.SIGTERM)
            old = replica.process
            # One that is frozen is not waited for until it is not.
            self._wait(lambda old=old: old.poll() is not None, _UPDATES_WITHIN)  # type: ignore[misc]
            self._wait(replica.is_ready, _UPDATES_WITHIN)

    # As the container runtime.

    def _linger(self, seconds: float) -> None:
        """Let time pass; what has ended is started again."""
        until = time.monotonic() + seconds
        while True:
            for replica in self.replicas.values():
                if replica.process.poll() is not None:
                    self._end(replica)
                    replica.start()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _LOOK_AGAIN))

    def _end(self, replica: Replica) -> None:
        self._lives.append(Life(replica.name, replica.started, time.monotonic(), replica.code))

    def _wait(self, condition: Callable[[], object], seconds: float) -> bool:
        """Wait until it holds, or too long; return whether it did."""
        until = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > until:
                return False
            self._linger(_LOOK_AGAIN)
        return True

    # What was seen.

    def _read_news(self) -> None:
        """Read what is new in the journal."""
        with self.journal.open("rb") as journal:
            journal.seek(self._read)
            text = journal.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        for at, name, pid, event in map(bytes.split, whole.splitlines()):
            if event == b"start":
                self._starts.append(len(self._lines))
            self._lines.append(Line(float(at), name.decode(), int(pid), event.decode()))

    def _calmed(self) -> bool:
        """Wait until somebody leads, the longer the busier the machine is; return whether."""
        at, slower = time.monotonic(), 1.0
        while not (led := self._somebody_leads(at)):
            slower = max(slower, os.getloadavg()[0] / (os.cpu_count() or 1))
            if time.monotonic() > at + self._leads_within * slower:
                break
            self._linger(_LOOK_AGAIN)
        self._calm.append(Calm(at, slower))
        return led

    def _leader(self) -> str:
        """Return whose command started last, of those that have not ended; of all, if they have."""
        commands = self._newest()
        alive = [command for command in commands if not _has_ended(command)]
        return (alive or commands or [[_NOBODY]])[0][0].name

    def _somebody_leads(self, since: float) -> bool:
        return any(
            any(is_work(line) and line.at > since for line in command)
            for command in self._newest()
            if not _has_ended(command)
        )

    def _newest(self) -> list[list[Line]]:
        """Return the lines of the commands that started last, the last one first; and what their
        replicas wrote after them."""
        self._read_news()
        starts = reversed(self._starts[-_MAY_LEAD:])
        after = (self._lines[start:] for start in starts)
        return [[line for line in lines if line.name == lines[0].name] for lines in after]

    def _take_samples(self) -> None:
        now, leader = time.monotonic(), self._leader()
        for name, replica in self.replicas.items():
            wrapper = replica.wrapper
            life = (name, replica.started)
            # From the step on after the one in which it was ready, however slow its start was.
            was_ready = life in self._ready
            self._ready |= {life} if was_ready or replica.is_ready() else set()
            if wrapper is None or not was_ready:
                continue
            with suppress(psutil.Error):
                # What it took to lead is kept.
                self._led |= {life} if name == leader else set()
                role = "leading" if name == leader else "led" if life in self._led else "standby"
                memory, count = wrapper.memory_info().rss, wrapper.num_fds()
                self._samples.append(Sample(name, replica.started, now, role, memory, count))

    def _is_of_ours(self, process: psutil.Process) -> bool:
        program = next(iter(self.replicas.values())).site.leaderexec
        try:
            words = process.cmdline()
        except psutil.Error:
            return False
        return process.pid != os.getpid() and (process.name() == "worker" or program in words)

    # What the faults share.

    def next_member(self, etcd: Engine) -> "tuple[Undo, Undo, Undo, Undo]":
        """Take turns: return what kills, starts, freezes and thaws the next member."""
        assert isinstance(etcd, Etcd)
        self._turn += 1
        member = etcd.members[self._turn % len(etcd.members)]
        return member.kill, etcd.start, member.freeze, member.thaw


def _has_ended(command: list[Line]) -> bool:
    """Return whether it has ended, or its replica has started another one."""
    return any(line.event in ("start", "end") for line in command[1:])


def _bugs(replica: Replica) -> Iterator[str]:
    """Return each sort of line in its log that says so, once; and each that is no log line, which
    an exception may have left."""
    seen = set()
    for line in replica.log.read_text(errors="replace").splitlines():
        try:
            said = json.loads(line)
            is_bug = "report this bug" in said.get("remedy", "")
            what = f"{said['event']}: {said.get('reason')}"
        except ValueError:
            is_bug, what = "Error" in line or "Traceback" in line, line
        if is_bug and what not in seen:
            seen.add(what)
            yield f"{replica.name}: {what}"


def _described(process: psutil.Process) -> str:
    return f"{process.pid} {' '.join(process.cmdline())}"[:200]


def _cut(how: str) -> "Callable[[Night, Replica], Undo | None]":
    def cut(_: Night, replica: Replica) -> Undo:
        replica.host.cut(how)
        return replica.host.heal

    return cut


def _signalled(number: int) -> "Callable[[Night, Replica], Undo | None]":
    def signalled(_: Night, replica: Replica) -> None:
        replica.signal(number)

    return signalled


def _stepped_down(night: Night, replica: Replica) -> None:
    """Nobody waits until it is taken: another fault may come first."""
    del night
    with suppress(client.CannotAsk):
        question = {"ask": "step-down", "hold_off": 2.0, "until_taken": False}
        list(client.ask(replica.control_socket, question, 2.0))


def _moved(night: Night, replica: Replica) -> None:
    assert isinstance(night.engine, Elector)
    night.engine.lead(replica.name)


def _killed_command(_: Night, replica: Replica) -> None:
    for process in replica.command:
        with suppress(psutil.Error):
            process.kill()


def _frozen(*, wrapper: bool, command: bool) -> "Callable[[Night, Replica], Undo | None]":
    def frozen(_: Night, replica: Replica) -> Undo:
        found = [replica.wrapper] if wrapper else []
        found += replica.command if command else []
        processes = [one for one in found if one is not None]
        _all(processes, signal.SIGSTOP)
        # The command first, as a machine that wakes up runs them in any order.
        return lambda: _all(reversed(processes), signal.SIGCONT)

    return frozen


def _all(processes: Iterable[psutil.Process], number: int) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)


def _jumped(night: Night, replica: Replica) -> Undo:
    del night
    jump(replica, random.choice((-_HOUR, _HOUR)))
    return lambda: jump(replica, 0)


def _filled(_: Night, replica: Replica) -> Undo:
    filler = fill(replica.disk)
    return lambda: filler.unlink(missing_ok=True)


def _forkless(_: Night, replica: Replica) -> Undo:
    assert replica.limits.processes is not None
    limit = replica.limits.processes / "pids.max"
    limit.write_text("0")
    return lambda: limit.write_text("max")


def _out_of_memory(_: Night, replica: Replica) -> Undo:
    return replica.limits.exhaust(random.choice([None, *replica.command]))


def _unread(_: Night, replica: Replica) -> Undo:
    reader = replica.reader
    reader.reads.clear()
    return reader.reads.set


_REPLICA: "dict[str, Callable[[Night, Replica], Undo | None]]" = {
    **{how: _cut(how) for how in ("reject", "drop", "deaf", "mute", "slow")},
    "stop": _signalled(signal.SIGTERM),
    "step-down": _stepped_down,
    "move": _moved,
    "kill-wrapper": _signalled(signal.SIGKILL),
    "kill-command": _killed_command,
    "freeze-wrapper": _frozen(wrapper=True, command=False),
    "freeze-command": _frozen(wrapper=False, command=True),
    "freeze-both": _frozen(wrapper=True, command=True),
    "clock": _jumped,
    "disk-full": _filled,
    "fork-refused": _forkless,
    "out-of-memory": _out_of_memory,
    "log-stuck": _unread,
}


def _engine_restarted(_: Night, engine: Engine) -> Undo:
    engine.stop()
    return engine.start


def _engine_frozen(night: Night, engine: Engine) -> Undo:
    engine.freeze()
    return _thawed(night, engine, engine.thaw)


def _thawed(night: Night, engine: Engine, thaw: Undo) -> Undo:
    """Record when a server wakes up, which may act on what it knew before, and whether another
    one had taken its place."""
    master = engine.master()

    def thawed() -> None:
        began = time.monotonic()
        thaw()
        night.note("thaw", ANYONE, began)
        if engine.master() != master:
            night.note("split", ANYONE, began)

    return thawed


def _member_restarted(night: Night, engine: Engine) -> Undo:
    kill, start, _, _ = night.next_member(engine)
    kill()
    return start


def _member_frozen(night: Night, engine: Engine) -> Undo:
    _, _, freeze, thaw = night.next_member(engine)
    freeze()
    return _thawed(night, engine, thaw)


def _promoted(night: Night, engine: Engine) -> Undo:
    assert isinstance(engine, Postgreses | Redises)
    began = time.monotonic()
    if not engine.promote():
        night.note("key-lost", ANYONE, began)
    return engine.replace


def _master_frozen(night: Night, engine: Engine) -> Undo:
    assert isinstance(engine, Redises)
    engine.freeze_master()
    return _thawed(night, engine, engine.thaw)


def _jumped_engine(night: Night, engine: Engine) -> None:
    # What it has promised until then must not be waited for.
    forward = random.random() < 1 / 2
    engine.clock.jump(_HOUR if forward else -engine.sets_back)
    if forward:
        night.note("clock-engine", ANYONE, time.monotonic())


def _answered(manner: str) -> "Callable[[Night, Engine], Undo]":
    def answered(_: Night, engine: Engine) -> Undo:
        if isinstance(engine, Elector):
            engine.arm(random.choice(_ELECTOR[manner]))
            return engine.disarm
        stack = ExitStack()
        stand_in = Hostile(engine.ports, engine.speaks, engine.certificate)
        stack.enter_context(stand_in.answering(manner))
        return stack.close

    return answered


# The same by the development elector.
_ELECTOR = {
    "garbage": [f"garbage?kind={kind}" for kind in GARBAGE],
    "errors": [f"500?status={status}" for status in (404, 429, 500, 503)],
    "slow": ["slow?delay=100ms", "split", "silence", "half-open"],
    "long": [f"oversized?kind={kind}" for kind in ("line", "event", "get")],
    "reset": ["reset?count=always", "truncate?count=always"],
    "shape": ["content-type", "redirect", "mixed-newlines", "bom", "not-chunked"],
}
_ENGINE: "dict[str, Callable[[Night, Engine], Undo | None]]" = {
    **{f"answers-{manner}": _answered(manner) for manner in plan.MANNERS},
    "promote": _promoted,
    "freeze-master": _master_frozen,
    "clock-engine": _jumped_engine,
    "restart-engine": _engine_restarted,
    "freeze-engine": _engine_frozen,
    "restart-member": _member_restarted,
    "freeze-member": _member_frozen,
}
