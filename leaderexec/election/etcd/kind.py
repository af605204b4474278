"""``--election etcd``: a queue of keys in etcd, as it is declared."""

from leaderexec.config import options
from leaderexec.config.options import Settings, UsageError, option
from leaderexec.election.kind import (
    FROZEN_HOLDER,
    Overlap,
    StoreKind,
    overlap,
)
from leaderexec.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

    from leaderexec.config.settings import Config
    from leaderexec.election.etcd.client import Access
    from leaderexec.election.etcd.store import EtcdStore

_KINDS = ("etcd",)
_PORT = 2379
_LONGEST_KEY = 512
_MOST_PASSWORD = 4096


def member_url(text: str) -> str:
    """Read the URL of a member. A user is set elsewhere, and a path would be that of a proxy."""
    match = options.fullmatch(r"""https?://([^/?#@]+)(?:/[!"$->A-~]*)?""", text)
    try:
        options.host_and_optional_port("" if match is None else match[1])
    except ValueError:
        raise ValueError(
            "comma-separated URLs of members, such as https://etcd-0:2379,https://etcd-1:2379; set"
            " a user with --etcd-user"
        ) from None
    return text


def member_urls(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of them, at least one."""
    found = options.each(member_url)(text)
    return found or (member_url(text),)


def key_name(text: str) -> str:
    """Read the key of an election."""
    if not 0 < len(text) <= _LONGEST_KEY or not text.isprintable() or not text.strip("/ "):
        raise ValueError(f"1 to {_LONGEST_KEY} printable characters, such as leaderexec/my-worker")
    return text


class EtcdSettings(Settings):
    """The election, and where etcd is."""

    etcd: tuple[str, ...] | None = option(
        "URL[,URL]",
        None,
        member_urls,
        "The members of an etcd cluster (v3 API, 3.4 or newer), for --election etcd; they are"
        " tried in turn. Needs --etcd-key.",
        options.ELECTION,
        kinds=_KINDS,
        repeats=True,
    )
    etcd_key: str | None = option(
        "KEY",
        None,
        key_name,
        "The election's name in etcd, such as leaderexec/my-worker: the candidates' keys are"
        " created below it.",
        options.ELECTION,
        kinds=_KINDS,
    )
    etcd_user: str | None = option(
        "NAME",
        None,
        str,
        "The etcd user, if authentication is enabled. Needs --etcd-password-file.",
        options.ELECTION,
        kinds=_KINDS,
    )
    etcd_password_file: str | None = option(
        "PATH",
        None,
        str,
        "The file with the password of --etcd-user, read again for each new token.",
        options.ELECTION,
        kinds=_KINDS,
    )
    etcd_ca: str | None = option(
        "PATH",
        None,
        str,
        "Certificates (PEM) of the authorities that may have signed etcd's, for https. Default:"
        " the system's.",
        options.ELECTION,
        kinds=_KINDS,
    )
    etcd_cert: str | None = option(
        "PATH",
        None,
        str,
        "The client certificate (PEM), if etcd requires one.",
        options.ELECTION,
        kinds=_KINDS,
    )
    etcd_cert_key: str | None = option(
        "PATH",
        None,
        str,
        "The client certificate's key (PEM, without a passphrase). Default: it is in the same file"
        " as --etcd-cert.",
        options.ELECTION,
        kinds=_KINDS,
    )


class EtcdKind(StoreKind):
    """Leads while this process holds the first key of the queue."""

    name = "etcd"
    leads_when = "this process holds the oldest key of an election in etcd"
    settings = EtcdSettings
    chosen_by = ("etcd",)
    told_apart_by = ("etcd", "etcd-key")
    ways = "--etcd URL[,URL] with --etcd-key KEY (an etcd cluster)"

    def missing(self, source: str) -> str:
        """Name the option."""
        return f"{source} is 'etcd', but no --etcd URL[,URL] is set"

    def check(self, config: "Config") -> None:
        """Also refuse other settings that don't fit together."""
        super().check(config)
        etcd = config.of(EtcdSettings)
        if etcd.etcd_key is None:
            raise UsageError(
                "--etcd is set, but not --etcd-key: name the election, the same on all of its"
                " replicas and used by no other, such as --etcd-key leaderexec/my-worker"
            )
        if (etcd.etcd_user is None) != (etcd.etcd_password_file is None):
            raise UsageError("--etcd-user and --etcd-password-file only work together; set both")
        if etcd.etcd_cert_key is not None and etcd.etcd_cert is None:
            raise UsageError("--etcd-cert-key is set, but not --etcd-cert")

    def overlaps(self, config: "Config") -> tuple[Overlap, ...]:
        """None by expiry; those that no election can prevent."""
        return (
            overlap(
                config,
                "etcd-key-deleted",
                "the leader's key or lease is deleted by hand, or by an etcd member that hung",
                ("retry-period", config.retry_period),
                ("grace-lost", config.grace_lost),
            ),
            FROZEN_HOLDER,
        )

    def startup_fields(self, config: "Config") -> dict[str, object]:
        """Return the members, the election's key, and the times."""
        from leaderexec.election import renewing

        etcd = config.of(EtcdSettings)
        return {
            "etcd": ",".join(etcd.etcd or ()),
            "etcd_key": etcd.etcd_key,
            **renewing.startup_fields(config),
        }

    def where(self, config: "Config") -> dict[str, object]:
        """Name the key."""
        return {"key": config.of(EtcdSettings).etcd_key}

    def store(self, config: "Config") -> "EtcdStore":
        """Return the queue. Raises UsageError if certificates or password can't be read."""
        access = _access(config)
        from leaderexec.election.etcd.store import EtcdStore

        key = config.of(EtcdSettings).etcd_key or ""
        return EtcdStore(access, key, config.identity, int(config.lease_duration))


def _access(config: "Config") -> "Access":
    from leaderexec import optional_imports

    etcd = config.of(EtcdSettings)
    if any(url.startswith("https:") for url in etcd.etcd or ()):
        optional_imports.allow_ssl()
    with optional_imports.imports():
        from urllib.parse import urlsplit

        from leaderexec.election.etcd.client import Access, Endpoint
        from leaderexec.election.etcd.store import prefix_of
    endpoints = []
    for url in etcd.etcd or ():
        parts = urlsplit(url)
        endpoints.append(
            Endpoint(
                parts.hostname or "",
                parts.port or _PORT,
                parts.path.rstrip("/"),
                parts.scheme == "https",
            )
        )

    def tls() -> "ssl.SSLContext":
        import ssl

        context = ssl.create_default_context(cafile=etcd.etcd_ca)
        if etcd.etcd_cert is not None:
            # Otherwise it would prompt for a password on the terminal.
            context.load_cert_chain(etcd.etcd_cert, etcd.etcd_cert_key, password="")
        return context

    def password() -> str:
        with open(etcd.etcd_password_file or "", encoding="utf-8") as file:
            return file.read(_MOST_PASSWORD).rstrip("\r\n")

    try:
        # Unusable files are detected before anything is started.
        if any(endpoint.secure for endpoint in endpoints):
            tls()
        if etcd.etcd_user is not None:
            password()
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the credentials for etcd can't be read: {error} (--etcd-ca, --etcd-cert,"
            " --etcd-cert-key, --etcd-password-file)"
        ) from None
    return Access(endpoints, tls, etcd.etcd_user, password, prefix_of(etcd.etcd_key or ""))
