"""What an operator tells us about their Salesforce org."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


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
    ``audience`` is who a JWT is for: https://test.salesforce.com for a sandbox org.
    ``ca_file`` replaces the machine's trusted roots, for a proxy or the local stand-in.
    """

    login_url: str
    client_id: str
    auth: Literal["client_credentials", "jwt"] = "client_credentials"
    client_secret: Secret = NO_SECRET
    private_key: Secret = NO_SECRET
    username: str = ""
    audience: str = "https://login.salesforce.com"
    api_version: str = "66.0"
    pubsub_address: str = "api.pubsub.salesforce.com:7443"
    topic: str = "/data/ChangeEvents"
    ca_file: str = ""
    # Seen by others as the origin of our writes, and by us to know our own echo.
    client_name: str = "fingerpost"
    connect_timeout_seconds: float = 10.0
    # Salesforce itself gives up on a REST call after 120 s; ours are small and answer within a few.
    timeout_seconds: float = 30.0
    # An empty response comes within 270 s where nothing happens; longer silence is a dead connection.
    silence_seconds: float = 300.0
