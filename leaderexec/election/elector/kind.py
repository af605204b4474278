"""``--election elector``: the pod's elector, as it is declared."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from leaderexec.config import options
from leaderexec.config.options import Given, Settings, UsageError, option
from leaderexec.core.belief import ContactPolicy
from leaderexec.election.kind import Clock, Kind, Overlap, Put, Source, Term, overlap

if TYPE_CHECKING:
    from leaderexec.config.settings import Config
    from leaderexec.logs import Log


class ElectorSettings(Settings):
    """Where the elector is, and how long it may be silent."""

    sse_url: str | None = option(
        "URL",
        None,
        options.http_url,
        "The elector's announcement stream. Default: ELECTOR_SSE_URL, or derived from"
        " --get-url, ELECTOR_GET_URL or ELECTOR_PATH.",
        options.ELECTION,
        kinds=("elector",),
    )
    get_url: str | None = option(
        "URL",
        None,
        options.http_url,
        "The URL at which the elector responds with the current leader, polled as a cross-check."
        " Default: ELECTOR_GET_URL, or derived like --sse-url.",
        options.ELECTION,
        kinds=("elector",),
    )
    contact_timeout: float | None = option(
        "DURATION",
        "30s",
        options.duration_or("never"),
        "How long there may be neither an announcement nor a successful GET before leadership is"
        " unconfirmed: the command is then stopped as after a loss, and started again once it is"
        " confirmed.",
        options.ELECTION,
        none="never",
        kinds=("elector",),
    )


class ElectorKind(Kind):
    """Leads while the elector names this identity."""

    name = "elector"
    leads_when = "the pod's elector names this identity"
    settings = ElectorSettings
    chosen_by = ("sse-url", "get-url")
    ways = "--sse-url (or ELECTOR_SSE_URL, ELECTOR_GET_URL, ELECTOR_PATH: the pod's elector)"
    needs_contact = True
    asks_api_server = True
    ends_within = 5.0
    prepares = True

    def complete(self, values: dict[str, Given], environ: Mapping[str, str]) -> None:
        """Add the URLs that the platform tells, and the one that follows from the other."""
        values["sse-url"], values["get-url"] = _urls(values, environ)

    def missing(self, source: str) -> str:
        """Name the variables, and who sets them."""
        return (
            f"{source} is 'elector', but no elector is known; set --sse-url, ELECTOR_SSE_URL,"
            " ELECTOR_GET_URL or ELECTOR_PATH (the platform sets them with leaderElection: true)"
        )

    def contact(self, config: "Config") -> ContactPolicy:
        """Return how long the elector may be silent. Without polls an open stream is contact:
        nobody need speak on it."""
        return ContactPolicy(
            config.of(ElectorSettings).contact_timeout,
            open_stream_counts=config.poll_interval is None,
        )

    def check(self, config: "Config") -> None:
        """Refuse a contact timeout that one poll can outlast."""
        poll, contact = config.poll_interval, self.contact(config).timeout
        if poll is None or contact is None:
            return
        least = poll + config.request_timeout
        if contact <= least:
            raise UsageError(
                f"--contact-timeout is {options.show_duration(contact)}, but one poll alone may"
                f" take {options.show_duration(least)} (--poll-interval"
                f" {options.show_duration(poll)} and its request timeout"
                f" {options.show_duration(config.request_timeout)});"
                " allowed: more than that, or never"
            )

    def warnings(self, config: "Config") -> tuple[str, ...]:
        """Say what --poll-interval off takes away."""
        if config.poll_interval is not None:
            return ()
        hangs = (
            "--poll-interval off takes away the protection from an elector that hangs: its open"
            " stream counts as contact, however long nobody has spoken on it"
        )
        return (hangs,)

    def overlaps(self, config: "Config") -> tuple[Overlap, ...]:
        """A loss is learnt at once by the stream; at the next poll where the subscription was lost;
        after --contact-timeout where the elector is dead. A Pod object that was deleted by force
        has its containers ended as any other, within --grace, while leadership moves at once."""
        lost: Term = ("grace-lost", config.grace_lost)
        polled: Term = ("poll-interval", config.poll_interval)
        # Without polls an open stream is contact, however long nobody has spoken on it.
        dead = (
            polled
            if config.poll_interval is None
            else ("contact-timeout", self.contact(config).timeout)
        )
        forced: Term = ("grace", config.grace)
        return (
            overlap(config, "move", "leadership moves (a Lease deleted by hand)", lost),
            overlap(
                config,
                "lost-subscriber",
                "the elector has lost a subscriber",
                polled,
                lost,
            ),
            overlap(
                config,
                "dead-elector",
                "the old leader's elector is dead or hangs",
                dead,
                lost,
            ),
            overlap(
                config,
                "forced-deletion",
                "a Pod object is deleted by force and its elector dies before its command",
                forced,
            ),
        )

    def ordinary_move(self, config: "Config") -> str | None:
        """Return what the delay costs, or what its absence does."""
        if config.takeover_delay == 0:
            lost = options.show_duration(config.grace_lost)
            return f"no wait, and two commands for up to {lost}; --takeover-delay auto for safety"
        delay = options.show_duration(config.takeover_delay)
        return f"{delay} without a command; --takeover-delay 0s for speed, and two commands at once"

    def startup_fields(self, config: "Config") -> dict[str, object]:
        """Return the URLs and the times."""
        urls = config.of(ElectorSettings)
        return {
            "sse_url": urls.sse_url,
            "get_url": urls.get_url if config.poll_interval else None,
            "poll_interval": options.show_duration(config.poll_interval, "off"),
            "contact_timeout": options.show_duration(self.contact(config).timeout),
        }

    def open(self, config: "Config", put: Put, log: "Log", clock: Clock) -> Source:
        """Return the client."""
        from leaderexec.election.elector.client import Elector

        urls = config.of(ElectorSettings)
        return Elector(
            config.identity,
            urls.sse_url or "",
            urls.get_url or "",
            config.poll_interval,
            config.request_timeout,
            put,
            log,
            clock,
        )

    def ask(self, config: "Config", *, was_named: bool) -> tuple[str | None, bool | None]:
        """Ask by GET."""
        del was_named
        from leaderexec import optional_imports

        with optional_imports.imports():
            # Loads http.client, which would load OpenSSL.
            from leaderexec.election.elector.answer import ask_elector

        get_url = config.of(ElectorSettings).get_url
        if get_url is None:
            raise UsageError("no GET URL is known; set --get-url or ELECTOR_GET_URL")
        leader = ask_elector(get_url, config.identity, config.request_timeout)
        return leader, leader == config.identity


def _urls(values: Mapping[str, Given], environ: Mapping[str, str]) -> tuple[Given, Given]:
    """Return the URLs of stream and answer, the missing one derived from its sibling.

    Siblings must come from one place: a stream from a flag must not be cross-checked against the
    elector of the environment.
    """
    sse, get = values["sse-url"], values["get-url"]
    if sse.value is None and get.value is None:
        sse = _from_environment("ELECTOR_SSE_URL", environ)
        get = _from_environment("ELECTOR_GET_URL", environ)
    if sse.value is None and get.value is None and environ.get("ELECTOR_PATH"):
        get = _from_elector_path(environ["ELECTOR_PATH"])
    if sse.value is None and get.value is not None:
        return Given(f"{str(get.value).partition('?')[0].rstrip('/')}/sse", get.source), get
    if get.value is None and sse.value is not None:
        base = re.sub(r"(/sse)?/*(\?.*)?$", "", str(sse.value))
        return sse, Given(f"{base}/", sse.source)
    return sse, get


def _from_environment(variable: str, environ: Mapping[str, str]) -> Given:
    text = environ.get(variable)
    if not text:
        return Given(None, "default")
    try:
        return Given(options.http_url(text), variable)
    except ValueError as error:
        raise UsageError(f"{variable} is {text!r}; allowed: {error}") from None


def _from_elector_path(text: str) -> Given:
    try:
        host = options.host_and_port(text.removeprefix("http://").rstrip("/"))
    except ValueError as error:
        raise UsageError(f"ELECTOR_PATH is {text!r}; allowed: {error}") from None
    return Given(f"http://{host}/", "ELECTOR_PATH")
