"""What an operator tells us about their Salesforce org."""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from connectors.ranges import above_zero, address, part


class Secret:
    """A text that must not be shown. Printing or formatting it shows stars; ``reveal`` gives it.

    A plain class on purpose: msgspec refuses to encode it, so settings that hold one cannot end up in a file or an answer.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that sends it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "Secret(***)" if self._text else "Secret()"

    __str__ = __repr__


NO_SECRET = Secret()


class SalesforceSettings(Struct, frozen=True, kw_only=True):
    """One org. Times are in seconds.

    ``login_url`` is the org's own domain (``https://acme.my.salesforce.com``): the client-credentials flow works nowhere
    else. ``auth`` ``jwt`` needs ``username`` and ``private_key`` (PEM text), ``client_credentials`` needs ``client_secret``.
    ``audience`` is who a JWT is for: https://test.salesforce.com for a sandbox org. ``password`` is for sandbox orgs only
    (Salesforce blocks it by default): it needs ``username``, ``password``, ``client_secret`` and mostly ``security_token``.
    ``topics`` are the channels listened to, each with a position of its own. Two that bring the same object make every change of
    it heard twice. ``changes`` ``poll`` asks for changes every ``poll_seconds``, where Change Data Capture is not licensed.
    ``daily_share`` is the part of the org's daily API calls that we may use, ``reserve`` the part that is never touched.
    ``save_despite_alerts``: whether a record is saved though a duplicate rule would alert a person; one that blocks always blocks.
    Objects with ``bulk_from`` records or more are read by Bulk API 2.0 where all of them are needed.
    ``converted_status`` is what converted leads get as their status; "" takes the first that Setup calls converted.
    ``ca_file`` replaces the machine's trusted roots, for a proxy or the local stand-in.
    """

    login_url: str
    client_id: str
    auth: Literal["client_credentials", "jwt", "password"] = "client_credentials"
    client_secret: Secret = NO_SECRET
    private_key: Secret = NO_SECRET
    username: str = ""
    password: Secret = NO_SECRET
    security_token: Secret = NO_SECRET
    audience: str = "https://login.salesforce.com"
    api_version: str = "66.0"
    pubsub_address: str = "api.pubsub.salesforce.com:7443"
    topics: tuple[str, ...] = ("/data/ChangeEvents",)
    changes: Literal["stream", "poll"] = "stream"
    poll_seconds: float = 60.0
    daily_share: float = 0.5
    reserve: float = 0.1
    save_despite_alerts: bool = True
    bulk_from: int = 50_000
    converted_status: str = ""
    ca_file: str = ""
    # Seen by others as the origin of our writes, and by us to know our own echo.
    client_name: str = "fingerpost"
    connect_timeout_seconds: float = 10.0
    # Salesforce itself gives up on a REST call after 120 s; ours are small and answer within a few.
    timeout_seconds: float = 30.0
    # An empty response comes within 270 s where nothing happens; longer silence is a dead connection.
    silence_seconds: float = 300.0

    def __post_init__(self) -> None:
        if not self.topics:
            raise ValueError("topics names no channel; write [/data/ChangeEvents]")
        if len(set(self.topics)) < len(self.topics):
            raise ValueError("topics names a channel twice; every change of it would be heard twice")
        address(self, "login_url")
        if not self.login_url.startswith("https://"):
            raise ValueError(f"login_url is {self.login_url!r}; Salesforce is asked over https:// alone")
        above_zero(self, "connect_timeout_seconds", "timeout_seconds", "silence_seconds")
        part(self, "daily_share", "reserve")
        missing = [name for name in ("username", "private_key") if not getattr(self, name)]
        if self.auth == "jwt" and missing:
            raise ValueError(f"auth jwt needs {' and '.join(missing)}")
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", self.client_name):
            raise ValueError(
                f"client_name is {self.client_name!r}; it goes into a header: letters, digits, - _ and . only"
            )
        if self.bulk_from < 1:
            raise ValueError(f"bulk_from is {self.bulk_from}; it is a number of records, 1 or more")
        if not 1 <= self.poll_seconds <= 3600:
            raise ValueError(f"poll_seconds is {self.poll_seconds:g}; it must be from 1 to 3,600")
