"""Marketo's refusals, which come with status 200: what each means to whoever made the request."""

from __future__ import annotations

import pytest

from connectors.errors import (
    AuthenticationFailed,
    Conflict,
    ConnectorBug,
    ConnectorError,
    Misconfigured,
    PermissionDenied,
    RateLimited,
    RecordRejected,
    Transient,
)
from connectors.marketo.errors import Said, of_code, of_record, of_status

# As in "Error Codes" of Marketo's REST reference. 6xx: nothing was done, but for those that failed on the way.
OF_REQUESTS: list[tuple[str, type[ConnectorError], float | None, bool]] = [
    ("600", AuthenticationFailed, None, False),
    ("601", AuthenticationFailed, None, False),
    ("602", AuthenticationFailed, None, False),
    ("603", PermissionDenied, None, False),
    ("604", Transient, None, True),
    ("605", ConnectorBug, None, False),
    ("606", RateLimited, 20.0, False),
    ("607", RateLimited, 60.0, False),
    ("608", Transient, None, False),
    ("609", ConnectorBug, None, False),
    ("610", Misconfigured, None, False),
    ("611", Transient, None, True),
    ("614", Transient, None, False),
    ("615", RateLimited, 2.0, False),
    ("616", ConnectorBug, None, False),
    ("701", RecordRejected, None, False),
    ("703", PermissionDenied, None, False),
    ("713", Transient, None, True),
    ("1006", Misconfigured, None, False),
    ("1029", RateLimited, 60.0, False),
]
OF_RECORDS: list[tuple[str, type[ConnectorError]]] = [
    ("1001", RecordRejected),
    ("1003", RecordRejected),
    ("1004", RecordRejected),
    ("1005", RecordRejected),
    ("1006", Misconfigured),
    ("1007", RecordRejected),
    ("1008", PermissionDenied),
    ("1009", Misconfigured),
    ("1010", PermissionDenied),
    ("1021", RecordRejected),
    ("1022", Conflict),
    ("1036", RecordRejected),
    ("4711", RecordRejected),
]


@pytest.mark.parametrize(("code", "kind", "wait", "unknown"), OF_REQUESTS)
@pytest.mark.parametrize("number", [False, True])
def test_each_code_of_a_request_is_of_one_class(
    code: str, kind: type[ConnectorError], wait: float | None, unknown: bool, number: bool
) -> None:
    error = of_code(Said(int(code) if number else code, "the vendor's words"), "writing 3 leads", writing=True)
    assert (type(error), error.code, error.retry_after, error.outcome_unknown) == (kind, code, wait, unknown)
    assert "writing 3 leads" in str(error)
    assert "the vendor's words" in str(error)
    assert not of_code(Said(code), "reading", writing=False).outcome_unknown


@pytest.mark.parametrize(("code", "kind"), OF_RECORDS)
def test_each_code_of_a_record_is_of_one_class(code: str, kind: type[ConnectorError]) -> None:
    error = of_record([Said(code, "why")], "1001")
    assert (type(error), error.outcome_unknown) == (kind, False)
    assert "1001" in str(error)


@pytest.mark.parametrize(
    ("status", "kind", "unknown"),
    [
        (401, AuthenticationFailed, False),
        (404, Misconfigured, False),
        (413, RecordRejected, False),
        (414, ConnectorBug, False),
        (429, RateLimited, False),
        (500, Transient, True),
        (502, Transient, True),
        (503, Transient, False),
    ],
)
def test_a_status_that_is_no_200_is_of_one_class(status: int, kind: type[ConnectorError], unknown: bool) -> None:
    error = of_status(status, {}, "writing", writing=True)
    assert (type(error), error.code, error.outcome_unknown) == (kind, str(status), unknown)
