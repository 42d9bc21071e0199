"""Marketo's refusals in the words of ``connectors.errors``. Most of them come as HTTP 200 with a code in the body."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import requests

from connectors.errors import (
    AuthenticationFailed,
    Conflict,
    ConnectorBug,
    ConnectorError,
    MalformedAnswer,
    Misconfigured,
    PermissionDenied,
    RateLimited,
    RecordRejected,
    Transient,
    vendor_words,
)
from connectors.marketo.settings import SYSTEM
from connectors.patience import wait_asked

TOKEN_CODES = frozenset({"600", "601", "602"})  # missing, invalid, expired: a new one helps
NO_EXPORTS = "1029"  # about exports alone
LEAD_EXISTS = "1005"
_WINDOW = 20.0  # seconds of the vendor's rate limit
_LOOK = 60.0  # seconds; what is used up for the day may be had again at midnight, or sooner: a request a minute costs less than waiting past it
_BUSY = 2.0  # seconds; ten requests at once are allowed

# Code -> class, and what to do. Ranges: 6xx of the request, 7xx and 10xx of a record or of the request's content.
_CODES: dict[str, tuple[type[ConnectorError], str]] = {
    "600": (AuthenticationFailed, "the access token was missing"),
    "601": (
        AuthenticationFailed,
        "the access token was refused: check client_id and client_secret of the LaunchPoint service",
    ),
    "602": (AuthenticationFailed, "the access token had expired"),
    "603": (PermissionDenied, "the API user's role lacks a permission: add it in Admin, Users & Roles"),
    "604": (Transient, "the request took too long"),
    "606": (RateLimited, "more than 100 requests in 20 seconds"),
    "607": (
        RateLimited,
        "the day's calls are used up: they begin anew at midnight in Chicago, and are asked for every minute",
    ),
    "608": (Transient, "the API is unavailable for a moment"),
    "605": (ConnectorBug, "Marketo does not take this request so; a newer version of the connector may be needed"),
    "609": (ConnectorBug, "Marketo could not read the request; a newer version of the connector may be needed"),
    "610": (Misconfigured, "the address is not known: check host"),
    "611": (Transient, "Marketo failed inside"),
    "614": (Transient, "the subscription cannot be reached just now; if that lasts, check host"),
    "615": (RateLimited, "more than ten requests at once"),
    "702": (RecordRejected, "the record is not there"),
    "703": (PermissionDenied, "the feature is not enabled for this subscription"),
    "713": (Transient, "Marketo failed for a moment"),
    "1004": (RecordRejected, "the lead is not there any more"),
    LEAD_EXISTS: (RecordRejected, "the lead exists already"),
    "1006": (Misconfigured, "the field is not there: check its name in fields.yaml"),
    "1007": (RecordRejected, "several leads match: merge them in Marketo"),
    "1008": (PermissionDenied, "the lead is in a partition that the API user may not write"),
    "1009": (Misconfigured, "the subscription has several partitions: let the API user's role write only one"),
    "1010": (PermissionDenied, "the lead is in another partition than the API user writes"),
    "1022": (Conflict, "the object is in use"),
    NO_EXPORTS: (
        RateLimited,
        "too many exports are waiting, or the day's megabytes are used up, until midnight in Chicago; asked for again every minute",
    ),
}
_UNKNOWN_AFTER = frozenset({"604", "611", "713"})  # the work may have been done all the same
_WAITS = {"606": _WINDOW, "607": _LOOK, "615": _BUSY, NO_EXPORTS: _LOOK}


class Said(msgspec.Struct, frozen=True):
    """One error or reason in an answer."""

    code: str | int = ""
    message: str = ""


def of_code(said: Said, what: str, *, writing: bool, retry_after: float | None = None) -> ConnectorError:
    """An error of a whole request."""
    code = str(said.code)
    found, sentence = _CODES.get(code, (ConnectorBug, "an error that the connector does not know"))
    if code.startswith(("7", "10")) and code not in _CODES:
        found, sentence = RecordRejected, "the request was refused"
    return found(
        f"{what}: {sentence}. Marketo says: {vendor_words(said.message) or 'nothing'} ({code or 'no code'})",
        system=SYSTEM,
        code=code,
        retry_after=_WAITS.get(code) if retry_after is None else retry_after,
        outcome_unknown=writing and code in _UNKNOWN_AFTER,
    )


def of_record(reasons: list[Said], record_id: str) -> ConnectorError:
    """What was said of one record."""
    said = reasons[0] if reasons else Said()
    error = of_code(said, f"Marketo refused record {record_id}", writing=True)
    if isinstance(error, ConnectorBug):
        return RecordRejected(str(error), system=SYSTEM, code=error.code)
    return error


def of_page(what: str, *, writing: bool) -> ConnectorError:
    """A page, or a redirection, in the place of an answer of Marketo's."""
    said = f"{what}: a web page, or another address, came. Check host, and what stands on the way to Marketo (a proxy, a gateway, a firewall)"
    return MalformedAnswer(said, system=SYSTEM, outcome_unknown=writing)


def of_status(status: int, headers: Mapping[str, str], what: str, *, writing: bool) -> ConnectorError:
    """An answer that is no 200. A gateway that gives up does not know whether the work was done; 503 did none."""
    wait = wait_asked(headers, SYSTEM)
    if status >= 500:
        return Transient(
            f"Marketo is not available ({status}) for {what}; it is tried again later",
            system=SYSTEM,
            code=str(status),
            retry_after=wait,
            outcome_unknown=writing and status != 503,
        )
    if status == 429:
        return RateLimited(
            f"{what}: Marketo's limit was reached",
            system=SYSTEM,
            code="429",
            retry_after=_WINDOW if wait is None else wait,
        )
    if status in (401, 403):
        sentence = "check client_id and client_secret of the LaunchPoint service"
        return AuthenticationFailed(
            f"{what}: Marketo refused us ({status}): {sentence}", system=SYSTEM, code=str(status)
        )
    if status == 413:
        return RecordRejected(
            f"{what}: more than the 1 MB that Marketo takes at once: shorten its long fields", system=SYSTEM, code="413"
        )
    if status == 414:
        return ConnectorBug(f"{what}: the request was too long for Marketo (414)", system=SYSTEM, code="414")
    return Misconfigured(f"{what}: Marketo answered {status}: check host", system=SYSTEM, code=str(status))


def of_network(error: Exception, what: str, *, writing: bool) -> ConnectorError:
    """No answer at all."""
    never_sent = isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.SSLError) or (
        "NewConnectionError" in repr(error)
    )
    reason = "could not be reached" if never_sent else "was sent a request and gave no answer"
    return Transient(
        f"Marketo {reason} ({type(error).__name__}) for {what}; it is tried again later",
        system=SYSTEM,
        code=type(error).__name__,
        outcome_unknown=writing and not never_sent,
    )
