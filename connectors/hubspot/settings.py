"""What must be known to talk to one HubSpot account."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from connectors.errors import Misconfigured
from connectors.ranges import above_zero, address, part, served_path

SYSTEM = "hubspot"
PRODUCTION = "https://api.hubapi.com"


class HubSpotSettings(Struct, frozen=True, kw_only=True):
    """Settings of one HubSpot account; ``repr`` never shows a secret.

    ``access_token`` is that of a private app. ``client_secrets`` sign the webhooks: all of them are accepted, so that a
    secret can be changed without losing an event. ``public_url`` is the address HubSpot was told to call, in full: it is part of
    what HubSpot signs, and behind a proxy it is not what arrives here. ``path`` is where this process serves it.
    Times are in seconds. HubSpot itself gives up on a request after about half a minute, hence ``read_timeout``.

    ``oldest_signature``: HubSpot signs each webhook by up to three methods; the older two carry no time, so that a request could be sent
    again by whoever saw it. They are looked at only when allowed here, and only in requests without the newest.

    ``changes`` says how changes reach us: ``webhooks``, ``search`` (every ``search_seconds``, deletions every ``deletions_seconds``), or
    ``both`` (then what a webhook did not bring, the search finds), or ``journal``: the webhooks journal, asked every ``journal_seconds`` with a
    token for the app ``client_id`` (its secret is the first of ``client_secrets``), for the account ``portal_id``. ``index_lag_seconds`` is how late HubSpot's search may show a change.
    ``daily_reserve`` is the share of the day's requests that searches and first fills leave alone.
    """

    access_token: str
    client_secrets: tuple[str, ...] = ()
    host: str = PRODUCTION
    public_url: str = ""
    path: str = "/hooks/hubspot"
    connect_timeout: float = 5.0
    read_timeout: float = 30.0
    oldest_signature: Literal["v1", "v2", "v3"] = "v3"
    changes: Literal["webhooks", "search", "both", "journal"] = "webhooks"
    search_seconds: float = 30.0
    deletions_seconds: float = 600.0
    index_lag_seconds: float = 120.0
    daily_reserve: float = 0.1
    journal_seconds: float = 5.0
    client_id: str = ""
    portal_id: int = 0

    def __post_init__(self) -> None:
        above_zero(self, "search_seconds", "deletions_seconds", "journal_seconds", "connect_timeout", "read_timeout")
        part(self, "daily_reserve")
        address(self, "host")
        served_path(self, "path")
        if not 0 <= self.index_lag_seconds <= 86_400:
            raise ValueError(
                f"index_lag_seconds is {self.index_lag_seconds:g}; it is a number of seconds, from 0 to 86,400"
            )

    def __repr__(self) -> str:
        return (
            f"HubSpotSettings(host={self.host!r}, public_url={self.public_url!r}, path={self.path!r}, secrets hidden)"
        )

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("host", self.host), ("public_url", self.public_url), ("path", self.path)]

    def require_journal(self) -> None:
        """Raises Misconfigured when the journal could not be read with these settings."""
        missing = [name for name in ("client_id", "portal_id") if not getattr(self, name)]
        missing += [] if any(self.client_secrets) else ["client_secrets"]
        if missing:
            raise Misconfigured(
                f"HubSpot's webhooks journal cannot be read without {' and '.join(missing)}: client_id and the secret stand "
                "on the app's Auth page, portal_id (the Hub ID) in the account menu.",
                system=SYSTEM,
            )

    def require_webhook(self) -> None:
        """Raises Misconfigured when webhooks could not be verified with these settings."""
        if not any(self.client_secrets):
            raise Misconfigured(
                "HubSpot webhooks cannot be verified: no client secret is set. Copy it from the app's Auth page into "
                "the setting client_secrets.",
                system=SYSTEM,
            )
        if not self.public_url.startswith(("https://", "http://")):
            raise Misconfigured(
                f"HubSpot webhooks cannot be verified: public_url is {self.public_url!r}, not an address. Set it to the "
                "target URL exactly as entered in the app's webhook settings.",
                system=SYSTEM,
            )
