"""Every way HubSpot says no, in the words of the table."""

from __future__ import annotations

import json
from typing import Any

import pytest
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
)
from connectors.hubspot import errors


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"category": "VALIDATION_ERROR", "message": "bad"}, RecordRejected),
        (400, {"category": "VALIDATION_ERROR", "errors": [{"code": "PROPERTY_DOESNT_EXIST"}]}, Misconfigured),
        (400, {"category": "VALIDATION_ERROR", "errors": [{"code": "INVALID_OWNER"}]}, OwnerRefused),
        (400, {"category": "VALIDATION_ERROR", "message": 'not valid: [{"name":"hubspot_owner_id"}]'}, OwnerRefused),
        (401, {"category": "INVALID_AUTHENTICATION"}, AuthenticationFailed),
        (403, {"category": "MISSING_SCOPES"}, PermissionDenied),
        (404, {}, Misconfigured),
        (409, {"category": "CONFLICT", "message": "concurrently updated"}, Conflict),
        (409, {"category": "CONFLICT", "message": "Contact already exists. Existing ID: 1"}, RecordRejected),
        (423, {}, Transient),
        (429, {"policyName": "DAILY"}, RateLimited),
        (477, {}, Transient),
        (500, {}, Transient),
        (502, "<html>", Transient),
        (503, {}, Transient),
        (418, {}, ConnectorBug),
        (302, {}, MalformedAnswer),
        (403, "<html>", MalformedAnswer),
        (401, "<html>", AuthenticationFailed),
    ],
)
def test_status(status: int, body: Any, expected: type[ConnectorError]) -> None:
    raw = body if isinstance(body, str) else json.dumps(body)
    found = errors.of_status(status, raw, {}, "updating 3 contacts", writing=True)
    assert type(found) is expected
    assert "updating 3 contacts" in str(found)
    # Only where work may have been done before the failure.
    assert found.outcome_unknown == (status in (500, 502) or expected is MalformedAnswer)


@pytest.mark.parametrize(
    ("body", "headers", "seconds"),
    [
        ({"policyName": "TEN_SECONDLY_ROLLING"}, {}, 10.0),
        ({"policyName": "DAILY"}, {}, 60.0),
        ({"policyName": "DAILY"}, {"Retry-After": "42"}, 42.0),
        ({}, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, 10.0),  # and no Date by which to tell how long that is
        ({}, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT", "date": "Wed, 21 Oct 2026 07:27:18 GMT"}, 42.0),
    ],
)
def test_how_long_to_wait_at_a_limit(body: Any, headers: dict[str, str], seconds: float) -> None:
    assert errors.of_status(429, json.dumps(body), headers, "x", writing=False).retry_after == seconds


@pytest.mark.parametrize(
    ("error", "unknown"),
    [
        (urllib3.exceptions.ConnectTimeoutError("x"), False),
        (urllib3.exceptions.NewConnectionError(None, "x"), False),  # type: ignore[arg-type]
        (urllib3.exceptions.SSLError("x"), False),
        (urllib3.exceptions.ReadTimeoutError(None, "/", "x"), True),  # type: ignore[arg-type]
        (urllib3.exceptions.ProtocolError("x"), True),
    ],
)
def test_silence_is_unknown_only_when_something_was_sent(error: Exception, unknown: bool) -> None:
    assert errors.of_network(error, "x", writing=True).outcome_unknown is unknown
    assert errors.of_network(error, "x", writing=False).outcome_unknown is False


def test_long_vendor_messages_are_cut() -> None:
    found = errors.of_status(400, json.dumps({"message": "x" * 10_000}), {}, "reading", writing=False)
    assert len(str(found)) < 600
