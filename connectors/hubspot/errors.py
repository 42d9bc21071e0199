"""HubSpot's refusals, and those of the network below it, in the words of ``connectors.errors``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import urllib3.exceptions

from connectors.errors import (
    AuthenticationFailed,
    Conflict,
    ConnectorBug,
    ConnectorError,
    MalformedAnswer,
    Misconfigured,
    OwnerRefused,
    PermissionDenied,
    RateLimited,
    RecordRejected,
    Transient,
    is_gateways,
    is_page,
    vendor_words,
)
from connectors.hubspot.settings import SYSTEM
from connectors.patience import wait_asked

# Without a Retry-After: the ten-second window is over after ten seconds; the daily one at midnight of the account, or when somebody buys
# more: one request a minute costs less than waiting past it.
_TEN_SECONDS = 10.0
_DAILY_RETRY = 60.0
_DAILY = "The day's requests are used up: they begin anew at midnight in the account's time zone, and are asked for every minute."
_MIGRATION_RETRY = 60.0
_SECOND = 1.0  # searches have a limit a second

_STATUS: dict[int, tuple[type[ConnectorError], str]] = {
    400: (RecordRejected, "HubSpot refused the request"),
    401: (AuthenticationFailed, "HubSpot refused the access token: renew it in the private app's settings"),
    403: (PermissionDenied, "the private app lacks a scope: add it in HubSpot and install the app again"),
    404: (Misconfigured, "HubSpot does not know this object or address: check the object's name in fields.yaml"),
    409: (Conflict, "the record was being changed by somebody else"),
    414: (ConnectorBug, "the request was too long for HubSpot"),
    423: (Transient, "HubSpot locked the account's data for a moment"),
    429: (RateLimited, "HubSpot's rate limit was reached"),
    477: (Transient, "HubSpot is moving the account to another data centre"),
}

# Categories and codes of single errors, inside a 207 or a 400.
_CATEGORY: dict[str, type[ConnectorError]] = {
    "VALIDATION_ERROR": RecordRejected,
    "OBJECT_NOT_FOUND": RecordRejected,
    "NOT_FOUND": RecordRejected,
    "PROPERTY_DOESNT_EXIST": Misconfigured,
    "READ_ONLY_VALUE": Misconfigured,
    "MISSING_SCOPES": PermissionDenied,
    "CONFLICT": Conflict,
    "RATE_LIMITS": RateLimited,
    "INTERNAL_ERROR": Transient,
}
NO_API = (
    "That is not HubSpot's API: check the setting host (https://api.hubapi.com, not the address that the browser shows), and "
    "whether a proxy stands between and asks for a login"
)
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")  # OpenSSL's words for plain text
OWNER = "hubspot_owner_id"  # a refusal of values names their properties


class ErrorDetail(msgspec.Struct, frozen=True):
    """One entry of ``errors`` inside an error."""

    message: str = ""
    code: str = ""


class ErrorBody(msgspec.Struct, frozen=True, rename="camel"):
    """The one shape of all HubSpot errors: of a whole answer, or of one input in a 207."""

    message: str = ""
    category: str = ""
    sub_category: Any = None
    policy_name: str = ""
    error_type: str = ""
    correlation_id: str = ""
    context: dict[str, Any] = {}
    errors: list[ErrorDetail] = []

    def code(self) -> str:
        """The most telling code it carries."""
        return next((error.code for error in self.errors if error.code), "") or self.category

    def words(self) -> str:
        """What HubSpot says, cut short, and without e-mail addresses."""
        return vendor_words(self.message or next((error.message for error in self.errors), "") or "no reason was given")


def read_body(body: str | bytes | None) -> ErrorBody:
    """An error's body; an empty one where it is not JSON (a proxy's page, for instance)."""
    try:
        return msgspec.json.decode(body or b"{}", type=ErrorBody)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ErrorBody()


def of_status(
    status: int, body: str | bytes | None, headers: Mapping[str, str] | None, what: str, *, writing: bool
) -> ConnectorError:
    """An answer that is no success. ``what`` names the request; ``writing`` whether it could have changed anything."""
    said = read_body(body)
    wait = wait_asked(headers or {}, SYSTEM)
    if status >= 500:
        # A gateway that gives up does not know whether the work was done; only 503 is refused before any work.
        unknown = writing and status != 503
        message = f"HubSpot is not available ({status}) for {what}; it is tried again later"
        return Transient(message, system=SYSTEM, code=str(status), retry_after=wait, outcome_unknown=unknown)
    found, sentence = _STATUS.get(status, (ConnectorBug, f"HubSpot answered {status}, which is not expected"))
    if status in (400, 409):
        found = of_category(said)
    message = f"{what}: {sentence}. HubSpot says: {said.words()} (correlation id {said.correlation_id or 'none'})"
    if is_page(body) or 301 <= status < 400:
        message = f"{what}: {status} and {'a web page' if is_page(body) else 'another address'} came. {NO_API}"
    if is_gateways(status, body):
        return MalformedAnswer(message, system=SYSTEM, code=str(status), retry_after=wait, outcome_unknown=writing)
    policy = said.policy_name.upper()
    if status == 429 and "DAILY" in policy:
        message = f"{message}. {_DAILY}"
    if status == 429 and wait is None:
        wait = _DAILY_RETRY if "DAILY" in policy else _SECOND if policy == "SECONDLY" else _TEN_SECONDS
    if status == 477 and wait is None:
        wait = _MIGRATION_RETRY
    return found(message, system=SYSTEM, code=said.code() or str(status), retry_after=wait)


def of_category(said: ErrorBody) -> type[ConnectorError]:
    """The class for one error of HubSpot's by its code or category; unknown ones refuse the record."""
    found = _CATEGORY.get(said.code()) or _CATEGORY.get(said.category) or RecordRejected
    if found is Conflict and "already" in said.message.lower():
        return RecordRejected  # a unique value that another record holds: trying again does not help
    if found is RecordRejected and ("OWNER" in said.code() or OWNER in said.message):
        return OwnerRefused
    return found


def of_input(said: ErrorBody, record_id: str) -> ConnectorError:
    """What a 207 says of one input."""
    return of_category(said)(f"HubSpot refused record {record_id}: {said.words()}", system=SYSTEM, code=said.code())


def of_network(error: Exception, what: str, *, writing: bool) -> ConnectorError:
    """No answer at all: refused, timed out or cut off."""
    never_sent = isinstance(
        error,
        (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.SSLError),
    )
    reason = "could not be reached" if never_sent else "was sent a request and gave no answer"
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        reason = "could not be reached, as the name of its server is not known (DNS): check the setting host"
    elif any(one in str(error) for one in _NO_TLS):
        reason = "could not be reached, as what answers there does not speak TLS: check the setting host and its port"
    return Transient(
        f"HubSpot {reason} ({type(error).__name__}) for {what}; it is tried again later",
        system=SYSTEM,
        code=type(error).__name__,
        outcome_unknown=writing and not never_sent,
    )
