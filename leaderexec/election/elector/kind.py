"""``--election elector``: the pod's elector, as it is declared."""

import os
from collections.abc import Iterator, Mapping

from leaderexec.config import options
from leaderexec.config.options import Given, Settings, UsageError, option
from leaderexec.core.belief import ContactPolicy
from leaderexec.core.record import Record, replace
from leaderexec.election.kind import (
    FROZEN_HOLDER,
    Clock,
    Confirming,
    ElectionUnknown,
    Kind,
    Overlap,
    Put,
    Source,
    Term,
    overlap,
)
from leaderexec.election.lease.kind import lease_name, located, name_in
from leaderexec.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leaderexec.config.settings import Config
    from leaderexec.logs import Log

_AN_APPLICATION = "NAIS_APP_NAME"


class Confirm(Record):
    """Whose word is asked beside the elector's. `lease`: that of the API server on this Lease, None
    where `auto` has found none; `explicit`: the user named it, so that it may stop the command;
    `hastens`: what it shows shortens the takeover delay."""

    lease: str | None
    explicit: bool
    hastens: bool = False

    def __str__(self) -> str:
        return self.lease or "auto"


def confirm(text: str) -> Confirm | None:
    """Read ``auto``, ``off`` (None), or a Lease."""
    if text.lower() == "off":
        return None
    if text.lower() == "auto":
        return Confirm(None, explicit=False)
    try:
        return Confirm(lease_name(text), explicit=True)
    except ValueError as error:
        raise ValueError(f"auto, off, or {error}") from None


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
    confirm_lease: Confirm | None = option(
        "[NAMESPACE/]NAME",
        "auto",
        confirm,
        "Also query the API server for the elector's Lease. NAME: at each --poll-interval; a"
        " replica that the Lease does not name, or that can't read it for --contact-timeout, does"
        " not lead. auto: the Lease NAIS_APP_NAME, if the pod has a service account token, once for"
        " each new leader; this never stops a leader. Both give the term a fence, and shorten"
        " --takeover-delay auto if nothing of the old leader can be running. off: rely on the"
        " elector alone.",
        options.ELECTION,
        none="off",
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
        """Add the URLs provided by the platform, and derive a missing one from the other; add the
        Lease of the platform's elector."""
        values["sse-url"], values["get-url"] = _urls(values, environ)
        values["confirm-lease"] = _confirm(values, environ)

    def missing(self, source: str) -> str:
        """Name the variables, and who sets them."""
        return (
            f"{source} is 'elector', but no elector is known; set --sse-url, ELECTOR_SSE_URL,"
            " ELECTOR_GET_URL or ELECTOR_PATH (the platform sets them with leaderElection: true)"
        )

    def contact(self, config: "Config") -> ContactPolicy:
        """Return how long the elector may be silent. Without polls an open stream is contact, even
        if nothing is sent on it."""
        settings = config.of(ElectorSettings)
        asked = _asked(config)
        lease = None
        if asked is not None:
            from leaderexec.core.confirmation import LeaseRule

            lease = LeaseRule(stops=asked.explicit, hastens=asked.hastens)
        return ContactPolicy(
            settings.contact_timeout,
            open_stream_counts=config.poll_interval is None,
            lease=lease,
        )

    def check(self, config: "Config") -> None:
        """Refuse a contact timeout that one poll can exceed, and a Lease that is never checked."""
        poll, contact = config.poll_interval, self.contact(config).timeout
        asked = _asked(config)
        if asked is not None and asked.explicit and poll is None:
            raise UsageError(
                f"--confirm-lease is {asked.lease!r}, which is checked every --poll-interval, and"
                " that is off; allowed: a --poll-interval, or --confirm-lease auto or off"
            )
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
        """Warn about --poll-interval off."""
        if config.poll_interval is not None:
            return ()
        hangs = (
            "with --poll-interval off an elector that hangs is not detected: its open stream counts"
            " as contact, however long it has been silent"
        )
        return (hangs,)

    def overlaps(self, config: "Config") -> tuple[Overlap, ...]:
        """A loss is learnt at once from the stream; at the next poll if the subscription was lost;
        after --contact-timeout where the elector is dead. The containers of a force-deleted
        Pod are stopped like any others, within --grace, while leadership moves at once."""
        lost: Term = ("grace-lost", config.grace_lost)
        polled: Term = ("poll-interval", config.poll_interval)
        # Without polls an open stream is contact, however long it has been silent.
        dead = (
            polled
            if config.poll_interval is None
            else ("contact-timeout", self.contact(config).timeout)
        )
        asked = _asked(config)
        asks = asked is not None and asked.explicit
        cut_off = (
            overlap(
                config,
                "partition",
                "the old leader's pod is cut off from the API server",
                ("contact-timeout", self.contact(config).timeout),
                lost,
            )
            if asks
            else Overlap(
                "partition",
                None,
                "the old leader's pod is cut off from the API server",
                "its elector still names it; --confirm-lease NAME would notice",
            )
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
                polled if asks else dead,
                lost,
            ),
            cut_off,
            overlap(
                config,
                "forced-deletion",
                "a Pod object is force-deleted and its elector dies before its command",
                forced,
            ),
            FROZEN_HOLDER,
        )

    def ordinary_move(self, config: "Config") -> str | None:
        """Return what the delay costs, or what its absence costs."""
        if config.takeover_delay == 0:
            lost = options.show_duration(config.grace_lost)
            return f"no wait, and two commands for up to {lost}; --takeover-delay auto for safety"
        delay = options.show_duration(config.takeover_delay)
        asked = _asked(config)
        less = (
            ", or less if the API server shows that nothing of the old leader can be running"
            if asked is not None and asked.hastens
            else ""
        )
        return (
            f"{delay} without a command{less}; --takeover-delay 0s for speed, and two commands at"
            " once"
        )

    def startup_fields(self, config: "Config") -> dict[str, object]:
        """Return the URLs and the times."""
        urls = config.of(ElectorSettings)
        asked = _asked(config)
        fields: dict[str, object] = {
            "sse_url": urls.sse_url,
            "get_url": urls.get_url if config.poll_interval else None,
            "poll_interval": options.show_duration(config.poll_interval, "off"),
            "contact_timeout": options.show_duration(self.contact(config).timeout),
        }
        return fields if asked is None else {**fields, "confirm_lease": asked.lease}

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

    def confirming(self, config: "Config", put: Put, log: "Log", clock: Clock) -> Confirming | None:
        """Return what asks the API server. Where the user named the Lease, one has to be known."""
        asked = _asked(config)
        if asked is None:
            return None
        if asked.explicit:
            located(config, "--confirm-lease")
        from leaderexec.election.elector.confirming import LeaseConfirming

        return LeaseConfirming(
            asked.lease or "",
            config.identity,
            config.poll_interval if asked.explicit else None,
            config.request_timeout,
            lambda: located(config, "--confirm-lease"),
            put,
            log,
            clock,
        )

    def inspect(self, config: "Config") -> Iterator[tuple[str, bool]]:
        """Say whether the Lease can be read, and what it says."""
        asked = _asked(config)
        if asked is None:
            return
        from leaderexec.election.lease import rights

        try:
            cluster = located(config, "--confirm-lease")
        except UsageError as error:
            yield f"the lease {asked.lease}: {error}", not asked.explicit
            return
        name = name_in(cluster, asked.lease or "")
        for line, is_good in rights.inspect_reading(cluster, name):
            yield line, is_good or not asked.explicit

    def ask(self, config: "Config", *, was_named: bool) -> tuple[str | None, bool | None]:
        """Ask the elector by GET; if it names this replica, also the API server, where the user
        named the Lease."""
        del was_named
        from leaderexec import optional_imports

        with optional_imports.imports():
            # Loads http.client, which would load OpenSSL.
            from leaderexec.election.elector.answer import ask_elector

        get_url = config.of(ElectorSettings).get_url
        if get_url is None:
            raise UsageError("no GET URL is known; set --get-url or ELECTOR_GET_URL")
        leader: str | None = ask_elector(get_url, config.identity, config.request_timeout)
        asked = _asked(config)
        if leader == config.identity and asked is not None and asked.explicit:
            leader = _confirmed(config, asked.lease or "")
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
        import re

        base = re.sub(r"(/sse)?/*(\?.*)?$", "", str(sse.value))
        return sse, Given(f"{base}/", sse.source)
    return sse, get


def _confirm(values: Mapping[str, Given], environ: Mapping[str, str]) -> Given:
    """Return the Lease that is meant: for ``auto`` the application's, which the platform's elector
    names its Lease after, where the API server can be asked."""
    given = values["confirm-lease"]
    found = given.value
    if not isinstance(found, Confirm):
        return given
    if not found.explicit:
        name = environ.get(_AN_APPLICATION)
        if not name or not _can_ask(values):
            return given
        try:
            found = replace(found, lease=lease_name(name.replace("/", " ")))
        except ValueError:
            return given
        given = Given(found, _AN_APPLICATION if given.source == "default" else given.source)
    return Given(replace(found, hastens=values["takeover-delay"].value is None), given.source)


def _confirmed(config: "Config", lease: str) -> str | None:
    """Return whom the Lease names; this replica if it may not be read, as when running. Raises
    ElectionUnknown."""
    from leaderexec.election.complaints import Trouble
    from leaderexec.election.elector import confirming

    cluster = located(config, "--confirm-lease")
    try:
        return confirming.ask_lease(cluster, lease, config.identity, config.request_timeout)
    except Trouble as trouble:
        if trouble.kind in confirming.REFUSALS:
            return config.identity
        raise ElectionUnknown(
            f"the elector names this replica, but the Lease {lease} can't be read: {trouble};"
            f" {trouble.remedy}"
        ) from None


def _can_ask(values: Mapping[str, Given]) -> bool:
    from leaderexec.election.lease.cluster import ACCOUNT

    known = values["api-server"].value or values["kubeconfig"].value
    return bool(known) or os.path.exists(f"{ACCOUNT}/token")


def _asked(config: "Config") -> Confirm | None:
    """Return which Lease is asked for; None where none is."""
    found = config.of(ElectorSettings).confirm_lease
    return found if found is not None and found.lease is not None else None


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
