"""What must be known to talk to one Marketo subscription."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from msgspec import Struct

from connectors.errors import Misconfigured
from connectors.ranges import above_zero, address, part, served_path

SYSTEM = "marketo"


class MarketoSettings(Struct, frozen=True, kw_only=True):
    """Settings of one Marketo subscription; ``repr`` never shows a secret.

    ``host`` is the subscription's address (https://123-ABC-456.mktorest.com), ``client_id`` and ``client_secret`` those of a LaunchPoint
    service. ``webhook_secret``: a flow step "Call Webhook" carries no signature, so it sends this text in the header
    ``webhook_header``; without it no webhook is served. Times are in seconds. Of the day's ``daily_calls`` (50,000 in most
    subscriptions) first fills leave ``daily_reserve`` alone. ``first_lead`` (ISO date) is where the first fill begins.
    """

    host: str
    client_id: str
    client_secret: str
    webhook_secret: str = ""
    webhook_header: str = "x-fingerpost-secret"
    path: str = "/hooks/marketo"
    poll_seconds: float = 30.0
    daily_calls: int = 50_000
    daily_reserve: float = 0.1
    first_lead: str = "2020-01-01"
    export_look_seconds: float = 60.0
    connect_timeout: float = 5.0
    read_timeout: float = 60.0

    def __post_init__(self) -> None:
        above_zero(self, "poll_seconds", "export_look_seconds", "connect_timeout", "read_timeout")
        part(self, "daily_reserve")
        address(self, "host")
        served_path(self, "path")
        if self.daily_calls < 1:
            raise ValueError(
                f"daily_calls is {self.daily_calls}; it is the number of calls that the subscription has a day"
            )
        if not re.fullmatch(r"[A-Za-z0-9-]+", self.webhook_header):
            raise ValueError(
                f"webhook_header is {self.webhook_header!r}; it is the name of a header, such as x-fingerpost-secret"
            )
        try:
            date.fromisoformat(self.first_lead)
        except ValueError:
            raise ValueError(f"first_lead is {self.first_lead!r}; it is a date, such as 2020-01-01") from None

    def __repr__(self) -> str:
        return f"MarketoSettings(host={self.host!r}, client_id={self.client_id!r}, secrets hidden)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("host", self.host), ("client_id", self.client_id)]

    def require_webhook(self) -> None:
        """Raises Misconfigured when a webhook could not be told from anybody's request."""
        secret = self.webhook_secret
        if len(secret) < 16 or not secret.isascii() or not secret.isprintable() or secret != secret.strip():
            raise Misconfigured(
                "Marketo webhooks cannot be verified: set webhook_secret to a random text of at least 16 letters and digits, and the same text "
                f"as the custom header {self.webhook_header} of the webhook in Marketo (Admin, Webhooks).",
                system=SYSTEM,
            )
