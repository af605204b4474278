"""Candidates for an advisory lock and their server in simulated time. Cut-offs, sleeps, kills,
releases, ended sessions, and the server's restarts and promotions are random.

Each candidate is the real campaign with the core's real belief on top; only network,
clocks and threads are simulated. The server loses nothing but its sessions: what only a split
brain, or a session that is ended by hand while its holder is cut off, can cause is left out; it
is in docs/postgres.md.
"""

import itertools
from collections.abc import Callable

from election.simulated import GRACE_LOST, Machine, Time

from leaderexec.election.postgres.campaign import Campaign, Former, Step, Taken, Times
from leaderexec.election.renewing import Now

TIMES = Times(renew_deadline=10.0, retry_period=2.0, gone_after=GRACE_LOST + 1)
_EMPTY = Former(0, "", "", released=True, timeline="", started="")


class Session:
    """A client's session on the server."""

    def __init__(self, player: "Player", now: float) -> None:
        self.player = player
        self.heard_at = now
        self.lives = True


class World(Time):
    """The whole simulation."""

    def __init__(self, seed: int, names: str, longest: float) -> None:
        super().__init__(seed)
        self.longest = longest
        self.row = _EMPTY
        self.timeline, self.started = 1, 1
        self.holder: Session | None = None
        self.sessions: list[Session] = []
        self.players = [Player(self, name, self.random.uniform(0, 3)) for name in names]

    @property
    def machines(self) -> "list[Player]":
        """All replicas."""
        return self.players

    def delay(self) -> float:
        """Draw how long a message takes."""
        if self.random.random() < 0.1:
            return self.random.uniform(0, self.longest)
        return self.random.uniform(0.0005, 0.005)

    # The server.

    def connect(self, player: "Player") -> Session:
        """Begin a session, which ends after too long a silence."""
        session = Session(player, self.now)
        self.sessions.append(session)
        self._expire_later(session)
        return session

    def _expire_later(self, session: Session) -> None:
        def look() -> None:
            left = session.heard_at + TIMES.session_timeout - self.now
            if session.lives and left > 1e-9:
                self.at(self.now + left, look)
            elif session.lives:
                self.end(session)

        self.at(session.heard_at + TIMES.session_timeout, look)

    def end(self, session: Session) -> None:
        """End a session; its client learns that at once, unless it is cut off."""
        session.lives = False
        if self.holder is session:
            self.holder = None
        self.sessions = [one for one in self.sessions if one.lives]
        player = session.player
        arrives = self.now + self.random.uniform(0.0005, 0.005)
        self.at(arrives, lambda: player.hears(lambda: player.broken(session)))

    def end_holder(self) -> None:
        """End the session with the lock, as if by hand, unless its client is cut off or asleep."""
        session = self.holder
        if session is not None and session.player.is_there:
            self.end(session)
            # Before it can be cut off, with the notice on its way.
            session.player.broken(session)

    def restart(self) -> None:
        """Restart the server: all sessions end, and clients that are cut off don't notice."""
        self.started += 1
        for session in list(self.sessions):
            self.end(session)

    def promote(self) -> None:
        """Continue on a replica that does not have the last row."""
        if self.row.timeline and self.random.random() < 0.5:
            is_released = self.random.random() < 0.5
            self.row = self.row._replace(fence=1, holder="?", life="?", released=is_released)
        self.timeline += 1
        self.restart()

    def look(self, session: Session) -> bool:
        """Try the lock."""
        if self.holder is None:
            self.holder = session
        return self.holder is session

    def take(self, session: Session) -> Taken | None:
        """Raise the fence."""
        if self.holder is not session:
            return None
        former, us = self.row, session.player.campaign
        fence = max(former.fence + 1, int(self.now * 1000))
        self.row = former._replace(fence=fence, holder=us.identity, life=us.life, released=False)
        if former.released and former.timeline in ("", f"{self.timeline}"):
            self._write_server()
        return Taken(fence, former, f"{self.timeline}", f"{self.started}")

    def beat(self, session: Session, fence: int, *, ready: bool) -> bool:
        """Confirm the lock."""
        if self.holder is not session or self.row.fence != fence:
            return False
        if ready:
            self._write_server()
        return True

    def _write_server(self) -> None:
        self.row = self.row._replace(timeline=f"{self.timeline}", started=f"{self.started}")

    def release(self, session: Session, fence: int, *, ready: bool) -> None:
        """Record the release, and release the lock."""
        if ready and self.row.fence == fence and self.holder is session:
            self.row = self.row._replace(released=True)
            self._write_server()
        self.end(session)
        for other in self.sessions:
            other.player.hears(other.player.notified)


class Player(Machine):
    """One replica: a campaign, the core's belief, and the clocks of its machine."""

    def __init__(self, world: World, name: str, begins: float) -> None:
        super().__init__(world, name, TIMES.renew_deadline)
        self.world = world
        self.campaign = Campaign(name, f"life-of-{name}", TIMES)
        self.is_cut_off = False
        self._session: Session | None = None
        self._asking: int | None = None
        self._wake_id = 0
        self._ids = itertools.count()
        world.at(begins, self.go_on)

    @property
    def is_there(self) -> bool:
        """Return whether it gets what the server sends."""
        return self.lives and not self.is_cut_off and self._asleep_since is None

    # What happens to it.

    def cut_off(self, seconds: float) -> None:
        """Cut its network for a while; messages are lost."""
        if self.is_cut_off or not self.lives:
            return
        self.is_cut_off = True
        self.world.at(self.world.now + seconds, self._joined)

    def _joined(self) -> None:
        self.is_cut_off = False
        session = self._session
        if session is not None and not session.lives:
            # The next packet is answered by a reset.
            self.when_awake(lambda: self.broken(session))

    def hears(self, work: Callable[[], None]) -> None:
        """Process what arrived over the network."""
        if not self.is_cut_off:
            self.when_awake(work)

    def kill(self) -> None:
        """Kill it, along with its command, at once; the kernel closes the session."""
        self.look()
        # The command itself gets TERM from the kernel, and some time.
        self._end(grace=GRACE_LOST)
        self.lives = False
        session = self._session
        if session is not None and session.lives and not self.is_cut_off:
            self.world.at(self.world.now + 0.001, lambda: self._ended(session))

    def _ended(self, session: Session) -> None:
        if session.lives:
            self.world.end(session)

    def release(self) -> None:
        """Let it stop its command, and then release the lock, as if ordered to stop."""
        if self._asleep_since is not None or not self.lives:
            return
        self.look()
        name = self.campaign.identity
        ours = [reign.gone for reign in self.world.reigns if reign.who == name]
        if max(ours, default=0.0) > self.world.now:
            # Not before the whole tree that is being stopped is gone.
            self.world.at(max(ours), self.release)
            return
        session, fence = self._session, self.campaign.fence
        ready = self.campaign.is_ready(self.clocks())
        if self._begin is not None:
            self._reigned(self._belief.fence or 0, self.world.now, 0.0)
        if session is not None and fence is not None and not self.is_cut_off:
            arrives = self.world.now + self.world.delay()
            self.world.at(arrives, lambda: self._noted(session, fence, ready=ready))
        self.lives = False

    def _noted(self, session: Session, fence: int, *, ready: bool) -> None:
        if session.lives:
            self.world.release(session, fence, ready=ready)

    def broken(self, session: Session) -> None:
        """Handle the end of the session."""
        if self._session is session:
            self._lost()
            self.go_on()

    def notified(self) -> None:
        """Handle another session's release."""
        self.campaign.notified()
        self.go_on()

    # What it does.

    def _lost(self) -> None:
        session, self._session, self._asking = self._session, None, None
        self.campaign.lost(self.clocks(), jitter=self.world.random.random())
        self._tell()
        if session is not None and session.lives and not self.is_cut_off:
            self.world.at(self.world.now + 0.001, lambda: self._ended(session))

    def go_on(self) -> None:
        """Do the campaign's next step, unless a request is on its way."""
        if not self.lives or self._asleep_since is not None or self._asking is not None:
            return
        now = self.clocks()
        plan = self.campaign.plan(now)
        self._tell()
        if plan.step is Step.DROP:
            self._lost()
            self.go_on()
        elif plan.step is not Step.WAIT:
            self._ask(plan.step, now)
        else:
            self._wake_id = turn = next(self._ids)

            def on_time() -> None:
                if self._wake_id == turn:
                    self.go_on()

            pause = max(0.001, plan.until - now.monotonic)
            self.world.at(self.world.now + pause, lambda: self.when_awake(on_time))

    def _ask(self, step: Step, sent: Now) -> None:
        world, session = self.world, self._session
        self._asking = number = next(self._ids)

        def answered(what: object) -> None:
            if self._asking == number:
                self._asking = None
                self._take_in(step, what, sent)
                self.go_on()

        def given_up() -> None:
            if self._asking == number:
                self._lost()
                self.go_on()

        def arrived() -> None:
            if self.is_cut_off or (session is not None and not session.lives):
                return
            if session is not None:
                session.heard_at = world.now
            what = self._served(step, session)
            world.at(world.now + world.delay(), lambda: self.hears(lambda: answered(what)))

        if not self.is_cut_off:
            world.at(world.now + world.delay(), arrived)
        patience = max(0.1, self.campaign.patience(sent))
        world.at(world.now + patience, lambda: self.when_awake(given_up))

    def _served(self, step: Step, session: Session | None) -> object:
        if session is None:
            return self.world.connect(self)
        if step is Step.TRY:
            return self.world.take(session) if self.world.look(session) else None
        ready = self.campaign.is_ready(self.clocks())
        return self.world.beat(session, self.campaign.fence or 0, ready=ready)

    def _take_in(self, step: Step, what: object, sent: Now) -> None:
        if isinstance(what, Session):
            self._session = what
            self.campaign.opened()
            if not what.lives:
                self._lost()
        elif isinstance(what, Taken):
            self.campaign.taken(what, sent, self.clocks())
        elif step is Step.TRY:
            self.campaign.refused("?", sent, jitter=self.world.random.random())
        elif what:
            self.campaign.answered(sent, self.clocks())
        else:
            self._lost()
        self._tell()

    def _tell(self) -> None:
        self._believe(self.campaign.term(self.clocks()))
