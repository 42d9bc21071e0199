"""Salesforce's errors in our terms. The tables here are the only place where a vendor code is given a meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import grpc
import requests
from simple_salesforce.exceptions import SalesforceAuthenticationFailed, SalesforceError
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NameResolutionError, NewConnectionError

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

SYSTEM = "salesforce"
CONVERTED = "CANNOT_UPDATE_CONVERTED_LEAD"  # a code: the lead is a contact by now, and takes no change any more
REPLAY_TOO_OLD = "sfdc.platform.eventbus.grpc.subscription.fetch.replayid.corrupted"

_BY_CODE: dict[str, type[ConnectorError]] = {
    # The session or the login
    "INVALID_SESSION_ID": AuthenticationFailed,
    "INVALID_AUTH_HEADER": AuthenticationFailed,
    "INVALID_LOGIN": AuthenticationFailed,
    "LOGIN_MUST_USE_SECURITY_TOKEN": AuthenticationFailed,
    "INACTIVE_USER": AuthenticationFailed,
    "invalid_client": AuthenticationFailed,
    "invalid_client_id": AuthenticationFailed,
    "invalid_client_credentials": AuthenticationFailed,
    "invalid_grant": AuthenticationFailed,
    "unauthorized_client": AuthenticationFailed,
    "inactive_user": AuthenticationFailed,
    "inactive_org": AuthenticationFailed,
    "unsupported_grant_type": Misconfigured,
    # Limits and bad days
    "REQUEST_LIMIT_EXCEEDED": RateLimited,
    "EXCEEDED_MAX_API_REQUESTS": RateLimited,
    "rate_limit_exceeded": RateLimited,  # too many logins
    "SERVER_UNAVAILABLE": Transient,
    "QUERY_TIMEOUT": Transient,
    "UNKNOWN_EXCEPTION": Transient,
    "server_error": Transient,
    "temporarily_unavailable": Transient,
    # Somebody else is at the record
    "UNABLE_TO_LOCK_ROW": Conflict,
    "ENTITY_IS_LOCKED": Conflict,
    "PRECONDITION_FAILED": Conflict,
    # The integration user may not
    "API_DISABLED_FOR_ORG": PermissionDenied,
    "API_CURRENTLY_DISABLED": PermissionDenied,
    "FUNCTIONALITY_NOT_ENABLED": PermissionDenied,
    "INSUFFICIENT_ACCESS": PermissionDenied,
    "INSUFFICIENT_ACCESS_OR_READONLY": PermissionDenied,
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": PermissionDenied,
    "INVALID_FIELD_FOR_INSERT_UPDATE": PermissionDenied,
    # Whom it was to belong to may not own it, or not see it
    "INACTIVE_OWNER_OR_USER": OwnerRefused,
    "OP_WITH_INVALID_USER_TYPE_EXCEPTION": OwnerRefused,
    "TRANSFER_REQUIRES_READ": OwnerRefused,
    # What we were told about the org is not so
    "INVALID_FIELD": Misconfigured,
    "INVALID_TYPE": Misconfigured,
    "INVALID_TYPE_ON_FIELD_IN_RECORD": Misconfigured,
    "INVALID_QUERY_FILTER_OPERATOR": Misconfigured,
    "NOT_FOUND": Misconfigured,
    "UNSUPPORTED_API_VERSION": Misconfigured,
    # What we sent makes no sense
    "MALFORMED_QUERY": ConnectorBug,
    "JSON_PARSER_ERROR": ConnectorBug,
    "INVALID_QUERY_LOCATOR": ConnectorBug,
    "EXCEEDED_MAX_SIZE_REQUEST": ConnectorBug,
    "EXCEEDED_ID_LIMIT": ConnectorBug,
    "ALL_OR_NONE_OPERATION_ROLLED_BACK": ConnectorBug,
}
# Every other code of a save result (validation rules, deleted, duplicates, …) refuses that record.
_BY_STATUS: dict[int, type[ConnectorError]] = {
    300: Misconfigured,
    401: AuthenticationFailed,
    403: PermissionDenied,
    404: Misconfigured,
    408: Transient,
    409: Conflict,
    412: Conflict,
    429: RateLimited,
}
_BY_GRPC: dict[grpc.StatusCode, type[ConnectorError]] = {
    grpc.StatusCode.UNAUTHENTICATED: AuthenticationFailed,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.RESOURCE_EXHAUSTED: RateLimited,
    grpc.StatusCode.NOT_FOUND: Misconfigured,
    grpc.StatusCode.INVALID_ARGUMENT: Misconfigured,
    grpc.StatusCode.UNIMPLEMENTED: Misconfigured,
}
_ADVICE: dict[type[ConnectorError], str] = {
    AuthenticationFailed: "Check the connected app's client id and secret or key, and that the integration user is active.",
    PermissionDenied: "Give the integration user access to it in Salesforce (permission set, field-level security).",
    Misconfigured: "Check the name against the org, in fields.yaml and in the settings.",
    RateLimited: "The org's limit is used up; it frees itself, and writes wait until then.",
    Conflict: "Somebody else is changing the record; it is tried again.",
    OwnerRefused: "It is routed to somebody else; a queue: correct it in Salesforce, then retry the parked write.",
    RecordRejected: "Correct the record or the rule in Salesforce, then retry the parked write.",
    Transient: "It is tried again by itself.",
    ConnectorBug: "Please report this with the message.",
    MalformedAnswer: "If that lasts, see what stands on the way to Salesforce (a proxy, a gateway, a firewall).",
}


_DELIVERIES = (
    "What changes meanwhile is told once some are free again (those of the last 24 hours count; events are kept for 72). Select fewer "
    "objects for Change Data Capture, or set changes: poll."
)
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")  # OpenSSL's words for plain text
_NO_API = (
    "Set login_url to the org's own domain, as Setup, My Domain shows it (https://NAME.my.salesforce.com): not what the browser shows "
    "(lightning.force.com). Or a proxy stands between and asks for a login."
)


def no_api(response: requests.Response, what: str) -> ConnectorError:
    """An answer that cannot be an org's, to a call that any org answers."""
    server = urlsplit(response.url).netloc
    if response.status_code >= 500:
        return Transient(
            f"{server} answered {response.status_code} to {what}. {_ADVICE[Transient]}",
            system=SYSTEM,
            code=str(response.status_code),
        )
    asked = urlsplit(response.history[0].url).netloc if response.history else server
    led = f"{asked} led on to {server}, which" if asked != server else server
    came = "with a web page" if is_page(response.content) else f"{response.status_code}, and not as Salesforce does,"
    return Misconfigured(f"{led} answered {came} to {what}. {_NO_API}", system=SYSTEM, code=str(response.status_code))


def no_login() -> ConnectorError:
    """A login that was answered with something in another shape."""
    return AuthenticationFailed(
        f"Something came in answer to the login that Salesforce does not say. {_NO_API}", system=SYSTEM, code="login"
    )


def save_error(record_id: str, entity: str, errors: list[dict[str, Any]]) -> ConnectorError:
    """One failed save result of a Collections call."""
    first = errors[0] if errors else {}
    matched = [one for error in errors for one in _duplicates(error)]
    code = str(first.get("statusCode") or first.get("errorCode") or "")
    kind = _of_owner(errors) or _BY_CODE.get(code, RecordRejected) if code else ConnectorBug
    said = "; ".join(vendor_words(error.get("message", "")) for error in errors) or "no reason given"
    if matched:
        said += f" (duplicate of {', '.join(matched)})"
    return kind(
        f"Salesforce refused the write to {entity} {record_id}: {code}: {said}. {_ADVICE[kind]}",
        system=SYSTEM,
        code=code,
    )


def row_error(record_id: str, entity: str, status: int, content: object) -> ConnectorError:
    """A change of one row within a Composite call that was refused."""
    code, said = _first(content)
    kind = _of_owner(content) or _BY_CODE.get(code) or (RecordRejected if code else None) or _BY_STATUS.get(status)
    kind = kind or (Transient if status >= 500 else ConnectorBug)
    if status == 412:
        kind, said = Conflict, "somebody changed it since it was looked at"
    return kind(
        f"Salesforce refused the write to {entity} {record_id}: {code or status}: {said}. {_ADVICE[kind]}",
        system=SYSTEM,
        code=code or str(status),
        outcome_unknown=status >= 500 and status != 503,
    )


def _of_owner(errors: object) -> type[ConnectorError] | None:
    """OwnerRefused where the first error says that the id given as the owner is nobody's."""
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, Mapping) or first.get("fields") != ["OwnerId"]:
        return None
    code = first.get("statusCode") or first.get("errorCode")
    return OwnerRefused if code == "INVALID_CROSS_REFERENCE_KEY" else None


def _duplicates(error: Mapping[str, Any]) -> list[str]:
    """The ids of the records that a duplicate rule found. Salesforce has spelled the name of this part wrongly for years."""
    result = error.get("duplicateResult") or error.get("duplicateResut") or {}
    return [
        str(record.get("record", {}).get("Id", "?"))
        for match in result.get("matchResults", [])
        for record in match.get("matchRecords", [])
    ]


def from_response(error: SalesforceError, what: str, *, writing: bool, retry_after: float | None) -> ConnectorError:
    """An answer of REST that is no success, as simple-salesforce raises it. ``what`` names the call."""
    if isinstance(error, SalesforceAuthenticationFailed):
        return login_error(str(error.code), error.auth_message)
    code, said = _first(error.content)
    kind = _BY_CODE.get(code) or _BY_STATUS.get(error.status) or (Transient if error.status >= 500 else ConnectorBug)
    # 503 says that nothing was begun. Any other 5xx may come after the work was done; so may a page, which is nobody's word on it.
    page = is_gateways(error.status, error.content)
    kind = MalformedAnswer if page else kind
    unknown = writing and (page or (error.status >= 500 and error.status != 503))
    return kind(
        f"Salesforce answered {error.status} {code} to {what}: {said}. {_ADVICE[kind]}",
        system=SYSTEM,
        code=code or str(error.status),
        retry_after=retry_after,
        outcome_unknown=unknown,
    )


def from_soap(status: int, code: str, said: str, what: str, retry_after: float | None) -> ConnectorError:
    """A fault of the SOAP API, or an answer that is none. Faults come as HTTP 500, also where nothing was begun."""
    kind = _BY_CODE.get(code) or (RecordRejected if code else None) or _BY_STATUS.get(status)
    kind = kind or (Transient if status >= 500 else MalformedAnswer)
    if not code and kind in (PermissionDenied, Misconfigured):  # Salesforce itself says so by a fault
        kind = MalformedAnswer
    return kind(
        f"Salesforce answered {status} {code} to {what}: {vendor_words(said)}. {_ADVICE[kind]}",
        system=SYSTEM,
        code=code or str(status),
        retry_after=retry_after,
        outcome_unknown=code == "UNKNOWN_EXCEPTION"
        or kind is MalformedAnswer
        or (not code and status >= 500 and status != 503),
    )


def login_error(code: str, said: object) -> ConnectorError:
    """A refused token request, or an answer that is none."""
    if is_page(said):
        return AuthenticationFailed(
            f"A web page ({code}) came in answer to the login. {_NO_API}", system=SYSTEM, code=f"page {code}"
        )
    if "not supported on this domain" in str(said):
        return AuthenticationFailed(
            f"Salesforce refused the login: {code}: {vendor_words(said)}. The client-credentials flow works on the org's own domain alone: "
            "set login_url to https://NAME.my.salesforce.com, as Setup, My Domain shows it.",
            system=SYSTEM,
            code=code,
        )
    kind = _BY_CODE.get(code, AuthenticationFailed)
    return kind(
        f"Salesforce refused the login: {code}: {vendor_words(said)}. {_ADVICE[kind]}", system=SYSTEM, code=code
    )


def from_network(error: requests.RequestException, what: str, *, writing: bool) -> ConnectorError:
    """No answer, or half of one. Only where nothing can have been sent is the outcome known."""
    if isinstance(error, requests.exceptions.SSLError) and any(one in str(error) for one in _NO_TLS):
        return Misconfigured(
            f"What answers at {_server(error)} does not speak TLS, so it is not Salesforce: {what} could not be had. Check login_url, its "
            "port, and whether a proxy stands between.",
            system=SYSTEM,
            code="TLS",
        )
    if isinstance(error, requests.exceptions.SSLError):
        return Misconfigured(
            f"The TLS certificate of Salesforce was not accepted for {what}: {vendor_words(error)}. "
            "Check login_url, the machine's clock and trusted roots, or ca_file.",
            system=SYSTEM,
            code="TLS",
        )
    if isinstance(error, requests.exceptions.InvalidJSONError):
        return malformed("something that is not JSON", what, writing=writing)
    sent = not _never_sent(error)
    heard = "No answer came in time" if isinstance(error, requests.Timeout) else "The connection was lost"
    if not sent:
        heard = f"No connection could be made to {_server(error)}"
    if isinstance(_reason(error), NameResolutionError):
        heard = f"The name of the server {_server(error)} is not known (DNS)"
    return Transient(
        f"{heard} for {what}. {_ADVICE[Transient]}",
        system=SYSTEM,
        code=type(error).__name__,
        outcome_unknown=writing and sent,
    )


def malformed(came: str, what: str, *, writing: bool = False) -> ConnectorError:
    """An answer that is none of Salesforce's to this call."""
    said = f"To {what}, {came} was the answer. {_ADVICE[MalformedAnswer]}"
    return MalformedAnswer(said, system=SYSTEM, outcome_unknown=writing)


def from_rpc(error: grpc.RpcError, what: str) -> ConnectorError:
    """A failed call or stream of the Pub/Sub API; the code is that of the trailers, where there is one."""
    status, code, said = rpc_facts(error)
    kind = _BY_GRPC.get(status, Transient) if status is not None else Transient
    words = status.name if status is not None else "an error"
    advice = f" {_DELIVERIES}" if code.endswith(".subscription.limit.exceeded") else ""
    return kind(
        f"Salesforce Pub/Sub answered {words} to {what}: {vendor_words(said)}. {_ADVICE[kind]}{advice}",
        system=SYSTEM,
        code=code or words,
    )


def rpc_facts(error: Any) -> tuple[grpc.StatusCode | None, str, str]:
    """Status, Salesforce's own code from the trailers ("" when none), and the words of a ``grpc.RpcError``."""
    if not isinstance(error, grpc.Call):
        return None, "", str(error)
    trailers = {str(key): value for key, value in error.trailing_metadata() or ()}
    code = trailers.get("error-code", "")
    return error.code(), code.decode("ascii", "replace") if isinstance(code, bytes) else code, error.details() or ""


def _never_sent(error: requests.RequestException) -> bool:
    if isinstance(error, (requests.ConnectTimeout, requests.exceptions.ProxyError)):
        return True
    return isinstance(_reason(error), (NewConnectionError, ConnectTimeoutError))


def _reason(error: requests.RequestException) -> object:
    """What urllib3 says, where it was urllib3 that failed."""
    cause = error.args[0] if error.args else None
    return cause.reason if isinstance(cause, MaxRetryError) else cause


def _server(error: requests.RequestException) -> str:
    """The server that was asked, and its port where it is not the usual one."""
    return urlsplit((error.request.url if error.request is not None else "") or "").netloc or "Salesforce"


def _first(content: object) -> tuple[str, str]:
    """Code and words of an error body, whatever its shape."""
    if isinstance(content, list) and content and isinstance(content[0], Mapping):
        return str(content[0].get("errorCode", "")), vendor_words(content[0].get("message", ""))
    if isinstance(content, Mapping):
        return str(content.get("error", "")), vendor_words(content.get("error_description", ""))
    return "", "a web page, perhaps a proxy's" if is_page(content) else "an answer in another shape than expected"
