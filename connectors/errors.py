"""What can go wrong with a CRM, as a closed table.

A connector wraps every vendor exception in one of these, with the cause chained. What each class *does* (try again,
pause the connection, park the write, stop the process) is decided in one place, ``routing/delivery/verdicts.py``;
connectors only classify. Messages are for an operator: what happened, on which record, what to do next. They never hold
a secret, a token or a body with personal data.

| class | means | what the daemon does |
|---|---|---|
| Transient | the system is down, busy, slow | pause the connection, try again with growing waits; a write that is failed on alone while others get through is parked in the end |
| MalformedAnswer | something answered that is not the system: a page of a gateway | the same; a write that alone is still answered so is parked in the end |
| RateLimited | a limit was hit | pause the connection for ``retry_after`` seconds |
| AuthenticationFailed | credentials or session refused after a renewal | pause the connection, alarm, try again slowly |
| PermissionDenied | the integration user may not | park the write |
| Misconfigured | a setting, a field or an object is not there | park the write |
| Conflict | a lock or a concurrent edit | try this write again, with jitter |
| RecordRejected | the record was refused (validation, deleted, a duplicate) | park the write, with the vendor's words |
| OwnerRefused | whom it was to belong to may not own it (inactive, not allowed) | route the record again, to somebody else; park the write of a queue |
| ConnectorBug | an answer we do not understand | park the write |
"""

from __future__ import annotations

import re

_EMAIL = re.compile(r"[^\s'\"<>:,;(]+@[^\s'\"<>:,;)]+")
_LONGEST = 300  # of a vendor's words; longer ones repeat the input


def vendor_words(text: object) -> str:
    """What a system said, for a message of ours: without e-mail addresses, since it may quote the record, not endlessly, and without the
    full stop at its end."""
    words = _EMAIL.sub("(an e-mail address)", " ".join(str(text).split())).rstrip(".")
    return words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"


def is_page(body: object) -> bool:
    """Whether an answer is a web page, which no API gives: the login of a proxy, or another server."""
    text = body.decode("latin-1") if isinstance(body, bytes) else str(body)
    return text.lstrip().lower().startswith(("<!doctype html", "<html"))


def advice(error: ConnectorError, *, limit: str, network: str, refused: str) -> str:
    """What to do about an error by its kind: a ``limit`` was reached, nothing (or only a failure) comes over the ``network``, we are
    ``refused`` or misunderstood."""
    return limit if isinstance(error, RateLimited) else network if isinstance(error, Transient) else refused


def is_gateways(status: int, body: object) -> bool:
    """Whether an answer comes from something on the way: it leads elsewhere, or is a page, with a status that asks for nothing (to log in,
    to wait). Nobody knows from it what became of a request."""
    return 301 <= status < 400 or (status < 500 and status not in (401, 408, 429) and is_page(body))


class ConnectorError(Exception):
    """Base of the table. ``code`` is the vendor's own code, "" when there is none.

    ``outcome_unknown`` is True when a request was sent and no answer came: the write may have happened, and must be read
    back before it is sent again.
    """

    def __init__(
        self,
        message: str,
        *,
        system: str,
        code: str = "",
        retry_after: float | None = None,
        outcome_unknown: bool = False,
    ) -> None:
        super().__init__(message)
        self.system = system
        self.code = code
        self.retry_after = retry_after
        self.outcome_unknown = outcome_unknown


class Transient(ConnectorError):
    """The system is down, busy or slow."""


class MalformedAnswer(Transient):
    """What came is no answer of the system's, as when a gateway answers with a page of its own. ``outcome_unknown`` of a write."""


class RateLimited(ConnectorError):
    """A limit of the system was reached; ``retry_after`` seconds when it says so."""


class AuthenticationFailed(ConnectorError):
    """Credentials were refused, or a session could not be renewed."""


class PermissionDenied(ConnectorError):
    """The integration user lacks a permission."""


class Misconfigured(ConnectorError):
    """A setting, an object or a field is not what we were told."""


class Conflict(ConnectorError):
    """A lock or a concurrent edit was in the way."""


class RecordRejected(ConnectorError):
    """This record, and only this, was refused."""


class OwnerRefused(RecordRejected):
    """The record was refused because of its new owner: somebody else may have it."""


class ConnectorBug(ConnectorError):
    """The system answered something the connector does not understand."""


class SignatureRefused(Exception):
    """A webhook whose signature is missing, wrong, too old or from the future. ``args[0]`` says which, without secrets."""
